"""Signing keys and the signing of access tokens (ES256, RFC 7518 section 3.4)."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey

from ledgerlink_identity.domain.access_tokens import TOKEN_TYPE
from ledgerlink_kit.clock import Clock

ALGORITHM: Final = "ES256"
_REMEMBER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: its name, its public half as a JWK, its private half as bytes to be encrypted."""

    kid: str
    public_jwk: dict[str, Any]
    private: bytes

    def __repr__(self) -> str:
        return f"NewKey(kid={self.kid!r})"


def make_key() -> NewKey:
    """Make a P-256 key named by its RFC 7638 thumbprint."""
    key = ECKey.generate_key("P-256", private=True)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    return NewKey(kid, public, json.dumps(key.as_dict(private=True)).encode())


class Signer:
    """One private key, ready to sign."""

    def __init__(self, kid: str, private: bytes) -> None:
        """Load the private half of the key named `kid`."""
        self.kid = kid
        self._key = ECKey.import_key(json.loads(private))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed access token."""
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": self.kid}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM])


class ActiveSigner:
    """The active key's signer, remembered for half a minute.

    A process may so go on signing with a key for 30 s after its retirement; a retired key stays
    published for far longer than that.
    """

    def __init__(self, load: Callable[[], Awaitable[Signer]], clock: Clock) -> None:
        """Use `load` to fetch the active key."""
        self._load = load
        self._clock = clock
        self._signer: Signer | None = None
        self._until = 0.0
        self._loading = asyncio.Lock()

    async def current(self) -> Signer:
        """Return the signer to use now; one load serves everybody who waits for it."""
        async with self._loading:
            if self._signer is None or self._clock.monotonic() >= self._until:
                self._signer = await self._load()
                self._until = self._clock.monotonic() + _REMEMBER_S
            return self._signer

    def forget(self) -> None:
        """Load afresh next time: the key has just been rotated here."""
        self._signer = None
