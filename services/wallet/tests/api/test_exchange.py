"""Proves that a quote is carried out once, at what it said, until it expires; who may ask; and every refusal."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from services.wallet.tests.conftest import Service

from ledgerlink_contracts.ids import QuoteId, WalletId
from ledgerlink_contracts.wallet.exchange import QuoteView, RatesView
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.money import MAX_MINOR

RATE: dict[str, Any] = {
    "base": "GBP",
    "quote": "EUR",
    "mid": "1.2000",
    "spread_bp": 50,
    "source": "desk",
    "valid_until": "2999-01-01T00:00:00Z",
}
ASKED: dict[str, Any] = {"sell_currency": "GBP", "buy_currency": "EUR", "sell_minor": 1_000}


async def set_rates(service: Service, *rates: dict[str, Any]) -> None:
    answer = await service.call("PUT", "/exchange/rates", {"items": list(rates)})
    assert answer.status_code == 200, answer.text
    assert RatesView.model_validate(answer.json())


async def quote(service: Service, owner: str, wallet: str, key: str = "q", **changes: Any) -> Any:
    order = {name: value for name, value in {**ASKED, "wallet": wallet, **changes}.items() if value is not None}
    return await service.call_as(owner, "POST", "/exchange/quotes", order, key)


async def accept(service: Service, owner: str, quote_id: str) -> Any:
    return await service.call_as(owner, "POST", f"/exchange/quotes/{quote_id}/accept")


async def test_a_quote_is_carried_out_once_through_our_positions(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5_000)
    await set_rates(service, RATE)
    offer = (await quote(service, alice, wallet)).json()
    answers = await asyncio.gather(*(accept(service, alice, offer["id"]) for _ in range(5)))
    await set_rates(service)
    late = await accept(service, alice, offer["id"])
    after = (await service.call_as(alice, "GET", f"/exchange/quotes/{offer['id']}")).json()
    balances = (await service.call_as(alice, "GET", f"/wallets/{wallet}")).json()["balances"]
    whole = (await service.call("GET", f"/transfers/{answers[0].json()['id']}")).json()

    assert QuoteView.model_validate(offer).sell_minor == 1_000
    assert (offer["rate"], offer["mid"], offer["buy_minor"], offer["state"]) == ("1.194", "1.2", 1_194, "open")
    assert {one.status_code for one in (*answers, late)} == {201}
    assert len({one.content for one in (*answers, late)}) == 1
    assert late.headers["Idempotency-Replayed"] == "true"
    assert {entry["party"] for entry in late.json()["entries"]} == {wallet}
    assert (after["state"], after["transfer"]) == ("accepted", late.json()["id"])
    assert [(one["currency"], one["posted_minor"]) for one in balances] == [("GBP", 4_000), ("EUR", 1_194)]
    assert {entry["party"] for entry in whole["entries"]} == {wallet, "fx:position"}
    assert (await service.audit())["clean"]


async def test_a_quote_by_what_is_bought_and_by_the_inverse_rate(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5_000)
    await set_rates(service, RATE)
    bought = (await quote(service, alice, wallet, "1", sell_minor=None, buy_minor=1_195)).json()
    inverse = (await quote(service, alice, wallet, "2", sell_currency="EUR", buy_currency="GBP")).json()
    own_way = {**RATE, "base": "EUR", "quote": "GBP", "mid": "0.8", "spread_bp": 0}
    await set_rates(service, RATE, own_way)
    direct = (await quote(service, alice, wallet, "3", sell_currency="EUR", buy_currency="GBP")).json()

    assert (bought["sell_minor"], bought["buy_minor"]) == (1_001, 1_195)
    assert (inverse["rate"], inverse["buy_minor"]) == ("0.829166666667", 829)
    assert (direct["rate"], direct["buy_minor"]) == ("0.8", 800)


async def test_an_expired_quote_is_refused_for_good_and_a_stale_rate_gives_none(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5_000)
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    await set_rates(service, {**RATE, "valid_until": ends.isoformat()})
    offer = (await quote(service, alice, wallet)).json()
    await asyncio.sleep(1.6)
    answers = [await accept(service, alice, offer["id"]) for _ in range(2)]
    after = (await service.call_as(alice, "GET", f"/exchange/quotes/{offer['id']}")).json()
    stale = await quote(service, alice, wallet, "later")

    assert datetime.fromisoformat(offer["expires_at"]) == ends
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(409, "quote-expired")] * 2
    assert (after["state"], after["transfer"]) == ("expired", None)
    assert (stale.status_code, stale.json()["code"]) == (409, "rate-stale")
    assert await service.available(wallet) == 5_000


async def test_a_quote_is_given_under_its_key_and_refused_without_funds_rate_or_a_side(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=10)
    await set_rates(service, RATE)
    first, again = await quote(service, alice, wallet), await quote(service, alice, wallet)
    poor = await accept(service, alice, first.json()["id"])
    after = (await service.call_as(alice, "GET", f"/exchange/quotes/{first.json()['id']}")).json()
    missing = await quote(service, alice, wallet, "1", buy_currency="JPY")
    await set_rates(service, {**RATE, "mid": "0.00001"})
    nothing = await quote(service, alice, wallet, "2", sell_minor=1)
    too_much = await quote(service, alice, wallet, "3", sell_minor=None, buy_minor=MAX_MINOR)

    assert first.content == again.content
    assert (poor.json()["code"], after["state"]) == ("insufficient-funds", "refused")
    assert (missing.status_code, missing.json()["code"]) == (409, "rate-missing")
    assert {one.json()["code"] for one in (nothing, too_much)} == {"exchange-out-of-bounds"}


async def test_others_see_and_accept_no_quote_and_operators_set_rates(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(alice, funds=5_000)
    await set_rates(service, RATE)
    offer = (await quote(service, alice, wallet)).json()["id"]
    answers = [
        await quote(service, bob, wallet),
        await accept(service, bob, offer),
        await service.call_as(bob, "GET", f"/exchange/quotes/{offer}"),
        await accept(service, alice, str(QuoteId(uuid8("none")))),
        await quote(service, alice, str(WalletId(uuid8("none"))), "none"),
    ]
    forbidden = await service.call_as(alice, "PUT", "/exchange/rates", {"items": []})
    read = await service.call_as(bob, "GET", "/exchange/rates")
    keyless = await service.call_as(alice, "POST", "/exchange/quotes", {**ASKED, "wallet": wallet})

    assert [one.status_code for one in answers] == [404] * 5
    assert (forbidden.status_code, read.status_code) == (403, 200)
    assert keyless.json()["code"] == "idempotency-key-missing"


BAD_RATES: list[tuple[dict[str, Any], str]] = [
    ({"base": "XXQ"}, "base"),
    ({"quote": "GBP"}, ""),
    ({"mid": 1.2}, "mid"),
    ({"mid": "0"}, "mid"),
    ({"mid": "0.000"}, "mid"),
    ({"mid": "-1"}, "mid"),
    ({"mid": "1e3"}, "mid"),
    ({"mid": "NaN"}, "mid"),
    ({"mid": "1.0000000000001"}, "mid"),
    ({"spread_bp": -1}, "spread_bp"),
    ({"spread_bp": 5_001}, "spread_bp"),
    ({"spread_bp": 1.5}, "spread_bp"),
    ({"source": ""}, "source"),
    ({"valid_until": "2026-01-01T00:00:00"}, "valid_until"),
    ({"fee": 1}, "fee"),
]
BAD_QUOTES: list[tuple[dict[str, Any], str]] = [
    ({"wallet": "x"}, "wallet"),
    ({"sell_currency": "XXQ"}, "sell_currency"),
    ({"buy_currency": "XXQ"}, "buy_currency"),
    ({"buy_currency": "GBP"}, ""),
    ({"sell_minor": 0}, "sell_minor"),
    ({"sell_minor": "1"}, "sell_minor"),
    ({"sell_minor": None}, ""),
    ({"buy_minor": 5}, ""),
    ({"sell_minor": None, "buy_minor": 2**53}, "buy_minor"),
    ({"rate": "9"}, "rate"),
]


@pytest.mark.parametrize(("changes", "field"), BAD_RATES)
async def test_a_bad_rate_is_refused_by_the_name_of_its_field(
    service: Service, changes: dict[str, Any], field: str
) -> None:
    answer = await service.call("PUT", "/exchange/rates", {"items": [{**RATE, **changes}]})

    assert answer.status_code == 422, answer.text
    assert not field or any(field in error["path"] for error in answer.json()["errors"])


async def test_bad_quotes_and_rates_given_twice_are_refused(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    twice = await service.call("PUT", "/exchange/rates", {"items": [RATE, RATE]})
    assert twice.status_code == 422
    for number, (changes, field) in enumerate(BAD_QUOTES):
        order = {**ASKED, "wallet": wallet, **changes}
        order = {name: value for name, value in order.items() if value is not None}
        answer = await service.call_as(alice, "POST", "/exchange/quotes", order, f"bad{number}")

        assert answer.status_code == 422, (changes, answer.text)
        assert not field or any(field in error["path"] for error in answer.json()["errors"])
