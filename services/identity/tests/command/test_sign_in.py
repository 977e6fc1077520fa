"""Proves signing in: what it writes, that known and unknown addresses look alike, and how guessing slows down."""

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import bcrypt
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.commands.accounts import Registration, register
from ledgerlink_identity.commands.sign_ins import SignIn, Tokens, sign_in
from ledgerlink_identity.domain.limits import FREE_FAILURES, LIVE_SESSIONS_MAX
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import people
from ledgerlink_identity.store.people import User
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.tables import login_throttles, security_events, sessions, users
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.testing import ManualClock

HOME = Origin("203.0.113.7", "test-agent/1")
ATTACKER = Origin("198.51.100.66", "curl/8")
EMAIL, PASSWORD = "ada@example.com", "a long enough secret"


class QuickHasher:
    """A hasher that costs nothing, and counts; for tests of what happens around the hashing."""

    def __init__(self) -> None:
        self.checked = 0

    async def hash(self, password: str) -> str:
        return "quick:" + password

    async def verify(self, stored: str | None, password: str) -> bool:
        self.checked += 1
        # As with the real one, others get their turn while a password is being checked.
        await asyncio.sleep(0.001)
        return stored == "quick:" + password

    def is_outdated(self, stored: str) -> bool:
        return not stored.startswith("quick:")

    def close(self) -> None:
        return


@pytest.fixture
def hasher() -> QuickHasher:
    return QuickHasher()


@pytest.fixture
def quick(rt: Runtime, hasher: QuickHasher) -> Runtime:
    return dataclasses.replace(rt, hasher=hasher)


async def enroll(rt: Runtime, email: str = EMAIL) -> User:
    return await register(rt, Registration(email, PASSWORD, None), HOME)


async def enter(rt: Runtime, password: str = PASSWORD, origin: Origin = HOME, **more: Any) -> Tokens:
    return await sign_in(
        rt, SignIn(more.pop("email", EMAIL), password, more.get("scope"), more.get("client_id")), origin
    )


async def code_of(rt: Runtime, password: str, origin: Origin = HOME, **more: Any) -> str:
    try:
        await enter(rt, password, origin, **more)
    except Refused as refusal:
        return refusal.code
    return "signed-in"


async def count(rt: Runtime, table: sa.Table) -> int:
    async with rt.db.reading() as view:
        return int(await view.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


async def test_signing_in_opens_a_session_and_notes_the_moment(rt: Runtime, clock: ManualClock) -> None:
    user = await enroll(rt)
    clock.advance(60)
    await enter(rt, email=" ADA@example.com ", client_id="phone")
    async with rt.db.reading() as view:
        found = await people.user_by_id(view, user.id)
        session = (await view.execute(sa.select(sessions))).one()
        happenings = (await view.scalars(sa.select(security_events.c.happening).order_by(security_events.c.seq))).all()
    assert found is not None
    assert found.last_login_at == clock.now()
    assert (session.client_id, session.address, session.user_agent) == ("phone", HOME.address, HOME.user_agent)
    assert happenings == ["registered", "signed-in"]


async def test_a_refresh_token_is_stored_as_a_hash_only(rt: Runtime) -> None:
    await enroll(rt)
    given = await enter(rt)
    assert given.refresh_token is not None
    async with rt.db.reading() as view:
        row = (await view.execute(sa.text("SELECT sessions::text AS everything FROM sessions"))).one()
    assert given.refresh_token not in row.everything
    assert given.refresh_token not in repr(given)


async def refusal_and_work(rt: Runtime, hasher: QuickHasher, email: str) -> tuple[Refused, list[str], int]:
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(rt.db.engine.sync_engine, "before_cursor_execute", note)
    before = hasher.checked
    with pytest.raises(Refused) as refusal:
        await enter(rt, "a wrong password", email=email)
    event.remove(rt.db.engine.sync_engine, "before_cursor_execute", note)
    return refusal.value, statements, hasher.checked - before


async def test_an_unknown_address_costs_and_answers_the_same_as_a_wrong_password(
    quick: Runtime, hasher: QuickHasher
) -> None:
    await enroll(quick)
    for _ in range(FREE_FAILURES):
        known, known_work, known_checks = await refusal_and_work(quick, hasher, EMAIL)
        unknown, unknown_work, unknown_checks = await refusal_and_work(quick, hasher, "nobody@example.com")
        assert (known.kind, known.code, known.detail, known.members) == (
            unknown.kind,
            unknown.code,
            unknown.detail,
            unknown.members,
        )
        assert known.code == "invalid-grant"
        assert known_work == unknown_work
        assert known_checks == unknown_checks == 1
    known, known_work, known_checks = await refusal_and_work(quick, hasher, EMAIL)
    unknown, unknown_work, unknown_checks = await refusal_and_work(quick, hasher, "nobody@example.com")
    assert (known.code, known.members) == (unknown.code, unknown.members)
    assert (known.code, known.members["retry_after_s"]) == ("too-many-attempts", 2)
    assert known_work == unknown_work
    assert known_checks == unknown_checks == 0


async def test_the_wait_ends_and_a_right_password_clears_the_count(quick: Runtime, clock: ManualClock) -> None:
    await enroll(quick)
    for _ in range(FREE_FAILURES):
        assert await code_of(quick, "wrong") == "invalid-grant"
    assert await code_of(quick, PASSWORD) == "too-many-attempts"
    clock.advance(2)
    assert await code_of(quick, PASSWORD) == "signed-in"
    assert await count(quick, login_throttles) == 0


async def test_a_stranger_cannot_lock_the_owner_out(quick: Runtime) -> None:
    await enroll(quick)
    for _ in range(FREE_FAILURES + 3):
        await code_of(quick, "wrong", ATTACKER)
    assert await code_of(quick, PASSWORD, ATTACKER) == "too-many-attempts"
    assert await code_of(quick, PASSWORD, HOME) == "signed-in"


async def test_under_pressure_new_addresses_get_one_try_and_known_ones_keep_theirs(quick: Runtime) -> None:
    await enroll(quick)
    assert await code_of(quick, PASSWORD, HOME) == "signed-in"
    for number in range(20):
        await code_of(quick, "wrong", Origin(f"198.51.100.{number}", "bot"))
    fresh = Origin("192.0.2.1", "bot")
    assert [await code_of(quick, "wrong", fresh) for _ in range(2)] == ["invalid-grant", "too-many-attempts"]
    assert [await code_of(quick, "wrong", HOME) for _ in range(3)] == ["invalid-grant"] * 3
    assert await code_of(quick, PASSWORD, HOME) == "signed-in"
    # The owner on a new device is let in by the right password at the first try.
    assert await code_of(quick, PASSWORD, Origin("192.0.2.2", "new phone")) == "signed-in"


async def test_guesses_at_once_learn_no_more_than_the_allowance(quick: Runtime) -> None:
    await enroll(quick)
    guesses = ["wrong"] * 50 + [PASSWORD]
    first = Counter(await asyncio.gather(*(code_of(quick, guess, ATTACKER) for guess in guesses)))
    assert first["invalid-grant"] <= FREE_FAILURES
    assert first["too-many-attempts"] + first["signed-in"] == len(guesses) - first["invalid-grant"]
    assert first["signed-in"] <= 1


async def test_right_passwords_at_once_all_get_in(quick: Runtime) -> None:
    await enroll(quick)
    assert Counter(await asyncio.gather(*(code_of(quick, PASSWORD) for _ in range(40)))) == {"signed-in": 40}
    assert await count(quick, sessions) == 40


async def test_an_imported_bcrypt_hash_works_and_is_replaced_at_sign_in(rt: Runtime) -> None:
    user = await enroll(rt)
    imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    async with rt.db.transaction() as tx:
        await tx.execute(users.update().values(password_hash=imported))
    assert await code_of(rt, "not the password") == "invalid-grant"
    assert Counter(await asyncio.gather(*(code_of(rt, PASSWORD) for _ in range(3)))) == {"signed-in": 3}
    async with rt.db.reading() as view:
        found = await people.user_by_id(view, user.id)
    assert found is not None
    assert found.password_hash.startswith("$argon2id$")
    assert await code_of(rt, PASSWORD) == "signed-in"


async def test_a_password_that_was_changed_while_it_was_checked_opens_nothing(
    quick: Runtime, clock: ManualClock
) -> None:
    user = await enroll(quick)

    class Slow(QuickHasher):
        async def verify(self, stored: str | None, password: str) -> bool:
            right = await super().verify(stored, password)
            clock.advance(1)
            async with quick.db.transaction() as tx:
                await people.set_password(tx, user.id, "quick:changed", clock.now())
            return right

    assert await code_of(dataclasses.replace(quick, hasher=Slow()), PASSWORD) == "invalid-grant"
    assert await count(quick, sessions) == 0


async def test_only_verified_people_sign_in_where_that_is_demanded(quick: Runtime, clock: ManualClock) -> None:
    settings = quick.settings.model_copy(update={"require_verified_email": True})
    strict = dataclasses.replace(quick, settings=settings)
    user = await enroll(strict)
    assert await code_of(strict, "wrong") == "invalid-grant"
    assert await code_of(strict, PASSWORD) == "email-not-verified"
    async with strict.db.transaction() as tx:
        await people.mark_verified(tx, user.id, clock.now())
    assert await code_of(strict, PASSWORD) == "signed-in"


async def test_the_oldest_session_ends_when_there_are_too_many(quick: Runtime, clock: ManualClock) -> None:
    await enroll(quick)
    for _ in range(LIVE_SESSIONS_MAX + 2):
        clock.advance(1)
        await enter(quick)
    async with quick.db.reading() as view:
        ended = (
            await view.execute(sa.select(sessions).where(sessions.c.revoked_at.is_not(None)).order_by(sessions.c.id))
        ).all()
        oldest = (await view.scalars(sa.select(sessions.c.id).order_by(sessions.c.created_at).limit(2))).all()
    assert [row.id for row in ended] == list(oldest)
    assert {row.revoked_because for row in ended} == {"too-many-sessions"}


async def test_a_scope_that_is_not_held_is_refused_after_the_password_only(quick: Runtime) -> None:
    await enroll(quick)
    assert await code_of(quick, "wrong", scope="identity:admin") == "invalid-grant"
    assert await code_of(quick, PASSWORD, scope="identity:admin") == "invalid-scope"
    assert await count(quick, sessions) == 0


async def test_a_role_that_is_given_shows_in_the_next_token(quick: Runtime) -> None:
    user = await enroll(quick)
    async with quick.db.transaction() as tx:
        await people.set_roles(tx, user.id, [Role.AUDITOR])
    assert "ledger:audit" in (await enter(quick)).scope.split()


async def test_the_refusal_of_a_slowed_down_caller_says_when_to_come_back(quick: Runtime) -> None:
    await enroll(quick)
    for _ in range(FREE_FAILURES):
        await code_of(quick, "wrong")
    with pytest.raises(Refused) as refusal:
        await enter(quick)
    assert refusal.value.kind is Kind.RATE_LIMITED
    assert refusal.value.members["retry_after_s"] == 2
