"""Proves that the worker does all its work side by side: events carried, mail sent, chain sealed, and that it stops."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from ledgerlink_identity.commands.accounts import Registration, register
from ledgerlink_identity.connectors.mail import Mail
from ledgerlink_identity.queries import verify_audit
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.worker import repeating, tasks_of
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.outbox import Relay

HOME = Origin("203.0.113.7", "test-agent/1")


class KeptMails:
    """A mailer that keeps what it is given."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.mails.append(mail)


async def until(true: Callable[[], Awaitable[bool]]) -> bool:
    """Wait for something to come true, ten seconds at the most."""
    for _ in range(200):
        if await true():
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_registration_is_told_mailed_and_sealed(rt: Runtime, redis_url: str) -> None:
    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    mailer, stop = KeptMails(), asyncio.Event()
    tasks = tasks_of(rt, mailer, Relay(rt.db, redis, service="identity", clock=rt.clock, readers=()))
    assert set(tasks) == {"relay", "mail", "seals", "keys", "tidy", "invariants"}
    running = [asyncio.ensure_future(task(stop)) for task in tasks.values()]
    await register(rt, Registration("ada@example.com", "a long enough secret", None), HOME)

    async def told() -> bool:
        return await redis.xlen("events:identity") == 1

    async def mailed() -> bool:
        return [mail.to for mail in mailer.mails] == ["ada@example.com"]

    async def sealed() -> bool:
        run = await verify_audit(rt.db, after=0)
        return (run.checked, run.unsealed, run.findings) == (1, 0, [])

    assert await until(told)
    assert await until(mailed)
    assert await until(sealed)
    stop.set()
    await asyncio.wait_for(asyncio.gather(*running), 5)
    await redis.aclose()


async def test_a_task_works_while_there_is_work_and_survives_what_passes() -> None:
    stop = asyncio.Event()
    script: list[Any] = [True, True, Unavailable("database-unavailable", "Away."), True, False]
    done: list[Any] = []

    async def work() -> bool:
        step = script.pop(0)
        done.append(step)
        if not script:
            stop.set()
        if isinstance(step, Unavailable):
            raise step
        return step

    await asyncio.wait_for(repeating(work, idle_s=0.01)(stop), 5)
    assert len(done) == 5
