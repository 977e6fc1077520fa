"""Proves that each posted transfer has its event in its commit's outbox rows: once, in its place, in its own trace."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import text

from ledgerlink_contracts.ids import TransferId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.batch import Asked, Seen, run
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries.transfers import posted_events
from ledgerlink_wallet.runtime import Answer, Owners
from ledgerlink_wallet.store import open_pool
from ledgerlink_wallet.store.writing import TRANSFERS_POSTED
from ledgerlink_wallet.worker import TELLERS


def order(id_: str) -> PostTransfer:
    posting = Posting(party_of("world", "GBP"), party_of("merchant:m", "GBP"), 1, "GBP")
    return PostTransfer(TransferKey(uuid8(id_)), content_of(b"{}"), "test", (posting,))


async def post(db: Database, *ids: str) -> list[Answer]:
    """Post a transfer for each of ``ids`` by a committer."""
    committer = Committer(partial(open_pool, db.url, application_name="test", size=1), SystemClock(), Owners())
    await committer.start()
    answers = await asyncio.gather(*(committer.submit(order(id_)) for id_ in ids))
    await committer.stop()
    return answers


@pytest.fixture
async def db(make_database: Callable[[str], Awaitable[Database]]) -> Database:
    return await make_database("ledgerlink_wallet")


_OUTBOX = text("SELECT id, aggregate, type, data::text AS data, traceparent, occurred_at FROM outbox ORDER BY seq")


async def test_every_transfer_has_its_event_in_the_outbox_in_the_same_commit(db: Database) -> None:
    answers = await post(db, *(f"{number}" for number in range(60)))
    async with db.reading() as view:
        rows = (await view.execute(_OUTBOX)).all()
        told = await posted_events(view, rows)

    assert {row.type for row in rows} == {TRANSFERS_POSTED}
    said = [one for row in rows for one in told[row.id]]
    assert sorted(one.aggregate for one in said) == sorted(orjson.loads(answer.body)["id"] for answer in answers)
    for one in said:
        assert one.aggregate == str(TransferId(one.id)) == orjson.loads(one.data)["transfer"]["id"]


async def test_every_event_of_a_batch_keeps_the_trace_of_its_request_and_its_place(db: Database) -> None:
    traces = [f"00-{number:032x}-{number:016x}-01" for number in (1, 1, 2, 1, 3, *[4] * 120)]
    asked = [Asked(order(f"{number}"), "r", trace) for number, trace in enumerate(traces)]
    connection: Any = await asyncpg.connect(db.url)
    async with connection.transaction():
        await run(connection, asked, Owners(), Seen(), SystemClock())
    await connection.close()
    async with db.reading() as view:
        rows = (await view.execute(_OUTBOX)).all()
        told = await posted_events(view, rows)

    assert len(rows) == 3
    said = [one for row in rows for one in told[row.id]]
    assert [(one.id, one.traceparent) for one in said] == [
        (one.command.id, trace)
        for one, trace in zip(asked, traces, strict=True)
        if isinstance(one.command, PostTransfer)
    ]


async def test_a_row_of_the_release_before_names_one_transfer_by_its_own_id(db: Database) -> None:
    (answer,) = await post(db, "one")
    async with db.transaction() as tx:
        await tx.execute(
            text("UPDATE outbox SET data = NULL, type = 'wallet.transfer.posted', aggregate = :id"),
            {"id": orjson.loads(answer.body)["id"]},
        )
        row = (await tx.execute(_OUTBOX)).one()
    async with db.reading() as view:
        (said,) = (await TELLERS[row.type](view, [row]))[row.id]

    assert (said.id, said.aggregate, said.traceparent) == (row.id, row.aggregate, row.traceparent)
    assert orjson.loads(said.data)["transfer"]["id"] == row.aggregate
