"""Proves what an access token says of a person and of a service."""

from datetime import UTC, datetime

from ledgerlink_contracts.permissions import Permission, Role
from ledgerlink_identity.domain.access_tokens import Holder, claims_for

NOW = datetime(2026, 11, 1, 12, 0, 0, 900_000, tzinfo=UTC)
ISSUED = int(NOW.timestamp())


def test_a_persons_token_names_person_session_roles_and_scope() -> None:
    holder = Holder("usr_1", "user", "app", (Role.CUSTOMER,), "ses_1", email_verified=True)
    claims = claims_for(
        holder, {Permission.WALLET_WRITE, Permission.WALLET_READ}, issuer="https://id", token_id="t", now=NOW
    )
    assert claims == {
        "iss": "https://id",
        "sub": "usr_1",
        "aud": "ledgerlink",
        "iat": ISSUED,
        "exp": ISSUED + 600,
        "jti": "t",
        "client_id": "app",
        "scope": "wallet:read wallet:write",
        "typ_sub": "user",
        "sid": "ses_1",
        "roles": ["customer"],
        "email_verified": True,
    }


def test_a_services_token_has_no_session() -> None:
    claims = claims_for(Holder("risk", "service", "risk"), (), issuer="https://id", token_id="t", now=NOW)
    assert claims["scope"] == ""
    assert not {"sid", "roles", "email_verified"} & claims.keys()
