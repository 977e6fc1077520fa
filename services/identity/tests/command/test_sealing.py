"""Proves that every security event gets its place in the chain, and that tampering with stored rows is found."""

import asyncio

import pytest
import sqlalchemy as sa

from ledgerlink_identity.commands.accounts import Registration, register
from ledgerlink_identity.commands.sealing import seal_events
from ledgerlink_identity.commands.sign_ins import SignIn, sign_in
from ledgerlink_identity.queries import verify_audit
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.worker import INVARIANTS
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.invariants import run_invariants

HOME = Origin("203.0.113.7", "test-agent/1")
PASSWORD = "a long enough secret"


async def happen(rt: Runtime, number: int) -> None:
    await register(rt, Registration(f"user{number}@example.com", PASSWORD, None), HOME)
    with pytest.raises(Refused):
        await sign_in(rt, SignIn(f"user{number}@example.com", "wrong", None, None), HOME)


async def tamper(rt: Runtime, *statements: str) -> None:
    """Do what only somebody with the database owner's rights can do."""
    async with rt.db.transaction() as tx:
        await tx.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await tx.execute(sa.text(statement))


async def test_events_are_sealed_once_whoever_seals_at_the_same_time(rt: Runtime) -> None:
    await asyncio.gather(*(happen(rt, number) for number in range(5)))
    waiting = await verify_audit(rt.db, after=0)
    assert (waiting.checked, waiting.findings, waiting.unsealed) == (0, [], 10)
    assert waiting.oldest_unsealed_at is not None
    assert sum(await asyncio.gather(*(seal_events(rt.db) for _ in range(4)))) >= 10
    await happen(rt, 6)
    assert await seal_events(rt.db) == 2
    assert await seal_events(rt.db) == 0
    done = await verify_audit(rt.db, after=0)
    assert (done.checked, done.findings, done.unsealed, done.next_after) == (12, [], 0, None)
    assert (await verify_audit(rt.db, after=7)).checked == 5


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        ("UPDATE security_events SET address = '192.0.2.1' WHERE seq = 3", "does not match its hash"),
        ("UPDATE security_events SET occurred_at = occurred_at - interval '1 s' WHERE seq = 2", "does not match"),
        ("DELETE FROM security_seals WHERE position = 2", "position 2 is missing"),
        ("DELETE FROM security_events WHERE seq = 2", "is gone"),
        ("UPDATE security_seals SET hash = previous_hash WHERE position = 3", "does not follow"),
    ],
)
async def test_a_changed_or_removed_row_is_found(rt: Runtime, attack: str, finding: str) -> None:
    for number in range(2):
        await happen(rt, number)
    await seal_events(rt.db)
    await tamper(rt, attack)
    found = (await verify_audit(rt.db, after=0)).findings
    assert any(finding in one for one in found), found
    (report,) = await run_invariants(rt.db, INVARIANTS)
    assert report.differences


async def test_an_event_that_was_taken_out_of_the_queue_is_found(rt: Runtime) -> None:
    await happen(rt, 1)
    await tamper(rt, "DELETE FROM unsealed_events WHERE seq = 1")
    await seal_events(rt.db)
    (finding,) = (await verify_audit(rt.db, after=0)).findings
    assert finding.endswith("is neither sealed nor waiting to be")


async def test_the_scheduled_check_is_quiet_about_a_whole_chain(rt: Runtime) -> None:
    await happen(rt, 1)
    await seal_events(rt.db)
    (report,) = await run_invariants(rt.db, INVARIANTS)
    assert report.differences == ()
