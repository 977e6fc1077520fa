"""The stock policy: everyday card purchasing passes, the documented amounts reach review and decline, lists bite."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_contracts.risk.models import DecisionView, EventFacts
from ledgerlink_kit.money import CURRENCIES
from ledgerlink_risk.domain.language.ir import Listed, Measure, Velocity
from ledgerlink_risk.domain.language.values import Money
from ledgerlink_risk.domain.policy import Effect, compile_policy
from ledgerlink_risk.domain.stock import LIMITS, STOCK
from ledgerlink_risk.domain.verdicts import Inputs, decide

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
POLICY = compile_policy(1, STOCK)


def stock(
    *, listed: str = "", busy: bool = False, declined: int = 0, new_payee: bool = False, **changes: Any
) -> DecisionView:
    usual = {
        "kind": "payment",
        "amount_minor": 12_00,
        "currency": "GBP",
        "customer": "usr_ann",
        "destination": "acct_shop",
        "payment_method": "pm_card_visa",
        "source_kind": "card",
        "subject": "pi_1",
    }
    event = EventFacts.model_validate({**usual, **changes})
    signals: dict[str, Any] = {"new_payee": new_payee}
    for signal in POLICY.signals.values():
        if isinstance(signal, Listed):
            signals[str(signal)] = signal.name == listed
        elif isinstance(signal, Velocity):
            amount = Money(2**53 - 1 if busy else event.amount_minor, event.currency)
            counted = 5_000 if busy else 1
            by_measure = {Measure.SUM: amount, Measure.DECLINED: declined}
            signals[str(signal)] = by_measure.get(signal.measure, counted)
    return decide(POLICY, Inputs(DecisionId.derive("a"), NOW, 1, event, NOW, signals))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "approve"),
        # the dearest purchases of the real year that the demo replays, by a buyer who is always busy
        ({"amount_minor": 44_433_55, "busy": True, "new_payee": True, "source_kind": "wallet"}, "approve"),
        ({"amount_minor": 280_102_23, "currency": "HUF", "busy": True, "new_payee": True}, "approve"),
        ({"amount_minor": 98_527_00, "currency": "PKR", "busy": True, "new_payee": True}, "approve"),
        ({"amount_minor": 49_999_99, "busy": True, "new_payee": True}, "approve"),
        ({"kind": "top_up", "amount_minor": 1_743_383_44, "busy": True}, "approve"),
        ({"kind": "top_up", "amount_minor": 6_644_065_81, "busy": True}, "approve"),
        ({"kind": "payout", "source_kind": "merchant", "amount_minor": 2_000_000_00}, "approve"),
        # the documented triggers
        ({"amount_minor": 50_000_00}, "review"),
        ({"amount_minor": 66_666_00}, "review"),
        ({"amount_minor": 66_666_00, "source_kind": "wallet", "kind": "transfer"}, "review"),
        ({"amount_minor": 90_000_00}, "decline"),
        ({"amount_minor": 99_999_00}, "decline"),
        ({"kind": "top_up", "amount_minor": 10_000_000_00}, "review"),
        ({"amount_minor": 9_500_000, "currency": "JPY"}, "review"),
        ({"amount_minor": 17_100_000, "currency": "JPY"}, "decline"),
        # lists
        ({"listed": "denied_customers"}, "decline"),
        ({"listed": "denied_payment_methods"}, "decline"),
        ({"listed": "denied_destinations"}, "decline"),
        ({"listed": "allowed_customers", "amount_minor": 66_666_00}, "approve"),
        ({"listed": "allowed_customers", "amount_minor": 99_999_00}, "decline"),
        # three declined tries, and a habit more
        ({"declined": 3}, "approve"),
        ({"declined": 3, "new_payee": True, "amount_minor": 10_000_00}, "review"),
        ({"declined": 3, "busy": True}, "review"),
        # a currency without a limit is for a person
        ({"currency": "XOF", "amount_minor": 1}, "approve"),
        ({"currency": "CHE", "amount_minor": 1}, "review"),
    ],
)
def test_the_stock_policy_on_card_purchasing(changes: dict[str, Any], verdict: str) -> None:
    assert stock(**changes).verdict == verdict


def test_no_habit_of_a_busy_buyer_alone_reaches_review() -> None:
    habits = [rule for rule in STOCK.rules if rule.effect is Effect.SCORE and rule.rule != "repeated-declines"]
    assert sum(rule.points for rule in habits) < STOCK.review_at


def test_every_limit_is_known_in_every_currency_of_its_table_and_in_order() -> None:
    for currency, ceiling in LIMITS["payment_ceiling"].items():
        assert currency in CURRENCIES
        assert 0 < LIMITS["payment_large"][currency] < LIMITS["payment_review"][currency] < ceiling
    assert LIMITS["payment_review"]["KWD"] == 20_000_000  # 20,000 dinar of 1,000 fils
    funds_and_metals = {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "VED"}
    assert set(CURRENCIES) - set(LIMITS["payment_review"]) <= funds_and_metals


def test_every_stock_rule_explains_itself() -> None:
    assert all(rule.description.endswith(".") for rule in STOCK.rules)
    assert len({rule.rule for rule in STOCK.rules}) == len(STOCK.rules)
