"""Proves that paying by wallet and by card moves the money once, books it as the table says, and tells it."""

from dataclasses import replace
from typing import Any

import pytest

from ledgerlink_kit.errors import Refused
from ledgerlink_payments import tables


async def test_a_wallet_payment_takes_two_transactions_one_decision_and_one_transfer(house: Any) -> None:
    intent = await house.pay(1000)
    assert intent["status"] == "succeeded"
    assert intent["amount_received"] == 1000
    assert house.faults.passed == ["before decide", "after decide", "before post_transfer", "after post_transfer"]
    assert await house.balance(str(house.purse)) == 99_000
    assert await house.owed() == 1000
    assert await house.event_types() == ["account.updated", "payment_intent.succeeded"]
    row = await house.attempt()
    assert (row.state, row.posted, row.next_action_at, row.lease_token) == ("captured", True, None, None)


async def test_a_card_payment_is_written_down_before_it_is_sent_and_booked_through_clearing(house: Any) -> None:
    intent = await house.pay(1000, payment_method="pm_card_visa")
    assert intent["status"] == "succeeded"
    assert house.provider.charged_minor == 1000
    assert await house.balance("clearing:fake") == 1000
    assert await house.owed() == 1000


async def test_a_card_tops_a_wallet_up(house: Any) -> None:
    intent = await house.pay(2500, payment_method="pm_card_visa", destination=str(house.purse))
    assert intent["status"] == "succeeded"
    assert await house.balance(str(house.purse)) == 102_500
    assert await house.balance("clearing:fake") == 2500


async def test_a_card_is_not_charged_for_a_wallet_that_does_not_exist(house: Any) -> None:
    missing = "wal_" + "0" * 26
    with pytest.raises(Refused, match="No such destination") as caught:
        await house.pay(2500, payment_method="pm_card_visa", destination=missing)
    assert caught.value.members["param"] == "transfer_data[destination]"
    assert house.provider.calls == []
    assert await house.rows(tables.intents) == []


async def test_a_payment_above_the_wallets_balance_is_declined_and_another_method_may_pay(house: Any) -> None:
    declined = await house.pay(100_001)
    assert declined["status"] == "requires_payment_method"
    assert declined["last_payment_error"]["code"] == "insufficient_funds"
    paid = await house.confirm(declined["id"], "pm_card_visa")
    assert paid["status"] == "succeeded"
    assert paid["last_payment_error"] is None
    assert await house.event_types() == [
        "account.updated",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
    ]


async def test_nobody_pays_from_a_wallet_of_somebody_else(house: Any) -> None:
    theirs = house.wallet.open_wallet("usr_" + "0" * 26, "GBP")
    house.wallet.fund(theirs, 5000, "GBP")
    answer = await house.pay(1000, payment_method=str(theirs))
    assert answer["last_payment_error"]["code"] == "resource_missing"
    assert await house.balance(str(theirs)) == 5000


async def test_who_may_post_any_transfer_may_pay_from_any_wallet_in_its_owners_name(house: Any) -> None:
    operator = replace(house.payer, subject="usr_" + "1" * 26, any_wallet=True, sees_all=True)
    intent = await house.pay(1000, actor=operator)
    assert intent["status"] == "succeeded"
    named = await house.pay(1000, actor=operator, customer=house.payer.subject)
    assert named["customer"] == house.payer.subject
    with pytest.raises(Refused, match="another's name"):
        await house.pay(1000, customer="usr_" + "2" * 26)


async def test_a_merchant_that_does_not_exist_cannot_be_paid(house: Any) -> None:
    answer = await house.pay(1000, destination="acct_" + "0" * 26)
    assert (answer["_status"], answer["error"]["code"]) == (400, "resource_missing")


async def test_a_fee_is_taken_from_what_the_merchant_receives_and_a_top_up_pays_none(house: Any) -> None:
    charging = house.with_rt(fee_bps=150)
    await charging.pay(1999)
    assert await house.owed() == 1999 - 29
    assert await house.balance("revenue:fees") == 29
    await charging.pay(1000, payment_method="pm_card_visa", destination=str(house.purse))
    assert await house.balance("revenue:fees") == 29


async def test_an_intent_waits_for_its_confirmation_and_can_be_canceled_before_it(house: Any) -> None:
    waiting = await house.pay(1000, confirm=False)
    assert waiting["status"] == "requires_confirmation"
    without = await house.pay(1000, confirm=False, payment_method=None)
    assert without["status"] == "requires_payment_method"
    canceled = await house.cancel(without["id"])
    assert (canceled["status"], canceled["amount_received"]) == ("canceled", 0)
    paid = await house.confirm(waiting["id"])
    assert paid["status"] == "succeeded"
    again = await house.confirm(waiting["id"])
    assert again["error"]["code"] == "payment_intent_unexpected_state"
    nothing = await house.cancel(waiting["id"])
    assert nothing["error"]["code"] == "payment_intent_unexpected_state"
    bare = await house.pay(1000, confirm=False, payment_method=None)
    assert (await house.confirm(bare["id"]))["error"]["param"] == "payment_method"


async def test_yen_have_no_decimals_and_dinars_have_three(house: Any) -> None:
    for currency, amount in (("JPY", 1234), ("KWD", 1234567)):
        house.wallet.fund(house.purse, amount, currency)
        intent = await house.pay(amount, currency=currency)
        assert (intent["amount_received"], intent["currency"]) == (amount, currency.lower())
        assert await house.owed(currency) == amount
        refund = await house.refund(intent["id"], amount - 1)
        assert refund["status"] == "succeeded"
        assert await house.owed(currency) == 1
        assert await house.balance(str(house.purse), currency) == amount - 1


async def test_a_provider_that_only_promises_is_asked_to_collect(house: Any) -> None:
    house.provider.promise_only = True
    intent = await house.pay(1000, payment_method="pm_card_visa")
    assert intent["status"] == "succeeded"
    assert house.provider.calls == ["authorize", "capture"]
    assert await house.owed() == 1000
