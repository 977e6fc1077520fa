"""The sweeper: takes up every row whose work is due and in nobody's hands, and goes on where it stands."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from ledgerlink_contracts.ids import AttemptId, PayoutId, RefundId
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import entry, new_traceparent
from ledgerlink_payments import store, tables
from ledgerlink_payments.commands import attempts, payouts, refunds
from ledgerlink_payments.commands.records import LEASE, LeaseLost
from ledgerlink_payments.runtime import Runtime

IDLE_S: Final = 0.5
_AWAY_S: Final = 2.0

_swept = Counter("ledgerlink_payments_swept_total", "Rows taken up by the sweeper", ["kind"])
_waiting = Gauge("ledgerlink_payments_unfinished", "Rows that still have work to do", ["kind"])
_overdue = Gauge("ledgerlink_payments_overdue_seconds", "How long the most overdue row waits to be taken up", ["kind"])
_unknown = Gauge(
    "ledgerlink_payments_unknown_attempts", "Attempts whose provider or wallet has not said how they ended"
)
_unknown_age = Gauge("ledgerlink_payments_unknown_oldest_seconds", "Age of the oldest attempt of an unknown end")

Advance = Callable[[Runtime, UUID, UUID], Awaitable[None]]


async def sweep(rt: Runtime) -> int:
    """Take up one batch of each kind of row; gives how many were due."""
    taken = 0
    for kind, (table, advance) in _KINDS.items():
        now = rt.clock.now()
        token = uuid7(now)
        async with rt.db.transaction() as tx:
            due = await store.claim_due(tx, table, token, now, LEASE)
        if due:
            _swept.labels(kind).inc(len(due))
            await asyncio.gather(*(_one(rt, kind, advance, row, token, trace) for row, trace in due))
        taken += len(due)
    return taken


async def _one(rt: Runtime, kind: str, advance: Advance, row: UUID, token: UUID, trace: str | None) -> None:
    with entry(f"{kind}-{row}", trace or new_traceparent(), f"sweep {kind}", "internal") as span:
        try:
            await advance(rt, row, token)
        except LeaseLost:
            return
        except LedgerLinkError as error:
            # The lease ends by itself and the row is taken up again; its neighbors must not wait for it.
            structlog.get_logger().warning("row_not_advanced", kind=kind, row=str(row), reason=error.detail)
            if span is not None:
                span.fail(error.code)
        else:
            structlog.get_logger().info("row_advanced", kind=kind, row=str(row))


async def _attempt(rt: Runtime, row: UUID, token: UUID) -> None:
    async with rt.db.reading() as view:
        pair = await store.pair(view, AttemptId(row))
    if pair is not None and pair[1].work.lease_token == token:
        await attempts.advance(rt, pair, fresh=False)


async def _refund(rt: Runtime, row: UUID, token: UUID) -> None:
    async with rt.db.transaction() as tx:
        refund = await store.refund(tx, RefundId(row))
    if refund is not None and refund.work.lease_token == token:
        await refunds.advance(rt, refund, fresh=False)


async def _payout(rt: Runtime, row: UUID, token: UUID) -> None:
    async with rt.db.transaction() as tx:
        payout = await store.payout(tx, PayoutId(row))
        merchant = await store.merchant(tx, payout.merchant) if payout else None
    if payout is not None and merchant is not None and payout.work.lease_token == token:
        await payouts.advance(rt, payout, merchant, fresh=False)


_KINDS: Final[dict[str, tuple[store.Workable, Advance]]] = {
    "attempt": (tables.attempts, _attempt),
    "refund": (tables.refunds, _refund),
    "payout": (tables.payouts, _payout),
}


async def count_unfinished(db: Database, now: datetime) -> None:
    """Set the gauges of what still has work to do, how late the work is, and what ended nobody knows how."""
    async with db.reading() as view:
        for kind, (table, _) in _KINDS.items():
            rows, due_at = await store.unfinished(view, table)
            _waiting.labels(kind).set(rows)
            _overdue.labels(kind).set(_seconds_since(due_at, now))
        unknown, oldest = await store.unknown_attempts(view)
    _unknown.set(unknown)
    _unknown_age.set(_seconds_since(oldest, now))


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    """Seconds from ``moment`` to ``now``; 0 for none and for what is yet to come."""
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


async def run_forever(rt: Runtime, stop: asyncio.Event) -> None:
    """Sweep until ``stop`` is set; an absent database is waited for."""
    while not stop.is_set():
        try:
            taken = await sweep(rt)
            pause = 0.0 if taken else IDLE_S
        except LedgerLinkError as error:
            structlog.get_logger().warning("sweeper_waits", reason=error.detail)
            pause = _AWAY_S
        if pause:
            await _sleep(stop, pause)


async def watch_unfinished(db: Database, clock: Clock, stop: asyncio.Event, *, every_s: float) -> None:
    """Keep the gauges up to date until ``stop`` is set."""
    while not stop.is_set():
        try:
            await count_unfinished(db, clock.now())
        except LedgerLinkError as error:
            structlog.get_logger().warning("gauges_wait", reason=error.detail)
        await _sleep(stop, every_s)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
