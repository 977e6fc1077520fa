"""Proves imports under fire: cut anywhere and killed between commit and cursor, in bounded memory, counted once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import orjson
import pytest
from services.wallet.tests.conftest import CHECKPOINT_KEY
from sqlalchemy import text

from ledgerlink_contracts.ids import ImportId
from ledgerlink_contracts.wallet.imports import PROBLEMS_MAX, ImportOrder, ImportView
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect, LedgerLinkError, Refused, Unavailable
from ledgerlink_kit.idempotency import once_for
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.imports import LOT_BYTES_MAX, LOT_LINES_MAX, SILENCE_S, open_import, take_lines
from ledgerlink_wallet.domain.orders import Command, PostTransfer
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.queries.imports import find
from ledgerlink_wallet.runtime import Answer, Ledger, Owners, Runtime, WalletSettings
from ledgerlink_wallet.store import open_pool

MakeDatabase = Callable[[str], Awaitable[Database]]


class Killed(BaseException):
    """Stands for the end of the process."""


class Watched:
    """A ledger that counts what it is given at a time, and can break before or after the commit."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.lots: list[int] = []
        self.postings_max = 0
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []
        self.broken: set[int] = set()

    async def submit(self, command: Command) -> Answer:
        return await self.ledger.submit(command)

    async def submit_all(self, commands: Sequence[Command]) -> Sequence[Answer | LedgerLinkError]:
        self.lots.append(len(commands))
        posting = sum(len(one.postings) for one in commands if isinstance(one, PostTransfer))
        self.postings_max = max(self.postings_max, posting)
        if self.before:
            raise self.before.pop(0)
        told = await self.ledger.submit_all(commands)
        if self.after:
            raise self.after.pop(0)
        return [Defect("broken") if number in self.broken else one for number, one in enumerate(told)]


class Still(SystemClock):
    """A clock that measures no time but what it is put forward by: how fast this machine is decides nothing."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return self.ahead_s


@asynccontextmanager
async def importing(db: Database) -> AsyncGenerator[tuple[Runtime, Watched]]:
    """Run a committer behind a watched ledger."""
    committer = Committer(partial(open_pool, db.url, application_name="test", size=2), SystemClock(), Owners())
    await committer.start()
    watched = Watched(committer)
    chosen = WalletSettings.model_validate(
        {"environment": "test", "database_url": db.url, "checkpoint_key": CHECKPOINT_KEY}
    )
    yield Runtime(db, watched, Still(), chosen, chosen.signer().key), watched
    await committer.stop()


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


def line(number: int, postings: int = 1) -> bytes:
    posting = {"debit": "world", "credit": f"merchant:m{number % 7}", "amount_minor": number + 1, "currency": "GBP"}
    return orjson.dumps({"kind": "import", "postings": [posting] * postings}) + b"\n"


async def opened(runtime: Runtime, key: str = "k") -> ImportId:
    order = ImportOrder()
    reply = await open_import(runtime, once_for("svc", "open", key, {}), order)
    return ImportId.parse(orjson.loads(reply.body)["id"])


async def pieces_of(*pieces: bytes, end: BaseException | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if end is not None:
        raise end


async def send(runtime: Runtime, id_: ImportId, pieces: AsyncIterator[bytes], from_line: int = 0) -> ImportView:
    return await take_lines(runtime, id_, from_line, pieces, asyncio.Event())


async def now(runtime: Runtime, id_: ImportId) -> ImportView:
    async with runtime.db.reading() as view:
        return await find(view, id_)


async def count(db: Database, table: str) -> int:
    async with db.reading() as view:
        return int(await view.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


def counts(view: ImportView) -> tuple[int, ...]:
    return view.next_line, view.posted, view.replayed, view.refused, view.malformed, view.blank


async def test_twenty_thousand_lines_pass_in_a_window_of_one_lot(db: Database) -> None:
    async with importing(db) as (runtime, watched):
        id_ = await opened(runtime)
        sent = ahead = 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent, ahead
            for start in range(0, 20_000, 100):
                body = b"".join(line(number) if number % 1_000 else b"bad\n" for number in range(start, start + 100))
                sent += 100
                # What was read and is not carried out yet is all that the upload holds.
                ahead = max(ahead, sent - sum(watched.lots) - sent // 1_000)
                yield body

        view = await send(runtime, id_, pieces())

    assert counts(view) == (20_000, 19_980, 0, 0, 20, 0)
    assert max(watched.lots) <= LOT_LINES_MAX
    # The lot, the piece that filled it and the one that is read while it waits.
    assert ahead <= LOT_LINES_MAX + 200
    assert await count(db, "transfers") == 19_980
    assert await count(db, "import_problems") == 20
    assert (await audit(db, SystemClock())).clean


async def test_a_lot_ends_before_the_postings_that_one_commit_carries(db: Database) -> None:
    async with importing(db) as (runtime, watched):
        view = await send(runtime, await opened(runtime), pieces_of(*(line(number, 100) for number in range(120))))

    assert view.posted == 120
    assert watched.postings_max == 5_000


async def test_a_lot_ends_at_its_bytes(db: Database) -> None:
    padded = line(0).rstrip(b"\n") + b" " * 60_000 + b"\n"
    async with importing(db) as (runtime, watched):
        await send(runtime, await opened(runtime), pieces_of(*[padded] * 100))

    assert watched.lots == [-(-LOT_BYTES_MAX // (len(padded) - 1)), 100 - -(-LOT_BYTES_MAX // (len(padded) - 1))]


async def test_killed_between_the_commit_and_the_cursor_the_lot_is_counted_once_and_moves_money_once(
    db: Database,
) -> None:
    lines = [line(number) if number % 10 else b"bad\n" for number in range(2_500)]
    async with importing(db) as (runtime, watched):
        id_ = await opened(runtime)
        watched.after = [Killed()]
        with pytest.raises(Killed):
            await send(runtime, id_, pieces_of(*lines))
        cut = await now(runtime, id_)
        posted = await count(db, "transfers")
        view = await send(runtime, id_, pieces_of(*lines[cut.next_line :]), cut.next_line)

    assert (counts(cut), posted) == ((0, 0, 0, 0, 0, 0), 900)
    assert counts(view) == (2_500, 2_250, 900, 0, 250, 0)
    assert await count(db, "transfers") == 2_250
    assert await count(db, "import_problems") == 250
    assert (await audit(db, SystemClock())).clean


async def test_refusals_of_a_lot_that_is_sent_again_are_reported_once(db: Database) -> None:
    closed = b'{"kind":"t","postings":[{"debit":"nowhere:x","credit":"world","amount_minor":1,"currency":"GBP"}]}\n'
    async with importing(db) as (runtime, watched):
        id_ = await opened(runtime)
        watched.after = [Killed()]
        with pytest.raises(Killed):
            await send(runtime, id_, pieces_of(line(0), closed))
        view = await send(runtime, id_, pieces_of(line(0), closed))

    assert counts(view) == (2, 1, 1, 1, 0, 0)
    assert await count(db, "import_problems") == 1


async def test_a_cut_body_leaves_the_cursor_at_the_last_lot_and_takes_no_half_line(db: Database) -> None:
    whole = b"".join(line(number) for number in range(1_500))
    cut = Refused.__new__(Refused)
    LedgerLinkError.__init__(cut, "upload-cut", "cut")
    async with importing(db) as (runtime, _):
        id_ = await opened(runtime)
        with pytest.raises(Refused):
            await send(runtime, id_, pieces_of(whole[:-20], end=cut))
        stands = await now(runtime, id_)
        view = await send(runtime, id_, pieces_of(whole))

    assert (stands.next_line, stands.malformed, stands.uploading) == (1_000, 0, False)
    assert counts(view) == (1_500, 1_500, 0, 0, 0, 0)


async def test_a_busy_ledger_is_waited_for_and_one_that_stays_away_ends_the_upload(db: Database) -> None:
    clock = Still()
    async with importing(db) as (runtime, watched):
        timed = replace(runtime, clock=clock)
        id_ = await opened(runtime)
        watched.before = [Unavailable("ledger-busy", "full"), Unavailable("ledger-busy", "full")]
        first = await send(timed, id_, pieces_of(line(0)))

        class Away(Watched):
            async def submit_all(self, commands: Sequence[Command]) -> Sequence[Answer | LedgerLinkError]:
                clock.ahead_s += 6
                return [Unavailable("ledger-unavailable", "away", outcome_unknown=True) for _ in commands]

        with pytest.raises(Unavailable, match="ledger-unavailable"):
            await send(replace(timed, ledger=Away(watched)), id_, pieces_of(line(1)), 1)
        second = await send(timed, id_, pieces_of(line(1)), 1)

    assert (counts(first), counts(second)) == ((1, 1, 0, 0, 0, 0), (2, 2, 0, 0, 0, 0))


async def test_a_line_that_breaks_the_ledger_is_reported_and_its_neighbors_stand(db: Database) -> None:
    async with importing(db) as (runtime, watched):
        watched.broken = {1}
        id_ = await opened(runtime)
        view = await send(runtime, id_, pieces_of(line(0), line(1), line(2)))

    async with db.reading() as books:
        row = (await books.execute(text("SELECT line, outcome, code FROM import_problems"))).one()
    assert counts(view) == (3, 2, 0, 1, 0, 0)
    assert tuple(row) == (1, "refused", "internal-error")


async def test_an_upload_that_died_without_a_word_keeps_others_out_until_its_lease_ends(db: Database) -> None:
    async with importing(db) as (runtime, _):
        id_ = await opened(runtime)
        lease = "UPDATE imports SET upload = gen_random_uuid(), upload_until = now() + make_interval(secs => :s)"
        async with db.transaction() as tx:
            await tx.execute(text(lease), {"s": 20})
        with pytest.raises(Refused, match="import-busy") as refused:
            await send(runtime, id_, pieces_of(line(0)))
        async with db.transaction() as tx:
            await tx.execute(text(lease), {"s": -1})
        view = await send(runtime, id_, pieces_of(line(0)))

    assert 15 <= refused.value.members["retry_after_s"] <= 20
    assert view.posted == 1


async def test_an_upload_that_was_taken_for_dead_cannot_move_the_cursor(db: Database) -> None:
    async with importing(db) as (runtime, _):
        id_ = await opened(runtime)

        async def pieces() -> AsyncIterator[bytes]:
            yield line(0)
            async with db.transaction() as tx:
                await tx.execute(text("UPDATE imports SET upload_until = now() - interval '1 second'"))
            assert (await send(runtime, id_, pieces_of(line(0), line(1)))).next_line == 2
            yield line(1)

        with pytest.raises(Refused, match="import-busy"):
            await send(runtime, id_, pieces())
        view = await now(runtime, id_)

    assert counts(view) == (2, 2, 0, 0, 0, 0)
    assert await count(db, "transfers") == 2


async def test_a_silent_upload_and_a_stopping_service_end_it_where_it_stands(db: Database) -> None:
    clock, stopping = Still(), asyncio.Event()
    async with importing(db) as (runtime, _):
        timed = replace(runtime, clock=clock)
        id_ = await opened(runtime)

        async def silent() -> AsyncIterator[bytes]:
            yield line(0)
            clock.ahead_s += SILENCE_S
            await asyncio.Event().wait()

        with pytest.raises(Refused, match="import-silent"):
            await send(timed, id_, silent())
        stands = await now(runtime, id_)
        stopping.set()
        with pytest.raises(Unavailable, match="service-stopping"):
            await take_lines(timed, id_, 1, pieces_of(line(1)), stopping)
        view = await now(runtime, id_)

    assert (stands.next_line, view.next_line, view.uploading) == (1, 1, False)


async def test_a_file_of_nothing_but_problems_is_taken_for_the_wrong_one(db: Database) -> None:
    async with importing(db) as (runtime, _):
        id_ = await opened(runtime)
        almost = PROBLEMS_MAX - 1
        async with db.transaction() as tx:
            await tx.execute(text("UPDATE imports SET next_line = :n, malformed = :n"), {"n": almost})
        await send(runtime, id_, pieces_of(line(0)), almost)
        with pytest.raises(Refused, match="import-problems-max"):
            await send(runtime, id_, pieces_of(b"bad\n" * 3_000), almost + 1)
        view = await now(runtime, id_)

    assert (view.next_line, view.malformed) == (almost + 1 + LOT_LINES_MAX, almost + LOT_LINES_MAX)


async def test_reports_are_facts_that_the_services_role_may_only_add_to(db: Database) -> None:
    granted = "SELECT privilege_type FROM pg_class, aclexplode(relacl) WHERE relname = 'import_problems'"
    async with db.reading() as view:
        rights = set(await view.scalars(text(granted)))

    assert rights & {"INSERT", "UPDATE", "DELETE", "TRUNCATE"} == {"INSERT"}


async def test_the_rate_counts_the_time_in_which_lines_were_coming(db: Database) -> None:
    clock = Still()
    async with importing(db) as (runtime, _):
        timed = replace(runtime, clock=clock)
        id_ = await opened(runtime)
        clock.ahead_s += 3_600

        async def pieces() -> AsyncIterator[bytes]:
            yield b"".join(line(number) for number in range(500))
            clock.ahead_s += 100

        view = await send(timed, id_, pieces())

    assert view.lines_per_s == 5
    assert view.progressed_at is not None
    assert abs(view.progressed_at - datetime.now(UTC)).total_seconds() < 60
