"""Who is calling, and what the call may do.

Access tokens are JWTs of RFC 9068, verified locally against the issuer's JWKS: algorithm, type, issuer, audience and
times are pinned; no key is taken from the token itself. A route's parameter type is its permission:
``WalletWriter = Annotated[Caller, requires("wallet:write")]``.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, cast

import aiohttp
from fastapi import Depends, Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Kind, Refused, Unavailable
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.telemetry import new_traceparent, traceparent

ALGORITHMS: Final = ("ES256", "Ed25519", "EdDSA", "RS256")
"""What a token may be signed with: asymmetric only, so that a public key can never be mistaken for an HMAC secret."""

_JWKS_AGE_S: Final = 300.0
_JWKS_RETRY_S: Final = 2.0
_CACHE_MAX: Final = 20_000
_TOKEN_CHARS_MAX: Final = 8_192
_LEEWAY_S: Final = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: a user or a service, with the scopes that the token allows.

    ``subject`` is the wire id (``usr_…``) or ``svc_<name>``; ``authenticated_at`` seconds since 1970 or none.
    """

    subject: str
    kind: Literal["user", "service"]
    client_id: str
    scopes: frozenset[str]
    roles: frozenset[str]
    token_id: str
    session_id: str | None
    expires_at: int

    def has(self, scope: str) -> bool:
        """Say whether the token allows ``scope``."""
        return scope in self.scopes


class JwksSource(Protocol):
    """Where the issuer's public keys come from."""

    async def keys(self, *, fresh: bool) -> KeySet:
        """Give the key set; ``fresh`` asks the issuer again because a key was not known. Raises `Unavailable`."""
        ...


class HttpJwks:
    """The issuer's JWKS over HTTP, cached for five minutes and kept while the issuer is away."""

    def __init__(self, identity_url: str, clock: Clock) -> None:
        """Read from ``identity_url`` + ``/.well-known/jwks.json`` on first use."""
        self._url = identity_url.rstrip("/") + "/.well-known/jwks.json"
        self._clock = clock
        self._keys: KeySet | None = None
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def keys(self, *, fresh: bool) -> KeySet:
        """Give the key set, asking the issuer at most every two seconds for unknown keys."""
        age = _JWKS_RETRY_S if fresh else _JWKS_AGE_S
        if self._keys is None or self._clock.monotonic() - self._asked > age:
            async with self._lock:
                if self._keys is None or self._clock.monotonic() - self._asked > age:
                    await self._ask()
        assert self._keys is not None
        return self._keys

    async def _ask(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=3)
            with called("GET", self._url, peer="identity") as span:
                sent = {"traceparent": traceparent() or new_traceparent()}
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.get(self._url, headers=sent) as answer,
                ):
                    answered(span, answer.status)
                    answer.raise_for_status()
                    self._keys = KeySet.import_key_set(await answer.json())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, JoseError) as error:
            if self._keys is None:
                raise Unavailable("keys-unavailable", "The issuer's keys cannot be read now; try again.") from error
        self._asked = self._clock.monotonic()


class TokenVerifier:
    """Verifies access tokens and remembers the verified until they expire."""

    def __init__(self, *, issuer: str, audience: str, jwks: JwksSource, clock: Clock) -> None:
        """Accept tokens of ``issuer`` for ``audience``, signed with a key of ``jwks``."""
        self._issuer = issuer
        self._audience = audience
        self._jwks = jwks
        self._clock = clock
        self._verified: OrderedDict[bytes, Caller] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Give the caller that ``token`` speaks for. Raises `Refused` (401) or `Unavailable`."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        cached = self._verified.get(digest)
        now = int(self._clock.now().timestamp())
        if cached is not None and cached.expires_at > now:
            return cached
        caller = self._read(await self._claims(token), now)
        self._verified[digest] = caller
        if len(self._verified) > _CACHE_MAX:
            self._verified.popitem(last=False)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _TOKEN_CHARS_MAX or not token.isascii():
            raise _token_invalid("It is not a token of ours.")
        try:
            return self._decode(token, await self._jwks.keys(fresh=False))
        except (JoseError, ValueError):
            pass
        # The key may be new, or the token false; ask the issuer once, then decide.
        try:
            return self._decode(token, await self._jwks.keys(fresh=True))
        except (JoseError, ValueError):
            raise _token_invalid("Its signature, form or key is not the issuer's.") from None

    @staticmethod
    def _decode(token: str, keys: KeySet) -> dict[str, Any]:
        decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
        if "crit" in decoded.header:
            # We understand no extension, so RFC 7515, section 4.1.11, has us refuse them all.
            raise ValueError("crit")
        if str(decoded.header.get("typ", "")).lower() not in {"at+jwt", "application/at+jwt"}:
            raise ValueError("typ")
        return decoded.claims

    def _read(self, claims: dict[str, Any], now: int) -> Caller:
        audience = claims.get("aud")
        audiences = cast("list[Any]", audience) if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            raise _token_invalid("It was issued by, or for, somebody else.")
        expires, issued, subject = claims.get("exp"), claims.get("iat"), claims.get("sub")
        if not isinstance(expires, int) or not isinstance(issued, int) or not isinstance(subject, str):
            raise _token_invalid("It lacks exp, iat or sub.")
        if expires <= now:
            raise Refused(Kind.UNAUTHENTICATED, "token-expired", "The access token has expired; refresh it.")
        if issued > now + _LEEWAY_S or claims.get("nbf", issued) > now + _LEEWAY_S:
            raise _token_invalid("It is not valid yet.")
        session = claims.get("sid")
        return Caller(
            subject=subject,
            kind="service" if claims.get("typ_sub") == "service" else "user",
            client_id=str(claims.get("client_id", "")),
            scopes=frozenset(str(claims.get("scope", "")).split()),
            roles=frozenset(str(role) for role in claims.get("roles") or ()),
            token_id=str(claims.get("jti", "")),
            session_id=str(session) if session else None,
            expires_at=expires,
        )


def _token_invalid(why: str) -> Refused:
    return Refused(Kind.UNAUTHENTICATED, "token-invalid", f"The access token is not valid. {why}")


def bearer_token(header: str | None) -> str:
    """Take the token out of an Authorization header (RFC 6750, section 2.1). Raises `Refused` (401)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(Kind.UNAUTHENTICATED, "token-missing", "Send an access token: `Authorization: Bearer …`.")
    return token.strip()


async def authenticated(request: Request) -> Caller:
    """Give the verified caller of ``request``; once per request."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is None:
        token = bearer_token(request.headers.get("authorization"))
        verifier: TokenVerifier = request.app.state.verifier
        known = request.state.caller = await verifier.verify(token)
    return known


class Requirement:
    """What a route demands of its caller; `testing.assert_every_route_is_guarded` looks for it."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        """Demand every one of ``scopes``."""
        self.scopes = scopes

    async def __call__(self, request: Request) -> Caller:
        """Give the caller, or refuse with 401 or 403."""
        return self.check(await authenticated(request))

    def check(self, caller: Caller) -> Caller:
        """Give ``caller`` back, if they may. Raises `Refused` (403)."""
        missing = [scope for scope in self.scopes if not caller.has(scope)]
        if missing:
            raise Refused(
                Kind.FORBIDDEN,
                "scope-missing",
                f"This needs the permission {', '.join(missing)}, which the token does not carry.",
                missing=missing,
            )
        return caller


def requires(*scopes: str) -> Any:
    """Demand ``scopes``, all of them, of the caller; stands in ``Annotated[Caller, …]``."""
    return Depends(Requirement(scopes))


class ServiceTokens:
    """This service's own access token, by client credentials (RFC 6749, section 4.4), fetched anew before it ends."""

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, float]]], clock: Clock) -> None:
        """Use ``fetch`` to get a token and its life in seconds."""
        self._fetch = fetch
        self._clock = clock
        self._token = ""
        self._until = float("-inf")
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """Give a token with at least 30 seconds to live. Raises `Unavailable`."""
        if self._clock.monotonic() > self._until:
            async with self._lock:
                if self._clock.monotonic() > self._until:
                    self._token, life_s = await self._fetch()
                    self._until = self._clock.monotonic() + max(life_s - 30, 1)
        return self._token

    def forget(self) -> None:
        """Drop the token, because somebody refused it."""
        self._until = float("-inf")


def client_credentials(
    identity_url: str, client_id: str, client_secret: str
) -> Callable[[], Awaitable[tuple[str, float]]]:
    """Make the fetch of `ServiceTokens` against identity's token endpoint."""

    async def fetch() -> tuple[str, float]:
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            login = aiohttp.BasicAuth(client_id, client_secret)
            url = identity_url.rstrip("/") + "/oauth/token"
            with called("POST", url, peer="identity") as span:
                async with (
                    aiohttp.ClientSession(timeout=timeout, auth=login) as session,
                    session.post(
                        url,
                        data={"grant_type": "client_credentials"},
                        headers={"traceparent": traceparent() or new_traceparent()},
                    ) as answer,
                ):
                    answered(span, answer.status)
                    answer.raise_for_status()
                    body = await answer.json()
                    return str(body["access_token"]), float(body["expires_in"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
            raise Unavailable("identity-unavailable", "Identity gives no service token now; try again.") from error

    return fetch


__all__ = [
    "Caller",
    "HttpJwks",
    "JwksSource",
    "Requirement",
    "ServiceTokens",
    "TokenVerifier",
    "authenticated",
    "bearer_token",
    "client_credentials",
    "requires",
]
