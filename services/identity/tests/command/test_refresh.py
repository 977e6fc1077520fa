"""Proves rotation: one successor for any number of uses at once, the same for a retry, death to a family for reuse."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.commands.accounts import Registration, register
from ledgerlink_identity.commands.sign_ins import SignIn, Tokens, refresh, sign_in
from ledgerlink_identity.domain.limits import IDLE_LIFETIME, RETRY_WINDOW
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import people
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.tables import security_events, sessions
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.testing import ManualClock

HOME = Origin("203.0.113.7", "test-agent/1")
THIEF = Origin("198.51.100.66", "curl/8")
EMAIL, PASSWORD = "ada@example.com", "a long enough secret"


async def start(rt: Runtime, scope: str | None = None, client_id: str | None = None) -> str:
    await register(rt, Registration(EMAIL, PASSWORD, None), HOME)
    given = await sign_in(rt, SignIn(EMAIL, PASSWORD, scope, client_id), HOME)
    assert given.refresh_token is not None
    return given.refresh_token


async def turn(rt: Runtime, token: str, origin: Origin = HOME, **more: Any) -> Tokens:
    return await refresh(rt, token, origin, **more)


async def outcome(rt: Runtime, token: str, origin: Origin = HOME, **more: Any) -> str:
    """The successor, or the code of the refusal."""
    try:
        return str((await refresh(rt, token, origin, **more)).refresh_token)
    except Refused as refusal:
        return refusal.code


async def happenings(rt: Runtime) -> list[str]:
    async with rt.db.reading() as view:
        return list(await view.scalars(sa.select(security_events.c.happening).order_by(security_events.c.seq)))


async def test_a_thousand_uses_of_one_token_at_once_give_one_successor(rt: Runtime) -> None:
    # As many as a process takes in at once: the pool of connections is what they wait for.
    patient = dataclasses.replace(rt, db=Database(rt.db.url, application_name="test", pool_size=16, pool_timeout_s=60))
    token = await start(rt)
    successors = Counter(await asyncio.gather(*(outcome(patient, token) for _ in range(1000))))
    await patient.db.close()
    assert len(successors) == 1
    (successor,) = successors
    assert successor.startswith("llrt_")
    async with rt.db.reading() as view:
        session = (await view.execute(sa.select(sessions))).one()
    assert (session.generation, session.revoked_at) == (1, None)
    assert (await outcome(rt, successor)).startswith("llrt_")


async def test_a_retry_within_seconds_gets_the_same_successor_and_after_that_ends_the_family(
    rt: Runtime, clock: ManualClock
) -> None:
    token = await start(rt)
    successor = await outcome(rt, token)
    clock.advance(RETRY_WINDOW.total_seconds())
    assert await outcome(rt, token) == successor
    clock.advance(0.001)
    assert await outcome(rt, token) == "invalid-grant"
    assert await outcome(rt, successor) == "invalid-grant"


async def test_a_stolen_token_ends_the_family_whoever_comes_second(rt: Runtime) -> None:
    token = await start(rt)
    stolen = await outcome(rt, token, THIEF)
    assert stolen.startswith("llrt_")
    assert await outcome(rt, token, HOME) == "invalid-grant"
    assert await outcome(rt, stolen, THIEF) == "invalid-grant"
    assert await happenings(rt) == ["registered", "signed-in", "refresh-token-reused", "session-revoked"]
    async with rt.db.reading() as view:
        told = (await view.execute(sa.text("SELECT type, data FROM outbox ORDER BY seq DESC LIMIT 1"))).one()
    assert (told.type, told.data["because"]) == ("identity.session.revoked", "token-reused")


async def test_an_owner_and_a_thief_at_once_never_both_go_on(rt: Runtime) -> None:
    token = await start(rt)
    origins = [HOME, THIEF] * 20
    outcomes = await asyncio.gather(*(outcome(rt, token, origin) for origin in origins))
    assert "invalid-grant" in outcomes
    async with rt.db.reading() as view:
        assert await view.scalar(sa.select(sessions.c.revoked_because)) == "token-reused"
    for successor in set(outcomes) - {"invalid-grant"}:
        assert await outcome(rt, successor) == "invalid-grant"
    assert (await happenings(rt)).count("session-revoked") == 1


async def test_a_guess_that_names_the_session_changes_nothing(rt: Runtime) -> None:
    token = await start(rt)
    forged = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    assert await outcome(rt, forged, THIEF) == "invalid-grant"
    assert (await outcome(rt, token)).startswith("llrt_")


@pytest.mark.parametrize("text", ["", "x", "llrt_" + "A" * 70])
async def test_what_is_no_token_of_ours_is_refused_alike(rt: Runtime, text: str) -> None:
    assert await outcome(rt, text) == "invalid-grant"


async def test_another_client_cannot_use_the_token(rt: Runtime) -> None:
    token = await start(rt, client_id="phone")
    assert await outcome(rt, token, client_id="laptop") == "invalid-grant"
    assert (await outcome(rt, token, client_id="phone")).startswith("llrt_")


async def test_a_narrowed_session_stays_narrow(rt: Runtime) -> None:
    token = await start(rt, scope="wallet:read profile:read")
    second = await turn(rt, token)
    assert second.scope == "profile:read wallet:read"
    assert second.refresh_token is not None
    third = await turn(rt, second.refresh_token, scope="wallet:read wallet:write")
    assert third.scope == "wallet:read"
    assert third.refresh_token is not None
    assert (await turn(rt, third.refresh_token)).scope == "profile:read wallet:read"


async def test_roles_are_read_anew_at_every_refresh(rt: Runtime) -> None:
    token = await start(rt)
    async with rt.db.transaction() as tx:
        user = await people.user_by_email(tx, EMAIL)
        assert user is not None
        await people.set_roles(tx, user.id, [Role.AUDITOR])
    assert "ledger:audit" in (await turn(rt, token)).scope.split()


async def test_an_unused_session_ends_by_itself(rt: Runtime, clock: ManualClock) -> None:
    token = await start(rt)
    clock.advance(IDLE_LIFETIME.total_seconds())
    assert await outcome(rt, token) == "invalid-grant"


async def test_a_successor_is_the_same_in_every_process(
    rt: Runtime, make_rt: Callable[..., Awaitable[Runtime]]
) -> None:
    token = await start(rt)
    other_process = await make_rt(db=rt.db)
    assert await outcome(rt, token) == await outcome(other_process, token)
