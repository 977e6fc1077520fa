"""Proves that the audit finds a change to any column of any table and names the row, and finds clean books clean."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from services.wallet.tests.conftest import CHECKPOINT_KEY, Service
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import TransferId, UserId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.invariants import DIFFERENCES_MAX, run_invariants
from ledgerlink_kit.notes import Signer
from ledgerlink_wallet.auditor import look, tell
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.commands.sealing import seal
from ledgerlink_wallet.queries.audit import INVARIANTS_OF_BALANCES, checks_for, invariants_of_history
from ledgerlink_wallet.queries.auditing.looking import nobody_listens
from ledgerlink_wallet.tables import METADATA

SIGNER = Signer("ledgerlink.example/wallet", base64.b64decode(CHECKPOINT_KEY))
CHECKS = checks_for(SIGNER.key)
FACTS = (
    "wallets",
    "promises",
    "transfers",
    "entries",
    "dated_sums",
    "leaves",
    "blocks",
    "checkpoints",
    "exchange_quotes",
    "occurrences",
)
TABLES = (
    *FACTS,
    "accounts",
    "holds",
    "reversals",
    "outcomes",
    "wallet_profiles",
    "spending_limits",
    "spending",
    "scheduled_transfers",
)

# Every column that the audit does not look at, by table and reason. All others are changed below and must be found.
UNGUARDED = {
    "outcomes": {"fingerprint fields body": "what was asked and answered: kept for repeats, dropped by age, no fact"},
    "exchange_quotes": {
        "source": "told by nothing but the offer itself: who named the rate",
        "recorded_at": "told by nothing but the offer itself, within 30 s before its end",
    },
    "exchange_rates": {
        "base quote mid spread_bp source valid_until recorded_at": "given from outside, each until the next one comes; "
        "a quote keeps the rate that it was made from, and is worked out anew"
    },
    "balance_alerts": {
        "wallet_id currency account_id below_minor above_minor is_below is_above seen_version": "whom to tell when: "
        "no promise about money"
    },
    "outbox": {
        "seq id aggregate type version data traceparent occurred_at lease_until published_at": "events on their way out"
    },
    "relay_state": {"name epoch": "how far the events are out"},
    "inbox": {"event_id type state error envelope recorded_at": "events on their way in"},
    "idempotency_keys": {
        "caller operation key fingerprint fields status body headers lease_token lease_until created_at": "answers "
        "kept for repeats, dropped by age"
    },
    "unsealed": {
        "recorded_at transfers wallet_id promises": "for seconds; a fact that neither is sealed nor waits is found"
    },
    "imports": {
        "id opened_by label total_lines state next_line posted replayed refused malformed blank busy_ms opened_at "
        "progressed_at closed_at upload upload_until": "how far a file has come; what it posted are transfers"
    },
    "occurrences": {
        "due_at": "follows from what was chosen and from rules of time zones, which change",
        "code detail": "why one failed or was skipped is told by nothing else",
    },
    "scheduled_transfers": {
        "starts_at every unit time_zone ends_at total created_by created_at": "chosen: nothing else "
        "says what it should be",
        "state next_due_at try_at tries code detail changed_at": "a change moves no money, and what it leads to is "
        "told by its occurrences",
    },
    "import_problems": {"import_id line outcome code problem": "a report of lines that moved nothing"},
}
UNGUARDED_COLUMNS = {
    (table, column) for table, reasons in UNGUARDED.items() for columns in reasons for column in columns.split()
}
# A row that is nobody's is named by what it says it is.
RENAMED = {("wallet_profiles", "wallet_id"), ("spending", "account_id")}

# One digit or character is another, by type.
FLIPS = {
    "uuid": "overlay({c}::text placing CASE right({c}::text, 1) WHEN '0' THEN '1' ELSE '0' END from 36 for 1)::uuid",
    "text": "overlay({c} placing CASE left({c}, 1) WHEN 'x' THEN 'y' ELSE 'x' END from 1 for 1)",
    "bytea": "set_byte({c}, octet_length({c}) / 2, get_byte({c}, octet_length({c}) / 2) # 1)",
    "timestamp with time zone": "{c} + interval '1 microsecond'",
    "boolean": "NOT {c}",
    "bigint": "{c} + 1",
    "smallint": "{c} + 1",
    "integer": "{c} + 1",
    "numeric": "{c} + 0.000001",
    "date": "({c} + interval '1 month')::date",
}
# Guarded in one direction: entries do not say who spent, so what counts against a limit is known to be a part of what
# left the account and no more; less than it was contradicts nothing.
ONE_WAY = {
    ("spending", "day"): FLIPS["date"],
    ("spending", "month"): FLIPS["date"],
    ("spending", "day_minor"): "{c} + 5000",
    ("spending", "month_minor"): "{c} + 5000",
}
MORE_FLIPS = {
    ("accounts", "floor_minor"): ["{c} - 1", "NULL"],
    ("accounts", "ceiling_minor"): ["{c} - 1", "NULL"],
    ("accounts", "opened_at"): ["{c} - interval '1 microsecond'"],
    ("accounts", "standing"): ["'open'", "'frozen'", "'closed'"],
    ("wallet_profiles", "standing"): ["'open'", "'frozen'", "'closed'"],
    ("wallet_profiles", "role"): ["'merchant'", "'customer'"],
    ("spending_limits", "day_minor"): ["{c} - 1", "NULL"],
    ("promises", "says"): [
        """jsonb_set({c}, '{standing}', '"frozen"')""",
        "jsonb_set({c}, '{floor_minor}', '-7')",
        """jsonb_set({c}, '{role}', '"auditor"')""",
        "jsonb_set({c}, '{GBP}', 'null')",
    ],
    ("scheduled_transfers", "metadata"): ["""'{"row": "8"}'::jsonb"""],
    ("transfers", "metadata"): ["""'{"row": "8"}'::jsonb""", "'{}'::jsonb"],
    ("transfers", "postings"): [
        f"jsonb_set({{c}}, '{{0,{place}}}', '{value}')"
        for place, value in enumerate(
            ['"00000000-0000-0000-0000-000000000001"', 77, '"00000000-0000-0000-0000-000000000002"', 78, 41, '"GBX"', 1]
        )
    ],
    ("checkpoints", "note"): [
        "overlay({c} placing '0' from length({c}) - 20 for 1)",
        "replace({c}, 'signed-at 2', 'signed-at 3')",
    ],
}


async def busy_books(service: Service, alice: str) -> None:
    """Post a little of everything, with every optional column filled, and seal: transfers, also dated and to the bounds
    of an account, a refusal, holds, a reversal.
    """
    await service.call_as(alice, "POST", "/wallets", {"currency": "GBP", "label": "savings"}, "labeled")
    wallet = await service.wallet(alice, funds=1_000)

    def posting(debit: str, credit: str, minor: int, currency: str = "GBP") -> dict[str, object]:
        return {"debit": debit, "credit": credit, "amount_minor": minor, "currency": currency}

    postings = [posting(wallet, "merchant:m", 40), posting("world", "merchant:m", 7, "JPY")]
    order = {"kind": "t", "postings": postings, "reference": "R", "metadata": {"row": "7"}, "on_behalf_of": alice}
    made = await service.call("POST", "/transfers", order, Idempotency_Key="1")
    assert made.status_code == 201, made.text
    await service.call(
        "POST", "/transfers", {"kind": "t", "postings": [posting(wallet, "world", 9_999)]}, Idempotency_Key="2"
    )
    bounds = {"code": "merchant:b", "currency": "GBP", "floor_minor": -50, "ceiling_minor": 100}
    opened = await service.call("POST", "/accounts", bounds)
    assert opened.status_code == 201, opened.text
    moves = [posting("world", "merchant:b", 100), posting("merchant:b", "world", 150)]
    for number, move in enumerate(moves):
        more = {"effective_at": "2026-01-05T12:00:00Z"} if number else {}
        done = await service.call(
            "POST", "/transfers", {"kind": "t", "postings": [move], **more}, Idempotency_Key=f"bounds {number}"
        )
        assert done.status_code == 201, done.text
    for key, part in (("part", 60), ("whole", 100), ("release", 0), ("open", 0)):
        more = {"expires_at": "2099-01-01T00:00:00Z", "reference": f"H-{key}", "on_behalf_of": alice}
        hold = {"wallet": wallet, "amount_minor": 100, "currency": "GBP", **more}
        held = (await service.call("POST", "/holds", hold, Idempotency_Key=f"hold {key}")).json()["id"]
        if part:
            capture = {"amount_minor": part, "credit": "merchant:m", "final": key == "whole"}
            await service.call("POST", f"/holds/{held}/capture", capture, Idempotency_Key=f"capture {key}")
        elif key == "release":
            await service.call("POST", f"/holds/{held}/release")
    undo = {"parts": [{"posting": 0, "amount_minor": 10}]}
    await service.call("POST", f"/transfers/{made.json()['id']}/reverse", undo, Idempotency_Key="5")
    await spend(service, alice, wallet)
    await schedule(service, alice, wallet)
    await seal(service.db, SIGNER, SystemClock())


async def spend(service: Service, alice: str, wallet: str) -> None:
    """Freeze a wallet, spend from another under a limit, and exchange what it holds."""
    spare = await service.wallet(alice, funds=1, key="spare")
    await service.call("POST", f"/wallets/{spare}/freeze")
    limits = {"items": [{"currency": "GBP", "transfer_minor": 400, "day_minor": 500, "month_minor": 600}]}
    await service.call("PUT", "/limits", limits)
    await service.call("PUT", f"/wallets/{spare}/limits", {"role": "merchant", **limits})
    spent = {"amount_minor": 5, "currency": "GBP"}
    debited = await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", spent, "spent")
    assert debited.status_code == 201, debited.text
    lent = {"debit": "fx:position", "credit": "world", "amount_minor": 50, "currency": "GBP"}
    await service.call("POST", "/transfers", {"kind": "t", "postings": [lent]}, Idempotency_Key="lent")
    rate = {"base": "GBP", "quote": "EUR", "mid": "1.2", "spread_bp": 0, "source": "test"}
    await service.call("PUT", "/exchange/rates", {"items": [{**rate, "valid_until": "2999-01-01T00:00:00Z"}]})
    asked = {"wallet": wallet, "sell_currency": "GBP", "buy_currency": "EUR", "sell_minor": 10}
    quote = (await service.call_as(alice, "POST", "/exchange/quotes", asked, "quote")).json()["id"]
    answer = await service.call_as(alice, "POST", f"/exchange/quotes/{quote}/accept")
    assert answer.status_code == 201, answer.text


async def schedule(service: Service, alice: str, wallet: str) -> None:
    """Have a scheduled transfer carried out, of which another occurrence is to come."""
    to = await service.wallet(str(UserId.derive("payee")))
    order = {"to": to, "amount_minor": 3, "currency": "GBP", "reference": "S", "metadata": {"row": "9"}}
    order |= {"starts_at": datetime.now(UTC).isoformat(), "recurrence": {"unit": "day"}, "count": 2}
    made = await service.call_as(alice, "POST", f"/wallets/{wallet}/scheduled-transfers", order, "scheduled")
    assert made.status_code == 201, made.text
    assert await carry_out_due(service.db, service.app.state.runtime.ledger, SystemClock(), 10) == 1


async def enough_for_a_block(service: Service) -> None:
    """Post as many transfers as fill one block of the tree."""
    order = {
        "kind": "t",
        "postings": [{"debit": "world", "credit": "merchant:n", "amount_minor": 1, "currency": "GBP"}],
    }
    await asyncio.gather(
        *(service.call("POST", "/transfers", order, Idempotency_Key=f"many {number}") for number in range(260))
    )
    await seal(service.db, SIGNER, SystemClock())


async def differences(view: AsyncConnection) -> list[str]:
    return [found for check in CHECKS for found in (await check.look(view, nobody_listens)).differences]


async def lift_guards(connection: AsyncConnection) -> None:
    """Drop what guards the tables, as somebody with all rights would."""
    guards = await connection.execute(
        text(
            "SELECT conrelid::regclass::text AS relation, conname FROM pg_constraint "
            "WHERE conrelid = ANY(CAST(:tables AS regclass[])) AND contype <> 'n'"
        ),
        {"tables": list(TABLES)},
    )
    for guard in guards.all():
        await connection.execute(text(f"ALTER TABLE {guard.relation} DROP CONSTRAINT {guard.conname}"))
    await connection.execute(text("DROP INDEX uq_leaves_transfer_id, uq_leaves_wallet_id, uq_leaves_promise_id"))


def names_of(row: Mapping[Any, Any]) -> set[str]:
    """Every way in which a difference may name ``row``: its ids, in both forms, and its place in the tree."""
    ids = [UUID(str(value)) for name, value in row.items() if isinstance(value, UUID) and name != "hold_id"]
    bodies = {str(TransferId(id_)).partition("_")[2] for id_ in ids}
    # A changed place is told where it now stands.
    numbered = {"checkpoint": "size", "leaf": "leaf_index", "block": "position"}
    places = {f"{noun} {row[column] + more}" for noun, column in numbered.items() if column in row for more in (0, 1)}
    scopes = {f"limits {row['scope']}:"} if "scope" in row else set[str]()
    return bodies | places | scopes | {str(id_) for id_ in ids}


async def test_busy_books_are_found_clean_and_everything_is_looked_at(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    report = await service.audit()
    findings = await run_invariants(service.db, INVARIANTS_OF_BALANCES + invariants_of_history(SIGNER.key))

    assert report["clean"], report
    assert all(check["examined"] > 0 for check in report["checks"])
    assert {finding.differences for finding in findings} == {()}
    assert len(findings) == len(CHECKS) == len(report["checks"])


async def test_the_audit_as_a_task_tells_by_its_exit_code_whether_the_books_are_whole(
    service: Service, alice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await busy_books(service, alice)
    settings = service.app.state.runtime.settings

    assert tell(await look(settings)) == 0
    async with service.db.engine.begin() as connection:
        await lift_guards(connection)
        await connection.execute(text("SET session_replication_role = replica"))
        await connection.execute(text("UPDATE entries SET amount_minor = amount_minor + 1 WHERE version = 1"))
    capsys.readouterr()
    assert tell(await look(settings)) == 1
    report = json.loads(capsys.readouterr().out)

    assert report["clean"] is False
    assert any("amount_minor" in found for check in report["checks"] for found in check["differences"])


def test_every_column_is_tampered_with_or_named_with_its_reason() -> None:
    """Tampering takes a table's columns from the catalog, so a column that nobody thought of is changed there."""
    every = {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns}

    assert every >= UNGUARDED_COLUMNS
    assert {(table, column) for table, column in every if table not in TABLES} <= UNGUARDED_COLUMNS
    assert every >= ONE_WAY.keys() | MORE_FLIPS.keys()
    assert all(reason for reasons in UNGUARDED.values() for reason in reasons.values())


@pytest.mark.parametrize("table", TABLES)
async def test_one_changed_character_in_any_column_is_found_and_its_row_named(
    service: Service, alice: str, table: str
) -> None:
    await busy_books(service, alice)
    if table == "blocks":
        await enough_for_a_block(service)
    missed: list[str] = []
    async with service.db.engine.connect() as connection:
        columns = await connection.execute(
            text("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :table"),
            {"table": table},
        )
        wanted = {column: _changes(table, column, kind) for column, kind in columns.all()}
        assert all(wanted[column] or (table, column) in UNGUARDED_COLUMNS for column in wanted), wanted
        await lift_guards(connection)
        assert await differences(connection) == []
        for column, changes in wanted.items():
            for change in changes:
                await _change_and_look(connection, table, column, change, missed)
        await connection.rollback()

    assert wanted
    assert missed == []


def _changes(table: str, column: str, kind: str) -> list[str]:
    """Give the ways in which a column is changed: none for those that are named as unguarded, some for all others."""
    if (table, column) in UNGUARDED_COLUMNS:
        return []
    if (table, column) in ONE_WAY:
        return [ONE_WAY[table, column]]
    return [*([FLIPS[kind]] if kind in FLIPS else []), *MORE_FLIPS.get((table, column), [])]


async def _change_and_look(
    connection: AsyncConnection, table: str, column: str, change: str, missed: list[str]
) -> None:
    """Change the first and the last row that have the column; note what the audit does not find or not name."""
    filled = f"{column} IS NOT NULL{' AND status = 201' if table == 'outcomes' else ''}"
    for end in ("ASC", "DESC"):
        point = await connection.begin_nested()
        place = f"(SELECT ctid FROM {table} WHERE {filled} ORDER BY ctid {end} LIMIT 1)"  # noqa: S608 - our own names
        before = (await connection.execute(text(f"SELECT * FROM {table} WHERE ctid = {place}"))).mappings().one()  # noqa: S608
        new = change.replace("{c}", column)
        where = f"ctid = {place} AND {column} IS DISTINCT FROM {new}"
        statement = f"UPDATE {table} SET {column} = {new} WHERE {where} RETURNING *"  # noqa: S608
        changed = (await connection.execute(text(statement))).mappings().one_or_none()
        if changed is not None:
            found = await differences(connection)
            row = changed if (table, column) in RENAMED else before
            if not any(name in one for one in found for name in names_of(dict(row))):
                missed.append(f"{table}.{column} by {new}: {found}")
        await point.rollback()


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
async def test_facts_cannot_be_changed_by_the_services_own_role(service: Service, table: str, statement: str) -> None:
    """The role gets exactly what the migration leaves to the one that owns the tables."""
    async with service.db.engine.connect() as connection:
        first = (
            await connection.execute(
                text("SELECT column_name FROM information_schema.columns WHERE table_name = :t LIMIT 1"), {"t": table}
            )
        ).scalar_one()
        role = f"service_of_{table}"
        await connection.execute(text(f"CREATE ROLE {role}"))
        granted = await connection.execute(
            text(
                "SELECT string_agg(x.privilege_type, ', ') FROM pg_class c, aclexplode(c.relacl) x "
                "WHERE c.oid = CAST(:t AS regclass) AND x.grantee = c.relowner"
            ),
            {"t": table},
        )
        await connection.execute(text(f"GRANT {granted.scalar_one()} ON {table} TO {role}"))
        await connection.execute(text(f"SET LOCAL ROLE {role}"))
        await connection.execute(text(f"SELECT FROM {table}"))
        with pytest.raises(ProgrammingError, match="permission denied"):
            await connection.execute(text(statement.format(table, first)))
        await connection.rollback()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM entries WHERE version = 2", "follows version 1"),
        ("DELETE FROM accounts WHERE code = 'world'", "entries without an account"),
        ("DELETE FROM wallets", "is gone"),
        ("DELETE FROM transfers WHERE reference = 'R'", "is gone"),
        ("DELETE FROM holds WHERE reference = 'H-open'", "hold "),
        ("DELETE FROM outcomes WHERE status = 201 AND ctid = (SELECT max(ctid) FROM outcomes)", "remembered success"),
        ("DELETE FROM leaves WHERE leaf_index = 3", "leaf 4 follows 3 leaves"),
        ("DELETE FROM leaves WHERE leaf_index = (SELECT max(leaf_index) FROM leaves)", "there are only"),
        ("DELETE FROM checkpoints", "under no checkpoint"),
        ("DELETE FROM occurrences", "does not lead to occurrence 1"),
        ("DELETE FROM scheduled_transfers", "does not lead to occurrence 1"),
        ("DELETE FROM reversals", "noted 0, reversed 10"),
        ("DELETE FROM dated_sums WHERE level = 14", "the sum of stretch 14/"),
        (
            "DELETE FROM promises WHERE kind = 'account' AND step = 1 AND says ->> 'code' = 'world'",
            "promised as nothing",
        ),
        ("DELETE FROM wallet_profiles WHERE standing = 'frozen'", "stands as nothing"),
        ("DELETE FROM spending_limits WHERE scope = 'everybody'", "limits everybody: it stands as nothing"),
    ],
)
async def test_what_was_taken_away_is_missed(service: Service, alice: str, statement: str, words: str) -> None:
    await busy_books(service, alice)
    async with service.db.engine.connect() as connection:
        changed = await connection.execute(text(statement))
        found = await differences(connection)
        await connection.rollback()

    assert changed.rowcount
    assert any(words in one for one in found), found


async def test_books_that_are_broken_throughout_are_told_in_a_few_sentences(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    await enough_for_a_block(service)
    async with service.db.engine.connect() as connection:
        await connection.execute(text("UPDATE entries SET recorded_at = recorded_at + interval '1 second'"))
        await connection.execute(text("UPDATE entries SET amount_minor = amount_minor + 1"))
        looked = {check.name: await check.look(connection, nobody_listens) for check in CHECKS}
        await connection.rollback()

    assert len(looked["entries_chain"].differences) == DIFFERENCES_MAX
    assert 0 < len(looked["transfers_equal_their_entries"].differences) <= DIFFERENCES_MAX
    assert looked["tree_matches_what_is_stored"].differences == []


async def test_a_transfer_that_was_slipped_in_beside_the_ledger_is_found(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    async with service.db.engine.connect() as connection:
        await connection.execute(
            text(
                "INSERT INTO transfers SELECT gen_random_uuid(), kind, postings, on_behalf_of, reference, metadata, "
                "reverses, hold_id, effective_at, recorded_at FROM transfers LIMIT 1"
            )
        )
        found = await differences(connection)
        await connection.rollback()

    assert any("neither sealed nor waiting" in one for one in found), found
    assert any("there is no entry" in one for one in found), found


async def test_the_audit_reads_one_moment_while_commits_and_seals_go_on(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    stop = asyncio.Event()

    async def load() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            order = {
                "kind": "t",
                "postings": [{"debit": "world", "credit": "merchant:m", "amount_minor": 1, "currency": "GBP"}],
            }
            await service.call("POST", "/transfers", order, Idempotency_Key=f"load {number}")
            if number % 5 == 0:
                await seal(service.db, SIGNER, SystemClock())

    loading = [asyncio.create_task(load())]
    reports = [await service.audit() for _ in range(5)]
    stop.set()
    await asyncio.gather(*loading)

    assert all(report["clean"] for report in reports), reports
