"""The worker of identity: carries events, sends mail, seals the audit chain, rotates keys, tidies up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.hearing import READERS
from ledgerlink_identity.commands.keys import rotate_keys_when_due
from ledgerlink_identity.commands.post import send_next_mail, tidy
from ledgerlink_identity.commands.sealing import seal_events
from ledgerlink_identity.connectors.mail import Mailer, mailer_for
from ledgerlink_identity.queries import audit_end, run_of_audit
from ledgerlink_identity.runtime import Runtime, Settings, make_runtime
from ledgerlink_kit import migrations
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.http_app import Task, run_worker
from ledgerlink_kit.invariants import Invariant, watch_invariants
from ledgerlink_kit.outbox import Relay

IDLE_S: Final = 0.5
HOUR_S: Final = 3600.0
AUDIT_TAIL: Final = 5_000
"""Links at the end of the audit chain that the scheduled check verifies."""


def repeating(work: Callable[[], Awaitable[object]], *, idle_s: float) -> Task:
    """Return a task that works while there is something to do, and looks again after `idle_s` when there is not."""

    async def task(stop: asyncio.Event) -> None:
        log = structlog.get_logger()
        while not stop.is_set():
            try:
                worked = bool(await work())
            except LedgerLinkError as error:
                log.warning("worker_waits", code=error.code, detail=error.detail)
                worked = False
            if not worked:
                try:
                    await asyncio.wait_for(stop.wait(), idle_s)
                except TimeoutError:
                    continue

    return task


async def _audit_holds(view: AsyncConnection) -> list[str]:
    tail = max(0, await audit_end(view) - AUDIT_TAIL)
    return (await run_of_audit(view, after=tail, limit=AUDIT_TAIL)).findings


INVARIANTS: Final = (
    Invariant("identity-audit-chain", "The end of the audit chain verifies and no event was lost", _audit_holds),
)


def tasks_of(rt: Runtime, mailer: Mailer, relay: Relay) -> dict[str, Task]:
    """Return everything that the worker does, by name."""

    async def rotated() -> bool:
        return await rotate_keys_when_due(rt) is not None

    async def tidied() -> bool:
        await tidy(rt)
        return False

    async def invariants(stop: asyncio.Event) -> None:
        await watch_invariants(rt.db, INVARIANTS, stop)

    return {
        "relay": relay.run_forever,
        "mail": repeating(lambda: send_next_mail(rt, mailer), idle_s=IDLE_S),
        "seals": repeating(lambda: seal_events(rt.db), idle_s=IDLE_S),
        "keys": repeating(rotated, idle_s=HOUR_S),
        "tidy": repeating(tidied, idle_s=HOUR_S),
        "invariants": invariants,
    }


def main() -> None:
    """Bring the database up to date and work until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - its fields come from the environment
    migrations.upgrade("ledgerlink_identity", settings.database_url.get_secret_value())
    rt = make_runtime(settings, "identity-worker")
    redis: Any = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
    relay = Relay(rt.db, redis, service="identity", clock=rt.clock, readers=READERS["identity"])

    async def redis_answers() -> None:
        await redis.ping()

    async def close() -> None:
        rt.hasher.close()
        await redis.aclose()
        await rt.db.close()

    run_worker(
        "identity",
        settings,
        tasks=tasks_of(rt, mailer_for(settings.mail_url, settings.mail_from), relay),
        readiness={"database": rt.db.ping, "redis": redis_answers},
        close=close,
    )


if __name__ == "__main__":
    main()
