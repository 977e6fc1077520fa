"""What clients and verifiers look up: the key set and the server's metadata."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import ConfigDict

from ledgerlink_contracts.permissions import Permission
from ledgerlink_identity import queries
from ledgerlink_identity.api.callers import Rt
from ledgerlink_identity.domain.limits import KEY_SET_CACHE
from ledgerlink_kit.wire import ResponseModel

router = APIRouter(prefix="/.well-known", tags=["discovery"])

_CACHE = f"public, max-age={int(KEY_SET_CACHE.total_seconds())}"


class KeySetResponse(ResponseModel):
    """The public keys that may have signed a token that is still good, and the next one (RFC 7517)."""

    keys: list[dict[str, Any]]


class MetadataResponse(ResponseModel):
    """What this authorization server offers and where (RFC 8414, section 2)."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str
    introspection_endpoint: str
    scopes_supported: list[str]
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]


@router.get("/jwks.json")
async def jwks(rt: Rt, response: Response) -> KeySetResponse:
    """Give the public keys; a new one stands here before it signs, an old one after."""
    response.headers["Cache-Control"] = _CACHE
    return KeySetResponse(keys=await queries.published_keys(rt.db, rt.clock.now()))


@router.get("/oauth-authorization-server")
async def metadata(rt: Rt, response: Response) -> MetadataResponse:
    """Describe this authorization server."""
    response.headers["Cache-Control"] = _CACHE
    issuer = rt.settings.issuer.rstrip("/")
    secret_methods = ["client_secret_basic", "client_secret_post"]
    return MetadataResponse(
        issuer=rt.settings.issuer,
        token_endpoint=f"{issuer}/oauth/token",
        jwks_uri=f"{issuer}/.well-known/jwks.json",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        scopes_supported=sorted(Permission),
        grant_types_supported=["client_credentials", "refresh_token"],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=secret_methods,
        introspection_endpoint_auth_methods_supported=secret_methods,
        revocation_endpoint_auth_methods_supported=["none"],
    )
