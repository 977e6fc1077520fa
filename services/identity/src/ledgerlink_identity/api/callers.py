"""Who calls, and from where: the parameters of routes."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_contracts.permissions import Permission
from ledgerlink_identity import queries
from ledgerlink_identity.runtime import Network, Runtime
from ledgerlink_identity.store.people import User
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit.auth import Caller, requires
from ledgerlink_kit.errors import Kind, Refused

_USER_AGENT_CHARS_MAX = 300


# Async though it awaits nothing: FastAPI would run a plain function in a thread, once per request.
async def runtime_of(request: Request) -> Runtime:
    """Return the runtime that the app was made with."""
    return request.app.state.runtime


Rt = Annotated[Runtime, Depends(runtime_of)]


# Async though it awaits nothing: FastAPI would run a plain function in a thread, once per request.
async def origin_of(request: Request, rt: Rt) -> Origin:
    """Return where the request came from.

    X-Forwarded-For is believed only as far as trusted proxies wrote it: read from the right, the
    first address that is not one of them is the client's.
    """
    address = request.client.host if request.client else "unknown"
    hops = [hop.strip() for value in request.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    while hops and _is_within(address, rt.trusted_proxies):
        hop = hops.pop()
        if not _is_address(hop):
            break
        address = hop
    agent = request.headers.get("user-agent", "")[:_USER_AGENT_CHARS_MAX]
    return Origin(address, agent)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


RequestOrigin = Annotated[Origin, Depends(origin_of)]


@dataclass(frozen=True, slots=True)
class Person:
    """A person in a session that is live at this moment."""

    user: User
    user_id: UserId
    session_id: SessionId
    caller: Caller


async def _person(caller: Caller, rt: Runtime) -> Person:
    """Return the person behind a token.

    An access token outlives the end of its session by up to ten minutes. Here, where sessions live,
    that is looked up: identity's own routes know an ended session at once.
    """
    if caller.kind != "user" or caller.session_id is None:
        raise Refused(Kind.FORBIDDEN, "person-required", "Only people may do this, a service may not.")
    user_id, session_id = UserId.parse(caller.subject), SessionId.parse(caller.session_id)
    user = await queries.user_in_session(rt.db, user_id.uuid, session_id.uuid, rt.clock.now())
    if user is None:
        raise Refused(Kind.UNAUTHENTICATED, "session-ended", "This session has ended; sign in again.")
    return Person(user, user_id, session_id, caller)


async def anybody(caller: Annotated[Caller, requires()], rt: Rt) -> Person:
    """Demand a person, whatever the token allows."""
    return await _person(caller, rt)


async def reader(caller: Annotated[Caller, requires(Permission.PROFILE_READ)], rt: Rt) -> Person:
    """Demand a person who may read their profile."""
    return await _person(caller, rt)


async def writer(caller: Annotated[Caller, requires(Permission.PROFILE_WRITE)], rt: Rt) -> Person:
    """Demand a person who may change their profile."""
    return await _person(caller, rt)


async def admin(caller: Annotated[Caller, requires(Permission.IDENTITY_ADMIN)], rt: Rt) -> Person:
    """Demand a person who may manage people and keys."""
    return await _person(caller, rt)


AnyPerson = Annotated[Person, Depends(anybody)]
ProfileReader = Annotated[Person, Depends(reader)]
ProfileWriter = Annotated[Person, Depends(writer)]
Admin = Annotated[Person, Depends(admin)]
