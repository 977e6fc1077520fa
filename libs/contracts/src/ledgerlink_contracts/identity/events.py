"""What identity tells the others. Stream: `events:identity`.

No event carries a name or an address: who may know those asks identity.
"""

from enum import StrEnum
from typing import ClassVar

from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_kit.outbox import Event


class RevokedBecause(StrEnum):
    """Why a session ended before its time."""

    LOGOUT = "logout"
    REVOKED = "revoked"
    TOKEN_REUSED = "token-reused"  # noqa: S105 - a reason, no secret
    PASSWORD_RESET = "password-reset"  # noqa: S105 - a reason, no secret
    TOO_MANY_SESSIONS = "too-many-sessions"


class UserRegistered(Event):
    """Somebody has an account now."""

    event_type: ClassVar[str] = "identity.user.registered"
    data_version: ClassVar[int] = 1

    user: UserId
    roles: list[Role]


class EmailVerified(Event):
    """Somebody proved that they read the address of their account."""

    event_type: ClassVar[str] = "identity.user.email-verified"
    data_version: ClassVar[int] = 1

    user: UserId


class PasswordReset(Event):
    """Somebody set a new password by mail; all their sessions are revoked, each told by its own event."""

    event_type: ClassVar[str] = "identity.user.password-reset"
    data_version: ClassVar[int] = 1

    user: UserId


class UserRolesChanged(Event):
    """An admin changed what somebody may do. Access tokens issued before carry the old scopes until they expire."""

    event_type: ClassVar[str] = "identity.user.roles-changed"
    data_version: ClassVar[int] = 1

    user: UserId
    before: list[Role]
    after: list[Role]


class SessionRevoked(Event):
    """A session ended. Its access tokens (claim `sid`) should not be honored any more."""

    event_type: ClassVar[str] = "identity.session.revoked"
    data_version: ClassVar[int] = 1

    session: SessionId
    user: UserId
    because: RevokedBecause
