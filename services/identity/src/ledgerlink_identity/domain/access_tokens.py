"""What an access token says (RFC 9068), decided here and signed elsewhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ledgerlink_contracts.permissions import Permission, Role, scope_text
from ledgerlink_identity.domain.limits import ACCESS_LIFETIME

AUDIENCE: Final = "ledgerlink"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - the media type of RFC 9068, section 2.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token speaks for: a person in a session, or a service."""

    subject: str
    kind: str
    client_id: str
    roles: tuple[Role, ...] = ()
    session_id: str | None = None
    email_verified: bool = False


def claims_for(
    holder: Holder, permissions: Iterable[Permission], *, issuer: str, token_id: str, now: datetime
) -> dict[str, Any]:
    """Return the claims of an access token; times are whole seconds since 1970."""
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": holder.subject,
        "aud": AUDIENCE,
        "iat": issued,
        "exp": issued + int(ACCESS_LIFETIME.total_seconds()),
        "jti": token_id,
        "client_id": holder.client_id,
        "scope": scope_text(permissions),
        "typ_sub": holder.kind,
    }
    if holder.session_id is not None:
        claims["sid"] = holder.session_id
        claims["roles"] = list(holder.roles)
        claims["email_verified"] = holder.email_verified
    return claims
