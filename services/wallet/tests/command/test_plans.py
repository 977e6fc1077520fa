"""Proves that no statement of a batch reads a whole table, not even on a ledger that was empty when it was planned."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
from sqlalchemy import text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import HoldKey, Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import CaptureHold, PlaceHold, PostTransfer, ReverseTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

WALLET = text("INSERT INTO wallets (id, owner, currency, opened_at) VALUES (:id, 'usr_1', 'GBP', now())")
PLACE = re.compile(r"\$(\d+)")
PAST = datetime(2026, 1, 1, tzinfo=UTC)


def post(id_: str, credit: str = "merchant:m", effective_at: datetime | None = None) -> PostTransfer:
    posting = Posting(party_of("world", "GBP"), party_of(credit, "GBP"), 1, "GBP")
    return PostTransfer(TransferKey(uuid8(id_)), content_of(b"{}"), "test", (posting,), effective_at=effective_at)


async def test_every_statement_looks_rows_up_by_their_keys(
    make_database: Callable[[str], Awaitable[Database]],
) -> None:
    db = await make_database("ledgerlink_wallet")
    pool: asyncpg.Pool = await open_pool(db.url, application_name="test", size=1)

    async def opened() -> asyncpg.Pool:
        return pool

    committer = Committer(opened, SystemClock(), Owners())
    await committer.start()
    wallet = WalletId(uuid8("wallet"))
    async with db.transaction() as tx:
        await tx.execute(WALLET, {"id": wallet.uuid})
        # From here on the server believes that all other tables are empty, and that reading them whole is cheapest.
        await tx.execute(text("ANALYZE"))
    hold = PlaceHold(HoldKey(uuid8("hold")), content_of(b"{}"), party_of(str(wallet), "GBP"), 1, "GBP")
    for command in (
        post("a"),
        post("a"),
        post("dated", effective_at=PAST),
        post("fund", credit=str(wallet)),
        ReverseTransfer(TransferKey(uuid8("r")), content_of(b"{}"), TransferKey(uuid8("a")), "test"),
        hold,
        CaptureHold(TransferKey(uuid8("c")), content_of(b"{}"), hold.id, "test", "world"),
    ):
        assert (await committer.submit(command)).status in {200, 201}
    async with pool.acquire() as connection:
        prepared = await connection.fetch(
            "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE generic_plans > 0"
        )
        statements = [
            row["statement"] for row in prepared if "unnest" in row["statement"] or "ANY(" in row["statement"]
        ]
        plans = [
            await connection.fetch(f"EXPLAIN (GENERIC_PLAN) {one}", *[None] * max(map(int, PLACE.findall(one))))
            for one in statements
        ]
    await committer.stop()

    assert len(statements) >= 8
    assert not any(row["custom_plans"] for row in prepared)
    read_whole = [line[0] for plan in plans for line in plan if "Seq Scan" in line[0]]
    assert not read_whole, read_whole
