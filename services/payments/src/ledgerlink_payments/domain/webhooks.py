"""Webhooks by Standard Webhooks (https://www.standardwebhooks.com): signatures, who hears what, when to try again.

A signature covers ``<id>.<seconds>.<body>``, in base64. ``v1`` is HMAC-SHA256 under the endpoint's secret; while it is
being replaced, both the new and the old one sign, and a receiver accepts whichever it knows. ``v1a`` is Ed25519
(RFC 8032) under a key that never leaves us: whoever has its public half can check a message and forge none.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledgerlink_contracts.ids import WebhookEndpointId
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.limits import METADATA_KEYS_MAX
from ledgerlink_payments.domain import refusals
from ledgerlink_payments.domain.objects import API_VERSION

WIRE_PREFIX: Final = "whsec_"
"""How secrets begin on the wire."""
SECRET_BYTES: Final = 32
PUBLIC_PREFIX: Final = "whpk_"
SEED_BYTES: Final = 32
TOLERANCE: Final = timedelta(minutes=5)
"""How far a signed moment may lie from ours, so that an old message cannot be played again."""
ALL_EVENTS: Final = "*"

EVENT_TYPES: Final = (
    "payment_intent.created",
    "payment_intent.processing",
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "payout.created",
    "payout.updated",
    "payout.paid",
    "payout.failed",
    "account.updated",
)
"""What an endpoint may ask for, in Stripe's names; `*` stands for all."""

SCHEDULE: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1800, 7200, 18_000, 36_000, 36_000, 50_400, 50_400, 57_600)
)
"""The wait before each further try: three days in all."""
ENDPOINTS_MAX: Final = 16
"""Endpoints of one owner at the most, as at Stripe."""
RETRY_AFTER_MAX: Final = timedelta(hours=24)
JITTER: Final = 0.2
DISABLE_AFTER: Final = timedelta(days=5)
"""How long an endpoint may fail without a single success before it is disabled."""
ROTATION_OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret goes on signing beside the new one, unless the caller says otherwise."""
ROTATION_OVERLAP_MAX: Final = timedelta(days=7)


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: bytes) -> str:
    """Give the `webhook-signature` header: one ``v1`` signature per secret, separated by spaces."""
    content = f"{message_id}.{int(at.timestamp())}.".encode() + body
    signatures = (hmac.digest(_key(secret), content, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(signature).decode()}" for signature in signatures)


def sign_with_key(seed: bytes, message_id: str, at: datetime, body: bytes) -> str:
    """Give the ``v1a`` signature under the Ed25519 key of ``seed``."""
    content = f"{message_id}.{int(at.timestamp())}.".encode() + body
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(content)
    return f"v1a,{base64.b64encode(signature).decode()}"


def public_key(seed: bytes) -> str:
    """Write the public half of the Ed25519 key of ``seed`` as Standard Webhooks has it."""
    return (
        PUBLIC_PREFIX
        + base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()).decode()
    )


def signed_headers(
    secrets: Sequence[str], message_id: str, at: datetime, body: bytes, seed: bytes | None = None
) -> dict[str, str]:
    """Give the three headers of a signed message."""
    signatures = sign(secrets, message_id, at, body)
    if seed is not None:
        signatures += " " + sign_with_key(seed, message_id, at, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signatures,
    }


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Check a message on its raw bytes and give its id.

    Raises `Refused` (UNAUTHENTICATED, ``webhook-signature-invalid``), and says as little to a forger for every reason.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, seconds = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message_id or not seconds.isascii() or not seconds.isdigit() or len(seconds) > len("10000000000"):
        raise _invalid()
    at = datetime.fromtimestamp(int(seconds), UTC)
    if abs(at - now) > TOLERANCE:
        raise _invalid()
    expected = [_bytes_of(one) for one in sign(secrets, message_id, at, body).split()]
    found = [_bytes_of(one) for one in given.get("webhook-signature", "").split()]
    # Every pair is compared, and in constant time, so that the answer's delay tells nothing.
    matches = [hmac.compare_digest(theirs, ours) for theirs in found if theirs for ours in expected]
    if not any(matches):
        raise _invalid()
    return message_id


def _key(secret: str) -> bytes:
    text = secret.removeprefix(WIRE_PREFIX)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _bytes_of(signature: str) -> bytes:
    """Give the bytes of a ``v1`` signature, none for any other version or form."""
    version, _, text = signature.partition(",")
    if version != "v1":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _invalid() -> Refused:
    return Refused(Kind.UNAUTHENTICATED, "webhook-signature-invalid", "The message is not signed by its sender.")


def secret_from(entropy: bytes) -> str:
    """Write `SECRET_BYTES` of randomness as a secret."""
    assert len(entropy) == SECRET_BYTES, "a secret has 32 bytes"
    return WIRE_PREFIX + base64.b64encode(entropy).decode()


class EndpointStatus(StrEnum):
    """Whether an endpoint is sent anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class Lane(StrEnum):
    """How far an endpoint is trusted to answer soon. Each lane has its own places: the dead wait only for the dead."""

    PROVEN = "proven"
    """Its last answer was a success."""
    UNPROVEN = "unproven"
    """It was never tried, or was just enabled again."""
    FAILING = "failing"
    """Its last try failed."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of an endpoint's answers."""

    lane: Lane = Lane.UNPROVEN
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an owner wants to be told of events, and of which.

    ``old_secret`` signs beside ``secret`` until ``old_secret_until``. ``disabled_reason`` is ``asked``, ``gone`` (it
    answered 410) or ``failing`` (for longer than `DISABLE_AFTER`). ``seed`` makes the Ed25519 key of ``v1a``; it stays
    when the secret is replaced, since nobody but us ever had it.
    """

    id: WebhookEndpointId
    owner: str
    url: str
    enabled_events: tuple[str, ...]
    secret: str = field(repr=False)
    created_at: datetime
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    status: EndpointStatus = EndpointStatus.ENABLED
    disabled_reason: str | None = None
    old_secret: str | None = field(default=None, repr=False)
    old_secret_until: datetime | None = None
    seed: bytes | None = field(default=None, repr=False)
    health: Health = field(default_factory=Health)

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Give the secrets that sign at this moment, the newest first."""
        if self.old_secret is None or self.old_secret_until is None or now >= self.old_secret_until:
            return (self.secret,)
        return (self.secret, self.old_secret)

    def rotated(self, secret: str, now: datetime, overlap: timedelta) -> "Endpoint":
        """Put ``secret`` in place; the present one goes on signing for ``overlap``. An older one ends at once."""
        assert overlap <= ROTATION_OVERLAP_MAX, "an overlap is bounded"
        if not overlap:
            return replace(self, secret=secret, old_secret=None, old_secret_until=None)
        return replace(self, secret=secret, old_secret=self.secret, old_secret_until=now + overlap)

    def enabled(self) -> "Endpoint":
        """Send to it again; what failed before is forgotten, so that it has all of its patience back."""
        if self.status is EndpointStatus.ENABLED:
            return self
        return replace(self, status=EndpointStatus.ENABLED, disabled_reason=None, health=Health())

    def disabled(self, reason: str) -> "Endpoint":
        """Send nothing more; the first reason stays."""
        if self.status is EndpointStatus.DISABLED:
            return self
        return replace(self, status=EndpointStatus.DISABLED, disabled_reason=reason)

    def judged(self, judgment: "Judgment") -> "Endpoint":
        """Remember what followed from a try."""
        remembered = replace(self, health=judgment.health)
        return remembered if judgment.disable is None else remembered.disabled(judgment.disable)

    def described(self, description: str) -> "Endpoint":
        """Say what it is for; an empty text takes the description away."""
        return replace(self, description=description or None)

    def labeled(self, changes: Mapping[str, str]) -> "Endpoint":
        """Merge labels as Stripe does: an empty value takes a label away. Raises `Refused` above the limit."""
        merged = {name: value for name, value in {**self.metadata, **changes}.items() if value}
        if len(merged) > METADATA_KEYS_MAX:
            raise refusals.invalid("metadata", f"At most {METADATA_KEYS_MAX} labels may be kept.")
        return replace(self, metadata=merged)

    def wire(self, *, reveal: bool = False) -> dict[str, Any]:
        """Write it as Stripe's `webhook_endpoint`; the secret is shown only when it was just made."""
        shown: dict[str, Any] = {
            "id": str(self.id),
            "object": "webhook_endpoint",
            "api_version": API_VERSION,
            "application": None,
            "created": int(self.created_at.timestamp()),
            "description": self.description,
            "disabled_reason": self.disabled_reason,
            "enabled_events": list(self.enabled_events),
            "livemode": False,
            "metadata": dict(self.metadata),
            "public_key": None if self.seed is None else public_key(self.seed),
            "status": self.status.value,
            "url": self.url,
        }
        return {**shown, "secret": self.secret} if reveal else shown


class DeliveryState(StrEnum):
    """Where one event stands on its way to one endpoint."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to: ``status`` None means that no answer came; ``retry_after`` is the receiver's wish."""

    status: int | None
    error: str | None = None
    retry_after: timedelta | None = None

    @property
    def success(self) -> bool:
        """Any 2xx is a success; a redirect is not followed and is none."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """410 says that the endpoint wants nothing more, ever."""
        return self.status == 410


@dataclass(frozen=True, slots=True)
class Judgment:
    """What follows from a try: its state, the next try's moment, and whether the endpoint is to be disabled."""

    state: DeliveryState
    next_at: datetime | None
    health: Health
    disable: str | None = None


def judge(outcome: Outcome, tries: int, health: Health, now: datetime, jitter: float) -> Judgment:
    """Decide what follows from the ``tries``-th try. ``jitter`` in [0, 1) spreads waits by `JITTER` either way."""
    if outcome.success:
        return Judgment(DeliveryState.DELIVERED, None, Health(Lane.PROVEN, None))
    since = health.failing_since or now
    failing = Health(Lane.FAILING, since)
    disable = None
    if outcome.gone:
        disable = "gone"
    elif now - since >= DISABLE_AFTER:
        disable = "failing"
    wait = next_wait(tries, outcome.retry_after, jitter)
    if wait is None:
        return Judgment(DeliveryState.EXHAUSTED, None, failing, disable)
    return Judgment(DeliveryState.PENDING, now + wait, failing, disable)


def next_wait(tries: int, retry_after: timedelta | None, jitter: float) -> timedelta | None:
    """Give the wait after the ``tries``-th failure, or None when it was the last.

    A receiver may ask for more patience (Retry-After), up to a day, never for less.
    """
    if tries > len(SCHEDULE):
        return None
    wait = SCHEDULE[tries - 1] * (1 - JITTER + 2 * JITTER * jitter)
    return max(wait, min(retry_after, RETRY_AFTER_MAX)) if retry_after else wait


def read_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3): seconds or a date; anything else is ignored."""
    if not header or len(header) > 64 or not header.isascii():
        return None
    if header.strip().isdigit():
        return min(timedelta(seconds=min(int(header), 10**8)), RETRY_AFTER_MAX)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(wait, RETRY_AFTER_MAX) if wait > timedelta() else None


def check_events(asked: Sequence[str]) -> tuple[str, ...]:
    """Give the event types that an endpoint asks for, each once. Raises `Refused` on one that does not exist."""
    unknown = [kind for kind in asked if kind not in EVENT_TYPES and kind != ALL_EVENTS]
    if unknown:
        raise refusals.invalid("enabled_events", f"No such event type: {unknown[0][:80]!r}.")
    if not asked:
        raise refusals.invalid("enabled_events", "Name at least one event type, or '*' for all.")
    return tuple(dict.fromkeys(asked))
