"""Proves that a merchant is paid out what they have and no more, and that money which does not arrive comes back."""

from typing import Any

import pytest

from ledgerlink_kit.errors import Unavailable
from ledgerlink_payments import tables
from ledgerlink_payments.connectors import PayoutOutcome


async def test_a_payout_leaves_through_transit_to_the_bank(house: Any) -> None:
    await house.pay(1000)
    payout = await house.payout(400, description="January")
    assert (payout["status"], payout["amount"], payout["destination"]) == ("paid", 400, "ba_main")
    assert await house.owed() == 600
    assert await house.balance("bank") == -400
    await house.books_are_square()


async def test_more_than_the_balance_is_refused_with_what_there_is(house: Any) -> None:
    await house.pay(1000)
    answer = await house.payout(1001)
    assert (answer["_status"], answer["error"]["code"]) == (400, "balance_insufficient")
    assert answer["available_minor"] == 1000
    assert (await house.payout(1, "EUR"))["available_minor"] == 0
    assert (await house.payout(1000))["status"] == "paid"


async def test_a_merchant_who_owes_us_is_paid_nothing(house: Any) -> None:
    intent = await house.pay(1000)
    await house.payout(1000)
    assert (await house.refund(intent["id"]))["status"] == "succeeded"
    assert await house.owed() == -1000
    assert (await house.payout(1))["available_minor"] == 0


async def test_a_payout_on_its_way_arrives_when_the_provider_says_so(house: Any) -> None:
    await house.pay(1000)
    house.provider.payouts_are = PayoutOutcome.IN_TRANSIT
    payout = await house.payout(1000)
    assert payout["status"] == "in_transit"
    assert await house.balance("payouts_in_transit") == 1000
    house.provider.settle_payout(payout["id"], PayoutOutcome.PAID)
    await house.hear("payout.paid", "payout", payout["id"])
    await house.sweep_all(1)
    await house.books_are_square()
    assert await house.event_types() == [
        "account.updated",
        "payment_intent.succeeded",
        "payout.created",
        "payout.updated",
        "payout.paid",
    ]


@pytest.mark.parametrize("first", [PayoutOutcome.FAILED, PayoutOutcome.IN_TRANSIT, PayoutOutcome.PAID])
async def test_money_that_does_not_arrive_comes_back_to_the_merchant(house: Any, first: PayoutOutcome) -> None:
    await house.pay(1000)
    house.provider.payouts_are = first
    payout = await house.payout(1000)
    if first is not PayoutOutcome.FAILED:
        house.provider.settle_payout(payout["id"], PayoutOutcome.FAILED)
        await house.hear("payout.failed", "payout", payout["id"])
        await house.sweep_all(1)
    (row,) = await house.rows(tables.payouts)
    assert (row.state, row.failure_code, row.posted) == ("failed", "account_closed", True)
    assert row.late == (first is PayoutOutcome.PAID)
    assert await house.owed() == 1000
    await house.books_are_square()
    house.provider.payouts_are = PayoutOutcome.PAID
    assert (await house.payout(1000))["status"] == "paid"


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_a_lost_answer_to_a_payout_is_found_out_and_never_paid_twice(house: Any, lost: str) -> None:
    await house.pay(1000)
    getattr(house.provider, lost).append("payout")
    payout = await house.payout(1000)
    assert payout["status"] == "pending"
    await house.sweep_all()
    (row,) = await house.rows(tables.payouts)
    assert row.state == "paid"
    assert house.provider.paid_out_minor == 1000
    await house.books_are_square()


async def test_somebody_elses_merchant_does_not_exist(house: Any) -> None:
    await house.pay(1000)
    answer = await house.payout(1000, actor=house.payer)
    assert (answer["_status"], answer["error"]["code"]) == (404, "resource_missing")


async def test_a_payout_waits_for_a_ledger_that_is_away(house: Any) -> None:
    await house.pay(1000)
    house.faults.plan("before accounts", Unavailable("wallet-unavailable", "away"))
    assert (await house.payout(1000))["status"] == "pending"
    await house.sweep_all()
    (row,) = await house.rows(tables.payouts)
    assert (row.state, row.posted) == ("paid", True)


async def test_a_payout_on_its_way_whose_provider_is_silent_is_asked_again(house: Any) -> None:
    await house.pay(1000)
    house.provider.payouts_are = PayoutOutcome.IN_TRANSIT
    payout = await house.payout(1000)
    house.provider.settle_payout(payout["id"], PayoutOutcome.PAID)
    house.provider.lose_before.append("lookup_payout")
    await house.sweep_for(600)
    (row,) = await house.rows(tables.payouts)
    assert (row.state, row.posted) == ("paid", True)
    await house.books_are_square()
