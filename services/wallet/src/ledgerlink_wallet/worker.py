"""The wallet's worker: carries events out, ends holds, checks the books. `python -m ledgerlink_wallet.worker` works."""

import asyncio
from functools import partial
from typing import Final

import structlog
from prometheus_client import Counter
from redis.asyncio import Redis

from ledgerlink_contracts.wallet.events import TransferPosted
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.http_app import run_worker
from ledgerlink_kit.invariants import watch_invariants
from ledgerlink_kit.migrations import upgrade
from ledgerlink_kit.outbox import Relay
from ledgerlink_wallet.commands.alerts import tell_crossings
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.orders import ExpireHold
from ledgerlink_wallet.queries.audit import INVARIANTS_OF_BALANCES, INVARIANTS_OF_HISTORY
from ledgerlink_wallet.queries.due import due_holds
from ledgerlink_wallet.queries.transfers import posted_events
from ledgerlink_wallet.runtime import Ledger, Owners, WalletSettings
from ledgerlink_wallet.store import open_pool

EXPIRY_EVERY_S: Final = 1.0
EXPIRY_BATCH: Final = 500

ALERTS_EVERY_S: Final = 1.0
ALERTS_BATCH: Final = 100

TELLERS: Final = {TransferPosted.event_type: posted_events}

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


def main() -> None:
    """Work until SIGTERM."""
    settings = WalletSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    url = settings.database_url.get_secret_value()
    upgrade("ledgerlink_wallet", url)
    clock = SystemClock()
    db = Database(url, application_name="wallet-worker", pool_size=settings.db_pool_size)
    redis = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
    relay = Relay(db, redis, service="wallet", clock=clock, tellers=TELLERS)
    committer = Committer(partial(open_pool, url, application_name="wallet-worker-committer", size=1), clock, Owners())

    async def expire(stop: asyncio.Event) -> None:
        await committer.start()
        await watch_holds(db, committer, clock, stop)

    async def alert(stop: asyncio.Event) -> None:
        await watch_alerts(db, clock, stop)

    async def check_balances(stop: asyncio.Event) -> None:
        await watch_invariants(db, INVARIANTS_OF_BALANCES, stop, every_s=settings.balances_every_s)

    async def check_history(stop: asyncio.Event) -> None:
        await watch_invariants(db, INVARIANTS_OF_HISTORY, stop, every_s=settings.history_every_s)

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
            "holds": expire,
            "alerts": alert,
            "balances": check_balances,
            "history": check_history,
        },
        readiness={"database": db.ping, "redis": ping_redis},
        close=close,
    )


if __name__ == "__main__":
    main()
