"""Signing in with a password, and keeping signed in with refresh tokens."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from prometheus_client import Counter

from ledgerlink_contracts.identity.events import RevokedBecause
from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_contracts.permissions import Permission, scope_text
from ledgerlink_identity.commands.witness import tell_revoked, witness
from ledgerlink_identity.domain.access_tokens import Holder, claims_for
from ledgerlink_identity.domain.audit import Happening
from ledgerlink_identity.domain.emails import key_for_lookup
from ledgerlink_identity.domain.limits import ACCESS_LIFETIME
from ledgerlink_identity.domain.passwords import normalized
from ledgerlink_identity.domain.scopes import granted_to_service, granted_to_user
from ledgerlink_identity.domain.sessions import (
    Refresh,
    RefreshToken,
    Session,
    client_fingerprint,
    derive_token,
    judge,
    parse_token,
)
from ledgerlink_identity.domain.throttle import after_failure, under_pressure, wait_s
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import people, sessions
from ledgerlink_identity.store.people import User
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused, Unavailable
from ledgerlink_kit.telemetry import span

SIGN_INS = Counter("ledgerlink_identity_sign_ins_total", "Sign-ins with a password", ["outcome"])
REFRESHES = Counter("ledgerlink_identity_refreshes_total", "Uses of refresh tokens", ["outcome"])
FIRST_PARTY = "ledgerlink"
"""The client id of whoever does not name one."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """What somebody gives to sign in. `scope` narrows what the tokens may do."""

    email: str
    password: str
    scope: str | None
    client_id: str | None

    def __repr__(self) -> str:
        return "SignIn(…)"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in or a refresh gives. Services get no refresh token."""

    access_token: str
    expires_in_s: int
    scope: str
    refresh_token: str | None

    def __repr__(self) -> str:
        return f"Tokens(scope={self.scope!r})"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A session as a token's holder: the person, the session, the refresh token to give."""

    user: User
    session: Session
    token: RefreshToken


async def sign_in(rt: Runtime, request: SignIn, origin: Origin) -> Tokens:
    """Check a password and open a session.

    Raises `Refused` invalid-grant, the same for an unknown address and a wrong password;
    too-many-attempts (429) with `retry_after_s`; email-not-verified where that is demanded;
    invalid-scope. Raises `Unavailable` when too many passwords are being checked.
    """
    with span("sign_in"):
        email_key = key_for_lookup(request.email)
        async with rt.db.reading() as view:
            user = await people.user_by_email(view, email_key)
            throttle = await people.throttle_of(view, email_key, origin.address)
        wait = wait_s(throttle, rt.clock.now())
        if wait:
            raise _throttled(wait)
        password = normalized(request.password)
        right = await rt.hasher.verify(user.password_hash if user else None, password)
        if user is None or not right:
            raise await rt.db.retrying(lambda tx: _note_failure(tx, rt, email_key, user, origin))
        if rt.settings.require_verified_email and user.email_verified_at is None:
            SIGN_INS.labels("unverified").inc()
            raise Refused(
                Kind.FORBIDDEN,
                "email-not-verified",
                "Verify your email address first; ask for the mail again if need be.",
            )
        granted = granted_to_user(user.roles, request.scope)
        outdated = rt.hasher.is_outdated(user.password_hash)
        fresh_hash = await rt.hasher.hash(password) if outdated else None
        opened = await rt.db.retrying(lambda tx: _open(tx, rt, user, request, origin, fresh_hash))
        if isinstance(opened, Refused):
            raise opened
    SIGN_INS.labels("signed-in").inc()
    return await _tokens(rt, opened, granted)


async def _note_failure(tx: Tx, rt: Runtime, email_key: str, user: User | None, origin: Origin) -> Refused:
    """Count a failure and return the refusal; it is returned, since the count must be committed."""
    now = rt.clock.now()
    throttle = await people.lock_throttle(tx, email_key, origin.address, now, create=True)
    assert throttle is not None, "it was just created"
    wait = wait_s(throttle, now)
    if wait:
        # Others failed while this password was being checked: they used up the allowance.
        return _throttled(wait)
    # An unknown address takes the same steps, with nobody's id.
    user_id = user.id if user else UUID(int=0)
    known = await people.has_signed_in_from(tx, user_id, origin.address)
    pressed = under_pressure(await people.recent_failures(tx, email_key, now), address_is_known=known)
    await people.save_throttle(tx, email_key, origin.address, after_failure(throttle, now, pressed=pressed))
    await witness(tx, rt, Happening.SIGN_IN_FAILED, subject=user.id if user else None, address=origin.address)
    SIGN_INS.labels("failed").inc()
    return _wrong()


async def _open(
    tx: Tx, rt: Runtime, user: User, request: SignIn, origin: Origin, fresh_hash: str | None
) -> _Opened | Refused:
    """Open a session for somebody whose password was right; returns a refusal that must not roll back."""
    now = rt.clock.now()
    throttle = await people.lock_throttle(tx, user.email_key, origin.address, now, create=False)
    wait = wait_s(throttle, now)
    if wait:
        # Many guesses at once: what comes after the allowance is used up learns nothing, right or wrong.
        return _throttled(wait)
    if throttle is not None:
        await people.lift_throttles(tx, user.email_key, origin.address)
    if not await people.note_sign_in(tx, user, fresh_hash, now):
        # A reset came between: the password that was right a moment ago is nobody's any more.
        return _wrong()
    opened = _new_session(rt, user, request, now)
    await sessions.insert_session(tx, opened.session, origin)
    actor = str(UserId(user.id))
    session = str(SessionId(opened.session.id))
    await witness(tx, rt, Happening.SIGNED_IN, subject=user.id, actor=actor, address=origin.address, session=session)
    surplus = await sessions.revoke_beyond_limit(tx, user.id, now)
    await tell_revoked(tx, rt, user.id, surplus, RevokedBecause.TOO_MANY_SESSIONS, actor=actor)
    return opened


def _new_session(rt: Runtime, user: User, request: SignIn, now: datetime) -> _Opened:
    session_id, seed = SessionId.new(now).uuid, secrets.token_bytes(32)
    token = derive_token(rt.refresh_key, session_id, seed, 0)
    scope_limit = scope_text(granted_to_user(user.roles, request.scope)) if request.scope else None
    session = Session(
        id=session_id,
        user_id=user.id,
        client_id=request.client_id or FIRST_PARTY,
        scope_limit=scope_limit,
        seed=seed,
        generation=0,
        token_hash=token.hash(),
        rotated_at=None,
        rotated_by=None,
        created_at=now,
        last_used_at=now,
        revoked_at=None,
    )
    return _Opened(user, session, token)


async def refresh(
    rt: Runtime, text: str, origin: Origin, *, client_id: str | None = None, scope: str | None = None
) -> Tokens:
    """Spend a refresh token for its successor and a new access token.

    The same client's retry within seconds gets the same successor. Any other use of a spent token
    ends the session, which is recorded before the caller is told. Raises `Refused` invalid-grant,
    the same for every reason, or invalid-scope.
    """
    with span("refresh"):
        token = parse_token(text)
        opened = None
        if token is not None:
            opened = await rt.db.retrying(lambda tx: _refresh(tx, rt, token, origin, client_id))
        if opened is None:
            raise _invalid_grant("The refresh token is not valid any more; sign in again.")
        granted = granted_to_user(opened.user.roles, opened.session.scope_limit)
        if scope:
            granted &= granted_to_user(opened.user.roles, scope)
    return await _tokens(rt, opened, granted)


async def _refresh(tx: Tx, rt: Runtime, token: RefreshToken, origin: Origin, client_id: str | None) -> _Opened | None:
    now = rt.clock.now()
    # Whoever loses the swap looks again and finds it done; a third look would mean that time ran backwards.
    for _ in range(3):
        session = await sessions.session_by_id(tx, token.session_id)
        if session is None or client_id not in (None, session.client_id):
            break
        client = client_fingerprint(session.client_id, origin.address, origin.user_agent)
        verdict = judge(session, token, rt.refresh_key, client, now)
        successor = derive_token(rt.refresh_key, session.id, session.seed, token.generation + 1)
        if verdict is Refresh.INVALID:
            break
        if verdict is Refresh.REUSED:
            await _end_family(tx, rt, session, origin)
            REFRESHES.labels("reused").inc()
            return None
        if verdict is Refresh.SAME_AGAIN or await sessions.rotate(tx, token, successor, client, now):
            user = await people.user_by_id(tx, session.user_id)
            assert user is not None, "a session belongs to a user"
            REFRESHES.labels("rotated" if verdict is Refresh.ROTATE else "same-again").inc()
            rotated = replace(session, generation=successor.generation, token_hash=successor.hash())
            return _Opened(user, rotated, successor)
    else:
        raise Unavailable("refresh-busy", "This refresh token is being used too often at once.")
    REFRESHES.labels("invalid").inc()
    return None


async def _end_family(tx: Tx, rt: Runtime, session: Session, origin: Origin) -> None:
    because = RevokedBecause.TOKEN_REUSED
    revoked = await sessions.revoke(tx, session.user_id, session.id, because, rt.clock.now())
    name = str(SessionId(session.id))
    await witness(tx, rt, Happening.REFRESH_TOKEN_REUSED, subject=session.user_id, address=origin.address, session=name)
    await tell_revoked(tx, rt, session.user_id, revoked, because, actor=None, address=origin.address)


async def give_service_token(rt: Runtime, client_id: str, secret: str, scope: str | None) -> Tokens:
    """Give a service its token (client credentials). Raises `Refused` invalid-client or invalid-scope."""
    if not rt.service_secrets.match(client_id, secret):
        raise invalid_client()
    holder = Holder(subject=f"svc_{client_id}", kind="service", client_id=client_id)
    return await _sign(rt, holder, granted_to_service(client_id, scope), None)


def invalid_client() -> Refused:
    """Return the refusal of a client that is not who it says."""
    return Refused(
        Kind.UNAUTHENTICATED,
        "invalid-client",
        "The client is unknown or its secret is wrong.",
        error="invalid_client",
        error_description="client authentication failed",
    )


async def _tokens(rt: Runtime, opened: _Opened, granted: frozenset[Permission]) -> Tokens:
    holder = Holder(
        subject=str(UserId(opened.user.id)),
        kind="user",
        client_id=opened.session.client_id,
        roles=opened.user.roles,
        session_id=str(SessionId(opened.session.id)),
        email_verified=opened.user.email_verified_at is not None,
    )
    return await _sign(rt, holder, granted, opened.token.text())


async def _sign(rt: Runtime, holder: Holder, granted: frozenset[Permission], refresh_token: str | None) -> Tokens:
    signer = await rt.signer.current()
    claims = claims_for(holder, granted, issuer=rt.settings.issuer, token_id=uuid4().hex, now=rt.clock.now())
    lifetime_s = int(ACCESS_LIFETIME.total_seconds())
    return Tokens(signer.sign(claims), lifetime_s, scope_text(granted), refresh_token)


def _invalid_grant(detail: str) -> Refused:
    return Refused(Kind.INVALID, "invalid-grant", detail, error="invalid_grant", error_description=detail)


def _wrong() -> Refused:
    return _invalid_grant("The address or the password is wrong.")


def _throttled(wait: int) -> Refused:
    SIGN_INS.labels("throttled").inc()
    return Refused(
        Kind.RATE_LIMITED,
        "too-many-attempts",
        "Too many wrong passwords; wait before you try again.",
        retry_after_s=wait,
        error="temporarily_unavailable",
        error_description="too many attempts",
    )
