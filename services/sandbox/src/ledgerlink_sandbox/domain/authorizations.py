"""Authorizations: the promise of money on a card, captured in parts, released, refunded.

Amounts of one authorization, each in minor units of its currency::

    captured + released ≤ amount        what is neither is still capturable
    refunded ≤ captured                 refunds that failed do not count

The same two lines stand as CHECK constraints in `ledgerlink_sandbox.tables`.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_sandbox.domain.cards import DeclineCode, find_card

AUTHORIZATION_TTL: Final = timedelta(days=7)
"""How long an uncaptured promise holds, as with most card schemes."""


class AuthorizationStatus(Enum):
    """Where an authorization stands."""

    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    VOIDED = "voided"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What the caller asks for, under a key of its own making."""

    key: str
    amount_minor: int
    currency: str
    payment_method: str
    capture: bool = False
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Authorization:
    """One promise of a card, with what became of its amount."""

    request: AuthorizationRequest
    status: AuthorizationStatus
    created_at: datetime
    decline: DeclineCode | None = None
    captured_minor: int = 0
    released_minor: int = 0
    refunded_minor: int = 0
    version: int = 1

    def __post_init__(self) -> None:
        """Hold the two lines of the module's docstring in every value that exists."""
        assert 0 < self.request.amount_minor <= MAX_MINOR, "an authorization has a positive, bounded amount"
        assert min(self.captured_minor, self.released_minor, self.refunded_minor) >= 0, "no part is negative"
        assert self.captured_minor + self.released_minor <= self.request.amount_minor, "never more than was promised"
        assert self.refunded_minor <= self.captured_minor, "never more goes back than came"
        assert (self.status is AuthorizationStatus.DECLINED) == (self.decline is not None), "a decline has a reason"

    @property
    def key(self) -> str:
        """Give the caller's key, which is the authorization's name."""
        return self.request.key

    @property
    def expires_at(self) -> datetime:
        """Say when the uncaptured rest can no longer be captured."""
        return self.created_at + AUTHORIZATION_TTL

    @property
    def capturable_minor(self) -> int:
        """Give what may still be captured."""
        if self.status not in _OPEN:
            return 0
        return self.request.amount_minor - self.captured_minor - self.released_minor

    @property
    def refundable_minor(self) -> int:
        """Give what may still be refunded."""
        return self.captured_minor - self.refunded_minor


_OPEN: Final = frozenset({AuthorizationStatus.AUTHORIZED, AuthorizationStatus.PARTIALLY_CAPTURED})


def authorize(request: AuthorizationRequest, now: datetime) -> Authorization:
    """Decide a request by its card's published behavior: the same request always gets the same answer.

    Raises `Refused` (``payment-method-unknown``); a decline is an outcome, not a refusal.
    """
    card = find_card(request.payment_method)
    if card.decline is not None:
        return Authorization(request, AuthorizationStatus.DECLINED, now, decline=card.decline)
    if request.capture:
        return Authorization(request, AuthorizationStatus.CAPTURED, now, captured_minor=request.amount_minor)
    return Authorization(request, AuthorizationStatus.AUTHORIZED, now)


def capture(authorization: Authorization, amount_minor: int, now: datetime, *, final: bool = False) -> Authorization:
    """Collect ``amount_minor`` of the promise; a ``final`` capture releases what it leaves.

    Raises `Refused`, in this order: ``authorization-not-open``, ``authorization-expired``, ``amount-too-large``.
    """
    if authorization.status not in _OPEN:
        raise Refused(
            Kind.CONFLICT,
            "authorization-not-open",
            f"An authorization that is {authorization.status.value} cannot be captured.",
            status_now=authorization.status.value,
        )
    if now >= authorization.expires_at:
        raise Refused(Kind.CONFLICT, "authorization-expired", "The authorization has run out; ask for a new one.")
    if amount_minor > authorization.capturable_minor:
        raise _too_large(amount_minor, authorization.capturable_minor, authorization.request.currency)
    captured = authorization.captured_minor + amount_minor
    rest = authorization.capturable_minor - amount_minor
    ended = final or rest == 0
    return replace(
        authorization,
        status=AuthorizationStatus.CAPTURED if ended else AuthorizationStatus.PARTIALLY_CAPTURED,
        captured_minor=captured,
        released_minor=rest if final else 0,
        version=authorization.version + 1,
    )


def void(authorization: Authorization) -> Authorization:
    """Release what was not captured; done twice, it is done once.

    Nothing captured: the authorization is voided. Some captured: it is captured, its rest released.
    Raises `Refused` (``authorization-not-open``) when it was declined or captured in full.
    """
    if authorization.status is AuthorizationStatus.VOIDED or authorization.released_minor:
        return authorization
    if authorization.status not in _OPEN:
        raise Refused(
            Kind.CONFLICT,
            "authorization-not-open",
            f"An authorization that is {authorization.status.value} has nothing to release.",
            status_now=authorization.status.value,
        )
    status = AuthorizationStatus.CAPTURED if authorization.captured_minor else AuthorizationStatus.VOIDED
    rest = authorization.capturable_minor
    return replace(authorization, status=status, released_minor=rest, version=authorization.version + 1)


def take_back(authorization: Authorization, amount_minor: int) -> Authorization:
    """Set ``amount_minor`` of the captured money aside for a refund.

    Raises `Refused`, in this order: ``authorization-not-captured``, ``amount-too-large``.
    """
    if authorization.captured_minor == 0:
        raise Refused(
            Kind.CONFLICT,
            "authorization-not-captured",
            f"An authorization that is {authorization.status.value} has nothing to refund.",
            status_now=authorization.status.value,
        )
    if amount_minor > authorization.refundable_minor:
        raise _too_large(amount_minor, authorization.refundable_minor, authorization.request.currency)
    refunded = authorization.refunded_minor + amount_minor
    return replace(authorization, refunded_minor=refunded, version=authorization.version + 1)


def put_back(authorization: Authorization, amount_minor: int) -> Authorization:
    """Return the money of a refund that failed to what may be refunded."""
    refunded = authorization.refunded_minor - amount_minor
    return replace(authorization, refunded_minor=refunded, version=authorization.version + 1)


def _too_large(asked_minor: int, remaining_minor: int, currency: str) -> Refused:
    return Refused(
        Kind.CONFLICT,
        "amount-too-large",
        f"{asked_minor} was asked, {remaining_minor} remains, in minor units of {currency}.",
        remaining=remaining_minor,
        currency=currency,
    )
