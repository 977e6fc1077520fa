"""Proves that a wallet is frozen, thawed and closed as a whole: in all its currencies, also those that open later, and
exactly, whatever is written at the same moment.
"""

import asyncio
from typing import Any

import pytest
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts


async def pay(service: Service, wallet: str, currency: str, key: str, minor: int = 100) -> Any:
    order = {"amount_minor": minor, "currency": currency}
    return await service.call("POST", f"/wallets/{wallet}/credit", order, Idempotency_Key=key)


def account_of(wallet: str, currency: str) -> str:
    return str(AccountId(wallet_facts(WalletKey(WalletId.parse(wallet).uuid), currency).id))


async def test_a_wallet_has_an_account_in_each_currency_from_its_first_use_on(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=500)
    for number, currency in enumerate(("EUR", "JPY")):
        assert (await pay(service, wallet, currency, f"k{number}", 70 + number)).status_code == 201

    seen = (await service.call_as(alice, "GET", f"/wallets/{wallet}")).json()
    one = (await service.call_as(alice, "GET", f"/wallets/{wallet}/balance?currency=JPY")).json()

    assert [(b["currency"], b["posted_minor"]) for b in seen["balances"]] == [("GBP", 500), ("EUR", 70), ("JPY", 71)]
    assert (one["posted_minor"], len(one["balances"])) == (71, 3)


async def test_a_frozen_wallet_takes_nothing_in_any_currency_and_is_read_as_before(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=500)
    await pay(service, wallet, "EUR", "eur")
    frozen = await service.call("POST", f"/wallets/{wallet}/freeze")
    again = await service.call("POST", f"/wallets/{wallet}/freeze")
    refused = [await pay(service, wallet, currency, f"no {currency}") for currency in ("GBP", "EUR", "USD")]
    debit = await service.call_as(
        alice, "POST", f"/wallets/{wallet}/debit", {"amount_minor": 1, "currency": "GBP"}, "debit"
    )
    read = await service.call_as(alice, "GET", f"/wallets/{wallet}")
    statement = await service.call_as(alice, "GET", f"/wallets/{wallet}/statement")

    assert (frozen.status_code, frozen.json()["state"], again.json()) == (200, "frozen", frozen.json())
    assert {(one.status_code, one.json()["code"]) for one in (*refused, debit)} == {(409, "account-frozen")}
    assert (read.json()["state"], statement.status_code) == ("frozen", 200)
    assert len(read.json()["balances"]) == 2

    thawed = await service.call("POST", f"/wallets/{wallet}/unfreeze")
    assert thawed.json()["state"] == "open"
    assert [(await pay(service, wallet, c, f"yes {c}")).status_code for c in ("GBP", "EUR", "USD")] == [201] * 3
    assert (await service.audit())["clean"]


async def test_an_account_that_opens_in_a_frozen_wallet_is_frozen_and_thaws_with_it(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice)
    await service.call("POST", f"/wallets/{wallet}/freeze")
    opened = await service.call("POST", "/accounts", {"code": wallet, "currency": "CHF", "ceiling_minor": 50})
    alone = await service.call("POST", f"/accounts/{account_of(wallet, 'CHF')}/unfreeze")

    assert (opened.status_code, opened.json()["state"]) == (201, "frozen")
    assert (alone.status_code, alone.json()["code"]) == (409, "account-frozen")
    await service.call("POST", f"/wallets/{wallet}/unfreeze")
    assert (await service.call("GET", f"/accounts/{account_of(wallet, 'CHF')}")).json()["state"] == "open"


async def test_a_wallet_closes_when_it_is_empty_and_stays_closed(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=500)
    await pay(service, wallet, "EUR", "eur", 5)
    full = await service.call("POST", f"/wallets/{wallet}/close")
    for currency, minor in (("GBP", 500), ("EUR", 5)):
        order = {"amount_minor": minor, "currency": currency}
        await service.call("POST", f"/wallets/{wallet}/debit", order, Idempotency_Key=f"out {currency}")
    closed = await service.call("POST", f"/wallets/{wallet}/close")
    after = [await service.call("POST", f"/wallets/{wallet}/{verb}") for verb in ("freeze", "unfreeze", "close")]
    late = await pay(service, wallet, "USD", "usd")
    opened = await service.call("POST", "/accounts", {"code": wallet, "currency": "CHF"})

    assert (full.status_code, full.json()["code"]) == (409, "account-not-empty")
    assert full.json()["posted_minor"] > 0
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert [one.status_code for one in after] == [409, 409, 200]
    assert {one.json()["code"] for one in (*after[:2], late, opened)} == {"account-closed"}
    assert (await service.audit())["clean"]


@pytest.mark.parametrize("verb", ["freeze", "unfreeze", "close"])
async def test_only_ledger_write_changes_a_wallets_standing_and_an_unknown_wallet_is_not_found(
    service: Service, alice: str, verb: str
) -> None:
    wallet = await service.wallet(alice)
    own = await service.call_as(alice, "POST", f"/wallets/{wallet}/{verb}")
    none = await service.call("POST", f"/wallets/{WalletId(uuid8('none'))}/{verb}")
    bad = await service.call("POST", f"/wallets/x/{verb}")

    assert (own.status_code, own.json()["code"]) == (403, "scope-missing")
    assert (none.status_code, none.json()["code"]) == (404, "wallet-not-found")
    assert bad.status_code in {404, 422}


async def test_a_hold_on_a_frozen_wallet_can_be_given_back(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=500)
    order = {"wallet": wallet, "amount_minor": 100, "currency": "GBP"}
    hold = (await service.call("POST", "/holds", order, Idempotency_Key="h")).json()["id"]
    await service.call("POST", f"/wallets/{wallet}/freeze")
    captured = await service.call("POST", f"/holds/{hold}/capture", {"credit": "merchant:m"}, Idempotency_Key="c")
    released = await service.call("POST", f"/holds/{hold}/release")

    assert (captured.json()["code"], released.json()["state"]) == ("account-frozen", "released")


async def test_accounts_that_open_while_their_wallet_is_frozen_are_never_left_open(
    service: Service, alice: str
) -> None:
    for turn in range(6):
        wallet = await service.wallet(alice, key=f"w{turn}")
        openings = [pay(service, wallet, currency, f"{turn} {currency}") for currency in ("EUR", "USD", "CHF", "JPY")]
        await asyncio.gather(*openings[:2], service.call("POST", f"/wallets/{wallet}/freeze"), *openings[2:])
        async with service.db.reading() as view:
            found = await view.scalars(
                text("SELECT DISTINCT standing FROM accounts WHERE wallet_id = :id"),
                {"id": WalletId.parse(wallet).uuid},
            )

        assert set(found) == {"frozen"}
