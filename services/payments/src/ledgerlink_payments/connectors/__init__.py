"""Adapters to payment providers, all behind one Protocol.

Rules that every connector keeps, so that the commands need not know which provider they talk to:

- A call is made with a ``key`` that we derived from the attempt, refund or payout. A provider that has seen the key
  answers with what it did then; it never does it twice.
- No method raises because of the network, a timeout or a 5xx: the outcome is then ``UNKNOWN``, an answer like any
  other. Only a lookup may say ``ABSENT``: the provider has never heard of the key.
- Every answer is a *snapshot* of the thing as the provider now has it, not merely of the last call, so that answers and
  lookups are applied by the same code, in any order and any number of times.
- Amounts are integers of minor units, currencies upper-case ISO 4217 codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ledgerlink_payments.domain.answers import (
    AuthorizationAnswer,
    AuthorizationOutcome,
    Decline,
    DeclineKind,
    PayoutAnswer,
    PayoutOutcome,
    RefundAnswer,
    RefundOutcome,
)

__all__ = [
    "AuthorizationAnswer",
    "AuthorizationOutcome",
    "AuthorizeRequest",
    "Capabilities",
    "CaptureRequest",
    "Connector",
    "Decline",
    "DeclineKind",
    "PayoutAnswer",
    "PayoutOutcome",
    "PayoutRequest",
    "ProviderEvent",
    "RefundAnswer",
    "RefundOutcome",
    "RefundRequest",
    "Subject",
    "VoidRequest",
]


class Subject(StrEnum):
    """What a provider's event is about."""

    AUTHORIZATION = "authorization"
    REFUND = "refund"
    PAYOUT = "payout"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """Ask for an authorization; with ``capture`` the money is collected in the same step."""

    key: str
    amount_minor: int
    currency: str
    payment_method: str
    capture: bool
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """Collect ``amount_minor`` of the authorization named by its own key; the provider releases the rest."""

    key: str
    authorization_key: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class VoidRequest:
    """Give back an authorization that nothing was collected from."""

    key: str
    authorization_key: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """Return ``amount_minor`` of what was collected from the authorization named by its key."""

    key: str
    authorization_key: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """Send money to an outside account; ``destination`` is the provider's token of it (`ba_…`)."""

    key: str
    amount_minor: int
    currency: str
    destination: str


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider told us by webhook.

    It is treated as a hint: the event names a thing by the ``key`` that we gave it, and the truth about that thing is
    then looked up. Any order and any number of the same events therefore end in the same state.
    """

    id: str
    type: str
    subject: Subject
    key: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do; ``currencies`` is None when it takes all."""

    manual_capture: bool
    partial_capture: bool
    partial_refund: bool
    payouts: bool
    currencies: frozenset[str] | None = None


class Connector(Protocol):
    """One payment provider."""

    @property
    def name(self) -> str:
        """Give the connector's name, as it stands in rows, in routes and in the account ``clearing:<name>``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Tell what this provider can do."""
        ...

    async def authorize(self, request: AuthorizeRequest) -> AuthorizationAnswer:
        """Ask for an authorization, captured in the same step when the request says so."""
        ...

    async def capture(self, request: CaptureRequest) -> AuthorizationAnswer:
        """Collect all or part of an authorization, once; the rest is released."""
        ...

    async def void(self, request: VoidRequest) -> AuthorizationAnswer:
        """Give an authorization back."""
        ...

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Return collected money to the payer."""
        ...

    async def payout(self, request: PayoutRequest) -> PayoutAnswer:
        """Send money to an outside account."""
        ...

    async def lookup_authorization(self, key: str) -> AuthorizationAnswer:
        """Ask how the authorization with this key stands; ``ABSENT`` when the provider has none."""
        ...

    async def lookup_refund(self, key: str) -> RefundAnswer:
        """Ask how the refund with this key stands; ``ABSENT`` when the provider has none."""
        ...

    async def lookup_payout(self, key: str) -> PayoutAnswer:
        """Ask how the payout with this key stands; ``ABSENT`` when the provider has none."""
        ...

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check the signature over the raw bytes. Raises `Refused` (UNAUTHENTICATED, `webhook-signature-invalid`)."""
        ...

    def parse_event(self, body: bytes) -> ProviderEvent:
        """Read a verified body. Raises `Refused` (INVALID, `webhook-unreadable`)."""
        ...
