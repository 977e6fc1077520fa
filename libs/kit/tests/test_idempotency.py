"""Proves one effect and one answer per Idempotency-Key: under races, crashes, other bodies, and refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ledgerlink_kit import phased
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import Kind, Refused, Unavailable
from ledgerlink_kit.idempotency import Once, Reply, check_key, json_reply, once_for, purge, refusal_reply, run_once

CONTENT = {"amount_minor": 100, "currency": "GBP", "metadata": {"order": "7"}}


def once(content: dict[str, Any] = CONTENT, key: str = "key-1") -> Once:
    return once_for("usr_1", "POST /things", key, content)


def render(number: int) -> Reply:
    return json_reply(201, {"number": number}, {"Location": f"/things/{number}"})


async def count(tx: Tx) -> int:
    """The effect: one more row in `effects`; its answer is how many there are."""
    await tx.execute(sa.text("INSERT INTO effects SELECT count(*)::text, 1 FROM effects"))
    return await tx.scalar(sa.text("SELECT count(*) FROM effects")) or 0


async def effects(db: Database) -> int:
    async with db.reading() as view:
        return await view.scalar(sa.text("SELECT count(*) FROM effects")) or 0


async def run_phased(db: Database, work: Callable[[], Awaitable[int]]) -> Reply:
    """Claim the key in a first transaction, and do ``work`` after it."""

    async def begin(tx: Tx, _answer: phased.Answer) -> str:
        await tx.execute(sa.text("SELECT 1"))
        return "begun"

    async def finish(begun: str, _answer: phased.Answer) -> Reply:
        assert begun == "begun"
        return render(await work())

    return await phased.run(db, once(), begin, finish, refusal_reply)


async def test_fifty_concurrent_requests_with_one_key_have_one_effect_and_one_answer(kit_db: Database) -> None:
    replies = await asyncio.gather(*(run_once(kit_db, once(), count, render) for _ in range(50)))
    assert await effects(kit_db) == 1
    assert {(reply.status, reply.body) for reply in replies} == {(201, b'{"number":1}')}
    assert sum(not reply.replayed for reply in replies) == 1
    assert all(reply.headers == {"Location": "/things/1"} for reply in replies)


async def test_fifty_concurrent_phased_requests_have_one_effect_and_one_answer(kit_db: Database) -> None:
    async def work() -> int:
        await asyncio.sleep(0.1)
        async with kit_db.transaction() as tx:
            return await count(tx)

    replies = await asyncio.gather(*(run_phased(kit_db, work) for _ in range(50)))
    assert await effects(kit_db) == 1
    assert {reply.body for reply in replies} == {b'{"number":1}'}


async def test_the_same_key_with_another_body_is_refused_and_told_what_differs(kit_db: Database) -> None:
    await run_once(kit_db, once(), count, render)
    other = once({**CONTENT, "amount_minor": 101, "metadata": {"order": "8"}, "note": "x"})
    with pytest.raises(Refused) as refused:
        await run_once(kit_db, other, count, render)
    assert refused.value.code == "idempotency-key-reused"
    assert refused.value.members["differs"] == ["amount_minor", "metadata.order", "note"]
    assert await effects(kit_db) == 1


async def test_the_order_of_members_makes_no_other_request(kit_db: Database) -> None:
    await run_once(kit_db, once(), count, render)
    reply = await run_once(kit_db, once(dict(reversed(CONTENT.items()))), count, render)
    assert reply.replayed


async def test_keys_of_other_callers_and_operations_do_not_meet(kit_db: Database) -> None:
    for request in (once(), once_for("usr_2", "POST /things", "key-1", CONTENT), once_for("usr_1", "PUT", "key-1", {})):
        assert not (await run_once(kit_db, request, count, render)).replayed
    assert await effects(kit_db) == 3


async def test_a_refusal_leaves_no_effect_and_is_remembered_as_the_answer(kit_db: Database) -> None:
    async def refuse(tx: Tx) -> int:
        await count(tx)
        raise Refused(Kind.CONFLICT, "insufficient-funds", "Too little.", available_minor=3)

    first = await run_once(kit_db, once(), refuse, render)
    again = await run_once(kit_db, once(), count, render)
    assert first.status == again.status == 409
    assert first.body == again.body
    assert again.replayed
    assert b'"available_minor":3' in again.body
    assert await effects(kit_db) == 0


async def test_a_refusal_that_says_not_now_is_forgotten(kit_db: Database) -> None:
    async def locked(_tx: Tx) -> int:
        raise Refused(Kind.RATE_LIMITED, "slow-down", "Later.")

    with pytest.raises(Refused, match="slow-down"):
        await run_once(kit_db, once(), locked, render)
    assert not (await run_once(kit_db, once(), count, render)).replayed


async def test_a_crash_before_the_commit_leaves_nothing_and_a_retry_works(kit_db: Database) -> None:
    async def crash(tx: Tx) -> int:
        await count(tx)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        await run_once(kit_db, once(), crash, render)
    assert await effects(kit_db) == 0
    assert not (await run_once(kit_db, once(), count, render)).replayed


async def test_phased_work_that_meets_an_outage_gives_its_key_back(kit_db: Database) -> None:
    async def away() -> int:
        raise Unavailable("provider-unavailable", "Away.")

    async def work() -> int:
        return 5

    with pytest.raises(Unavailable):
        await run_phased(kit_db, away)
    reply = await run_phased(kit_db, work)
    assert (reply.body, reply.replayed) == (b'{"number":5}', False)


async def test_a_lease_that_ended_is_taken_over_and_one_that_lives_is_not(kit_db: Database) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def stall() -> int:
        started.set()
        await go_on.wait()
        return 1

    async def work() -> int:
        return 2

    stalled = asyncio.create_task(run_phased(kit_db, stall))
    await started.wait()
    async with kit_db.transaction() as tx:
        await tx.execute(sa.text("UPDATE idempotency_keys SET lease_until = now() - interval '1 second'"))
    taken = await run_phased(kit_db, work)
    go_on.set()
    # The one that was thought dead must not write over the answer that was given.
    told = await stalled
    replay = await run_phased(kit_db, work)
    assert taken.body == replay.body == told.body == b'{"number":2}'


async def test_no_value_of_the_request_is_stored(kit_db: Database) -> None:
    await run_once(kit_db, once({"secret": "canary-4111"}), count, render)
    async with kit_db.reading() as view:
        row = (await view.execute(sa.text("SELECT idempotency_keys::text FROM idempotency_keys"))).scalar_one()
    assert "canary" not in row


async def test_old_answers_are_purged_and_young_ones_kept(kit_db: Database) -> None:
    await run_once(kit_db, once(key="old"), count, render)
    async with kit_db.transaction() as tx:
        await tx.execute(sa.text("UPDATE idempotency_keys SET created_at = now() - interval '2 days'"))
    await run_once(kit_db, once(key="young"), count, render)
    async with kit_db.transaction() as tx:
        assert await purge(tx, 86_400) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "näh", "a\nb"])
def test_a_key_that_is_not_printable_ascii_of_bounded_length_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="idempotency-key-invalid"):
        check_key(key)
