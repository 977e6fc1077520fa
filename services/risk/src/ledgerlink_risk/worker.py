"""Risk's worker: carries events out, and checks the invariants. `python -m ledgerlink_risk.worker` works.

Risk hears nobody yet: every fact that its rules read comes with the order, or from its own books.
"""

import asyncio

from redis.asyncio import Redis

from ledgerlink_contracts.hearing import READERS
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_app import run_worker
from ledgerlink_kit.invariants import watch_invariants
from ledgerlink_kit.migrations import upgrade
from ledgerlink_kit.outbox import Relay
from ledgerlink_risk.queries.invariants import invariants_of
from ledgerlink_risk.runtime import RiskSettings, Runtime


def main() -> None:
    """Work until SIGTERM."""
    settings = RiskSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    url = settings.database_url.get_secret_value()
    upgrade("ledgerlink_risk", url)
    clock = SystemClock()
    db = Database(url, application_name="risk-worker", pool_size=settings.db_pool_size)
    redis = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
    runtime = Runtime(db, clock, settings.velocity_timeout_ms)
    relay = Relay(db, redis, service="risk", clock=clock, readers=READERS["risk"])

    async def watch(stop: asyncio.Event) -> None:
        await watch_invariants(db, invariants_of(runtime), stop)

    async def close() -> None:
        await redis.aclose()
        await db.close()

    async def ping_redis() -> None:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]

    run_worker(
        "risk",
        settings,
        tasks={"relay": relay.run_forever, "invariants": watch},
        readiness={"database": db.ping, "redis": ping_redis},
        close=close,
    )


if __name__ == "__main__":
    main()
