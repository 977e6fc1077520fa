"""Proves that every route has its guard, each permission opens its own, and others' things do not exist."""

from dataclasses import replace
from typing import Any

import pytest

from ledgerlink_kit.testing import assert_every_route_is_guarded
from ledgerlink_payments.app import PUBLIC_ROUTES

NEEDS = {
    ("POST", "/v1/payment_intents"): "payments:write",
    ("GET", "/v1/payment_intents"): "payments:read",
    ("GET", "/v1/payment_intents/pi_x"): "payments:read",
    ("POST", "/v1/payment_intents/pi_x/confirm"): "payments:write",
    ("POST", "/v1/payment_intents/pi_x/capture"): "payments:write",
    ("POST", "/v1/payment_intents/pi_x/cancel"): "payments:write",
    ("POST", "/v1/refunds"): "payments:refund",
    ("GET", "/v1/refunds"): "payments:read",
    ("GET", "/v1/refunds/re_x"): "payments:read",
    ("POST", "/v1/payouts"): "payments:payout",
    ("GET", "/v1/payouts"): "payments:read",
    ("GET", "/v1/payouts/po_x"): "payments:read",
    ("POST", "/v1/accounts"): "payments:write",
    ("GET", "/v1/accounts"): "payments:read",
    ("GET", "/v1/accounts/acct_x"): "payments:read",
    ("GET", "/v1/balance"): "payments:read",
    ("GET", "/v1/events"): "payments:read",
    ("GET", "/v1/events/evt_x"): "payments:read",
}
ALL = ("payments:read", "payments:write", "payments:refund", "payments:payout", "payments:exchange")


def test_every_route_demands_a_caller_or_is_public_on_purpose(door: Any) -> None:
    assert_every_route_is_guarded(door.app, PUBLIC_ROUTES)


async def test_each_route_opens_to_its_own_permission_and_to_no_other(door: Any) -> None:
    for (method, path), needed in NEEDS.items():
        without = door.token(door.house.payer, *(scope for scope in ALL if scope != needed))
        async with door.client(without) as client:
            refused = await client.request(method, path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope_missing"), (method, path)
        async with door.client(door.token(door.house.payer, needed)) as client:
            opened = await client.request(method, path)
        assert opened.status_code in {200, 400, 404}, (method, path, opened.text)
        async with door.client() as client:
            assert (await client.request(method, path)).status_code == 401


@pytest.fixture
def stranger(door: Any) -> str:
    return door.token("usr_" + "7" * 26, *ALL)


async def test_others_payments_refunds_payouts_accounts_and_events_do_not_exist(door: Any, stranger: str) -> None:
    house = door.house
    intent = await house.pay(1000)
    reserved = await house.pay(1000, capture_method="manual")
    refund, payout = await house.refund(intent["id"], 100), await house.payout(100)
    paths = [
        f"/v1/payment_intents/{intent['id']}",
        f"/v1/refunds/{refund['id']}",
        f"/v1/payouts/{payout['id']}",
        f"/v1/accounts/{house.merchant}",
    ]
    async with door.client(stranger) as client:
        for path in paths:
            assert (await client.get(path)).status_code == 404, path
        for listed in ("payment_intents", "refunds", "payouts", "accounts", "events"):
            assert (await client.get(f"/v1/{listed}")).json()["data"] == [], listed
        balance = await client.get("/v1/balance", headers={"Stripe-Account": house.merchant})
        assert balance.status_code == 404
        for step in ("confirm", "capture", "cancel"):
            answer = await client.post(f"/v1/payment_intents/{reserved['id']}/{step}")
            assert answer.status_code == 404, step
        assert (await client.post("/v1/refunds", data={"payment_intent": intent["id"]})).status_code == 404
    async with door.client(door.token("usr_" + "8" * 26, *ALL, "ledger:read")) as auditor:
        for path in paths:
            assert (await auditor.get(path)).status_code == 200, path


async def test_payer_and_merchant_both_see_a_payment_and_only_the_payer_confirms_it(door: Any) -> None:
    house = door.house
    intent = await house.pay(1000, confirm=False)
    path = f"/v1/payment_intents/{intent['id']}"
    for actor in (house.payer, house.shop):
        async with door.client(door.token(actor, *ALL)) as client:
            assert (await client.get(path)).status_code == 200
            assert len((await client.get("/v1/payment_intents")).json()["data"]) == 1
    async with door.client(door.token(house.shop, *ALL)) as shop:
        assert (await shop.post(f"{path}/confirm")).status_code == 404
        assert (await shop.post(f"{path}/cancel")).status_code == 200


async def test_exchange_needs_its_permission(door: Any) -> None:
    house = door.house
    body = {
        "amount": "5000",
        "currency": "eur",
        "payment_method": str(house.purse),
        "transfer_data[destination]": house.merchant,
        "exchange[currency]": "gbp",
        "exchange[amount]": "4321",
        "confirm": "true",
    }
    async with door.client(door.token(house.payer)) as client:
        refused = await client.post("/v1/payment_intents", data=body)
        assert (refused.status_code, refused.json()["missing"]) == (403, ["payments:exchange"])
    async with door.client(door.token(replace(house.payer), *ALL)) as client:
        paid = await client.post("/v1/payment_intents", data=body)
        assert (paid.status_code, paid.json()["exchange"]) == (200, {"currency": "gbp", "amount": 4321})
