"""The published test cards: what each token makes the provider do.

The tokens carry the names that Stripe publishes for its own test mode (https://docs.stripe.com/testing) where there is
one, so that people's habits hold; the others stand for failures that no polite provider lets you ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_sandbox.domain.faults import FaultKind


class DeclineCode(Enum):
    """Why the issuer said no."""

    GENERIC = "generic_decline"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    EXPIRED_CARD = "expired_card"
    LOST_CARD = "lost_card"
    INCORRECT_CVC = "incorrect_cvc"
    PROCESSING_ERROR = "processing_error"
    AUTHENTICATION_REQUIRED = "authentication_required"

    @property
    def soft(self) -> bool:
        """Say whether another try, now or later, may succeed; a hard decline will come again."""
        return self in _SOFT


_SOFT: Final = frozenset(
    {DeclineCode.INSUFFICIENT_FUNDS, DeclineCode.PROCESSING_ERROR, DeclineCode.AUTHENTICATION_REQUIRED}
)


class RefundCourse(Enum):
    """How refunds to a card run."""

    AT_ONCE = "at_once"
    PENDING_FIRST = "pending_first"
    FAILS_LATE = "fails_late"


@dataclass(frozen=True, slots=True)
class PublishedCard:
    """What one published token does; without any field set, everything succeeds."""

    decline: DeclineCode | None = None
    refund: RefundCourse = RefundCourse.AT_ONCE
    fault: FaultKind | None = None


_CARDS: Final[Mapping[str, PublishedCard]] = MappingProxyType(
    {
        "pm_card_visa": PublishedCard(),
        "pm_card_visa_debit": PublishedCard(),
        "pm_card_mastercard": PublishedCard(),
        "pm_card_amex": PublishedCard(),
        "pm_card_chargeDeclined": PublishedCard(decline=DeclineCode.GENERIC),
        "pm_card_chargeDeclinedInsufficientFunds": PublishedCard(decline=DeclineCode.INSUFFICIENT_FUNDS),
        "pm_card_chargeDeclinedExpiredCard": PublishedCard(decline=DeclineCode.EXPIRED_CARD),
        "pm_card_chargeDeclinedLostCard": PublishedCard(decline=DeclineCode.LOST_CARD),
        "pm_card_chargeDeclinedIncorrectCvc": PublishedCard(decline=DeclineCode.INCORRECT_CVC),
        "pm_card_chargeDeclinedProcessingError": PublishedCard(decline=DeclineCode.PROCESSING_ERROR),
        "pm_card_authenticationRequired": PublishedCard(decline=DeclineCode.AUTHENTICATION_REQUIRED),
        "pm_card_pendingRefund": PublishedCard(refund=RefundCourse.PENDING_FIRST),
        "pm_card_refundFail": PublishedCard(refund=RefundCourse.FAILS_LATE),
        "pm_card_timeoutAfterCommit": PublishedCard(fault=FaultKind.TIMEOUT_AFTER_COMMIT),
        "pm_card_timeoutBeforeCommit": PublishedCard(fault=FaultKind.TIMEOUT_BEFORE_COMMIT),
        "pm_card_hangAfterCommit": PublishedCard(fault=FaultKind.HANG_AFTER_COMMIT),
        "pm_card_slow": PublishedCard(fault=FaultKind.SLOW),
    }
)

TEST_TOKENS: Final = tuple(_CARDS)
"""Every published card token."""


def find_card(token: str) -> PublishedCard:
    """Give the card behind ``token``. Raises `Refused` (``payment-method-unknown``)."""
    card = _CARDS.get(token)
    if card is None:
        raise Refused(
            Kind.UNPROCESSABLE,
            "payment-method-unknown",
            f"No test card is published under {token[:64]!r}; 'pm_card_visa' is one that succeeds.",
        )
    return card


class PayoutFailure(Enum):
    """Why a bank sent a payout back."""

    ACCOUNT_CLOSED = "account_closed"
    NO_ACCOUNT = "no_account"


_FAILING_DESTINATIONS: Final[Mapping[str, PayoutFailure]] = MappingProxyType(
    {"ba_accountClosed": PayoutFailure.ACCOUNT_CLOSED, "ba_noAccount": PayoutFailure.NO_ACCOUNT}
)


def payout_failure(destination: str) -> PayoutFailure | None:
    """Say why the bank behind ``destination`` refuses payouts; every unpublished destination accepts them."""
    return _FAILING_DESTINATIONS.get(destination)
