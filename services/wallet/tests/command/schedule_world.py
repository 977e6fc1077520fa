"""A world for scheduled transfers: two wallets, a worker's clock, and a ledger that can be disturbed."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
from services.wallet.tests.conftest import CHECKPOINT_KEY
from sqlalchemy import text

from ledgerlink_contracts.ids import ScheduleId, UserId, WalletId
from ledgerlink_contracts.wallet.models import WalletOrder
from ledgerlink_contracts.wallet.schedules import (
    OccurrenceView,
    Period,
    RecurrenceOrder,
    ScheduleOrder,
    ScheduleView,
)
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.idempotency import once_for
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.testing import ManualClock
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.commands.schedules import create_schedule
from ledgerlink_wallet.commands.wallets import open_wallet
from ledgerlink_wallet.domain.books import Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import Command, PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries import schedules as queries
from ledgerlink_wallet.runtime import Answer, Ledger, Owners, Runtime, WalletSettings
from ledgerlink_wallet.store import open_pool

OWNER = str(UserId(uuid8("owner")))
MANDATE = Mandate(OWNER, trusted=False)
DAY = timedelta(days=1)
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Killed(BaseException):
    """Stands for the end of the process."""


class Watched:
    """A ledger that can break before or after its commit, wait for a sign before it, or be away for some."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []
        self.instead: dict[int, LedgerLinkError] = {}
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def submit(self, command: Command) -> Answer:
        return await self.ledger.submit(command)

    async def submit_all(self, commands: Sequence[Command]) -> Sequence[Answer | LedgerLinkError]:
        self.reached.set()
        await self.go.wait()
        if self.before:
            raise self.before.pop(0)
        kept = [one for number, one in enumerate(commands) if number not in self.instead]
        told = iter(await self.ledger.submit_all(kept))
        if self.after:
            raise self.after.pop(0)
        return [self.instead.get(number) or next(told) for number in range(len(commands))]


class World:
    """Two wallets, a worker's clock, and a ledger that can be disturbed."""

    def __init__(self, runtime: Runtime, watched: Watched, clock: ManualClock, wallet: WalletId, to: WalletId) -> None:
        self.runtime, self.watched, self.clock = runtime, watched, clock
        self.db = runtime.db
        self.wallet, self.to = wallet, to
        self.keys = 0

    async def fund(self, minor: int) -> None:
        self.keys += 1
        posting = Posting(party_of("world", "GBP"), party_of(str(self.wallet), "GBP"), minor, "GBP")
        key = TransferKey(uuid8("fund", str(self.keys)))
        answer = await self.watched.ledger.submit(PostTransfer(key, content_of(b"{}"), "fund", (posting,)))
        assert answer.status == 201

    async def schedule(self, key: str = "s", **changes: Any) -> ScheduleId:
        asked: dict[str, Any] = {"recurrence": RecurrenceOrder(unit=Period.DAY), "starts_at": START, **changes}
        order = ScheduleOrder(to=self.to, amount_minor=10, currency="GBP", **asked)
        once = once_for(OWNER, "create", key, {"key": key})
        reply = await create_schedule(self.runtime, MANDATE, once, self.wallet, order)
        assert reply.status == 201, reply.body
        return ScheduleId.parse(orjson.loads(reply.body)["id"])

    async def work(self, ledger: Ledger | None = None, limit: int = 100) -> int:
        return await carry_out_due(self.db, ledger or self.watched, self.clock, limit)

    async def all(self) -> int:
        """Work until nothing is due; gives how often something went on."""
        done = 0
        while some := await self.work():
            done += some
        return done

    async def now(self, id_: ScheduleId) -> ScheduleView:
        async with self.db.reading() as view:
            return await queries.schedule(view, id_, None)

    async def ended(self, id_: ScheduleId) -> list[OccurrenceView]:
        async with self.db.reading() as view:
            return (await queries.occurrences(view, id_, None, cursor=None, limit=100)).items[::-1]

    async def received(self) -> int:
        async with self.db.reading() as view:
            asked = {"wallet": self.to.uuid}
            return int(
                await view.scalar(text("SELECT sum(credits_posted) FROM accounts WHERE wallet_id = :wallet"), asked)
                or 0
            )

    async def transfers(self) -> int:
        async with self.db.reading() as view:
            return int(await view.scalar(text("SELECT count(*) FROM transfers WHERE kind = 'wallet.scheduled'")) or 0)

    async def events(self, id_: ScheduleId) -> Counter[str]:
        async with self.db.reading() as view:
            rows = await view.scalars(text("SELECT type FROM outbox WHERE aggregate = :id"), {"id": str(id_)})
            return Counter(rows)


def committer_on(db: Database) -> Committer:
    return Committer(partial(open_pool, db.url, application_name="test", size=2), SystemClock(), Owners())


@asynccontextmanager
async def world_on(db: Database) -> AsyncGenerator[World]:
    committer = committer_on(db)
    await committer.start()
    watched, clock = Watched(committer), ManualClock(START)
    chosen = WalletSettings.model_validate(
        {"environment": "test", "database_url": db.url, "checkpoint_key": CHECKPOINT_KEY}
    )
    runtime = Runtime(db, watched, clock, chosen, chosen.signer().key)
    opened: list[WalletId] = []
    for owner in (OWNER, "usr_other"):
        once = once_for(owner, "open", "k", {})
        reply = await open_wallet(runtime, once, WalletOrder(currency="GBP"))
        opened.append(WalletId.parse(orjson.loads(reply.body)["id"]))
    yield World(runtime, watched, clock, *opened)
    await committer.stop()
