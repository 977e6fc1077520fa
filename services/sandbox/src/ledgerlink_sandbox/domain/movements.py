"""Captures, refunds and payouts: money that is collected, goes back, or goes out.

A refund or payout that is ``pending`` has a moment at which its end falls due (``due_at``); the provider's timer
moves it there. ``succeeded`` is not always the end: a refund may still fail days later, as banks do.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, assert_never

from ledgerlink_kit.errors import Defect
from ledgerlink_sandbox.domain.cards import PayoutFailure, RefundCourse, find_card, payout_failure

REFUND_SETTLES_AFTER: Final = timedelta(seconds=2)
PAYOUT_SETTLES_AFTER: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """What the caller asks to collect, under a key of its own making; a ``final`` capture releases the rest."""

    key: str
    authorization: str
    amount_minor: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """Money collected from an authorization; done at once and for good."""

    request: CaptureRequest
    currency: str
    created_at: datetime


class RefundStatus(Enum):
    """Where a refund stands."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundFailure(Enum):
    """Why a refund did not reach the card."""

    EXPIRED_OR_CANCELED_CARD = "expired_or_canceled_card"


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What the caller asks to give back, under a key of its own making."""

    key: str
    authorization: str
    amount_minor: int
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back to a card."""

    request: RefundRequest
    currency: str
    status: RefundStatus
    created_at: datetime
    due_at: datetime | None = None
    failure: RefundFailure | None = None
    version: int = 1

    def __post_init__(self) -> None:
        """A failure has a reason; what is pending has a moment at which it ends."""
        assert (self.status is RefundStatus.FAILED) == (self.failure is not None), "a failure has a reason"
        assert self.status is not RefundStatus.PENDING or self.due_at is not None, "nothing is pending for ever"


def start_refund(request: RefundRequest, payment_method: str, currency: str, now: datetime) -> Refund:
    """Open a refund as its card's published behavior has it; the same request always opens alike."""
    course = find_card(payment_method).refund
    match course:
        case RefundCourse.AT_ONCE:
            return Refund(request, currency, RefundStatus.SUCCEEDED, now)
        case RefundCourse.PENDING_FIRST:
            return Refund(request, currency, RefundStatus.PENDING, now, due_at=now + REFUND_SETTLES_AFTER)
        case RefundCourse.FAILS_LATE:
            return Refund(request, currency, RefundStatus.SUCCEEDED, now, due_at=now + REFUND_SETTLES_AFTER)
        case _:
            assert_never(course)


def settle_refund(refund: Refund) -> Refund:
    """Bring a refund that is due to its end: pending succeeds, succeeded fails late."""
    if refund.due_at is None:
        raise Defect(f"refund {refund.request.key} is not due")
    if refund.status is RefundStatus.PENDING:
        return replace(refund, status=RefundStatus.SUCCEEDED, due_at=None, version=refund.version + 1)
    failure = RefundFailure.EXPIRED_OR_CANCELED_CARD
    return replace(refund, status=RefundStatus.FAILED, failure=failure, due_at=None, version=refund.version + 1)


class PayoutStatus(Enum):
    """Where a payout stands."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """What the caller asks to pay out, under a key of its own making."""

    key: str
    amount_minor: int
    currency: str
    destination: str
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Payout:
    """Money on its way to a bank account."""

    request: PayoutRequest
    status: PayoutStatus
    created_at: datetime
    due_at: datetime | None = None
    failure: PayoutFailure | None = None
    version: int = 1

    def __post_init__(self) -> None:
        """A failure has a reason; what is pending has a moment at which it ends."""
        assert (self.status is PayoutStatus.FAILED) == (self.failure is not None), "a failure has a reason"
        assert (self.status is PayoutStatus.PENDING) == (self.due_at is not None), "nothing is pending for ever"


def start_payout(request: PayoutRequest, now: datetime) -> Payout:
    """Open a payout; every payout is pending until its bank has answered."""
    return Payout(request, PayoutStatus.PENDING, now, due_at=now + PAYOUT_SETTLES_AFTER)


def settle_payout(payout: Payout) -> Payout:
    """Bring a pending payout to its end, as its destination's published behavior has it."""
    if payout.status is not PayoutStatus.PENDING:
        raise Defect(f"payout {payout.request.key} is not due")
    failure = payout_failure(payout.request.destination)
    status = PayoutStatus.PAID if failure is None else PayoutStatus.FAILED
    return replace(payout, status=status, failure=failure, due_at=None, version=payout.version + 1)
