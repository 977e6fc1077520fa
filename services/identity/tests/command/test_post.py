"""Proves verification and password reset by mail: one use, in time, for its purpose; and nothing for strangers."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from ledgerlink_identity.commands.accounts import Registration, ask_for_mail, confirm_email, register, reset_password
from ledgerlink_identity.commands.post import send_next_mail, tidy
from ledgerlink_identity.commands.sign_ins import SignIn, Tokens, refresh, sign_in
from ledgerlink_identity.connectors.mail import Mail
from ledgerlink_identity.domain.limits import MAIL_TRIES_MAX, MAILS_PER_HOUR_MAX
from ledgerlink_identity.domain.one_time import LIFETIMES, Purpose
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.tables import login_throttles, mails, one_time_tokens, users
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.testing import ManualClock

HOME = Origin("203.0.113.7", "test-agent/1")
EMAIL, PASSWORD, NEW = "ada@example.com", "a long enough secret", "an even longer secret"


class KeptMails:
    """A mailer that keeps what it is given, and is away when told to be."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.away = False

    async def send(self, mail: Mail) -> None:
        if self.away:
            raise Unavailable("mail-unavailable", "The mail server is away.")
        self.mails.append(mail)

    def codes(self) -> list[str]:
        """The code of each mail stands on a line of its own."""
        return [next(line for line in mail.text.splitlines() if len(line) == 43) for mail in self.mails]


@pytest.fixture
def mailer() -> KeptMails:
    return KeptMails()


async def send_all(rt: Runtime, mailer: KeptMails) -> None:
    while await send_next_mail(rt, mailer):
        pass


async def enroll(rt: Runtime, mailer: KeptMails) -> str:
    """Register, and return the code of the verification mail."""
    await register(rt, Registration(EMAIL, PASSWORD, None), HOME)
    await send_all(rt, mailer)
    return mailer.codes()[-1]


async def reset_code(rt: Runtime, mailer: KeptMails) -> str:
    await ask_for_mail(rt, Purpose.PASSWORD_RESET, EMAIL)
    await send_all(rt, mailer)
    return mailer.codes()[-1]


async def outcome(work: Awaitable[Any]) -> str:
    try:
        await work
    except Refused as refusal:
        return refusal.code
    return "done"


async def enter(rt: Runtime, password: str) -> Tokens:
    return await sign_in(rt, SignIn(EMAIL, password, None, None), HOME)


async def states(rt: Runtime) -> Counter[str]:
    async with rt.db.reading() as view:
        return Counter(await view.scalars(sa.select(mails.c.state)))


async def test_the_code_from_the_mail_verifies_the_address_once(rt: Runtime, mailer: KeptMails) -> None:
    code = await enroll(rt, mailer)
    assert mailer.mails[0].to == EMAIL
    assert await outcome(confirm_email(rt, code, HOME)) == "done"
    assert await outcome(confirm_email(rt, code, HOME)) == "one-time-token-invalid"
    async with rt.db.reading() as view:
        assert await view.scalar(sa.select(users.c.email_verified_at)) == rt.clock.now()
        told = list(await view.scalars(sa.text("SELECT type FROM outbox ORDER BY seq")))
    assert told == ["identity.user.registered", "identity.user.email-verified"]


async def test_a_code_is_stored_as_a_hash_only(rt: Runtime, mailer: KeptMails) -> None:
    code = await enroll(rt, mailer)
    async with rt.db.reading() as view:
        stored = (await view.execute(sa.text("SELECT one_time_tokens::text FROM one_time_tokens"))).all()
        posted = (await view.execute(sa.text("SELECT mails::text FROM mails"))).all()
    assert code not in str(stored) + str(posted)


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_a_code_expires_at_the_end_of_its_lifetime(
    rt: Runtime, mailer: KeptMails, clock: ManualClock, purpose: Purpose
) -> None:
    await enroll(rt, mailer)
    await ask_for_mail(rt, purpose, EMAIL)
    await send_all(rt, mailer)
    clock.advance(LIFETIMES[purpose].total_seconds())
    code = mailer.codes()[-1]
    spend = confirm_email(rt, code, HOME) if purpose is Purpose.VERIFICATION else reset_password(rt, code, NEW, HOME)
    assert await outcome(spend) == "one-time-token-invalid"


async def test_a_code_works_for_its_own_purpose_only(rt: Runtime, mailer: KeptMails) -> None:
    verification = await enroll(rt, mailer)
    assert await outcome(reset_password(rt, verification, NEW, HOME)) == "one-time-token-invalid"
    assert await outcome(confirm_email(rt, await reset_code(rt, mailer), HOME)) == "one-time-token-invalid"
    assert await outcome(confirm_email(rt, "never mailed", HOME)) == "one-time-token-invalid"


async def test_a_reset_sets_the_password_ends_sessions_and_forgets_failures(rt: Runtime, mailer: KeptMails) -> None:
    await enroll(rt, mailer)
    before = await enter(rt, PASSWORD)
    assert before.refresh_token is not None
    for _ in range(6):
        await outcome(enter(rt, "wrong"))
    code = await reset_code(rt, mailer)
    assert await outcome(reset_password(rt, code, NEW, HOME)) == "done"
    assert await outcome(refresh(rt, before.refresh_token, HOME)) == "invalid-grant"
    async with rt.db.reading() as view:
        assert (await view.execute(sa.select(login_throttles))).all() == []
        told = list(await view.scalars(sa.text("SELECT type FROM outbox ORDER BY seq")))
        verified = await view.scalar(sa.select(users.c.email_verified_at))
    assert verified is not None
    assert told[1:] == ["identity.user.email-verified", "identity.user.password-reset", "identity.session.revoked"]
    assert await outcome(enter(rt, PASSWORD)) == "invalid-grant"
    assert await outcome(enter(rt, NEW)) == "done"


async def test_a_weak_new_password_leaves_the_code_good(rt: Runtime, mailer: KeptMails) -> None:
    await enroll(rt, mailer)
    code = await reset_code(rt, mailer)
    assert await outcome(reset_password(rt, code, "qwertyuiop", HOME)) == "weak-password"
    assert await outcome(reset_password(rt, code, NEW, HOME)) == "done"


async def test_of_many_uses_of_one_code_at_once_one_counts(rt: Runtime, mailer: KeptMails) -> None:
    verification = await enroll(rt, mailer)
    spends = [confirm_email(rt, verification, HOME) for _ in range(10)]
    assert Counter(await asyncio.gather(*map(outcome, spends))) == {"done": 1, "one-time-token-invalid": 9}
    code = await reset_code(rt, mailer)
    resets = [reset_password(rt, code, f"{NEW} {number}", HOME) for number in range(6)]
    assert Counter(await asyncio.gather(*map(outcome, resets))) == {"done": 1, "one-time-token-invalid": 5}


async def test_using_one_code_spends_its_siblings(rt: Runtime, mailer: KeptMails) -> None:
    await enroll(rt, mailer)
    codes = [await reset_code(rt, mailer), await reset_code(rt, mailer)]
    assert await outcome(reset_password(rt, codes[0], NEW, HOME)) == "done"
    assert await outcome(reset_password(rt, codes[1], PASSWORD, HOME)) == "one-time-token-invalid"


@pytest.mark.parametrize("purpose", list(Purpose))
async def test_asking_for_a_mail_does_the_same_work_for_any_address(
    rt: Runtime, mailer: KeptMails, purpose: Purpose
) -> None:
    await enroll(rt, mailer)
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    work: list[list[str]] = []
    event.listen(rt.db.engine.sync_engine, "before_cursor_execute", note)
    for email in (EMAIL, "nobody@example.com"):
        statements.clear()
        await ask_for_mail(rt, purpose, email)
        work.append(statements.copy())
    event.remove(rt.db.engine.sync_engine, "before_cursor_execute", note)
    assert work[0] == work[1]
    assert len(work[0]) == 1


async def test_nobody_is_written_to_who_is_unknown_or_verified(rt: Runtime, mailer: KeptMails) -> None:
    code = await enroll(rt, mailer)
    await ask_for_mail(rt, Purpose.PASSWORD_RESET, "nobody@example.com")
    await confirm_email(rt, code, HOME)
    await ask_for_mail(rt, Purpose.VERIFICATION, EMAIL)
    await send_all(rt, mailer)
    assert len(mailer.mails) == 1
    assert await states(rt) == {"sent": 1, "dropped": 2}


async def test_a_mailbox_cannot_be_flooded(rt: Runtime, mailer: KeptMails, clock: ManualClock) -> None:
    await enroll(rt, mailer)
    for _ in range(MAILS_PER_HOUR_MAX + 3):
        await ask_for_mail(rt, Purpose.PASSWORD_RESET, EMAIL)
    await send_all(rt, mailer)
    assert len(mailer.mails) == 1 + MAILS_PER_HOUR_MAX
    clock.advance(3600)
    await reset_code(rt, mailer)
    assert len(mailer.mails) == 2 + MAILS_PER_HOUR_MAX


async def test_a_mail_waits_while_the_server_is_away_and_is_given_up_in_the_end(
    rt: Runtime, mailer: KeptMails, clock: ManualClock
) -> None:
    await register(rt, Registration(EMAIL, PASSWORD, None), HOME)
    mailer.away = True
    waits = 0
    while await states(rt) == {"waiting": 1}:
        if not await send_next_mail(rt, mailer):
            clock.advance(60)
            waits += 1
    assert await states(rt) == {"failed": 1}
    assert waits == sum(2**tries for tries in range(MAIL_TRIES_MAX - 1))


async def test_a_mail_goes_out_when_the_server_is_back(rt: Runtime, mailer: KeptMails, clock: ManualClock) -> None:
    await register(rt, Registration(EMAIL, PASSWORD, None), HOME)
    mailer.away = True
    await send_all(rt, mailer)
    mailer.away = False
    clock.advance(60)
    await send_all(rt, mailer)
    assert await outcome(confirm_email(rt, mailer.codes()[0], HOME)) == "done"


async def test_several_workers_send_each_mail_once(
    rt: Runtime, mailer: KeptMails, make_rt: Callable[..., Awaitable[Runtime]]
) -> None:
    quick = dataclasses.replace(rt, hasher=rt.hasher)
    for number in range(6):
        await register(quick, Registration(f"user{number}@example.com", PASSWORD, None), HOME)
    other = await make_rt(db=rt.db)
    await asyncio.gather(send_all(rt, mailer), send_all(other, mailer), send_all(rt, mailer))
    assert sorted(mail.to for mail in mailer.mails) == [f"user{number}@example.com" for number in range(6)]


async def test_what_is_over_is_forgotten_after_a_while(rt: Runtime, mailer: KeptMails, clock: ManualClock) -> None:
    await enroll(rt, mailer)
    await outcome(enter(rt, "wrong"))
    await tidy(rt)
    clock.advance(25 * 3600)
    await tidy(rt)
    async with rt.db.reading() as view:
        assert (await view.execute(sa.select(login_throttles))).all() == []
        assert len((await view.execute(sa.select(mails))).all()) == 1
    clock.advance(8 * 24 * 3600)
    await tidy(rt)
    async with rt.db.reading() as view:
        assert (await view.execute(sa.select(mails))).all() == []
        assert (await view.execute(sa.select(one_time_tokens))).all() == []
