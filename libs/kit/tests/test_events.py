"""Proves that an event recorded with its effect is heard once, in order per aggregate, though Redis forgets."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid5

import orjson
import pytest
import pytest_asyncio
import sqlalchemy as sa
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.inbox import Consumer, Envelope
from ledgerlink_kit.limits import STREAM_UNREAD_MAX
from ledgerlink_kit.outbox import Event, Relay, Said, record, stream_of, trim
from ledgerlink_kit.redis_client import connect_redis

CLOCK = SystemClock()


class Happened(Event):
    """An event for tests."""

    event_type: ClassVar[str] = "test.thing.happened"
    number: int


@pytest_asyncio.fixture
async def redis(redis_url: str) -> Any:
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


async def say(db: Database, *numbers: int, aggregate: str = "thing_1") -> None:
    for number in numbers:
        async with db.transaction() as tx:
            await record(tx, Happened(number=number), aggregate=aggregate, now=CLOCK.now())


class Hearing:
    """A handler that keeps what it heard, and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.heard: list[int] = []
        self.failures = failures

    async def __call__(self, tx: Tx, envelope: Envelope) -> None:
        if self.failures:
            self.failures -= 1
            raise ValueError("not today")
        await tx.execute(sa.text("INSERT INTO effects VALUES (:id, 1)"), {"id": str(envelope.id)})
        self.heard.append(envelope.data["number"])


def relay(db: Database, redis: Any) -> Relay:
    return Relay(db, redis, service="test", clock=CLOCK, readers=("listener",))


def consumer(db: Database, redis: Any, handler: Hearing) -> Consumer:
    return Consumer(db, redis, service="listener", streams=["test"], handlers={Happened.event_type: handler})


async def test_events_travel_in_their_order_and_carry_their_envelope(kit_db: Database, redis: Any) -> None:
    await say(kit_db, 1, 2, 3)
    assert await relay(kit_db, redis).run_once() == 3
    hearing = Hearing()
    await consumer(kit_db, redis, hearing).run_once()
    assert hearing.heard == [1, 2, 3]
    assert await relay(kit_db, redis).run_once() == 0


async def test_an_event_of_a_rolled_back_transaction_is_never_said(kit_db: Database, redis: Any) -> None:
    async def crash() -> None:
        async with kit_db.transaction() as tx:
            await record(tx, Happened(number=1), aggregate="a", now=CLOCK.now())
            raise RuntimeError

    (result,) = await asyncio.gather(crash(), return_exceptions=True)
    assert isinstance(result, RuntimeError)
    assert await relay(kit_db, redis).run_once() == 0


async def test_what_is_delivered_twice_has_its_effect_once(kit_db: Database, redis: Any) -> None:
    await say(kit_db, 1)
    await relay(kit_db, redis).run_once()
    (entry,) = await redis.xrange(stream_of("test"))
    await redis.xadd(stream_of("test"), entry[1])
    hearing = Hearing()
    await consumer(kit_db, redis, hearing).run_once()
    assert hearing.heard == [1]


async def test_everything_is_said_again_after_redis_was_wiped(kit_db: Database, redis: Any) -> None:
    carrying, hearing = relay(kit_db, redis), Hearing()
    listening = consumer(kit_db, redis, hearing)
    await say(kit_db, 1)
    await carrying.run_once()
    await listening.run_once()
    await say(kit_db, 2)
    await carrying.run_once()
    await redis.flushdb()
    await say(kit_db, 3)
    while await carrying.run_once():
        pass
    await listening.run_once()
    assert hearing.heard == [1, 2, 3]


async def test_two_relays_at_once_say_each_event_once_and_in_order(kit_db: Database, redis: Any) -> None:
    await say(kit_db, *range(20))
    first = relay(kit_db, redis)
    await first.run_once()
    await say(kit_db, *range(20, 40))
    await asyncio.gather(*(relay(kit_db, redis).run_once() for _ in range(4)))
    hearing = Hearing()
    listening = consumer(kit_db, redis, hearing)
    while await listening.run_once():
        pass
    assert hearing.heard == list(range(40))


async def test_a_row_waits_while_an_earlier_one_of_its_aggregate_is_on_its_way(kit_db: Database, redis: Any) -> None:
    await say(kit_db, 1, aggregate="a")
    async with kit_db.transaction() as tx:
        await tx.execute(sa.text("UPDATE outbox SET lease_until = now() + interval '1 minute'"))
    await say(kit_db, 2, aggregate="a")
    await say(kit_db, 3, aggregate="b")
    await relay(kit_db, redis).run_once()
    hearing = Hearing()
    await consumer(kit_db, redis, hearing).run_once()
    assert hearing.heard == [3]


class Crowd(Event):
    """A row for tests that stands for three events."""

    event_type: ClassVar[str] = "test.crowd"
    first: int


async def three_of(_: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, list[Said]]:
    def one(row: Row[Any], number: int) -> Said:
        kind, version = Happened.event_type, Happened.data_version
        id_ = uuid5(row.id, f"{number}")
        return Said(id_, f"{number}", kind, version, row.traceparent, row.occurred_at, f'{{"number": {number}}}')

    return {row.id: [one(row, orjson.loads(row.data)["first"] + more) for more in range(3)] for row in rows}


async def test_a_row_that_stands_for_many_says_each_in_its_place_again_after_a_failure(
    kit_db: Database, redis: Any
) -> None:
    for number in range(0, 160, 4):
        async with kit_db.transaction() as tx:
            await record(tx, Crowd(first=number), aggregate=f"crowd_{number}", now=CLOCK.now())
            await record(tx, Happened(number=number + 3), aggregate="thing_1", now=CLOCK.now())
    asked = 0

    async def broken_off(view: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, list[Said]]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise OSError("gone in the midst of it")
        return await three_of(view, rows)

    tellers = {Crowd.event_type: broken_off}
    telling = Relay(kit_db, redis, service="test", clock=CLOCK, readers=("listener",), tellers=tellers)
    with pytest.raises(Unavailable):
        await telling.run_once()
    assert await telling.run_once() == 160
    hearing = Hearing()
    listening = consumer(kit_db, redis, hearing)
    while await listening.run_once():
        pass
    assert hearing.heard == list(range(160))


async def test_a_row_that_stands_for_others_never_goes_out_itself(kit_db: Database, redis: Any) -> None:
    async def none_of(_: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, list[Said]]:
        return {row.id: [] for row in rows}

    async with kit_db.transaction() as tx:
        await record(tx, Crowd(first=0), aggregate="crowd_0", now=CLOCK.now())
    tellers = {Crowd.event_type: none_of}
    telling = Relay(kit_db, redis, service="test", clock=CLOCK, readers=(), tellers=tellers)
    assert await telling.run_once() == 0
    assert await redis.xlen(stream_of("test")) == 0


async def test_an_event_whose_handler_keeps_failing_is_laid_aside_with_its_error(kit_db: Database, redis: Any) -> None:
    await say(kit_db, 1)
    await relay(kit_db, redis).run_once()
    hearing = Hearing(failures=99)
    listening = consumer(kit_db, redis, hearing)
    await listening.run_once()
    (entry,) = await redis.xrange(stream_of("test"))
    # What ten deliveries would have counted, at once.
    await redis.xclaim(stream_of("test"), "listener", "gone", 0, [entry[0]], idle=60_000, retrycount=10)
    await listening.run_once()
    async with kit_db.reading() as view:
        row = (await view.execute(sa.text("SELECT state, error, envelope FROM inbox"))).one()
    assert (row.state, row.error) == ("dead", "ValueError: not today")
    assert row.envelope["data"] == {"number": 1}


async def test_the_stream_is_cut_only_where_every_group_has_read(kit_db: Database, redis: Any) -> None:
    await say(kit_db, *range(5))
    await relay(kit_db, redis).run_once()
    await redis.xgroup_create(stream_of("test"), "slow", id="0")
    await consumer(kit_db, redis, Hearing()).run_once()
    await trim(redis, stream_of("test"), ("listener",))
    assert await redis.xlen(stream_of("test")) == 5


async def test_of_a_stream_that_nobody_reads_only_the_newest_stay(redis: Any) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(STREAM_UNREAD_MAX + 1_000):
            pipe.xadd(stream_of("test"), {"event": str(number)})
        await pipe.execute()
    await trim(redis, stream_of("test"), ("listener",))
    assert await redis.xlen(stream_of("test")) == STREAM_UNREAD_MAX + 1_000, "its reader has not come back yet"

    await trim(redis, stream_of("test"), ())
    assert STREAM_UNREAD_MAX <= await redis.xlen(stream_of("test")) < STREAM_UNREAD_MAX + 500


class AwayRedis:
    """A Redis that cannot be reached."""

    async def get(self, _name: str) -> bytes:
        raise RedisAway("nobody answers")


def lag() -> float | None:
    return REGISTRY.get_sample_value("ledgerlink_outbox_lag_seconds", {"service": "test"})


async def test_the_lag_grows_while_redis_is_away_and_is_nothing_once_all_is_said(kit_db: Database, redis: Any) -> None:
    long_ago = CLOCK.now() - timedelta(seconds=300)
    async with kit_db.transaction() as tx:
        await record(tx, Happened(number=1), aggregate="a", now=long_ago)
    stop = asyncio.Event()
    waiting = asyncio.create_task(relay(kit_db, AwayRedis()).run_forever(stop))
    async with asyncio.timeout(10):
        while (lag() or 0) < 300:  # noqa: ASYNC110 - a gauge has no event
            await asyncio.sleep(0.02)
    stop.set()
    await waiting
    back = relay(kit_db, redis)
    assert await back.run_once() == 1
    assert await back.measure() == lag() == 0


async def test_an_event_from_a_clock_ahead_is_no_negative_lag(kit_db: Database, redis: Any) -> None:
    async with kit_db.transaction() as tx:
        await record(tx, Happened(number=1), aggregate="a", now=CLOCK.now() + timedelta(hours=1))
    assert await relay(kit_db, redis).measure() == 0


async def test_events_that_another_relay_has_taken_and_not_said_still_count_as_waiting(
    kit_db: Database, redis: Any
) -> None:
    async with kit_db.transaction() as tx:
        await record(tx, Happened(number=1), aggregate="a", now=CLOCK.now() - timedelta(seconds=60))
        await tx.execute(sa.text("UPDATE outbox SET lease_until = now() + interval '30 s'"))
    other = relay(kit_db, redis)
    assert await other.run_once() == 0
    assert await other.measure() >= 60
