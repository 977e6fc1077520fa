"""Proves how refunds and payouts run to their ends, and how faults are asked for and what they lose."""

from datetime import UTC, datetime

import pytest

from ledgerlink_kit.errors import Defect, Refused
from ledgerlink_sandbox.domain.cards import PayoutFailure
from ledgerlink_sandbox.domain.faults import (
    Delivery,
    Fault,
    FaultKind,
    delivery_from_metadata,
    fault_from_metadata,
)
from ledgerlink_sandbox.domain.movements import (
    PAYOUT_SETTLES_AFTER,
    REFUND_SETTLES_AFTER,
    PayoutRequest,
    PayoutStatus,
    RefundFailure,
    RefundRequest,
    RefundStatus,
    settle_payout,
    settle_refund,
    start_payout,
    start_refund,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REFUND = RefundRequest("r", "a", 5)


def test_a_refund_to_an_ordinary_card_succeeds_at_once_and_is_never_due() -> None:
    refund = start_refund(REFUND, "pm_card_visa", "GBP", NOW)
    assert (refund.status, refund.due_at) == (RefundStatus.SUCCEEDED, None)
    with pytest.raises(Defect):
        settle_refund(refund)


def test_a_pending_refund_succeeds_when_it_is_due() -> None:
    refund = start_refund(REFUND, "pm_card_pendingRefund", "GBP", NOW)
    assert (refund.status, refund.due_at) == (RefundStatus.PENDING, NOW + REFUND_SETTLES_AFTER)
    settled = settle_refund(refund)
    assert (settled.status, settled.due_at, settled.version) == (RefundStatus.SUCCEEDED, None, 2)


def test_a_refund_may_fail_after_it_succeeded() -> None:
    refund = start_refund(REFUND, "pm_card_refundFail", "GBP", NOW)
    assert refund.status is RefundStatus.SUCCEEDED
    settled = settle_refund(refund)
    assert (settled.status, settled.failure) == (RefundStatus.FAILED, RefundFailure.EXPIRED_OR_CANCELED_CARD)


@pytest.mark.parametrize(
    ("destination", "status", "failure"),
    [
        ("ba_anything", PayoutStatus.PAID, None),
        ("ba_accountClosed", PayoutStatus.FAILED, PayoutFailure.ACCOUNT_CLOSED),
        ("ba_noAccount", PayoutStatus.FAILED, PayoutFailure.NO_ACCOUNT),
    ],
)
def test_a_payout_ends_as_its_destination_has_it(
    destination: str, status: PayoutStatus, failure: PayoutFailure | None
) -> None:
    payout = start_payout(PayoutRequest("p", 5, "GBP", destination), NOW)
    assert (payout.status, payout.due_at) == (PayoutStatus.PENDING, NOW + PAYOUT_SETTLES_AFTER)
    settled = settle_payout(payout)
    assert (settled.status, settled.failure, settled.due_at) == (status, failure, None)
    with pytest.raises(Defect):
        settle_payout(settled)


@pytest.mark.parametrize(
    ("kind", "before", "after", "lost"),
    [
        (FaultKind.TIMEOUT_AFTER_COMMIT, 0, 0, "answer"),
        (FaultKind.TIMEOUT_BEFORE_COMMIT, 0, 0, "request"),
        (FaultKind.HANG_AFTER_COMMIT, 0, 3, "answer"),
        (FaultKind.ERROR, 0, 0, "request"),
        (FaultKind.SLOW, 3, 0, "nothing"),
    ],
)
def test_each_fault_loses_what_it_is_published_to_lose(kind: FaultKind, before: float, after: float, lost: str) -> None:
    fault = Fault(kind, delay_s=3)
    assert (fault.before_s, fault.after_s) == (before, after)
    assert (fault.loses_request, fault.loses_answer) == (lost == "request", lost == "answer")


def test_a_request_asks_for_its_own_fault_and_delivery_in_its_metadata() -> None:
    assert fault_from_metadata({}) is None
    assert fault_from_metadata({"sandbox_fault": "slow"}) is FaultKind.SLOW
    assert delivery_from_metadata({}) is Delivery.ONCE
    assert delivery_from_metadata({"sandbox_webhook": "late"}) is Delivery.LATE


def test_a_fault_or_delivery_that_nobody_published_is_refused() -> None:
    with pytest.raises(Refused, match="fault-unknown"):
        fault_from_metadata({"sandbox_fault": "earthquake"})
    with pytest.raises(Refused, match="fault-unknown"):
        delivery_from_metadata({"sandbox_webhook": "pigeon"})
