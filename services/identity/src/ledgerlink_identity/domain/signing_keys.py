"""The life of a signing key: published before it signs, published after it stopped signing.

Verifiers cache the key set. A key that signed the moment it appeared would be refused by everybody
who had not looked since; a key that vanished the moment it retired would void tokens still good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ledgerlink_identity.domain.limits import PUBLISHED_AFTER_USE, PUBLISHED_BEFORE_USE, SIGNING_LIFETIME
from ledgerlink_kit.errors import Kind, Refused


class KeyState(StrEnum):
    """Where a key stands in its life."""

    PRE_PUBLISHED = "pre-published"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What is known of a key in the open; its private half is elsewhere, encrypted."""

    kid: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation does: which key stops signing, which starts."""

    retire: str
    activate: str


def missing(keys: Sequence[SigningKey]) -> tuple[KeyState, ...]:
    """Return the states in which a key must be made: there is always one that signs and one that waits."""
    present = {key.state for key in keys}
    return tuple(state for state in (KeyState.ACTIVE, KeyState.PRE_PUBLISHED) if state not in present)


def is_published(key: SigningKey, now: datetime) -> bool:
    """Return whether the key stands in the key set."""
    return key.retired_at is None or now < key.retired_at + PUBLISHED_AFTER_USE


def is_due(keys: Sequence[SigningKey], now: datetime) -> bool:
    """Return whether the active key has signed for long enough."""
    active = _only(keys, KeyState.ACTIVE)
    return active.activated_at is not None and now >= active.activated_at + SIGNING_LIFETIME


def plan_rotation(keys: Sequence[SigningKey], now: datetime, *, force: bool) -> Rotation:
    """Return the rotation. Raises `Refused` signing-key-too-young while verifiers may not know the next key yet.

    `force` is for a key that leaked: a few refused requests are then the lesser evil.
    """
    waiting = _only(keys, KeyState.PRE_PUBLISHED)
    ready_at = waiting.created_at + PUBLISHED_BEFORE_USE
    if not force and now < ready_at:
        raise Refused(
            Kind.CONFLICT,
            "signing-key-too-young",
            "The next key has not been published long enough for every verifier to know it.",
            ready_at=ready_at.isoformat(),
        )
    return Rotation(retire=_only(keys, KeyState.ACTIVE).kid, activate=waiting.kid)


def _only(keys: Sequence[SigningKey], state: KeyState) -> SigningKey:
    found = [key for key in keys if key.state is state]
    assert len(found) == 1, f"there must be exactly one {state} signing key, found {len(found)}"
    return found[0]
