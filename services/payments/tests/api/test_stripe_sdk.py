"""Proves that Stripe's own Python SDK, pointed at us, creates, confirms, captures, refunds, lists and maps errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
import pytest_asyncio
import stripe
import uvicorn

from ledgerlink_contracts.risk.models import Verdict

Result = TypeVar("Result")
MERCHANT = ("payments:read", "payments:write", "payments:refund", "payments:payout")
CARD = "pm_card_visa"


@pytest_asyncio.fixture
async def address(door: Any) -> AsyncIterator[str]:
    """The address of the app on a free port."""
    config = uvicorn.Config(door.app, host="127.0.0.1", port=0, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


Sdk = Callable[..., stripe.StripeClient]


@pytest.fixture
def sdk(door: Any, address: str) -> Sdk:
    def make(actor: Any, *scopes: str) -> stripe.StripeClient:
        token = door.token(actor, *(scopes or MERCHANT))
        return stripe.StripeClient(token, base_addresses={"api": address}, max_network_retries=0)

    return make


async def apart(call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """Call the SDK, which blocks, beside the loop that serves it."""
    return await asyncio.to_thread(call, *arguments, **named)


def _order(door: Any, **more: Any) -> Any:
    return {
        "amount": 1000,
        "currency": "gbp",
        "payment_method": str(door.house.purse),
        "transfer_data": {"destination": door.house.merchant},
        "metadata": {"department": "CYP&F", "order": "17"},
        **more,
    }


async def test_create_and_confirm_in_one_call(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    intent = await apart(client.v1.payment_intents.create, _order(door, confirm=True))
    assert (intent.object, intent.status, intent.amount_received) == ("payment_intent", "succeeded", 1000)
    assert intent.metadata["department"] == "CYP&F"
    again = await apart(client.v1.payment_intents.retrieve, intent.id)
    assert again.to_dict() == intent.to_dict()


async def test_confirm_and_capture_in_steps(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    drafted = await apart(client.v1.payment_intents.create, _order(door, capture_method="manual"))
    assert drafted.status == "requires_confirmation"
    confirmed = await apart(client.v1.payment_intents.confirm, drafted.id, {"payment_method": CARD})
    assert (confirmed.status, confirmed.amount_capturable) == ("requires_capture", 1000)
    captured = await apart(client.v1.payment_intents.capture, drafted.id, {"amount_to_capture": 600})
    assert (captured.status, captured.amount_received) == ("succeeded", 600)


async def test_an_authorized_intent_is_canceled_with_its_reason(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    drafted = await apart(client.v1.payment_intents.create, _order(door, capture_method="manual", confirm=True))
    canceled = await apart(client.v1.payment_intents.cancel, drafted.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")


async def test_refund_and_pay_out(door: Any, sdk: Sdk) -> None:
    payer, shop = sdk(door.house.payer), sdk(door.house.shop)
    intent = await apart(payer.v1.payment_intents.create, _order(door, confirm=True))
    refund = await apart(shop.v1.refunds.create, {"payment_intent": intent.id, "amount": 400})
    assert (refund.object, refund.status, refund.amount) == ("refund", "succeeded", 400)
    listed = await apart(payer.v1.refunds.list, {"payment_intent": intent.id})
    assert [found.id for found in listed.data] == [refund.id]
    options: Any = {"stripe_account": door.house.merchant}
    balance = await apart(shop.v1.balance.retrieve, None, options)
    assert [(part.amount, part.currency) for part in balance.available] == [(600, "gbp")]
    payout = await apart(shop.v1.payouts.create, {"amount": 600, "currency": "gbp"}, options)
    assert (payout.object, payout.status) == ("payout", "paid")
    found = await apart(shop.v1.payouts.retrieve, payout.id)
    assert found.id == payout.id


async def test_a_merchant_is_made_listed_and_read(door: Any, sdk: Sdk) -> None:
    shop = sdk(door.house.shop)
    door.house.clock.advance(1)
    made = await apart(
        shop.v1.accounts.create, {"country": "GB", "business_profile": {"name": "Gro"}, "email": "a@b.example"}
    )
    assert (made.object, made.email) == ("account", "a@b.example")
    listed = await apart(shop.v1.accounts.list)
    assert [account.id for account in listed.data] == [made.id, door.house.merchant]


async def test_lists_page_by_cursor_with_the_sdks_own_iterator(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    made = [(await apart(client.v1.payment_intents.create, _order(door))).id for _ in range(5)]
    for moment, _ in enumerate(made):
        door.house.clock.advance(moment)
    page = await apart(client.v1.payment_intents.list, {"limit": 2})
    assert (len(page.data), page.has_more, page.url) == (2, True, "/v1/payment_intents")
    ids = await apart(lambda: [intent.id for intent in page.auto_paging_iter()])
    assert sorted(ids) == sorted(made)
    back = await apart(client.v1.payment_intents.list, {"limit": 2, "ending_before": ids[4]})
    assert [intent.id for intent in back.data] == ids[2:4]


async def test_events_tell_what_happened_in_stripes_types(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    intent = await apart(client.v1.payment_intents.create, _order(door, confirm=True))
    events = await apart(client.v1.events.list, {"type": "payment_intent.succeeded"})
    (event,) = events.data
    assert event.data.object["id"] == intent.id
    assert (await apart(client.v1.events.retrieve, event.id)).type == "payment_intent.succeeded"


async def test_a_declined_card_is_the_sdks_card_error_and_carries_the_intent(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    order = _order(door, confirm=True, payment_method="pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError) as caught:
        await apart(client.v1.payment_intents.create, order)
    error: Any = caught.value.error
    assert (error.code, error.decline_code) == ("card_declined", "generic_decline")
    assert error.payment_intent.status == "requires_payment_method"

    def refuse(_event: Any) -> Verdict:
        return Verdict.DECLINE

    door.house.risk._judge = refuse
    with pytest.raises(stripe.CardError) as caught:
        await apart(client.v1.payment_intents.create, _order(door, confirm=True))
    assert caught.value.code == "card_declined"


async def test_mistakes_are_the_sdks_own_errors(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    create = client.v1.payment_intents.create
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await apart(create, _order(door, amount=-1))
    mistake: Any = caught.value
    assert (mistake.param, mistake.code, mistake.http_status) == ("amount", "parameter_invalid", 400)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await apart(create, _order(door, statement_descriptor="x"))
    assert caught.value.code == "parameter_unknown"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await apart(client.v1.payment_intents.retrieve, "pi_nobody")
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 404)
    with pytest.raises(stripe.PermissionError):
        await apart(sdk(door.house.payer, "payments:read").v1.payment_intents.create, _order(door))
    addresses: Any = client._requestor._options.base_addresses
    stranger = stripe.StripeClient("sk_nobody", base_addresses=addresses)
    with pytest.raises(stripe.AuthenticationError):
        await apart(stranger.v1.payment_intents.list)


async def test_the_sdks_retry_with_its_key_is_answered_byte_for_byte(door: Any, sdk: Sdk) -> None:
    client = sdk(door.house.payer)
    options: Any = {"idempotency_key": "mine"}
    first = await apart(client.v1.payment_intents.create, _order(door, confirm=True), options)
    second = await apart(client.v1.payment_intents.create, _order(door, confirm=True), options)
    before, after = first.last_response, second.last_response
    assert before is not None
    assert after is not None
    assert before.body == after.body
    assert after.headers["Idempotency-Replayed"] == "true"
    with pytest.raises(stripe.StripeError) as caught:
        await apart(client.v1.payment_intents.create, _order(door, amount=1, confirm=True), options)
    error: Any = caught.value.json_body
    assert (error["error"]["type"], error["differs"]) == ("idempotency_error", ["amount"])
