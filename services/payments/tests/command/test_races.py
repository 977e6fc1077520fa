"""Proves that what happens at once happens as if one after the other: one key, one charge; no refund too much."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ledgerlink_kit.errors import Refused
from ledgerlink_payments import tables
from ledgerlink_payments.domain.intents import CaptureMethod

CARD = "pm_card_visa"


async def test_fifty_requests_with_one_key_make_one_intent_and_one_charge(house: Any) -> None:
    answers = await asyncio.gather(*(house.pay(1000, key="same", payment_method=CARD) for _ in range(50)))
    assert {answer["id"] for answer in answers} == {answers[0]["id"]}
    assert {answer["status"] for answer in answers} == {"succeeded"}
    assert sum(not answer["_replayed"] for answer in answers) == 1
    assert house.provider.calls == ["authorize"]
    assert await house.owed() == 1000
    assert len(await house.rows(tables.intents)) == 1


async def test_a_key_reused_for_another_payment_is_refused_and_told_what_differs(house: Any) -> None:
    await house.pay(1000, key="same")
    with pytest.raises(Refused, match="another request") as caught:
        await house.pay(1001, key="same")
    assert (caught.value.code, caught.value.members["differs"]) == ("idempotency-key-reused", ["amount_minor"])
    assert await house.owed() == 1000


async def test_concurrent_refunds_never_give_back_more_than_was_paid(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    answers = await asyncio.gather(*(house.refund(intent["id"], 300) for _ in range(10)))
    done = [answer for answer in answers if answer.get("status") == "succeeded"]
    assert len(done) == 3
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {"amount_too_large"}
    assert house.provider.refunded_minor == 900
    assert await house.owed() == 100
    await house.books_are_square()


async def test_a_capture_and_a_cancellation_at_once_have_one_winner(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD, capture_method=CaptureMethod.MANUAL)
    both: list[Coroutine[Any, Any, Any]] = [house.capture(intent["id"]), house.cancel(intent["id"])]
    answers = await asyncio.gather(*both)
    refused = [answer for answer in answers if "error" in answer]
    assert [answer["error"]["code"] for answer in refused] == ["payment_intent_unexpected_state"]
    assert await house.owed() in {0, 1000}
    await house.books_are_square()


async def test_confirmations_at_once_make_one_attempt(house: Any) -> None:
    intent = await house.pay(1000, confirm=False)
    answers = await asyncio.gather(*(house.confirm(intent["id"]) for _ in range(10)))
    assert sum(answer.get("status") == "succeeded" for answer in answers) == 1
    assert await house.owed() == 1000


async def test_payouts_at_once_never_pay_out_more_than_there_is(house: Any) -> None:
    await house.pay(1000)

    async def try_payout() -> Any:
        while True:
            try:
                return await house.payout(600)
            except Refused as refusal:
                assert refusal.code == "payout-in-progress"  # noqa: PT017 - the loop is the point
                await asyncio.sleep(0.01)

    answers = await asyncio.gather(*(try_payout() for _ in range(5)))
    assert sum(answer.get("status") == "paid" for answer in answers) == 1
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {"balance_insufficient"}
    assert house.provider.paid_out_minor == 600
    assert await house.owed() == 400


async def test_two_sweepers_never_take_up_the_same_row(house: Any) -> None:
    house.provider.lose_after.extend(["authorize"] * 10)
    for _ in range(10):
        await house.pay(100, payment_method=CARD)
    house.clock.advance(31)
    sweepers: list[Coroutine[Any, Any, int]] = [house.sweep_once() for _ in range(3)]
    assert sum(await asyncio.gather(*sweepers)) == 10
    assert house.provider.calls.count("lookup_authorization") == 10
    assert await house.owed() == 1000
    await house.books_are_square()
