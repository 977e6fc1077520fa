"""Proves the rate limits on a real Redis: the script equals its model, and losing Redis is never an error."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgerlink_gateway.connectors.limiter import GCRA_SCRIPT, Limiter
from ledgerlink_gateway.connectors.redis_pipe import REST_S, RedisLost, RedisPipe, RedisReplyError
from ledgerlink_gateway.domain.gcra import MICROS, Charge, Per, Policy, WhenLost, decide
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.testing.clock import ManualClock

SMALL = Policy(name="small", per=Per.ADDRESS, quota=5, window_s=2)
LARGE = Policy(name="large", per=Per.CALLER, quota=40, window_s=1)
OPEN = Policy(name="open", per=Per.ROUTE, quota=1, window_s=60, when_lost=WhenLost.OPEN)
CLOSED = Policy(name="closed", per=Per.ROUTE, quota=1, window_s=60, when_lost=WhenLost.CLOSED)


def _pipe(url: str, timeout_s: float = 2.0) -> RedisPipe:
    return RedisPipe(url, GCRA_SCRIPT, timeout_s=timeout_s, clock=SystemClock())


def _client(url: str) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]


@pytest_asyncio.fixture
async def pipe(redis_url: str) -> AsyncGenerator[RedisPipe]:
    pipe = _pipe(redis_url)
    yield pipe
    await pipe.close()


STEPS = st.lists(
    st.tuples(
        st.floats(0, 0.004),
        st.sampled_from(("a", "b")),
        st.integers(1, 3),
        st.sampled_from(((SMALL,), (LARGE,), (SMALL, LARGE))),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_script_decides_exactly_as_its_model_at_the_same_moments(
    redis_url: str, steps: list[tuple[float, str, int, tuple[Policy, ...]]]
) -> None:
    async def run(pipe: RedisPipe) -> None:
        limiter = Limiter(pipe, SystemClock(), prefix=f"{uuid4()}:")
        model: dict[str, int] = {}
        for wait_s, who, cost, policies in steps:
            await asyncio.sleep(wait_s)
            charges = [Charge(policy, f"{policy.name}:{who}", cost) for policy in policies]
            verdict = await limiter.charge(charges)
            tats = [model.get(charge.key, 0) for charge in charges]
            passes, kept, standings = decide(verdict.now_us, tats, charges)
            assert (verdict.passes, list(verdict.standings)) == (passes, standings)
            if passes:
                model.update(zip((charge.key for charge in charges), kept, strict=True))

    async def run_and_close() -> None:
        pipe = _pipe(redis_url)
        try:
            await run(pipe)
        finally:
            await pipe.close()

    asyncio.run(run_and_close())


async def test_many_callers_at_once_pass_exactly_the_quota(pipe: RedisPipe) -> None:
    policy = Policy(name="p", per=Per.ADDRESS, quota=50, window_s=3600)
    limiter = Limiter(pipe, SystemClock())
    verdicts = await asyncio.gather(*(limiter.charge([Charge(policy, "k", 1)]) for _ in range(200)))
    assert sum(verdict.passes for verdict in verdicts) == 50


async def test_two_gateways_share_one_count(redis_url: str, pipe: RedisPipe) -> None:
    other = _pipe(redis_url)
    policy = Policy(name="p", per=Per.ADDRESS, quota=10, window_s=3600)
    limiters = [Limiter(pipe, SystemClock()), Limiter(other, SystemClock())]
    passed = [(await limiters[turn % 2].charge([Charge(policy, "k", 1)])).passes for turn in range(14)]
    assert passed == [True] * 10 + [False] * 4
    await other.close()


async def test_a_key_is_forgotten_by_redis_when_its_quota_is_whole_again(redis_url: str, pipe: RedisPipe) -> None:
    await Limiter(pipe, SystemClock()).charge([Charge(SMALL, "k", 1)])
    client = _client(redis_url)
    assert 0 < await client.pttl("limit:k") <= 402
    await client.aclose()


async def test_the_script_is_loaded_anew_when_redis_has_forgotten_it(redis_url: str, pipe: RedisPipe) -> None:
    limiter = Limiter(pipe, SystemClock())
    await limiter.charge([Charge(LARGE, "k", 1)])
    client = _client(redis_url)
    await client.script_flush()
    await client.aclose()
    verdict = await limiter.charge([Charge(LARGE, "k", 1)])
    assert (verdict.passes, verdict.is_local) == (True, False)


def redis_url_through(parts: SplitResult, port: int) -> str:
    return parts._replace(
        netloc=f":{parts.password}@127.0.0.1:{port}" if parts.password else f"127.0.0.1:{port}"
    ).geturl()


class Between:
    """Stands between the gateway and Redis, and can stop passing anything on."""

    def __init__(self, redis_url: str) -> None:
        self._parts = urlsplit(redis_url)
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.is_mute = False
        self.port = 0

    @property
    def url(self) -> str:
        return redis_url_through(self._parts, self.port)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0.02)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers += [writer, near[1]]
        with suppress(OSError):
            await asyncio.gather(self._copy(reader, near[1]), self._copy(near[0], writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.is_mute:
                writer.write(data)
        writer.close()


@pytest_asyncio.fixture
async def between(redis_url: str) -> AsyncGenerator[Between]:
    link = Between(redis_url)
    await link.start()
    yield link
    await link.stop()


async def test_losing_redis_midway_counts_locally_and_finding_it_again_counts_there(between: Between) -> None:
    clock = ManualClock()
    pipe = RedisPipe(between.url, GCRA_SCRIPT, timeout_s=0.5, clock=clock)
    limiter = Limiter(pipe, clock)
    charges = [Charge(SMALL, "k", 1)]
    assert not (await limiter.charge(charges)).is_local
    await between.stop()
    local = [await limiter.charge(charges) for _ in range(6)]
    assert {verdict.is_local for verdict in local} == {True}
    assert [verdict.passes for verdict in local] == [True] * 5 + [False]
    await between.start()
    assert (await limiter.charge(charges)).is_local  # resting
    clock.advance(REST_S + 0.1)
    again = await limiter.charge(charges)
    assert (again.is_local, again.passes) == (False, True)
    await pipe.close()


async def test_a_redis_that_falls_silent_counts_as_lost_after_the_timeout(between: Between) -> None:
    pipe = _pipe(between.url, timeout_s=0.1)
    limiter = Limiter(pipe, SystemClock())
    await limiter.charge([Charge(LARGE, "k", 1)])
    between.is_mute = True
    verdicts = await asyncio.gather(*(limiter.charge([Charge(LARGE, "k", 1)]) for _ in range(20)))
    assert {(verdict.passes, verdict.is_local) for verdict in verdicts} == {(True, True)}
    assert not pipe.is_connected
    await pipe.close()


@pytest.mark.parametrize(
    ("policy", "passes"), [(OPEN, [True, True, True]), (CLOSED, [False, False, False]), (SMALL, [True, True, True])]
)
async def test_each_policy_says_what_holds_without_redis(policy: Policy, passes: list[bool]) -> None:
    pipe = _pipe("redis://127.0.0.1:1/0")
    limiter = Limiter(pipe, SystemClock())
    verdicts = [await limiter.charge([Charge(policy, "k", 1)]) for _ in range(3)]
    assert [verdict.passes for verdict in verdicts] == passes
    assert all(verdict.is_local for verdict in verdicts)
    await pipe.close()


async def test_local_counts_recover_with_time_and_are_bounded_in_number() -> None:
    clock = ManualClock()
    limiter = Limiter(RedisPipe("redis://127.0.0.1:1/0", GCRA_SCRIPT, timeout_s=0.5, clock=clock), clock)
    for _ in range(5):
        assert (await limiter.charge([Charge(SMALL, "k", 1)])).passes
    assert not (await limiter.charge([Charge(SMALL, "k", 1)])).passes
    clock.advance(SMALL.interval_us / MICROS)
    assert (await limiter.charge([Charge(SMALL, "k", 1)])).passes


async def test_what_redis_refuses_counts_as_lost_too(redis_url: str) -> None:
    pipe = RedisPipe(redis_url, "return redis.call('NONSENSE')", timeout_s=1.0, clock=SystemClock())
    with pytest.raises(RedisReplyError):
        await pipe.run([b"k"], [])
    assert (await Limiter(pipe, SystemClock()).charge([Charge(LARGE, "k", 1)])).is_local
    await pipe.close()


async def test_a_wrong_password_is_a_lost_redis(redis_url: str) -> None:
    port = redis_url.rsplit(":", 1)[1]
    pipe = _pipe(f"redis://:wrong@127.0.0.1:{port}")
    with pytest.raises(RedisLost):
        await pipe.ping()
    await pipe.close()


@pytest.mark.parametrize("url", ["http://a", "redis://", "a"])
def test_a_redis_url_must_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="a Redis URL is"):
        _pipe(url)
