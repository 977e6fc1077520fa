"""Proves that every problem of the API can be met, carries Stripe's `error`, and names what is wrong."""

from typing import Any

import pytest

from ledgerlink_kit.errors import Unavailable

CARD = "pm_card_visa"
URL = "/v1/payment_intents"


def _form(door: Any, **changes: str | None) -> dict[str, str]:
    form = {
        "amount": "1000",
        "currency": "gbp",
        "payment_method": CARD,
        "transfer_data[destination]": door.house.merchant,
        "confirm": "true",
    }
    return {name: value for name, value in {**form, **changes}.items() if value is not None}


BAD_FORMS: list[tuple[dict[str, str | None], str, str]] = [
    ({"amount": None}, "parameter_missing", "amount"),
    ({"amount": "0"}, "parameter_invalid", "amount"),
    ({"amount": "-5"}, "parameter_invalid", "amount"),
    ({"amount": "10.00"}, "parameter_invalid", "amount"),
    ({"amount": "1e3"}, "parameter_invalid", "amount"),
    ({"amount": "9007199254740992"}, "parameter_invalid", "amount"),
    ({"currency": "gbx"}, "parameter_invalid", "currency"),
    ({"currency": "pound"}, "parameter_invalid", "currency"),
    ({"payment_method": "4242424242424242"}, "parameter_invalid", "payment_method"),
    ({"transfer_data[destination]": None}, "parameter_missing", "transfer_data"),
    ({"transfer_data[destination]": "acct_nobody"}, "parameter_invalid", "transfer_data[destination]"),
    ({"transfer_data[destination]": "acct_" + "0" * 26}, "resource_missing", "transfer_data[destination]"),
    ({"transfer_data[destination]": "wal_" + "0" * 26}, "resource_missing", "transfer_data[destination]"),
    ({"confirm": "yes"}, "parameter_invalid", "confirm"),
    ({"capture_method": "someday"}, "parameter_invalid", "capture_method"),
    ({"payment_method": None}, "parameter_missing", "payment_method"),
    ({"statement_descriptor": "x"}, "parameter_unknown", "statement_descriptor"),
    ({"transfer_data[amount]": "5"}, "parameter_unknown", "transfer_data[amount]"),
    ({"metadata[a]": "x" * 501}, "parameter_invalid", "metadata[a]"),
    ({"customer": "cus_x"}, "parameter_invalid", "customer"),
    ({"amount[value]": "5", "amount": None}, "parameter_invalid", "amount"),
    ({"amount[": "5"}, "parameter_invalid", "amount["),
    ({"transfer_data": "x"}, "parameter_invalid", "transfer_data"),
]


async def test_each_bad_parameter_is_named(door: Any) -> None:
    async with door.client(door.token(door.house.payer)) as client:
        for changes, code, param in BAD_FORMS:
            answer = await client.post(URL, data=_form(door, **changes))
            body = answer.json()
            assert answer.headers["content-type"] == "application/problem+json", changes
            assert (answer.status_code, body["error"]["code"], body["error"].get("param")) == (400, code, param), body
            assert body["error"]["type"] == "invalid_request_error"
            assert body["code"] == code.replace("_", "-")


@pytest.mark.parametrize(
    ("sent", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_body"),
        (b"[]", "application/json", 400, "malformed_body"),
        (b"\xff=1", "application/x-www-form-urlencoded", 400, "malformed_body"),
        (b"<a/>", "application/xml", 415, "unsupported_media_type"),
        (b"a=" + b"x" * 1_100_000, "application/x-www-form-urlencoded", 413, "body_too_large"),
        (b"&".join(b"a[%d]=1" % i for i in range(201)), "application/x-www-form-urlencoded", 400, "parameter_invalid"),
        (b"amount=1&amount=2", "application/x-www-form-urlencoded", 400, "parameter_invalid"),
        (b'{"amount": 10.0}', "application/json", 400, "parameter_invalid"),
        (b'{"amount": "ten"}', "application/json", 400, "parameter_invalid"),
    ],
)
async def test_each_unreadable_body_is_refused(door: Any, sent: bytes, media_type: str, status: int, code: str) -> None:
    async with door.client(door.token(door.house.payer)) as client:
        answer = await client.post(URL, content=sent, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_json_and_forms_say_the_same(door: Any) -> None:
    nested = {
        "amount": 1000,
        "currency": "GBP",
        "payment_method": CARD,
        "transfer_data": {"destination": door.house.merchant},
        "payment_method_types": ["card"],
        "metadata": {"order": "17"},
        "confirm": True,
    }
    form = {**_form(door), "payment_method_types[]": "card", "metadata[order]": "17"}
    async with door.client(door.token(door.house.payer)) as client:
        by_json = (await client.post(URL, json=nested, headers={"Idempotency-Key": "one"})).json()
        by_form = (await client.post(URL, data=form, headers={"Idempotency-Key": "two"})).json()
        differing = {name for name in by_json if by_json[name] != by_form[name]}
        assert differing == {"id", "latest_attempt"}
        # The same key in the other writing is the same request.
        again = await client.post(URL, data={**form, "currency": "gbp"}, headers={"Idempotency-Key": "one"})
    assert (again.json()["id"], again.headers["Idempotency-Replayed"]) == (by_json["id"], "true")


async def test_a_decline_is_402_with_the_intent_and_is_remembered_under_its_key(door: Any) -> None:
    form = _form(door, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    headers = {"Idempotency-Key": "once"}
    async with door.client(door.token(door.house.payer), **headers) as client:
        first, second = await client.post(URL, data=form), await client.post(URL, data=form)
        assert first.status_code == second.status_code == 402
        assert first.content == second.content
        body = first.json()
        other = await client.post(URL, data={**form, "amount": "1001"})
    assert (body["code"], body["error"]["type"]) == ("card-declined", "card_error")
    assert body["error"]["payment_intent"]["last_payment_error"]["decline_code"] == "insufficient_funds"
    assert (other.status_code, other.json()["error"]["type"]) == (422, "idempotency_error")
    assert other.json()["differs"] == ["amount"]


async def test_states_cursors_keys_and_absent_services_each_have_their_problem(door: Any) -> None:
    house = door.house
    paid = await house.pay(1000)
    token = door.token(house.payer, "payments:read", "payments:write", "payments:refund", "payments:payout")
    async with door.client(token) as client:
        state = await client.post(f"{URL}/{paid['id']}/cancel")
        assert (state.status_code, state.json()["error"]["code"]) == (400, "payment_intent_unexpected_state")
        nobody = await client.get(URL, params={"starting_after": "pi_" + "0" * 26})
        assert (nobody.status_code, nobody.json()["error"]["param"]) == (404, "starting_after")
        limit = await client.get(URL, params={"limit": "0"})
        assert (limit.status_code, limit.json()["error"]["param"]) == (400, "limit")
        key = await client.post(URL, data=_form(door), headers={"Idempotency-Key": "x" * 256})
        assert (key.status_code, key.json()["error"]["code"]) == (400, "idempotency_key_invalid")
        headless = await client.post("/v1/payouts", data={"amount": "1", "currency": "gbp"})
        assert (headless.status_code, headless.json()["error"]["param"]) == (400, "Stripe-Account")
        odd = await client.get("/v1/balance", headers={"Stripe-Account": "acct_x"})
        assert odd.status_code == 404
        assert (await client.get("/v1/nothing")).json()["error"]["code"] == "unknown_path"
        assert (await client.put(URL)).json()["error"]["code"] == "method_not_allowed"
        house.faults.plan("before wallet", Unavailable("wallet-unavailable", "The ledger is away."))
        form = _form(door, **{"transfer_data[destination]": str(house.purse)})
        away = await client.post(URL, data=form)
        assert (away.status_code, away.json()["error"]["type"]) == (503, "api_error")
        assert away.headers["Retry-After"] == "1"


async def test_a_capture_that_comes_too_late_or_is_refused_says_so(door: Any) -> None:
    house = door.house
    async with door.client(door.token(house.payer)) as client:
        made = (await client.post(URL, data=_form(door, capture_method="manual"))).json()
        house.provider.refuse_captures = True
        refused = await client.post(f"{URL}/{made['id']}/capture")
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "capture_refused")
        (key,) = house.provider.authorizations
        house.provider.end(key)
        late = await client.post(f"{URL}/{made['id']}/capture")
        assert (late.status_code, late.json()["error"]["code"]) == (400, "charge_expired_for_capture")
        assert late.json()["error"]["payment_intent"]["status"] == "canceled"


async def test_a_cancellation_that_the_provider_overtook_says_so(door: Any) -> None:
    house = door.house
    async with door.client(door.token(house.payer)) as client:
        made = (await client.post(URL, data=_form(door, capture_method="manual"))).json()
        (key,) = house.provider.authorizations
        house.provider.collect(key)
        answer = await client.post(f"{URL}/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "payment_intent_unexpected_state")
    assert await house.owed() == 1000


async def test_a_payout_while_another_is_set_aside_is_asked_to_come_again(door: Any) -> None:
    house = door.house
    await house.pay(1000)
    house.faults.plan("before accounts", Unavailable("wallet-unavailable", "away"))
    assert (await house.payout(500))["status"] == "pending"
    token = door.token(house.shop, "payments:payout")
    async with door.client(token, **{"Stripe-Account": house.merchant}) as client:
        busy = await client.post("/v1/payouts", data={"amount": "500", "currency": "gbp"})
    assert (busy.status_code, busy.json()["error"]["code"]) == (423, "payout_in_progress")
    assert busy.headers["Stripe-Should-Retry"] == "true"


async def test_a_webhook_must_be_signed_and_readable(door: Any) -> None:
    body = b'{"id":"e1","type":"capture.succeeded","subject":"authorization","key":"att_x"}'
    async with door.client() as client:
        path = "/v1/connectors/fake/webhook"
        as_json = {"Content-Type": "application/json"}
        unsigned = await client.post(path, content=body, headers=as_json)
        assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (401, "webhook_signature_invalid")
        signed = {**as_json, "fake-signature": "signed by the fake provider"}
        assert (await client.post(path, content=b"{}", headers=signed)).status_code == 400
        heard = await client.post(path, content=body, headers=signed)
        assert (heard.status_code, heard.json()) == (200, {"received": True, "outcome": "unmatched"})
        nobody = await client.post("/v1/connectors/nobody/webhook", content=body, headers=signed)
        assert nobody.status_code == 404
