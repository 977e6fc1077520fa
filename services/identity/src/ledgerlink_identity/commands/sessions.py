"""Ending sessions."""

from uuid import UUID

from ledgerlink_contracts.identity.events import RevokedBecause
from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_identity.commands.witness import tell_revoked
from ledgerlink_identity.domain.sessions import Refresh, client_fingerprint, judge, parse_token
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import sessions
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.telemetry import span


async def log_out(rt: Runtime, user_id: UserId, session_id: SessionId, origin: Origin) -> None:
    """End the caller's own session; ending it again changes nothing."""
    with span("log_out"):
        await rt.db.retrying(lambda tx: _end(tx, rt, user_id, session_id.uuid, RevokedBecause.LOGOUT, origin))


async def log_out_everywhere(rt: Runtime, user_id: UserId, origin: Origin) -> int:
    """End every session of the caller; return how many there were."""

    async def body(tx: Tx) -> int:
        because = RevokedBecause.LOGOUT
        revoked = await sessions.revoke_all(tx, user_id.uuid, because, rt.clock.now())
        await tell_revoked(tx, rt, user_id.uuid, revoked, because, actor=str(user_id), address=origin.address)
        return len(revoked)

    with span("log_out_everywhere"):
        return await rt.db.retrying(body)


async def revoke_session(rt: Runtime, user_id: UserId, session_id: SessionId, origin: Origin) -> None:
    """End one of the caller's sessions. Raises `Refused` session-unknown, for somebody else's too."""

    async def body(tx: Tx) -> None:
        if not await sessions.session_exists(tx, user_id.uuid, session_id.uuid):
            raise Refused(Kind.NOT_FOUND, "session-unknown", "You have no session with this id.")
        await _end(tx, rt, user_id, session_id.uuid, RevokedBecause.REVOKED, origin)

    with span("revoke_session"):
        await rt.db.retrying(body)


async def revoke_token(rt: Runtime, text: str, client_id: str | None, origin: Origin) -> None:
    """End the session of a refresh token (RFC 7009); a token that is not good changes nothing and is no error."""
    token = parse_token(text)
    if token is None:
        return

    async def body(tx: Tx) -> None:
        session = await sessions.session_by_id(tx, token.session_id)
        if session is None or client_id not in (None, session.client_id):
            return
        client = client_fingerprint(session.client_id, origin.address, origin.user_agent)
        if judge(session, token, rt.refresh_key, client, rt.clock.now()) is not Refresh.INVALID:
            # A spent token ends the session as well: whoever holds one of the family may close it.
            await _end(tx, rt, UserId(session.user_id), session.id, RevokedBecause.LOGOUT, origin)

    with span("revoke_token"):
        await rt.db.retrying(body)


async def _end(tx: Tx, rt: Runtime, user_id: UserId, session_id: UUID, because: RevokedBecause, origin: Origin) -> None:
    revoked = await sessions.revoke(tx, user_id.uuid, session_id, because, rt.clock.now())
    await tell_revoked(tx, rt, user_id.uuid, revoked, because, actor=str(user_id), address=origin.address)
