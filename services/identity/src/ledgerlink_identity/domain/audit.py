"""The audit chain: every security event sealed with the hash of the one before.

Writers only append events; one sealer at a time gives them their place in the chain afterwards, so
that signing in never waits for a lock that everybody shares. What was sealed cannot be changed,
removed or reordered without every later hash telling.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

GENESIS: Final = bytes(32)
"""The hash before the first."""


class Happening(StrEnum):
    """What can happen to somebody's security."""

    REGISTERED = "registered"
    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    EMAIL_VERIFIED = "email-verified"
    PASSWORD_RESET = "password-reset"  # noqa: S105 - a happening, no secret
    SESSION_REVOKED = "session-revoked"
    REFRESH_TOKEN_REUSED = "refresh-token-reused"  # noqa: S105 - a happening, no secret
    ROLES_CHANGED = "roles-changed"
    ADMIN_SEEDED = "admin-seeded"
    SIGNING_KEY_ROTATED = "signing-key-rotated"


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One fact. `subject` is whom it happened to, `actor` who did it; both are null when nobody known was meant."""

    id: UUID
    happening: Happening
    subject: UUID | None
    actor: str | None
    address: str | None
    details: Mapping[str, Any]
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """An event's place in the chain."""

    position: int
    event_id: UUID
    previous_hash: bytes
    hash: bytes


def canonical(event: SecurityEvent) -> bytes:
    """Return the one spelling of an event that is hashed: JSON with sorted keys, no spaces, UTC microseconds."""
    return json.dumps(
        {
            "id": str(event.id),
            "happening": event.happening.value,
            "subject": str(event.subject) if event.subject else None,
            "actor": event.actor,
            "address": event.address,
            "details": dict(event.details),
            "occurred_at": event.occurred_at.astimezone(UTC).isoformat(timespec="microseconds"),
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def seal(event: SecurityEvent, previous: Seal | None) -> Seal:
    """Give an event its place after `previous` (null for the first)."""
    position = 1 if previous is None else previous.position + 1
    previous_hash = GENESIS if previous is None else previous.hash
    digest = hashlib.sha256(position.to_bytes(8) + previous_hash + canonical(event)).digest()
    return Seal(position, event.id, previous_hash, digest)


def verify(links: Iterable[tuple[Seal, SecurityEvent | None]], after: Seal | None = None) -> list[str]:
    """Return what is wrong with a run of the chain, in order of position; an empty list when nothing is.

    `after` is the last seal before the run. A link without an event is a sealed event that is gone.
    """
    findings: list[str] = []
    previous = after
    for found, event in links:
        expected_position = 1 if previous is None else previous.position + 1
        if found.position != expected_position:
            findings.append(f"position {expected_position} is missing; the chain goes on at {found.position}")
        if event is None:
            findings.append(f"position {found.position}: the sealed event {found.event_id} is gone")
        else:
            # Judged against what the seal itself claims to follow, so that one forgery is one finding.
            claimed = Seal(found.position - 1, found.event_id, found.previous_hash, found.previous_hash)
            if seal(event, claimed).hash != found.hash:
                findings.append(f"position {found.position}: event {found.event_id} does not match its hash")
        if found.previous_hash != (GENESIS if previous is None else previous.hash):
            findings.append(f"position {found.position} does not follow from the position before it")
        previous = found
    return findings
