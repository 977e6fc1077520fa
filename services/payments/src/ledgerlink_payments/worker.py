"""The worker of payments: finishes what is unfinished, hears risk, carries events, watches the invariants."""

import asyncio
from typing import Any, Final

import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.hearing import READERS, heard_by
from ledgerlink_kit import migrations
from ledgerlink_kit.db import Tx
from ledgerlink_kit.http_app import Task, run_worker
from ledgerlink_kit.inbox import Consumer, Envelope
from ledgerlink_kit.invariants import Invariant, watch_invariants
from ledgerlink_kit.outbox import Relay
from ledgerlink_payments.commands import news, sweep
from ledgerlink_payments.commands.webhook_delivery import Couriers
from ledgerlink_payments.connectors.outgoing import GuardedSender
from ledgerlink_payments.runtime import Runtime, Settings, open_runtime

GAUGE_EVERY_S: Final = 15.0

_REFUNDED = sa.text(
    "SELECT i.id, i.refunded_minor, coalesce(sum(r.amount_minor) FILTER (WHERE r.state <> 'failed'), 0) AS refunds "
    "FROM intents i LEFT JOIN refunds r ON r.intent_id = i.id "
    "WHERE i.refunded_minor > 0 OR r.id IS NOT NULL GROUP BY i.id "
    "HAVING i.refunded_minor <> coalesce(sum(r.amount_minor) FILTER (WHERE r.state <> 'failed'), 0) LIMIT 20"
)
_PAID = sa.text(
    "SELECT i.id FROM intents i LEFT JOIN attempts a ON a.id = i.latest_attempt "
    "WHERE i.state = 'succeeded' AND (a.state IS DISTINCT FROM 'captured' OR NOT a.posted "
    "OR a.captured_minor <> i.captured_minor) LIMIT 20"
)
_FORGOTTEN = sa.text(
    "SELECT id, state FROM attempts WHERE next_action_at IS NULL AND (state IN "
    "('created', 'in_review', 'checked', 'sent', 'capturing', 'voiding', 'unknown') "
    "OR (state = 'captured' AND NOT posted)) LIMIT 20"
)


async def _refunds_add_up(view: AsyncConnection) -> list[str]:
    found = await view.execute(_REFUNDED)
    return [f"intent {row.id} counts {row.refunded_minor} refunded, its refunds are {row.refunds}" for row in found]


async def _paid_means_posted(view: AsyncConnection) -> list[str]:
    return [f"intent {row.id} succeeded without a posted capture of its amount" for row in await view.execute(_PAID)]


async def _nothing_forgotten(view: AsyncConnection) -> list[str]:
    return [
        f"attempt {row.id} is {row.state} and nobody will come back to it" for row in await view.execute(_FORGOTTEN)
    ]


INVARIANTS: Final = (
    Invariant("payments-refunds-add-up", "Each intent's refunded sum is that of its refunds", _refunds_add_up),
    Invariant("payments-paid-means-posted", "Each paid intent has a posted capture of its amount", _paid_means_posted),
    Invariant("payments-nothing-forgotten", "Each unfinished attempt has a moment to go on", _nothing_forgotten),
)


def tasks_of(rt: Runtime, redis: Any, relay: Relay, couriers: Couriers) -> dict[str, Task]:
    """Give everything that the worker does, by name."""

    async def hear_review(tx: Tx, envelope: Envelope) -> None:
        await news.hear_review(rt, tx, envelope)

    consumer = Consumer(
        rt.db, redis, service="payments", streams=heard_by("payments"), handlers={"risk.case.resolved": hear_review}
    )

    async def sweeper(stop: asyncio.Event) -> None:
        await sweep.run_forever(rt, stop)

    async def invariants(stop: asyncio.Event) -> None:
        await watch_invariants(rt.db, INVARIANTS, stop)

    async def gauges(stop: asyncio.Event) -> None:
        await sweep.watch_unfinished(rt.db, rt.clock, stop, every_s=GAUGE_EVERY_S)

    return {
        "relay": relay.run_forever,
        "inbox": consumer.run_forever,
        "sweeper": sweeper,
        "webhooks": couriers.run_forever,
        "invariants": invariants,
        "gauges": gauges,
    }


def main() -> None:
    """Bring the database up to date and work until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - its fields come from the environment
    migrations.upgrade("ledgerlink_payments", settings.database_url.get_secret_value())
    opened = open_runtime(settings, "payments-worker")
    rt = opened.runtime
    redis: Any = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
    relay = Relay(rt.db, redis, service="payments", clock=rt.clock, readers=READERS["payments"])
    sender = GuardedSender(rt.clock, allow_loopback=settings.webhook_allow_loopback)

    async def redis_answers() -> None:
        await redis.ping()

    async def close() -> None:
        await redis.aclose()
        await sender.close()
        await opened.close()

    run_worker(
        "payments",
        settings,
        tasks=tasks_of(rt, redis, relay, Couriers(rt.db, rt.clock, sender)),
        readiness={"database": rt.db.ping, "redis": redis_answers},
        close=close,
    )


if __name__ == "__main__":
    main()
