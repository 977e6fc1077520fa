"""Proves that a payer in another currency pays through our position in both, and gets back exactly what they paid."""

from dataclasses import replace
from typing import Any

import pytest

from ledgerlink_kit.errors import Refused
from ledgerlink_payments.domain.intents import CaptureMethod
from ledgerlink_payments.domain.postings import Exchange


@pytest.fixture
def trading(house: Any) -> Any:
    """A house whose payer and shop may set exchanges."""
    house.payer = replace(house.payer, may_exchange=True)
    house.shop = replace(house.shop, may_exchange=True)
    return house


async def test_a_foreign_payment_goes_through_our_position_in_both_currencies(trading: Any) -> None:
    intent = await trading.pay(5000, currency="EUR", exchange=Exchange("GBP", 4321))
    assert (intent["status"], intent["exchange"]) == ("succeeded", {"currency": "gbp", "amount": 4321})
    assert await trading.balance(str(trading.purse)) == 100_000 - 4321
    assert await trading.owed("EUR") == 5000
    assert await trading.balance("fx:position", "GBP") == -4321
    assert await trading.balance("fx:position", "EUR") == 5000


async def test_refunds_of_the_whole_in_parts_give_back_exactly_what_it_cost(trading: Any) -> None:
    intent = await trading.pay(1000, currency="EUR", exchange=Exchange("GBP", 877))
    back = [(await trading.refund(intent["id"], part))["exchange"]["amount"] for part in (333, 333, 333, 1)]
    assert sum(back) == 877
    assert await trading.balance(str(trading.purse)) == 100_000
    assert await trading.balance("fx:position", "GBP") == await trading.balance("fx:position", "EUR") == 0


async def test_a_refund_may_be_at_the_rate_of_its_own_day(trading: Any) -> None:
    intent = await trading.pay(1000, currency="EUR", exchange=Exchange("GBP", 877))
    refund = await trading.refund(intent["id"], 1000, exchange=Exchange("GBP", 912))
    assert refund["exchange"] == {"currency": "gbp", "amount": 912}
    assert await trading.balance(str(trading.purse)) == 100_035
    other = await trading.pay(1000, currency="EUR", exchange=Exchange("GBP", 877))
    refused = await trading.refund(other["id"], 10, exchange=Exchange("USD", 9))
    assert refused["error"]["param"] == "exchange[currency]"
    plain = await trading.pay(1000)
    assert (await trading.refund(plain["id"], 10, exchange=Exchange("USD", 9)))["error"]["param"] == "exchange"


async def test_a_reserved_foreign_payment_is_captured_in_part_at_its_own_rate(trading: Any) -> None:
    intent = await trading.pay(1000, currency="EUR", exchange=Exchange("GBP", 877), capture_method=CaptureMethod.MANUAL)
    captured = await trading.capture(intent["id"], 500)
    assert captured["amount_received"] == 500
    # Half of 877, half to even.
    assert await trading.balance(str(trading.purse)) == 100_000 - 438
    assert await trading.owed("EUR") == 500
    assert (await trading.refund(intent["id"]))["exchange"]["amount"] == 438


async def test_only_who_may_sets_an_exchange_and_only_a_wallet_pays_with_one(house: Any, trading: Any) -> None:
    plain = replace(house.payer, may_exchange=False)
    with pytest.raises(Refused, match="payments:exchange"):
        await house.pay(5000, actor=plain, currency="EUR", exchange=Exchange("GBP", 4321))
    with pytest.raises(Refused, match="payer's currency"):
        await trading.pay(5000, exchange=Exchange("GBP", 4321))
    with pytest.raises(Refused, match="Only a wallet"):
        await trading.pay(5000, currency="EUR", exchange=Exchange("GBP", 1), payment_method="pm_card_visa")
    bare = await trading.pay(5000, currency="EUR", exchange=Exchange("GBP", 1), confirm=False, payment_method=None)
    assert (await trading.confirm(bare["id"], "pm_card_visa"))["error"]["param"] == "payment_method"
    paid = await trading.pay(5000, currency="EUR", exchange=Exchange("GBP", 1))
    with pytest.raises(Refused, match="payments:exchange"):
        await house.refund(paid["id"], 1, actor=replace(house.shop, may_exchange=False), exchange=Exchange("GBP", 1))
