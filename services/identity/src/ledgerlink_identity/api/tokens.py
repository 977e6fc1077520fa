"""Tokens: sign in, refresh, client credentials, revocation, introspection."""

from typing import Any

from fastapi import APIRouter, Request, Response

from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_identity import queries
from ledgerlink_identity.api.callers import RequestOrigin, Rt
from ledgerlink_identity.api.oauth_forms import basic_credentials, body_of, fields_of, invalid_request, read
from ledgerlink_identity.api.schemas import (
    ClientCredentialsGrant,
    IntrospectionRequest,
    IntrospectionResponse,
    PasswordGrant,
    RefreshRequest,
    RevocationRequest,
    TokenResponse,
)
from ledgerlink_identity.commands import sessions, sign_ins
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit.auth import TokenVerifier
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.problem import problem_response, responses

router = APIRouter(tags=["tokens"])

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_CHALLENGE = 'Basic realm="ledgerlink"'


@router.post(
    "/auth/token", response_model=TokenResponse, responses=responses(403, 429), openapi_extra=body_of(PasswordGrant)
)
async def sign_in(request: Request, rt: Rt, origin: RequestOrigin) -> Response:
    """Sign in with email and password (OAuth 2's password grant, for first-party use), as a form or as JSON."""
    fields = await fields_of(request)
    if "email" in fields and "username" not in fields:
        fields["username"] = fields.pop("email")
    grant = read(PasswordGrant, fields)
    asked = sign_ins.SignIn(grant.username, grant.password, grant.scope, grant.client_id)
    return _answer(await sign_ins.sign_in(rt, asked, origin))


@router.post("/auth/refresh", response_model=TokenResponse, openapi_extra=body_of(RefreshRequest))
async def refresh(request: Request, rt: Rt, origin: RequestOrigin) -> Response:
    """Spend a refresh token for its successor and a new access token. A spent token used again ends the session."""
    return await _refresh(await fields_of(request), rt, origin)


@router.post(
    "/oauth/token",
    response_model=TokenResponse,
    responses=responses(401),
    openapi_extra=body_of(ClientCredentialsGrant, RefreshRequest),
)
async def token(request: Request, rt: Rt, origin: RequestOrigin) -> Response:
    """Give a service its own token (`client_credentials`), or spend a refresh token (`refresh_token`)."""
    fields = await fields_of(request)
    kind = fields.get("grant_type")
    if kind == "refresh_token":
        return await _refresh(fields, rt, origin)
    if kind != "client_credentials":
        if kind is None:
            raise invalid_request("grant_type is missing.")
        detail = "grant_type must be client_credentials or refresh_token."
        error = "unsupported_grant_type"
        raise Refused(Kind.INVALID, "unsupported-grant-type", detail, error=error, error_description=detail)
    grant = read(ClientCredentialsGrant, fields)
    client_id, secret = _client(request, grant.client_id, grant.client_secret)
    try:
        return _answer(await sign_ins.give_service_token(rt, client_id, secret, grant.scope))
    except Refused as refusal:
        return _challenged(refusal)


@router.post("/oauth/revoke", response_class=Response, openapi_extra=body_of(RevocationRequest))
async def revoke(request: Request, rt: Rt, origin: RequestOrigin) -> Response:
    """End the session of a refresh token (RFC 7009). A token that is not good is answered alike."""
    body = read(RevocationRequest, await fields_of(request))
    await sessions.revoke_token(rt, body.token, body.client_id, origin)
    return Response(status_code=200, headers=_NO_STORE)


@router.post(
    "/oauth/introspect",
    response_model=IntrospectionResponse,
    response_model_exclude_none=True,
    responses=responses(401),
    openapi_extra=body_of(IntrospectionRequest),
)
async def introspect(request: Request, rt: Rt) -> Response:
    """Tell a service what an access token is worth right now (RFC 7662): its session is looked up as well."""
    body = read(IntrospectionRequest, await fields_of(request))
    client_id, secret = _client(request, body.client_id, body.client_secret)
    if not rt.service_secrets.match(client_id, secret):
        return _challenged(sign_ins.invalid_client())
    told = await _told(request.app.state.verifier, rt, body.token)
    return Response(told.model_dump_json(exclude_none=True), headers=_NO_STORE, media_type="application/json")


async def _told(verifier: TokenVerifier, rt: Runtime, text: str) -> IntrospectionResponse:
    try:
        caller = await verifier.verify(text)
    except Refused:
        return IntrospectionResponse(active=False)
    if caller.kind == "user" and caller.session_id is not None:
        user_id, session_id = UserId.parse(caller.subject), SessionId.parse(caller.session_id)
        if await queries.user_in_session(rt.db, user_id.uuid, session_id.uuid, rt.clock.now()) is None:
            return IntrospectionResponse(active=False)
    return IntrospectionResponse(
        active=True,
        sub=caller.subject,
        client_id=caller.client_id,
        scope=" ".join(sorted(caller.scopes)),
        exp=caller.expires_at,
        sid=caller.session_id,
        jti=caller.token_id,
    )


async def _refresh(fields: dict[str, Any], rt: Runtime, origin: Origin) -> Response:
    grant = read(RefreshRequest, fields)
    given = await sign_ins.refresh(rt, grant.refresh_token, origin, client_id=grant.client_id, scope=grant.scope)
    return _answer(given)


def _client(request: Request, client_id: str | None, secret: str | None) -> tuple[str, str]:
    """Return the client's credentials, from HTTP Basic or from the body, never from both (RFC 6749, section 2.3)."""
    basic = basic_credentials(request)
    if basic is not None and secret is not None:
        raise invalid_request("Give the client's secret in one place only.")
    if basic is not None:
        return basic
    return client_id or "", secret or ""


def _challenged(refusal: Refused) -> Response:
    """Return the refusal; of a client it asks for HTTP Basic (RFC 6749, section 5.2)."""
    response = problem_response(refusal)
    if refusal.code == "invalid-client":
        response.headers["WWW-Authenticate"] = _CHALLENGE
    return response


def _answer(tokens: sign_ins.Tokens) -> Response:
    body = TokenResponse(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in_s,
        refresh_token=tokens.refresh_token,
        scope=tokens.scope,
    )
    return Response(body.model_dump_json(exclude_none=True), headers=_NO_STORE, media_type="application/json")
