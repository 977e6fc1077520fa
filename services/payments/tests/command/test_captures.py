"""Proves that what is reserved is collected once, whole or in part, with the rest released, or given back whole."""

from typing import Any

import pytest

CARD = "pm_card_visa"


async def _reserved(house: Any, method: str, amount: int = 1000) -> Any:
    paying = str(house.purse) if method == "wallet" else method
    intent = await house.pay(amount, payment_method=paying, capture_method="manual")
    assert (intent["status"], intent["amount_capturable"]) == ("requires_capture", amount)
    return intent


@pytest.fixture(params=["wallet", CARD])
def method(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_a_reservation_moves_nothing_until_it_is_captured(house: Any, method: str) -> None:
    intent = await _reserved(house, method)
    assert await house.owed() == 0
    captured = await house.capture(intent["id"])
    assert (captured["status"], captured["amount_received"], captured["amount_capturable"]) == ("succeeded", 1000, 0)
    assert await house.owed() == 1000


async def test_a_partial_capture_releases_the_rest(house: Any, method: str) -> None:
    intent = await _reserved(house, method)
    captured = await house.capture(intent["id"], 400)
    assert (captured["status"], captured["amount_received"]) == ("succeeded", 400)
    assert await house.owed() == 400
    if method == "wallet":
        (held,) = (await house.wallet.wallet(house.purse)).balances
        assert (held.posted_minor, held.pending_minor) == (99_600, 0)
    else:
        assert house.provider.charged_minor == 400
    again = await house.capture(intent["id"], 100)
    assert again["error"]["code"] == "payment_intent_unexpected_state"


async def test_more_than_is_reserved_cannot_be_captured(house: Any, method: str) -> None:
    intent = await _reserved(house, method)
    answer = await house.capture(intent["id"], 1001)
    assert (answer["_status"], answer["error"]["code"], answer["most_minor"]) == (400, "amount_too_large", 1000)
    assert (await house.capture(intent["id"], 1000))["status"] == "succeeded"


async def test_canceling_gives_back_what_is_reserved(house: Any, method: str) -> None:
    intent = await _reserved(house, method)
    canceled = await house.cancel(intent["id"], reason="abandoned")
    assert (canceled["status"], canceled["cancellation_reason"]) == ("canceled", "abandoned")
    assert await house.owed() == 0
    (held,) = (await house.wallet.wallet(house.purse)).balances
    assert (held.posted_minor, held.pending_minor) == (100_000, 0)
    assert house.provider.charged_minor == 0


async def test_a_refused_capture_leaves_the_reservation_and_can_be_tried_again(house: Any) -> None:
    intent = await _reserved(house, CARD)
    house.provider.refuse_captures = True
    refused = await house.capture(intent["id"])
    assert (refused["status"], refused["amount_capturable"]) == ("requires_capture", 1000)
    assert refused["last_payment_error"]["code"] == "capture_refused"
    house.provider.refuse_captures = False
    assert (await house.capture(intent["id"]))["status"] == "succeeded"


async def test_a_capture_after_the_promise_has_run_out_cancels_the_intent(house: Any) -> None:
    intent = await _reserved(house, CARD)
    house.provider.end((await house.attempt()).reference.removeprefix("ch_"))
    expired = await house.capture(intent["id"])
    assert expired["status"] == "canceled"
    assert await house.owed() == 0


async def test_a_capture_of_a_released_hold_cancels_the_intent(house: Any) -> None:
    intent = await _reserved(house, "wallet")
    (hold,) = house.wallet._holds
    await house.wallet.release_hold(hold)
    assert (await house.capture(intent["id"]))["status"] == "canceled"


async def test_a_wallet_without_funds_reserves_nothing(house: Any) -> None:
    declined = await house.pay(100_001, capture_method="manual")
    assert declined["status"] == "requires_payment_method"


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
@pytest.mark.parametrize("step", ["capture", "void"])
async def test_a_lost_answer_to_a_step_is_found_out_and_never_doubled(house: Any, step: str, lost: str) -> None:
    intent = await _reserved(house, CARD)
    getattr(house.provider, lost).append(step)
    answer = await (house.capture(intent["id"], 600) if step == "capture" else house.cancel(intent["id"]))
    assert answer["status"] == "processing"
    assert (await house.attempt()).state == "unknown"
    assert await house.owed() == 0
    await house.sweep_all()
    row = await house.attempt()
    assert row.state == {"capture": "captured", "void": "voided"}[step]
    assert house.provider.charged_minor == await house.owed() == (600 if step == "capture" else 0)
