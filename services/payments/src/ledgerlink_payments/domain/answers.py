"""What a provider answers, or the ledger for a wallet that pays: snapshots; `unknown` is an answer like any other."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuthorizationOutcome(StrEnum):
    """How an authorization stands at the provider."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    DECLINED = "declined"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ABSENT = "absent"


class RefundOutcome(StrEnum):
    """How a refund stands at the provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ABSENT = "absent"


class PayoutOutcome(StrEnum):
    """How a payout stands at the provider."""

    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ABSENT = "absent"


class DeclineKind(StrEnum):
    """Whether trying again may help: ``soft`` (funds, limits, issuer away) or ``hard`` (stolen, closed, fraud)."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why the provider said no.

    ``code`` is Stripe's error code (`card_declined`, `expired_card` …), ``decline_code`` its finer
    `decline_code` (`insufficient_funds`, `stolen_card` …) where there is one, ``message`` a sentence for the payer.
    """

    code: str
    message: str
    kind: DeclineKind = DeclineKind.HARD
    decline_code: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationAnswer:
    """An authorization as the provider has it.

    ``decline`` is set when the outcome is ``DECLINED``, and also when a capture or a void was refused and the
    authorization stands as before (then the outcome is ``AUTHORIZED``). ``expires_at`` ends the provider's promise.
    """

    outcome: AuthorizationOutcome
    reference: str | None = None
    authorized_minor: int = 0
    captured_minor: int = 0
    decline: Decline | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """A refund as the provider has it; ``failure_reason`` is Stripe's word for why it failed."""

    outcome: RefundOutcome
    reference: str | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutAnswer:
    """A payout as the provider has it; ``failure_code`` is Stripe's word for why it failed."""

    outcome: PayoutOutcome
    reference: str | None = None
    failure_code: str | None = None
    arrives_at: datetime | None = None
