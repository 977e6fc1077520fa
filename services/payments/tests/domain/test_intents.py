"""Proves what may be done with an intent, each refusal in its order, and that its sums always hold."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgerlink_contracts.ids import AttemptId, IntentId
from ledgerlink_kit.errors import Refused
from ledgerlink_payments.domain import intents
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod, Intent
from ledgerlink_payments.domain.machines import IllegalMove, IntentState
from ledgerlink_payments.domain.postings import Exchange

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ATTEMPT = AttemptId.derive("test")
SHOP = "acct_" + "0" * 26


def _intent(state: IntentState = IntentState.REQUIRES_PAYMENT_METHOD, **more: Any) -> Intent:
    values: dict[str, Any] = {
        "id": IntentId.derive("test"),
        "owner": "usr_x",
        "amount_minor": 1000,
        "currency": "GBP",
        "destination": SHOP,
        "capture_method": CaptureMethod.AUTOMATIC,
        "created_at": NOW,
        "state": state,
    }
    return Intent(**{**values, **more})


def _paid(**more: Any) -> Intent:
    return _intent(IntentState.SUCCEEDED, **{"captured_minor": 1000, **more})


@pytest.mark.parametrize(
    "sums",
    [
        {"amount_minor": 0},
        {"refunded_minor": 1},
        {"refunded_minor": -1},
        {"captured_minor": 1001},
        {"captured_minor": 600, "capturable_minor": 401},
        {"capturable_minor": -1},
    ],
)
def test_an_intent_whose_sums_do_not_hold_cannot_be(sums: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        _intent(**sums)


def test_attaching_chooses_how_to_pay_and_forgets_the_last_error() -> None:
    attached = intents.attach(_intent(last_error={"code": "card_declined"}), "pm_card_visa")
    assert (attached.state, attached.payment_method, attached.last_error) == (
        IntentState.REQUIRES_CONFIRMATION,
        "pm_card_visa",
        None,
    )
    with pytest.raises(Refused, match="status of succeeded"):
        intents.attach(_paid(), "pm_card_visa")
    wallet = "wal_" + "0" * 26
    with pytest.raises(Refused, match="cannot pay itself"):
        intents.attach(_intent(destination=wallet), wallet)


def test_confirming_needs_a_payment_method_before_it_needs_a_state() -> None:
    with pytest.raises(Refused, match="Missing required param: payment_method"):
        intents.confirm(_intent(), ATTEMPT)
    with pytest.raises(Refused, match="status of canceled"):
        intents.confirm(_intent(IntentState.CANCELED), ATTEMPT)
    confirmed = intents.confirm(_intent(IntentState.REQUIRES_CONFIRMATION), ATTEMPT)
    assert (confirmed.state, confirmed.latest_attempt) == (IntentState.PROCESSING, ATTEMPT)


def test_a_review_holds_only_what_is_being_processed() -> None:
    held = intents.hold_for_review(_intent(IntentState.PROCESSING), "case_x")
    assert (held.state, held.review_case) == (IntentState.PROCESSING, "case_x")
    with pytest.raises(IllegalMove):
        intents.hold_for_review(_paid(), "case_x")


def test_a_reservation_is_captured_whole_in_part_or_not_beyond_it() -> None:
    reserved = intents.authorized(_intent(IntentState.PROCESSING), 1000)
    assert (reserved.state, reserved.capturable_minor) == (IntentState.REQUIRES_CAPTURE, 1000)
    assert intents.begin_capture(reserved, None)[1] == 1000
    assert intents.begin_capture(reserved, 400)[1] == 400
    with pytest.raises(Refused, match="above what can be captured: 1000"):
        intents.begin_capture(reserved, 1001)
    with pytest.raises(Refused, match="could not be captured"):
        intents.begin_capture(_paid(), 1)
    on_its_way, amount = intents.begin_capture(reserved, 400)
    done = intents.succeeded(on_its_way, amount)
    assert (done.captured_minor, done.capturable_minor) == (400, 0)


def test_what_is_reserved_can_be_given_back_and_what_is_paid_cannot_be_canceled() -> None:
    reserved = intents.authorized(_intent(IntentState.PROCESSING), 1000)
    giving = intents.begin_void(reserved, CancellationReason.ABANDONED)
    assert intents.voided(giving, NOW).state is IntentState.CANCELED
    with pytest.raises(Refused, match="could not be canceled"):
        intents.begin_void(_paid(), None)
    with pytest.raises(Refused, match="could not be canceled"):
        intents.cancel(_paid(), None, NOW)
    canceled = intents.cancel(_intent(), CancellationReason.DUPLICATE, NOW)
    assert (canceled.canceled_at, canceled.cancellation_reason) == (NOW, CancellationReason.DUPLICATE)


def test_a_decline_asks_for_another_method() -> None:
    declined = intents.declined(_intent(IntentState.PROCESSING, payment_method="pm_x"), {"code": "card_declined"})
    assert (declined.state, declined.payment_method) == (IntentState.REQUIRES_PAYMENT_METHOD, None)


def test_refunds_are_refused_in_this_order_state_nothing_left_too_much() -> None:
    with pytest.raises(Refused, match="could not be refunded"):
        intents.begin_refund(_intent(), 5000, None)
    with pytest.raises(Refused, match="already been refunded"):
        intents.begin_refund(_paid(refunded_minor=1000), 5000, None)
    with pytest.raises(Refused, match="above what can be refunded: 600"):
        intents.begin_refund(_paid(refunded_minor=400), 601, None)


def test_a_refund_sets_its_amount_aside_and_a_failed_one_gives_it_back() -> None:
    after, amount, back = intents.begin_refund(_paid(refunded_minor=400), None, None)
    assert (after.refunded_minor, amount, back) == (1000, 600, None)
    assert intents.refund_failed(after, 600, 0).refunded_minor == 400


def test_the_payers_side_of_a_refund_is_their_share_or_what_is_set() -> None:
    paid = _paid(exchange=Exchange("EUR", 877))
    _, _, back = intents.begin_refund(paid, 500, None)
    assert back == Exchange("EUR", 438)
    _, _, set_by_hand = intents.begin_refund(paid, 500, Exchange("EUR", 999))
    assert set_by_hand == Exchange("EUR", 999)
    with pytest.raises(Refused, match="was paid in EUR"):
        intents.begin_refund(paid, 500, Exchange("USD", 1))
    with pytest.raises(Refused, match="in its own currency"):
        intents.begin_refund(_paid(), 500, Exchange("USD", 1))
    generous = replace(paid, refunded_minor=1, exchange_refunded_minor=900)
    assert intents.begin_refund(generous, None, None)[2] == Exchange("EUR", 0)


def test_a_payer_gives_at_least_one_minor_unit() -> None:
    assert intents.payer_side(_intent(exchange=Exchange("KWD", 1)), 1) == Exchange("KWD", 1)
    assert intents.payer_side(_intent(), 1) is None


def test_an_intent_says_who_receives_and_what_is_left_to_refund() -> None:
    assert _intent().to_merchant
    assert not _intent(destination="wal_" + "0" * 26).to_merchant
    assert _paid(refunded_minor=1).refundable_minor == 999
