"""Proves that money goes back once, never more than was collected, and that a failed refund may be tried again."""

from typing import Any

import pytest

from ledgerlink_kit.errors import Unavailable
from ledgerlink_payments import tables
from ledgerlink_payments.connectors import RefundOutcome

CARD = "pm_card_visa"


@pytest.mark.parametrize("method", ["wallet", CARD])
async def test_refunds_go_back_in_parts_until_nothing_is_left(house: Any, method: str) -> None:
    intent = await house.pay(1000, payment_method=str(house.purse) if method == "wallet" else method)
    first = await house.refund(intent["id"], 300)
    assert (first["status"], first["amount"]) == ("succeeded", 300)
    too_much = await house.refund(intent["id"], 701)
    assert (too_much["_status"], too_much["error"]["code"], too_much["most_minor"]) == (400, "amount_too_large", 700)
    rest = await house.refund(intent["id"])
    assert rest["amount"] == 700
    nothing = await house.refund(intent["id"])
    assert nothing["error"]["code"] == "charge_already_refunded"
    assert await house.owed() == 0
    assert await house.balance("clearing:fake") == 0
    assert await house.balance("refunds_in_flight") == 0
    assert await house.balance(str(house.purse)) == 100_000


async def test_a_refused_refund_by_the_provider_gives_the_merchant_the_money_again(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    house.provider.refunds_are = RefundOutcome.FAILED
    failed = await house.refund(intent["id"], 400)
    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert await house.owed() == 1000
    assert await house.balance("refunds_in_flight") == 0
    house.provider.refunds_are = RefundOutcome.SUCCEEDED
    assert (await house.refund(intent["id"], 1000))["status"] == "succeeded"
    assert (await house.event_types())[-4:] == ["refund.created", "refund.failed", "refund.created", "refund.updated"]


async def test_a_refund_that_fails_late_is_booked_back(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    refund = await house.refund(intent["id"], 400)
    house.provider.settle_refund(refund["id"], RefundOutcome.FAILED)
    await house.wake(tables.refunds)
    await house.sweep_all()
    (row,) = await house.rows(tables.refunds)
    assert (row.state, row.late, row.posted) == ("failed", True, True)
    assert await house.owed() == 1000
    assert await house.balance("clearing:fake") == 1000
    assert (await house.refund(intent["id"]))["amount"] == 1000


async def test_a_pending_refund_ends_when_the_provider_says_so_even_without_a_word(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    house.provider.refunds_are = RefundOutcome.PENDING
    refund = await house.refund(intent["id"])
    assert refund["status"] == "pending"
    assert await house.balance("refunds_in_flight") == 1000
    await house.sweep_for(600)
    house.provider.settle_refund(refund["id"], RefundOutcome.SUCCEEDED)
    await house.sweep_for(600)
    (row,) = await house.rows(tables.refunds)
    assert (row.state, row.posted, row.next_action_at) == ("succeeded", True, None)
    assert await house.balance("refunds_in_flight") == 0


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_a_lost_answer_to_a_refund_is_found_out_and_never_doubled(house: Any, lost: str) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    getattr(house.provider, lost).append("refund")
    refund = await house.refund(intent["id"], 300)
    assert refund["status"] == "pending"
    await house.sweep_all()
    (row,) = await house.rows(tables.refunds)
    assert (row.state, row.posted) == ("succeeded", True)
    assert house.provider.refunded_minor == 300
    assert await house.owed() == 700


async def test_only_the_merchant_refunds_what_the_merchant_got(house: Any) -> None:
    intent = await house.pay(1000)
    answer = await house.refund(intent["id"], actor=house.payer)
    assert (answer["_status"], answer["error"]["code"]) == (404, "resource_missing")
    assert await house.owed() == 1000


async def test_a_top_up_goes_back_to_the_card_if_the_wallet_still_has_it(house: Any) -> None:
    intent = await house.pay(500, payment_method=CARD, destination=str(house.purse))
    await house.pay(100_400)
    refund = await house.refund(intent["id"], 101, actor=house.payer)
    assert (refund["status"], refund["failure_reason"]) == ("failed", "insufficient_funds")
    assert house.provider.refunded_minor == 0
    assert (await house.refund(intent["id"], 100, actor=house.payer))["status"] == "succeeded"
    assert await house.balance(str(house.purse)) == 0


async def test_what_has_not_been_paid_cannot_be_refunded(house: Any) -> None:
    intent = await house.pay(1000, confirm=False)
    answer = await house.refund(intent["id"])
    assert answer["error"]["code"] == "payment_intent_unexpected_state"


async def test_a_refund_waits_for_a_ledger_that_is_away(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD)
    house.faults.plan("before post_transfer", Unavailable("wallet-unavailable", "away", outcome_unknown=True))
    refund = await house.refund(intent["id"])
    assert refund["status"] == "pending"
    assert house.provider.refunded_minor == 0
    await house.sweep_all()
    assert house.provider.refunded_minor == 1000
    assert await house.owed() == 0
