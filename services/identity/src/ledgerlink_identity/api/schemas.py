"""What goes over the wire, in and out."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_contracts.permissions import Permission, Role
from ledgerlink_identity.domain.limits import EMAIL_CHARS_MAX, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN
from ledgerlink_identity.store.people import User
from ledgerlink_kit.wire import RequestModel, ResponseModel

_NO_NUL = r"^[^\x00]*$"
EmailText = Annotated[
    str, Field(min_length=3, max_length=EMAIL_CHARS_MAX, pattern=_NO_NUL, examples=["ada@example.com"])
]
PasswordText = Annotated[str, Field(min_length=1, max_length=4 * PASSWORD_CHARS_MAX)]
"""Any password; how long one must be is the domain's to say, with a reason."""
NewPasswordText = Annotated[
    PasswordText,
    Field(description=f"{PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters, not a commonly used password"),
]
TokenText = Annotated[str, Field(min_length=1, max_length=512)]
ClientIdText = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x20-\x7e]+$")]
ScopeText = Annotated[str, Field(max_length=1000, pattern=r"^[\x20-\x7e]*$", examples=["wallet:read wallet:write"])]


class ConfidentialRequest(RequestModel):
    """A body that carries a secret, so that nothing of it may turn up in a log."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    __str__ = __repr__


class RegisterRequest(ConfidentialRequest):
    """What somebody gives to get an account."""

    email: EmailText
    password: NewPasswordText
    full_name: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)] | None = None


class PasswordGrant(ConfidentialRequest):
    """OAuth 2's password grant; `email` is another name for `username`, and JSON may leave out `grant_type`."""

    grant_type: Literal["password"] = "password"
    username: EmailText
    password: PasswordText
    scope: ScopeText | None = None
    client_id: ClientIdText | None = None


class RefreshRequest(ConfidentialRequest):
    """A refresh token to be spent."""

    grant_type: Literal["refresh_token"] = "refresh_token"
    refresh_token: TokenText
    scope: ScopeText | None = None
    client_id: ClientIdText | None = None


class ClientCredentialsGrant(ConfidentialRequest):
    """A service asking for its own token; its secret stands here or, better, in HTTP Basic."""

    grant_type: Literal["client_credentials"]
    scope: ScopeText | None = None
    client_id: ClientIdText | None = None
    client_secret: TokenText | None = None


class RevocationRequest(ConfidentialRequest):
    """A refresh token to be revoked (RFC 7009)."""

    token: TokenText
    token_type_hint: Annotated[str, Field(max_length=100)] | None = None
    client_id: ClientIdText | None = None


class IntrospectionRequest(ConfidentialRequest):
    """A token to be told about (RFC 7662)."""

    token: Annotated[str, Field(min_length=1, max_length=8192)]
    token_type_hint: Annotated[str, Field(max_length=100)] | None = None
    client_id: ClientIdText | None = None
    client_secret: TokenText | None = None


class MailRequest(RequestModel):
    """An address to send a mail to."""

    email: EmailText


class VerificationConfirmation(ConfidentialRequest):
    """The code from a verification mail."""

    token: TokenText


class PasswordResetConfirmation(ConfidentialRequest):
    """The code from a reset mail, and the password to be."""

    token: TokenText
    new_password: NewPasswordText


class RolesRequest(RequestModel):
    """The roles that somebody shall have, in place of those they have."""

    roles: Annotated[list[Role], Field(min_length=1, max_length=len(Role))]


class RotationRequest(RequestModel):
    """How to rotate the signing key. `force` does it at once, for a key that leaked."""

    force: bool = False


class TokenResponse(ResponseModel):
    """An access token and what belongs to it (RFC 6749, section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token
    expires_in: Annotated[int, Field(description="Seconds")]
    refresh_token: str | None = None
    scope: str


class IntrospectionResponse(ResponseModel):
    """What a token is worth; of one that is worth nothing only that is told."""

    active: bool
    sub: str | None = None
    client_id: str | None = None
    scope: str | None = None
    exp: int | None = None
    sid: str | None = None
    jti: str | None = None


class UserResponse(ResponseModel):
    """A person, as they and the admins see them."""

    id: UserId
    email: str
    full_name: str | None
    roles: list[Role]
    email_verified: bool
    created_at: datetime
    last_login_at: datetime | None


class ProfileResponse(UserResponse):
    """The caller, with what this token allows."""

    scope: list[Permission]
    session: SessionId


class SessionResponse(ResponseModel):
    """One live session; `current` is the one that asks."""

    id: SessionId
    client_id: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    current: bool


class SessionsResponse(ResponseModel):
    """The caller's live sessions, the latest used first."""

    items: list[SessionResponse]


class RevokedResponse(ResponseModel):
    """How many sessions ended."""

    revoked: int


class AcceptedResponse(ResponseModel):
    """What everybody is told who asks for a mail."""

    message: Literal["If the address is known to us, a mail is on its way."] = (
        "If the address is known to us, a mail is on its way."
    )


class VerifiedResponse(ResponseModel):
    """The address is verified."""

    email_verified: Literal[True] = True


class PasswordSetResponse(ResponseModel):
    """The password is set, and every session has ended."""

    password_set: Literal[True] = True


class SigningKeyResponse(ResponseModel):
    """What is known in the open of a signing key."""

    kid: str
    state: str
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None


class SigningKeysResponse(ResponseModel):
    """Every signing key, the oldest first."""

    items: list[SigningKeyResponse]


class AuditResponse(ResponseModel):
    """What verifying a run of the audit chain found; `next_after` is null when the end was reached."""

    checked: int
    findings: list[str]
    next_after: int | None
    unsealed: int
    oldest_unsealed_at: datetime | None


def user_response(user: User) -> UserResponse:
    """Return a user as seen from outside: without the hash."""
    return UserResponse(
        id=UserId(user.id),
        email=user.email,
        full_name=user.full_name,
        roles=list(user.roles),
        email_verified=user.email_verified_at is not None,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )
