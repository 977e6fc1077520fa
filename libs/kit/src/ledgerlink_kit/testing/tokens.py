"""Tokens of a test issuer, and the issuer's keys, without an identity service."""

from collections.abc import Iterable
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from ledgerlink_kit.auth import TokenVerifier
from ledgerlink_kit.clock import Clock, SystemClock

ISSUER: Final = "http://issuer.test"
AUDIENCE: Final = "ledgerlink"


class StaticJwks:
    """A key set that is simply there."""

    def __init__(self, keys: KeySet) -> None:
        """Hold ``keys``."""
        self._keys = keys

    async def keys(self, *, fresh: bool) -> KeySet:
        """Give the keys."""
        return self._keys


class TokenMint:
    """Issues access tokens as identity would, for tests."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Make a fresh ES256 key."""
        self._key = ECKey.generate_key("P-256", parameters={"alg": "ES256", "use": "sig"}, auto_kid=True)
        self._clock = clock or SystemClock()

    @property
    def jwks(self) -> StaticJwks:
        """The issuer's keys."""
        return StaticJwks(KeySet([self._key]))

    def verifier(self) -> TokenVerifier:
        """Give a verifier that accepts this mint's tokens."""
        return TokenVerifier(issuer=ISSUER, audience=AUDIENCE, jwks=self.jwks, clock=self._clock)

    def token(
        self,
        subject: str,
        scopes: Iterable[str] = (),
        *,
        kind: str = "user",
        life_s: int = 600,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Issue a token for ``subject`` with ``scopes``; ``claims`` and ``header`` override what is usual."""
        now = int(self._clock.now().timestamp())
        usual: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + life_s,
            "jti": f"test-{subject}",
            "client_id": "test",
            "scope": " ".join(scopes),
            "typ_sub": kind,
        }
        head = {"alg": "ES256", "typ": "at+jwt", "kid": self._key.kid, **(header or {})}
        return jwt.encode(head, {**usual, **claims}, self._key, algorithms=[str(head["alg"])])
