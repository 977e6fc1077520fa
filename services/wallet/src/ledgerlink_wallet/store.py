"""SQL for commands: loading what a batch touches under lock, and writing what it changed, one statement a table.

On asyncpg directly: a batch is a dozen statements that carry a thousand rows each, and the driver's binary arrays and
COPY are what makes them cheap. Every function takes the open transaction first.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import HoldState, Standing
from ledgerlink_kit.limits import IDLE_IN_TRANSACTION_TIMEOUT_MS, LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS
from ledgerlink_wallet.domain.books import (
    Account,
    AccountFacts,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Movement,
    Original,
    Transfer,
    TransferKey,
    WalletKey,
)

Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""A connection with an open transaction."""


class StoredOutcome(NamedTuple):
    """What an id was answered before."""

    fingerprint: bytes
    fields: bytes
    status: int
    body: bytes


class OutcomeRow(NamedTuple):
    """An outcome to remember."""

    id: UUID
    fingerprint: bytes
    fields: bytes
    status: int
    body: bytes


class EventRow(NamedTuple):
    """An event for the outbox: its data is JSON."""

    id: UUID
    aggregate: str
    type: str
    version: int
    data: str
    traceparent: str


class EntryRow(NamedTuple):
    """An entry with what caused it."""

    entry: Entry
    transfer: TransferKey | None
    hold: HoldKey | None
    effective_at: datetime


async def open_pool(database_url: str, *, application_name: str, size: int) -> asyncpg.Pool:
    """Prepare a pool of at most ``size`` connections for batches; it connects on first use."""
    return await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 1,
        # A backend that waits for the next batch is no burden; reconnecting for each quiet spell would be.
        max_inactive_connection_lifetime=0,
        server_settings={
            "application_name": application_name,
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "timezone": "UTC",
        },
    )


_ACCOUNTS: Final = """
SELECT id, code, currency, normal_side, may_overdraw, wallet_id, standing,
       debits_posted, credits_posted, debits_pending, credits_pending, version
FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""
_OUTCOMES: Final = "SELECT id, fingerprint, fields, status, body FROM outcomes WHERE id = ANY($1::uuid[])"
_OWNERS: Final = "SELECT id, owner FROM wallets WHERE id = ANY($1::uuid[])"
_HOLD_ACCOUNTS: Final = """
SELECT h.id, h.account_id, a.currency FROM holds h JOIN accounts a ON a.id = h.account_id WHERE h.id = ANY($1::uuid[])
"""
_HOLDS: Final = """
SELECT id, account_id, state, amount_minor, captured_minor, remaining_minor, expires_at, on_behalf_of, reference,
       recorded_at
FROM holds WHERE id = ANY($1::uuid[])
"""
_ORIGINALS: Final = "SELECT id, reverses, postings::text AS postings FROM transfers WHERE id = ANY($1::uuid[])"
_REVERSED: Final = "SELECT transfer_id, posting, reversed_minor FROM reversals WHERE transfer_id = ANY($1::uuid[])"


async def lock_accounts(tx: Tx, ids: Iterable[AccountKey]) -> dict[AccountKey, Account]:
    """Lock the accounts that exist, in the order of their ids (the one order of locks everywhere), and give them."""
    rows = await tx.fetch(_ACCOUNTS, list(ids))
    return {
        row[0]: Account(
            AccountFacts(row[0], row[1], row[2], Side(row[3]), row[4], row[5]), Standing(row[6]), *row[7:12]
        )
        for row in map(tuple, rows)
    }


async def load_outcomes(tx: Tx, ids: Iterable[UUID]) -> dict[UUID, StoredOutcome]:
    """Give what the ids were answered before."""
    return {row[0]: StoredOutcome(*row[1:]) for row in map(tuple, await tx.fetch(_OUTCOMES, list(ids)))}


async def load_owners(tx: Tx, wallets: Iterable[WalletKey]) -> dict[WalletKey, str]:
    """Give the owners of the wallets that exist."""
    return {row["id"]: row["owner"] for row in await tx.fetch(_OWNERS, list(wallets))}


async def hold_accounts(tx: Tx, ids: Iterable[HoldKey]) -> dict[HoldKey, tuple[AccountKey, str]]:
    """Give the account and currency of each hold; a hold never changes its account, so no lock is needed."""
    return {row[0]: (row[1], row[2]) for row in await tx.fetch(_HOLD_ACCOUNTS, list(ids))}


async def load_holds(tx: Tx, ids: Iterable[HoldKey], accounts: Mapping[AccountKey, Account]) -> dict[HoldKey, Hold]:
    """Give the holds; ``accounts`` are those they stand on, whose locks keep them still."""
    return {
        row["id"]: Hold(
            row["id"],
            accounts[row["account_id"]].facts,
            HoldState(row["state"]),
            row["amount_minor"],
            row["captured_minor"],
            row["remaining_minor"],
            row["expires_at"],
            row["on_behalf_of"],
            row["reference"],
            row["recorded_at"],
        )
        for row in await tx.fetch(_HOLDS, list(ids))
    }


class OriginalRow(NamedTuple):
    """A transfer to be reversed, as stored; transfers never change, so no lock is needed."""

    id: TransferKey
    reverses: TransferKey | None
    postings: list[list[Any]]

    def accounts(self) -> set[AccountKey]:
        """Give the accounts that its postings touch."""
        return {AccountKey(UUID(posting[side])) for posting in self.postings for side in (0, 2)}


async def load_originals(tx: Tx, ids: Iterable[TransferKey]) -> list[OriginalRow]:
    """Give the transfers that exist."""
    return [
        OriginalRow(row["id"], row["reverses"], orjson.loads(row["postings"]))
        for row in await tx.fetch(_ORIGINALS, list(ids))
    ]


async def with_reversed(
    tx: Tx, rows: Sequence[OriginalRow], accounts: Mapping[AccountKey, Account]
) -> dict[TransferKey, Original]:
    """Complete originals with how much of them is reversed; the locks on ``accounts`` keep that still."""
    done = {
        (row["transfer_id"], row["posting"]): row["reversed_minor"]
        for row in await tx.fetch(_REVERSED, [row.id for row in rows])
    }
    return {
        row.id: Original(
            row.id,
            row.reverses,
            tuple(
                Movement(
                    accounts[AccountKey(UUID(debit))].facts,
                    debit_version,
                    accounts[AccountKey(UUID(credit))].facts,
                    credit_version,
                    amount,
                    currency,
                    undoes,
                )
                for debit, debit_version, credit, credit_version, amount, currency, undoes in row.postings
            ),
            tuple(done.get((row.id, number), 0) for number in range(len(row.postings))),
        )
        for row in rows
    }


_OPEN_ACCOUNTS: Final = """
INSERT INTO accounts (id, code, currency, normal_side, may_overdraw, wallet_id, standing,
                      debits_posted, credits_posted, debits_pending, credits_pending, version, opened_at)
SELECT t.*, $13::timestamptz
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::uuid[], $7::text[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) AS t
"""
_UPDATE_ACCOUNTS: Final = """
UPDATE accounts SET standing = t.standing, debits_posted = t.dp, credits_posted = t.cp, debits_pending = t.dq,
                    credits_pending = t.cq, version = t.version
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
     AS t(id, standing, dp, cp, dq, cq, version)
WHERE accounts.id = t.id
"""
_SAVE_HOLDS: Final = """
INSERT INTO holds (id, account_id, state, amount_minor, captured_minor, remaining_minor, expires_at, on_behalf_of,
                   reference, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[])
ON CONFLICT (id) DO UPDATE SET state = excluded.state, captured_minor = excluded.captured_minor,
                               remaining_minor = excluded.remaining_minor
"""
_SAVE_REVERSALS: Final = """
INSERT INTO reversals (transfer_id, posting, posted_minor, reversed_minor)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[])
ON CONFLICT (transfer_id, posting) DO UPDATE SET reversed_minor = excluded.reversed_minor
"""


class _Facts(NamedTuple):
    """A table that is only added to: its columns with their types, and the statement that adds arrays of rows."""

    table: str
    columns: tuple[str, ...]
    statement: str


def _facts(table: str, **types: str) -> _Facts:
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types.values(), 1))
    statement = f"INSERT INTO {table} ({', '.join(types)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our own names
    return _Facts(table, tuple(types), statement)


_TRANSFERS: Final = _facts(
    "transfers",
    id="uuid",
    kind="text",
    postings="jsonb",
    on_behalf_of="text",
    reference="text",
    metadata="jsonb",
    reverses="uuid",
    hold_id="uuid",
    effective_at="timestamptz",
    recorded_at="timestamptz",
)
_ENTRIES: Final = _facts(
    "entries",
    account_id="uuid",
    version="bigint",
    side="text",
    layer="text",
    amount_minor="bigint",
    debits_posted="bigint",
    credits_posted="bigint",
    debits_pending="bigint",
    credits_pending="bigint",
    transfer_id="uuid",
    hold_id="uuid",
    effective_at="timestamptz",
    recorded_at="timestamptz",
)
_OUTCOME_FACTS: Final = _facts(
    "outcomes",
    id="uuid",
    fingerprint="bytea",
    fields="bytea",
    status="smallint",
    body="bytea",
    recorded_at="timestamptz",
)
_EVENTS: Final = _facts(
    "outbox",
    id="uuid",
    aggregate="text",
    type="text",
    version="smallint",
    data="jsonb",
    traceparent="text",
    occurred_at="timestamptz",
)

_UNSEALED: Final = (
    "INSERT INTO unsealed (recorded_at, transfers) SELECT * FROM unnest($1::timestamptz[], $2::integer[])"
)

_COPY_FROM: Final = 20
"""From so many rows on COPY is cheaper than arrays: the driver looks at every element of an array four times."""

_PLACE: Final = re.compile(r"\$(\d+)")


class Writes:
    """What a batch writes, gathered so that it costs few round trips: one for all small parts, one per large table.

    The small parts become one statement of data-modifying CTEs. No part reads what another writes, so their order does
    not matter (PostgreSQL manual, section 7.8.4).
    """

    def __init__(self) -> None:
        """Write nothing yet."""
        self._parts: list[tuple[str, Sequence[Any]]] = []
        self._copies: list[tuple[_Facts, Sequence[tuple[Any, ...]]]] = []

    def add(self, facts: _Facts, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add ``rows`` to a table of facts, in order."""
        if len(rows) >= _COPY_FROM:
            self._copies.append((facts, rows))
        else:
            self.change(facts.statement, rows)

    def change(self, statement: str, rows: Sequence[tuple[Any, ...]], *more: Any) -> None:
        """Run ``statement`` with the columns of ``rows`` as its arrays, and ``more`` after them."""
        if rows:
            self._parts.append((statement, [*map(list, zip(*rows, strict=True)), *more]))

    async def send(self, tx: Tx) -> None:
        """Write it all."""
        if self._parts:
            values = [value for _, part in self._parts for value in part]
            await tx.execute(_joined(tuple((statement, len(part)) for statement, part in self._parts)), *values)
        for facts, rows in self._copies:
            await tx.copy_records_to_table(facts.table, records=rows, columns=facts.columns)


@lru_cache(256)
def _joined(parts: tuple[tuple[str, int], ...]) -> str:
    """Make one statement of several, each with its number of parameters; the same parts give the same text."""
    statements: list[str] = []
    before = 0
    for statement, count in parts:
        # `before` is bound now: the substitution runs within this turn of the loop.
        statements.append(_PLACE.sub(lambda place, shift=before: f"${int(place[1]) + shift}", statement))
        before += count
    *firsts, last = statements
    if not firsts:
        return last
    ctes = ", ".join(f"part{number} AS ({statement})" for number, statement in enumerate(firsts))
    return f"WITH {ctes} {last}"


def save_accounts(
    writes: Writes, changed: Collection[Account], known: Mapping[AccountKey, Account], now: datetime
) -> None:
    """Update the accounts that were loaded, open those that were not."""
    fresh = [(*account.facts, *account[1:]) for account in changed if account.facts.id not in known]
    old = [(account[0].id, *account[1:]) for account in changed if account.facts.id in known]
    writes.change(_OPEN_ACCOUNTS, fresh, now)
    writes.change(_UPDATE_ACCOUNTS, old)


def save_transfers(writes: Writes, transfers: Sequence[Transfer], now: datetime) -> None:
    """Write the facts of the transfers; their entries are written by `save_entries`."""
    rows = [
        (
            transfer.id,
            transfer.kind,
            orjson.dumps(
                [(m[0].id, m[1], m[2].id, m[3], m[4], m[5], m[6]) for m in transfer.movements],
                default=str,  # the driver's own UUID type
            ).decode(),
            transfer.on_behalf_of,
            transfer.reference,
            orjson.dumps(transfer.metadata).decode() if transfer.metadata else "{}",
            transfer.reverses,
            transfer.hold,
            transfer.effective_at,
            now,
        )
        for transfer in transfers
    ]
    writes.add(_TRANSFERS, rows)


def save_unsealed(writes: Writes, transfers: Sequence[Transfer], now: datetime) -> None:
    """Queue the commit's transfers for the sealer: one row, however many they are."""
    if transfers:
        writes.change(_UNSEALED, [(now, len(transfers))])


def save_entries(writes: Writes, rows: Sequence[EntryRow], now: datetime) -> None:
    """Write entries."""
    records = [
        (
            after[0].id,
            after[6],
            side,
            layer,
            amount,
            after[2],
            after[3],
            after[4],
            after[5],
            transfer,
            hold,
            effective_at,
            now,
        )
        for (side, layer, amount, after), transfer, hold, effective_at in rows
    ]
    writes.add(_ENTRIES, records)


def save_holds(writes: Writes, holds: Iterable[Hold]) -> None:
    """Write holds that were placed and those that moved on."""
    rows = [(hold[0], hold[1].id, *hold[2:]) for hold in holds]
    writes.change(_SAVE_HOLDS, rows)


def save_reversals(writes: Writes, originals: Iterable[Original]) -> None:
    """Write how much of each posting is reversed by now."""
    rows = [
        (original.id, number, movement.amount_minor, done)
        for original in originals
        for number, (movement, done) in enumerate(zip(original.movements, original.reversed_minor, strict=True))
        if done
    ]
    writes.change(_SAVE_REVERSALS, rows)


def save_outcomes(writes: Writes, rows: Sequence[OutcomeRow], now: datetime) -> None:
    """Remember what ids were answered."""
    writes.add(_OUTCOME_FACTS, [(*row, now) for row in rows])


def save_events(writes: Writes, rows: Sequence[EventRow], now: datetime) -> None:
    """Write events to the outbox, in order; the relay carries them."""
    writes.add(_EVENTS, [(*row, now) for row in rows])
