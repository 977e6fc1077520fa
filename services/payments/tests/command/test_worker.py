"""Proves that the worker's own tasks, over a real Redis, carry risk's answer to the attempt that waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from ledgerlink_contracts.risk.events import CaseResolved
from ledgerlink_contracts.risk.models import Resolution, ResolveOrder, Verdict
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_app import Task
from ledgerlink_kit.outbox import Relay, record
from ledgerlink_payments.commands.webhook_delivery import Couriers
from ledgerlink_payments.connectors.outgoing import GuardedSender
from ledgerlink_payments.worker import INVARIANTS, tasks_of


async def test_an_approval_told_by_risk_lets_a_payment_go_on(
    house: Any, redis_url: str, make_database: Callable[[str], Awaitable[Database]]
) -> None:
    def review(_event: Any) -> Verdict:
        return Verdict.REVIEW

    house.risk._judge = review
    await house.pay(1000)
    ((case, _),) = house.risk._cases.items()
    await house.risk.resolve(case, ResolveOrder(resolution=Resolution.APPROVE, note="known"), "a person")
    told: CaseResolved = house.risk.events[-1]
    # A database of its own plays the part of risk's: its relay carries the event.
    risk_db = await make_database("ledgerlink_payments")
    async with risk_db.transaction() as tx:
        await record(tx, told, aggregate=str(case), now=house.clock.now())
    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    stop = asyncio.Event()
    ours = Relay(house.rt.db, redis, service="payments", clock=house.clock, readers=())
    theirs = Relay(risk_db, redis, service="risk", clock=house.clock, readers=())
    sender = GuardedSender(house.clock, allow_loopback=False)
    tasks = tasks_of(house.rt, redis, ours, Couriers(house.rt.db, house.clock, sender))
    work: list[Task] = [*tasks.values(), theirs.run_forever]
    running: list[Any] = [asyncio.ensure_future(task(stop)) for task in work]
    try:
        async with asyncio.timeout(30):
            while (await house.attempt()).state != "captured":  # noqa: ASYNC110 - another process would have no event
                await asyncio.sleep(0.05)
            while not await redis.xlen("events:payments"):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await asyncio.gather(*running)
        await redis.aclose()
        await sender.close()
    assert await house.owed() == 1000


async def test_a_broken_promise_is_found_by_its_invariant(house: Any) -> None:
    await house.pay(1000)
    intent = await house.pay(1000)
    await house.refund(intent["id"], 300)
    async with house.rt.db.transaction() as tx:
        await tx.exec_driver_sql("UPDATE intents SET refunded_minor = 200 WHERE refunded_minor = 300")
        await tx.exec_driver_sql("UPDATE attempts SET posted = false, state = 'sent'")
    found: dict[str, int] = {}
    for invariant in INVARIANTS:
        async with house.rt.db.reading() as view:
            found[invariant.name] = len(await invariant.check(view))
    assert found["payments-refunds-add-up"] == 1
    assert found["payments-paid-means-posted"] == 2
    assert found["payments-nothing-forgotten"] == 2
