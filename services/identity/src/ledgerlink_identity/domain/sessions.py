"""Sessions and their refresh tokens.

A session is one family of refresh tokens. Each use of the current token makes its successor and
spends the token; a spent token that comes back is either the same client's retry, whose answer got
lost, or a thief's. The secret of a token is derived from the session's seed, the generation and a
key that only the service holds. So the successor can be given again without ever being stored, and
any older token is recognized as having been ours without keeping a row for each.
Rotation and reuse detection follow RFC 9700, section 4.14.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final
from uuid import UUID

from ledgerlink_identity.domain.limits import ABSOLUTE_LIFETIME, IDLE_LIFETIME, RETRY_WINDOW

_PREFIX: Final = "llrt_"
_SECRET_BYTES: Final = 32
_GENERATION_BYTES: Final = 4
_TEXT_CHARS: Final = len(_PREFIX) + -(-(16 + _GENERATION_BYTES + _SECRET_BYTES) * 8 // 6)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token taken apart. On the wire it is opaque: a prefix that secret scanners know, and base64url."""

    session_id: UUID
    generation: int
    secret: bytes

    def __repr__(self) -> str:
        return f"RefreshToken(session_id={self.session_id}, generation={self.generation}, secret=…)"

    def text(self) -> str:
        """Return the token as the client holds it."""
        raw = self.session_id.bytes + self.generation.to_bytes(_GENERATION_BYTES) + self.secret
        return _PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def hash(self) -> bytes:
        """Return what is stored of it. SHA-256 is enough: the secret has 256 bits."""
        return hashlib.sha256(self.text().encode()).digest()


@dataclass(frozen=True, slots=True)
class Session:
    """One person signed in on one device. `scope_limit` is what the sign-in was narrowed to, null for all."""

    id: UUID
    user_id: UUID
    client_id: str
    scope_limit: str | None
    seed: bytes
    generation: int
    token_hash: bytes
    rotated_at: datetime | None
    rotated_by: bytes | None
    created_at: datetime
    last_used_at: datetime
    revoked_at: datetime | None

    def ends_at(self) -> datetime:
        """Return when the session ends if it is not used again."""
        return min(self.last_used_at + IDLE_LIFETIME, self.created_at + ABSOLUTE_LIFETIME)

    def is_live(self, now: datetime) -> bool:
        """Return whether the session still counts."""
        return self.revoked_at is None and now < self.ends_at()


class Refresh(Enum):
    """What becomes of a presented refresh token."""

    ROTATE = auto()
    """It is the current one: spend it and give its successor."""
    SAME_AGAIN = auto()
    """The same client's retry: give the successor that it already made."""
    REUSED = auto()
    """Ours, spent, and somebody else's or late: the family must die."""
    INVALID = auto()
    """Not ours, or of a session that has ended: nothing happens."""


def derive_token(key: bytes, session_id: UUID, seed: bytes, generation: int) -> RefreshToken:
    """Return the token of a generation. The secret is HMAC-SHA-256 over the session, its seed and the generation."""
    message = session_id.bytes + generation.to_bytes(_GENERATION_BYTES) + seed
    return RefreshToken(session_id, generation, hmac.digest(key, message, "sha256"))


def parse_token(text: str) -> RefreshToken | None:
    """Take a token apart; `None` for anything that cannot be one of ours, other spellings of the same bits included."""
    if len(text) != _TEXT_CHARS or not text.startswith(_PREFIX):
        return None
    try:
        raw = base64.b64decode(text[len(_PREFIX) :] + "==", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    token = RefreshToken(UUID(bytes=raw[:16]), int.from_bytes(raw[16:20]), raw[20:])
    # The last character carries spare bits: only the one spelling that we write is accepted.
    return token if hmac.compare_digest(token.text().encode(), text.encode()) else None


def client_fingerprint(client_id: str, address: str, user_agent: str) -> bytes:
    """Return what "the same client" means for a retry: same client id, same address, same program."""
    return hashlib.sha256(f"{client_id}\0{address}\0{user_agent}".encode()).digest()


def judge(session: Session | None, token: RefreshToken, key: bytes, client: bytes, now: datetime) -> Refresh:
    """Decide what becomes of a presented token. The current token is known by its stored hash alone."""
    if session is None or not session.is_live(now):
        return Refresh.INVALID
    if hmac.compare_digest(token.hash(), session.token_hash):
        return Refresh.ROTATE
    ours = derive_token(key, session.id, session.seed, token.generation)
    if token.generation >= session.generation or not hmac.compare_digest(ours.secret, token.secret):
        # A guess that names a real session must not be able to kill it.
        return Refresh.INVALID
    retried = (
        token.generation == session.generation - 1
        and session.rotated_at is not None
        and now - session.rotated_at <= RETRY_WINDOW
        and session.rotated_by == client
    )
    return Refresh.SAME_AGAIN if retried else Refresh.REUSED
