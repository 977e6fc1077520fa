"""The wallet's worker (`python -m ledgerlink_wallet.worker`): it carries events out, ends holds, carries out
scheduled transfers, seals and checks.
"""

import asyncio
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from ledgerlink_contracts.hearing import READERS
from ledgerlink_contracts.wallet.events import TransferPosted
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.http_app import run_worker
from ledgerlink_kit.invariants import watch_invariants
from ledgerlink_kit.migrations import upgrade
from ledgerlink_kit.notes import Signer
from ledgerlink_kit.outbox import Relay
from ledgerlink_wallet import metrics
from ledgerlink_wallet.commands.alerts import tell_crossings
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.commands.sealing import BrokenTree, seal
from ledgerlink_wallet.domain.orders import ExpireHold
from ledgerlink_wallet.queries.audit import INVARIANTS_OF_BALANCES, invariants_of_history
from ledgerlink_wallet.queries.due import due_holds, schedules_lag_s
from ledgerlink_wallet.queries.transfers import posted_events
from ledgerlink_wallet.runtime import Ledger, Owners, WalletSettings
from ledgerlink_wallet.store import open_pool
from ledgerlink_wallet.store.writing import TRANSFERS_POSTED

EXPIRY_EVERY_S: Final = 1.0
EXPIRY_BATCH: Final = 500

BROKEN_TREE_EVERY_S: Final = 30.0

ALERTS_EVERY_S: Final = 1.0
ALERTS_BATCH: Final = 100

SCHEDULES_EVERY_S: Final = 1.0
SCHEDULES_BATCH: Final = 200
SCHEDULES_LAG_EVERY_S: Final = 5.0

TELLERS: Final = {TRANSFERS_POSTED: posted_events, TransferPosted.event_type: posted_events}
"""The second is what the release before this one wrote: a week's rows, said again when Redis has lost its memory."""

_leaves = Counter("ledgerlink_wallet_leaves_sealed_total", "Leaves that this worker has added to the Merkle tree")
_tree_size = Gauge("ledgerlink_wallet_tree_size", "Leaves of the Merkle tree at its latest checkpoint")
_tree_broken = Gauge("ledgerlink_wallet_tree_broken", "1 while the stored leaves do not lead to the last checkpoint")
_expired = Counter("ledgerlink_wallet_holds_expired_total", "Holds that the worker has expired")


async def expire_holds(db: Database, ledger: Ledger, clock: Clock) -> int:
    """Expire the holds whose time has come, a batch of them; gives how many there were."""
    async with db.reading() as view:
        due = await due_holds(view, clock.now(), EXPIRY_BATCH)
    answers = await asyncio.gather(*(ledger.submit(ExpireHold(hold)) for hold in due))
    ended = sum(answer.refusal is None for answer in answers)
    _expired.inc(ended)
    return len(due)


async def watch_holds(db: Database, ledger: Ledger, clock: Clock, stop: asyncio.Event) -> None:
    """Expire holds until ``stop`` is set; an absent database is waited for."""
    while not stop.is_set():
        pause = EXPIRY_EVERY_S
        try:
            if await expire_holds(db, ledger, clock) == EXPIRY_BATCH:
                pause = 0.0
        except LedgerLinkError as error:
            structlog.get_logger().warning("holds_wait", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def watch_seals(db: Database, signer: Signer, clock: Clock, stop: asyncio.Event, *, every_s: float) -> None:
    """Seal what was committed until ``stop`` is set; an absent database is waited for, a broken tree cried about."""
    while not stop.is_set():
        pause = every_s
        try:
            sealed = await seal(db, signer, clock)
            if sealed is not None:
                _leaves.inc(sealed.added)
                _tree_size.set(sealed.size)
                _tree_broken.set(0)
                pause = 0.0 if sealed.more else every_s
        except BrokenTree as defect:
            _tree_broken.set(1)
            structlog.get_logger().error("tree_broken", reason=defect.detail)
            pause = max(every_s, BROKEN_TREE_EVERY_S)
        except LedgerLinkError as error:
            structlog.get_logger().warning("sealing_waits", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def watch_alerts(db: Database, clock: Clock, stop: asyncio.Event) -> None:
    """Tell crossings of alerts until ``stop`` is set; an absent database is waited for."""
    while not stop.is_set():
        pause = ALERTS_EVERY_S
        try:
            if await tell_crossings(db, clock, ALERTS_BATCH) == ALERTS_BATCH:
                pause = 0.0
        except LedgerLinkError as error:
            structlog.get_logger().warning("alerts_wait", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def watch_schedules(db: Database, ledger: Ledger, clock: Clock, stop: asyncio.Event) -> None:
    """Carry out scheduled transfers until ``stop`` is set; an absent ledger is waited for."""
    while not stop.is_set():
        pause = SCHEDULES_EVERY_S
        try:
            # At once again after some: what was missed in an outage follows in order.
            if await carry_out_due(db, ledger, clock, SCHEDULES_BATCH):
                pause = 0.0
        except LedgerLinkError as error:
            structlog.get_logger().warning("schedules_wait", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def watch_schedules_lag(db: Database, clock: Clock, stop: asyncio.Event) -> None:
    """Measure how late scheduled transfers are until ``stop`` is set.

    Apart from their carrying out: when the ledger is away or hangs, this is what an alert must see grow.
    """
    while not stop.is_set():
        try:
            async with db.reading() as view:
                metrics.schedules_lag.set(await schedules_lag_s(view, clock.now()))
        except LedgerLinkError as error:
            structlog.get_logger().warning("schedules_lag_unmeasured", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), SCHEDULES_LAG_EVERY_S)
        except TimeoutError:
            continue


def main() -> None:
    """Work until SIGTERM."""
    settings = WalletSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    url = settings.database_url.get_secret_value()
    upgrade("ledgerlink_wallet", url)
    clock = SystemClock()
    db = Database(url, application_name="wallet-worker", pool_size=settings.db_pool_size)
    redis = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
    relay = Relay(db, redis, service="wallet", clock=clock, readers=READERS["wallet"], tellers=TELLERS)
    committer = Committer(partial(open_pool, url, application_name="wallet-worker-committer", size=1), clock, Owners())

    async def command(stop: asyncio.Event) -> None:
        await committer.start()
        await asyncio.gather(watch_holds(db, committer, clock, stop), watch_schedules(db, committer, clock, stop))

    async def measure_schedules(stop: asyncio.Event) -> None:
        await watch_schedules_lag(db, clock, stop)

    async def alert(stop: asyncio.Event) -> None:
        await watch_alerts(db, clock, stop)

    async def check_balances(stop: asyncio.Event) -> None:
        await watch_invariants(db, INVARIANTS_OF_BALANCES, stop, every_s=settings.balances_every_s)

    async def check_history(stop: asyncio.Event) -> None:
        invariants = invariants_of_history(settings.signer().key)
        await watch_invariants(db, invariants, stop, every_s=settings.history_every_s)

    async def seal_leaves(stop: asyncio.Event) -> None:
        await watch_seals(db, settings.signer(), clock, stop, every_s=settings.seal_every_s)

    async def close() -> None:
        await committer.stop()
        await redis.aclose()
        await db.close()

    async def ping_redis() -> None:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]

    run_worker(
        "wallet",
        settings,
        tasks={
            "relay": relay.run_forever,
            "commands": command,
            "schedules_lag": measure_schedules,
            "alerts": alert,
            "balances": check_balances,
            "history": check_history,
            "seals": seal_leaves,
        },
        readiness={"database": db.ping, "redis": ping_redis},
        close=close,
    )


if __name__ == "__main__":
    main()
