"""Proves that the audit finds a change to any table and says where it is, and that clean books are found clean."""

import asyncio

import pytest
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_kit.invariants import run_invariants
from ledgerlink_wallet.queries.audit import CHECKS, INVARIANTS_OF_BALANCES, INVARIANTS_OF_HISTORY


async def busy_books(service: Service, alice: str) -> None:
    """Post a little of everything: transfers, a refusal, a part-captured hold, a reversal."""
    wallet = await service.wallet(alice, funds=1_000)

    def posting(debit: str, credit: str, minor: int, currency: str = "GBP") -> dict[str, object]:
        return {"debit": debit, "credit": credit, "amount_minor": minor, "currency": currency}

    order = {"kind": "t", "postings": [posting(wallet, "merchant:m", 40), posting("world", "merchant:m", 7, "JPY")]}
    made = await service.call("POST", "/transfers", order, Idempotency_Key="1")
    await service.call(
        "POST", "/transfers", {"kind": "t", "postings": [posting(wallet, "world", 9_999)]}, Idempotency_Key="2"
    )
    hold = {"wallet": wallet, "amount_minor": 100, "currency": "GBP"}
    held = (await service.call("POST", "/holds", hold, Idempotency_Key="3")).json()["id"]
    part = {"amount_minor": 60, "credit": "merchant:m", "final": False}
    await service.call("POST", f"/holds/{held}/capture", part, Idempotency_Key="4")
    dated = {"kind": "t", "postings": [posting("world", "merchant:m", 3)], "effective_at": "2026-01-05T12:00:00Z"}
    await service.call("POST", "/transfers", dated, Idempotency_Key="6")
    spare = await service.wallet(alice, key="spare")
    await service.call("POST", f"/wallets/{spare}/freeze")
    await service.call("PUT", "/limits", {"items": [{"currency": "GBP", "day_minor": 500}]})
    spent = {"amount_minor": 5, "currency": "GBP"}
    await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", spent, "spent")
    await exchange(service, alice, wallet)
    undo = {"parts": [{"posting": 0, "amount_minor": 10}]}
    await service.call("POST", f"/transfers/{made.json()['id']}/reverse", undo, Idempotency_Key="5")


async def exchange(service: Service, alice: str, wallet: str) -> None:
    lent = {"debit": "fx:position", "credit": "world", "amount_minor": 50, "currency": "GBP"}
    await service.call("POST", "/transfers", {"kind": "t", "postings": [lent]}, Idempotency_Key="lent")
    rate = {"base": "GBP", "quote": "EUR", "mid": "1.2", "spread_bp": 0, "source": "test"}
    await service.call("PUT", "/exchange/rates", {"items": [{**rate, "valid_until": "2999-01-01T00:00:00Z"}]})
    asked = {"wallet": wallet, "sell_currency": "GBP", "buy_currency": "EUR", "sell_minor": 10}
    quote = (await service.call_as(alice, "POST", "/exchange/quotes", asked, "quote")).json()["id"]
    answer = await service.call_as(alice, "POST", f"/exchange/quotes/{quote}/accept")
    assert answer.status_code == 201, answer.text


TAMPERED = {
    "trial_balance": "UPDATE accounts SET debits_posted = debits_posted + 1 WHERE code = 'world' AND currency = 'JPY'",
    "pending_equals_open_holds": "UPDATE holds SET remaining_minor = remaining_minor - 1",
    "wallets_have_owners_and_funds": "DELETE FROM wallets",
    "accounts_stand_as_their_wallets": "UPDATE wallet_profiles SET standing = 'closed'",
    "reversals_match": "UPDATE reversals SET reversed_minor = reversed_minor + 1",
    "outcomes_match": "UPDATE outcomes SET status = 201 WHERE status = 409",
    "transfers_balance": "UPDATE entries SET amount_minor = amount_minor + 1 WHERE side = 'credit' AND version = 2",
    "postings_match_entries": (
        "UPDATE transfers SET postings = jsonb_set(postings, '{0,4}', '41') WHERE jsonb_array_length(postings) = 2"
    ),
    "entries_have_postings": (
        "UPDATE transfers SET postings = jsonb_set(postings, '{0,1}', '77') WHERE jsonb_array_length(postings) = 2"
    ),
    "spending_is_part_of_the_debits": "UPDATE spending SET month_minor = month_minor + 5000",
    "exchanges_match_quotes": "UPDATE exchange_quotes SET buy_minor = buy_minor + 1",
    "dated_sums_match": "UPDATE dated_sums SET credits_posted = credits_posted + 1 WHERE level = 3",
    "accounts_equal_their_entries": (
        "UPDATE entries SET credits_posted = credits_posted + 10 WHERE version = 2 AND side = 'credit'"
    ),
}


async def test_busy_books_are_found_clean_and_everything_is_looked_at(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    report = await service.audit()
    findings = await run_invariants(service.db, INVARIANTS_OF_BALANCES + INVARIANTS_OF_HISTORY)

    assert report["clean"], report
    assert all(check["examined"] > 0 for check in report["checks"])
    assert {finding.differences for finding in findings} == {()}
    assert len(findings) == len(CHECKS)
    assert set(TAMPERED) == {check.name for check in CHECKS}


async def test_a_change_to_any_table_is_found_by_the_check_that_guards_it(service: Service, alice: str) -> None:
    await busy_books(service, alice)
    for name, statement in TAMPERED.items():
        async with service.db.engine.connect() as connection:
            # A superuser who also turns the database's own guards off; undone at the end.
            await connection.execute(text("ALTER TABLE accounts DROP CONSTRAINT ck_accounts_above_its_floor"))
            changed = await connection.execute(text(statement))
            looked = await next(check for check in CHECKS if check.name == name).look(connection)
            await connection.rollback()

        assert changed.rowcount, name
        assert looked.differences, name
    assert (await service.audit())["clean"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE version = 2",
        "DELETE FROM accounts WHERE code = 'world'",
        "DELETE FROM accounts WHERE id = (SELECT max(id::text)::uuid FROM accounts)",
        "UPDATE accounts SET may_overdraw = NOT may_overdraw WHERE wallet_id IS NULL",
        "UPDATE accounts SET code = 'merchant:other' WHERE code = 'merchant:m'",
        "UPDATE accounts SET wallet_id = NULL",
    ],
)
async def test_gaps_strays_and_false_facts_are_located(service: Service, alice: str, statement: str) -> None:
    await busy_books(service, alice)
    async with service.db.engine.connect() as connection:
        await connection.execute(text(statement))
        looked = await CHECKS[-1].look(connection)
        await connection.rollback()

    assert looked.differences
    assert all(difference.startswith("acc_") for difference in looked.differences)


async def test_the_audit_reads_one_moment_while_commits_go_on(service: Service, alice: str) -> None:
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

    loading = [asyncio.create_task(load())]
    reports = [await service.audit() for _ in range(5)]
    stop.set()
    await asyncio.gather(*loading)

    assert all(report["clean"] for report in reports)
