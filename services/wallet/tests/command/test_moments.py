"""Proves that balances at any moment equal a naive fold over all entries, and that finding them costs no more as the
history grows: as effective at one moment, as known at another, for ordinary, back-dated and post-dated entries alike.
And that a statement by effective time holds every entry of its period once, in order, however small the pages.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.wallet.tests.conftest import MakeDatabase
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer, StatementBasis, StatementLine
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.testing.clock import ManualClock
from ledgerlink_wallet.commands.batch import Asked, Seen, run
from ledgerlink_wallet.domain.books import Account, Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.fold import EMPTY, Columns, fold
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.domain.stretches import micros_of, stretches_until
from ledgerlink_wallet.queries import moments, statements
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.queries.moments import NEWEST, Position
from ledgerlink_wallet.runtime import Owners

START = datetime(2026, 3, 1, tzinfo=UTC)


class Made(NamedTuple):
    """An entry as the naive model keeps it."""

    version: int
    effective_at: datetime
    recorded_at: datetime
    side: Side
    amount_minor: int


def naive(entries: Sequence[Made], position: Position, known_at: datetime) -> Columns:
    """Fold every entry that was known and had taken effect."""
    columns = EMPTY
    for entry in entries:
        if entry.recorded_at <= known_at and (entry.effective_at, entry.version) <= position:
            columns = fold(columns, entry.side, Layer.POSTED, entry.amount_minor)
    return columns


def order(number: int, amount: int, effective_at: datetime | None, *, reverse: bool = False) -> PostTransfer:
    there, back = ("merchant:m", "world") if reverse else ("world", "merchant:m")
    posting = Posting(party_of(there, "GBP"), party_of(back, "GBP"), amount, "GBP")
    content = content_of(orjson.dumps({"n": number}))
    return PostTransfer(TransferKey(uuid8(str(number))), content, "test", (posting,), effective_at=effective_at)


async def post(db: Database, batches: Sequence[Sequence[PostTransfer]], clock: ManualClock, every_s: float) -> None:
    """Commit each batch with the clock turned on by ``every_s`` before it."""
    connection: Any = await asyncpg.connect(db.url)
    owners = Owners()
    for commands in batches:
        clock.advance(every_s)
        async with connection.transaction():
            await run(connection, [Asked(command, "r", "t") for command in commands], owners, Seen(), clock)
    await connection.close()


async def account_named(view: AsyncConnection, code: str) -> Account:
    row = await view.execute(
        text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE code = :code"),  # noqa: S608
        {"code": code},
    )
    return account_of(row.one())


MOMENTS = st.integers(-6, 30).map(lambda hours: START + timedelta(hours=hours))
TRANSFERS = st.tuples(st.integers(1, 50), st.one_of(st.none(), MOMENTS), st.booleans())
HISTORIES = st.lists(st.lists(TRANSFERS, min_size=1, max_size=5), min_size=1, max_size=8)


async def test_every_balance_equals_the_naive_fold_of_all_entries(make_database: MakeDatabase) -> None:
    db = await make_database("ledgerlink_wallet")

    async def check(history: list[list[tuple[int, datetime | None, bool]]], asked: list[tuple[int, int, int]]) -> None:
        clock = ManualClock(START)
        number = 0
        batches: list[list[PostTransfer]] = []
        for batch in history:
            batches.append([])
            for amount, effective_at, reverse in batch:
                number += 1
                batches[-1].append(order(number, amount, effective_at, reverse=reverse))
        await truncate(db)
        await post(db, batches, clock, 3_600)
        async with db.reading() as view:
            account = await account_named(view, "merchant:m")
            rows = await view.execute(text("SELECT * FROM entries WHERE account_id = :id"), {"id": account.facts.id})
            entries = [Made(e.version, e.effective_at, e.recorded_at, Side(e.side), e.amount_minor) for e in rows]
            for effective, recorded, version in asked:
                position = Position(START + timedelta(hours=effective), version)
                known_at = START + timedelta(hours=recorded)
                known = await moments.known_version(view, account, known_at)

                assert await moments.columns_at(view, account, position, known) == naive(entries, position, known_at)
            await check_statement(db, view, account, entries)
        assert (await audit(db, SystemClock())).clean

    questions = st.lists(
        st.tuples(st.integers(-7, 31), st.integers(-1, 9), st.one_of(st.just(NEWEST), st.integers(0, 40))),
        min_size=4,
        max_size=4,
    )
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(history=HISTORIES, asked=questions)
    def examples(history: list[list[tuple[int, datetime | None, bool]]], asked: list[tuple[int, int, int]]) -> None:
        asyncio.run_coroutine_threadsafe(check(history, asked), loop).result()

    await asyncio.to_thread(examples)


async def check_statement(db: Database, view: AsyncConnection, account: Account, entries: Sequence[Made]) -> None:
    """Hold pages and stream of a statement by effective time against the entries sorted by it."""
    since, until = START + timedelta(hours=-3), START + timedelta(hours=20)
    ordered = sorted(entries, key=lambda entry: (entry.effective_at, entry.version))
    period = await statements.period_of(view, account, StatementBasis.EFFECTIVE, since, until)
    wanted = [(entry.version, signed(entry)) for entry in ordered if since <= entry.effective_at < until]
    opening = sum(signed(entry) for entry in ordered if entry.effective_at < since)
    lines = [line for lot in [lot async for lot in statements.lines_of(db, period, limit=2, span=3)] for line in lot]
    paged: list[StatementLine] = []
    cursor: str | None = None
    while True:
        page = await statements.statement(view, period, cursor=cursor, limit=2, span=3)
        paged += page.lines
        assert page.period_opening_minor == opening
        assert page.closing_minor - page.opening_minor == sum(line.change_minor for line in page.lines)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert page.opening_minor == opening
    assert [(line.version, line.change_minor) for line in lines] == wanted
    assert paged == lines[::-1]


def signed(entry: Made) -> int:
    return entry.amount_minor if entry.side is Side.CREDIT else -entry.amount_minor


async def truncate(db: Database) -> None:
    async with db.engine.connect() as connection:
        await connection.execute(text("GRANT TRUNCATE ON transfers, entries, dated_sums, promises TO CURRENT_USER"))
        await connection.execute(text("TRUNCATE transfers, entries, dated_sums, promises, accounts, outcomes, outbox"))
        await connection.commit()


async def buffers(view: AsyncConnection, statement: Any, values: dict[str, Any]) -> int:
    """Give the pages that ``statement`` looked at."""
    explained = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}")
    plan = (await view.execute(explained, values)).scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


GROW = """
INSERT INTO entries
SELECT :account, n, 'credit', 'posted', 1, 0, n, 0, 0, gen_random_uuid(), NULL, at, at
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n,
     LATERAL (SELECT timestamptz '2026-03-01 00:00Z' + n * interval '1 second' AS at) moment
"""


async def grow(db: Database, account: Account, last: int) -> Account:
    """Append ordinary entries, one a second, up to version ``last``."""
    async with db.engine.connect() as connection:
        values = {"account": account.facts.id, "first": account.version + 1, "last": last}
        await connection.execute(text(GROW), values)
        await connection.commit()
    return account._replace(version=last)


async def test_finding_a_version_looks_at_one_entry_per_binary_digit_however_long_the_history(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("ledgerlink_wallet")
    await post(db, [[order(1, 1, None)]], ManualClock(START), 1)
    async with db.reading() as view:
        account = await account_named(view, "merchant:m")
    touched: list[int] = []
    for size in (1_000, 30_000):
        account = await grow(db, account, size)
        await vacuum(db)
        async with db.reading() as view:
            assert await moments.version_at(view, account, START + timedelta(seconds=size // 3)) == size // 3
            step = 1 << (size.bit_length() - 1)
            at = START + timedelta(seconds=size // 3)
            values = {"account": account.facts.id, "at": at, "last": NEWEST, "step": step}
            touched.append(await buffers(view, moments.VERSION_AT, values))

    assert touched[0] <= 4 * 11
    assert touched[1] <= 4 * 16


async def test_sums_of_dated_entries_touch_a_bounded_number_of_pages_however_many_there_are(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("ledgerlink_wallet")
    clock = ManualClock(START)
    touched: list[int] = []
    number = 0
    for size in (100, 1_900):
        batch = [order(number + n, 1, START - timedelta(minutes=7 * n)) for n in range(size)]
        number += size
        await post(db, [batch], clock, 1)
        await vacuum(db)
        async with db.reading() as view:
            account = await account_named(view, "merchant:m")
            wanted = stretches_until(micros_of(START - timedelta(minutes=70)))
            values = {
                "account": account.facts.id,
                "version": account.version,
                "levels": [one.level for one in wanted],
                "buckets": [one.bucket for one in wanted],
            }
            touched.append(await buffers(view, moments.SUMS, values))

    # One descent of the index a stretch; twenty times the entries make the index one level higher.
    assert touched[1] <= 2 * touched[0]
    assert touched[1] <= 4 * len(wanted)


async def vacuum(db: Database) -> None:
    async with db.engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE entries, dated_sums"))


async def test_an_ordinary_transfer_costs_no_row_beside_its_entries(make_database: MakeDatabase) -> None:
    db = await make_database("ledgerlink_wallet")
    clock = ManualClock(START)
    await post(db, [[order(1, 5, None), order(2, 5, START + timedelta(seconds=1))]], clock, 1)
    async with db.reading() as view:
        ordinary = await view.scalar(text("SELECT count(*) FROM dated_sums"))
    await post(db, [[order(3, 5, START - timedelta(days=1))]], clock, 1)
    async with db.reading() as view:
        dated = await view.scalar(text("SELECT count(*) FROM dated_sums"))

    assert ordinary == 0
    assert dated == 2 * 15


async def test_the_moment_is_taken_under_the_locks_so_that_versions_are_recorded_in_order(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("ledgerlink_wallet")
    clock = ManualClock(START)
    await post(db, [[order(1, 5, None)]], clock, 1)
    first: Any = await asyncpg.connect(db.url)
    second: Any = await asyncpg.connect(db.url)
    asked = [Asked(order(2, 5, None), "r", "t")]
    holder = first.transaction()
    await holder.start()
    await run(first, asked, Owners(), Seen(), clock)

    async def wait() -> None:
        async with second.transaction():
            await run(second, [Asked(order(3, 5, None), "r", "t")], Owners(), Seen(), clock)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.3)
    clock.advance(60)
    await holder.commit()
    await waiting
    async with db.reading() as view:
        account = await account_named(view, "merchant:m")
        moment = await view.scalar(
            text("SELECT recorded_at FROM entries WHERE account_id = :id AND version = 3"), {"id": account.facts.id}
        )
    await first.close()
    await second.close()

    assert moment == START + timedelta(seconds=61)
