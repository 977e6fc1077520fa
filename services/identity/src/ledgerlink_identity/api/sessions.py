"""Sessions: see them, end one, end them all."""

from fastapi import APIRouter

from ledgerlink_contracts.ids import SessionId
from ledgerlink_identity import queries
from ledgerlink_identity.api.callers import AnyPerson, ProfileReader, ProfileWriter, RequestOrigin, Rt
from ledgerlink_identity.api.schemas import RevokedResponse, SessionResponse, SessionsResponse
from ledgerlink_identity.commands import sessions
from ledgerlink_kit.problem import responses

router = APIRouter(prefix="/auth", tags=["sessions"])


@router.get("/sessions")
async def list_sessions(person: ProfileReader, rt: Rt) -> SessionsResponse:
    """List where the caller is signed in."""
    views = await queries.live_sessions(rt.db, person.user_id.uuid, rt.clock.now())
    return SessionsResponse(
        items=[
            SessionResponse(
                id=SessionId(view.id),
                client_id=view.client_id,
                address=view.address,
                user_agent=view.user_agent,
                created_at=view.created_at,
                last_used_at=view.last_used_at,
                current=view.id == person.session_id.uuid,
            )
            for view in views
        ]
    )


@router.delete("/sessions/{session_id}", status_code=204, responses=responses(404))
async def revoke_session(session_id: SessionId, person: ProfileWriter, rt: Rt, origin: RequestOrigin) -> None:
    """End one of the caller's sessions, on another device say; again changes nothing."""
    await sessions.revoke_session(rt, person.user_id, session_id, origin)


@router.post("/logout", status_code=204, responses=responses(403))
async def log_out(person: AnyPerson, rt: Rt, origin: RequestOrigin) -> None:
    """End the session of this token."""
    await sessions.log_out(rt, person.user_id, person.session_id, origin)


@router.post("/logout-all", responses=responses(403))
async def log_out_everywhere(person: AnyPerson, rt: Rt, origin: RequestOrigin) -> RevokedResponse:
    """End every session of the caller, this one included."""
    return RevokedResponse(revoked=await sessions.log_out_everywhere(rt, person.user_id, origin))
