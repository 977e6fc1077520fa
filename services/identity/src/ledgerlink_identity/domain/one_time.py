"""One-time tokens that are mailed to prove that somebody reads an address."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from ledgerlink_identity.domain.limits import PASSWORD_RESET_LIFETIME, VERIFICATION_LIFETIME


class Purpose(StrEnum):
    """What a mailed token is good for; one for the one never works for the other."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password-reset"  # noqa: S105 - the name of a purpose


LIFETIMES: Final = {Purpose.VERIFICATION: VERIFICATION_LIFETIME, Purpose.PASSWORD_RESET: PASSWORD_RESET_LIFETIME}


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """A stored token: only its hash is kept, so that a copy of the database opens nothing."""

    purpose: Purpose
    user_id: UUID
    expires_at: datetime
    used_at: datetime | None


def token_hash(text: str) -> bytes:
    """Return what is stored of a one-time token. SHA-256 is enough: the token has 256 random bits."""
    return hashlib.sha256(text.encode()).digest()


def is_usable(token: OneTimeToken | None, purpose: Purpose, now: datetime) -> bool:
    """Return whether the token may be used now for this purpose."""
    return token is not None and token.purpose is purpose and token.used_at is None and now < token.expires_at
