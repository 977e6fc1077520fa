"""Proves the committer's promises on a real PostgreSQL: one effect per id however many ask at once, batches that
gather, a bounded queue, lost commits resolved by id, one bad command that breaks alone, and several committers at once.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import orjson
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect, Unavailable
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.batch import Asked, Seen, run
from ledgerlink_wallet.commands.committer import POSTINGS_PER_BATCH_MAX, Committer
from ledgerlink_wallet.domain.books import Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.runtime import Answer, Owners
from ledgerlink_wallet.store import open_pool

MakeDatabase = Callable[[str], Awaitable[Database]]


def order(id_: str, debit: str = "world", credit: str = "merchant:m", amount: int = 1, times: int = 1) -> PostTransfer:
    posting = Posting(party_of(debit, "GBP"), party_of(credit, "GBP"), amount, "GBP")
    fields = orjson.dumps({"debit": debit, "credit": credit, "amount": amount})
    return PostTransfer(TransferKey(uuid8(id_)), content_of(fields), "test", (posting,) * times)


@asynccontextmanager
async def committing(db: Database, pool: Any = None, **limits: Any) -> AsyncGenerator[Committer]:
    opened = pool or partial(open_pool, db.url, application_name="test", size=2)
    committer = Committer(opened, SystemClock(), Owners(), **limits)
    await committer.start()
    yield committer
    await committer.stop()


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


async def count(db: Database, table: str) -> int:
    async with db.reading() as view:
        return int(await view.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


async def assert_clean(db: Database) -> None:
    report = await audit(db, SystemClock())
    assert report.clean, [check for check in report.checks if check.differences]


async def test_fifty_requests_with_one_id_at_once_have_one_effect_and_one_answer(db: Database) -> None:
    async with committing(db) as committer:
        answers = await asyncio.gather(*(committer.submit(order("one")) for _ in range(50)))

    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 49
    assert await count(db, "transfers") == 1
    await assert_clean(db)


async def test_two_committers_at_once_still_have_one_effect_and_one_answer(db: Database) -> None:
    async with committing(db) as first, committing(db) as second:
        answers = await asyncio.gather(
            *(committer.submit(order(f"{number}")) for number in range(40) for committer in (first, second))
        )

    assert len({answer.body for answer in answers}) == 40
    assert await count(db, "transfers") == 40
    await assert_clean(db)


def plain(id_: str, debit: str, credit: str, amount: int = 1) -> PostTransfer:
    """An order that the posted transfer tells whole."""
    posting = Posting(party_of(debit, "GBP"), party_of(credit, "GBP"), amount, "GBP")
    fields: dict[str, Any] = {
        "operation": "transfer",
        "kind": "test",
        "metadata": {},
        "postings": [{"debit": debit, "credit": credit, "amount_minor": amount, "currency": "GBP"}],
    }
    return PostTransfer(TransferKey(uuid8(id_)), content_of(orjson.dumps(fields)), "test", (posting,), plain=True)


async def own(db: Database, wallet: WalletId) -> None:
    """Make a wallet whose account in pounds opens on first use."""
    async with db.transaction() as tx:
        await tx.execute(
            text("INSERT INTO wallets (id, owner, currency, opened_at) VALUES (:id, 'x', 'USD', now())"),
            {"id": wallet.uuid},
        )
        await tx.execute(
            text("INSERT INTO unsealed (recorded_at, transfers, wallet_id) VALUES (now(), 0, :id)"), {"id": wallet.uuid}
        )


async def test_plain_orders_from_two_processes_have_one_effect_and_are_answered_from_the_facts(db: Database) -> None:
    async with committing(db) as first, committing(db) as second:
        orders = [plain(f"{number}", "world", f"merchant:m{number % 3}") for number in range(40)]
        answers = await asyncio.gather(
            *(committer.submit(one) for one in orders for committer in (first, second, first))
        )
    async with committing(db) as later:
        again = await later.submit_all(orders)
        other = await later.submit(plain("7", "world", "merchant:m0", 2))

    assert len({answer.body for answer in answers}) == 40
    assert {one.body for one in again if isinstance(one, Answer)} == {answer.body for answer in answers}
    assert orjson.loads(other.body)["differs"] == ["postings.0.amount_minor", "postings.0.credit"]
    assert await count(db, "transfers") == await count(db, "outcomes") == 40
    await assert_clean(db)


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_refusal_and_a_transfer_of_one_id_never_both_stand(db: Database, *, refused_first: bool) -> None:
    """Two processes decide on one id at once, and no account's lock is between them: the outcome's key is."""
    wallet = WalletId(uuid8("wallet"))
    await own(db, wallet)
    spending, posting = plain("one", str(wallet), "merchant:a"), plain("one", "world", "merchant:b")
    slow, quick = (spending, posting) if refused_first else (posting, spending)
    connection: Any = await asyncpg.connect(db.url)
    transaction = connection.transaction()
    await transaction.start()
    done = await run(connection, [Asked(slow, "r", "t")], Owners(), Seen(), SystemClock())
    async with committing(db) as committer:
        waiting = asyncio.create_task(committer.submit(quick))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await transaction.commit()
        answer = await waiting
        again = await committer.submit(slow)
    await connection.close()

    assert done.answers[0].status == (409 if refused_first else 201)
    assert answer.refusal is RefusalCode.ID_REUSED
    assert (again.status, again.body) == (done.answers[0].status, done.answers[0].body)
    assert await count(db, "transfers") == (0 if refused_first else 1)
    assert await count(db, "outcomes") == 1
    await assert_clean(db)


async def test_what_changed_behind_the_committers_back_is_what_the_next_command_meets(db: Database) -> None:
    """A restored backup may have another balance at the same version; nothing is decided on what is remembered."""
    wallet = WalletId(uuid8("wallet"))
    await own(db, wallet)
    async with committing(db) as committer:
        await committer.submit(plain("funds", "world", str(wallet), 100))
        async with db.engine.begin() as connection:
            await connection.execute(
                text("UPDATE accounts SET credits_posted = 40 WHERE wallet_id = :id"), {"id": wallet.uuid}
            )
        refused = await committer.submit(plain("much", str(wallet), "merchant:a", 50))
        spent = await committer.submit(plain("less", str(wallet), "merchant:a", 40))

    assert orjson.loads(refused.body)["available_minor"] == 40
    assert orjson.loads(spent.body)["entries"][0]["available_minor"] == 0


async def test_many_commands_at_once_are_cut_into_commits_and_taken_whole_by_an_empty_queue(db: Database) -> None:
    async with committing(db, queue_max=10, batch_max=40) as committer:
        told = await committer.submit_all([order(f"{number}", times=100) for number in range(60)])
        with pytest.raises(Unavailable):
            await asyncio.gather(committer.submit_all([order("a")] * 9), committer.submit_all([order("b")] * 2))
    async with db.reading() as view:
        batches = await view.execute(
            text("SELECT sum(jsonb_array_length(postings)) AS postings FROM transfers GROUP BY recorded_at ORDER BY 1")
        )

    assert [one.status for one in told if isinstance(one, Answer)] == [201] * 60
    assert [int(row.postings) for row in batches][-2:] == [2_000, 4_000]
    await assert_clean(db)


async def test_the_other_content_of_a_used_id_is_refused_and_the_fields_are_named(db: Database) -> None:
    async with committing(db) as committer:
        await committer.submit(order("one"))
        answer = await committer.submit(order("one", amount=2))
        again = await committer.submit(order("one"))

    assert answer.status == 409
    assert orjson.loads(answer.body)["differs"] == ["amount"]
    assert again.replayed


async def test_a_refusal_is_remembered_byte_for_byte_even_when_it_would_now_succeed(db: Database) -> None:
    wallet = WalletId(uuid8("wallet"))
    async with db.transaction() as tx:
        await tx.execute(
            text("INSERT INTO wallets (id, owner, currency, opened_at) VALUES (:id, 'x', 'GBP', now())"),
            {"id": wallet.uuid},
        )
    async with committing(db) as committer:
        refused = await committer.submit(order("spend", str(wallet)))
        await committer.submit(order("fund", "world", str(wallet)))
        again = await committer.submit(order("spend", str(wallet)))

    assert refused.status == again.status == 409
    assert refused.body == again.body
    assert again.replayed


async def test_commands_gather_while_a_batch_commits_and_share_the_next_commit(db: Database) -> None:
    async with committing(db) as committer:
        await asyncio.gather(*(committer.submit(order(f"{number}")) for number in range(500)))
    async with db.reading() as view:
        moments = await view.scalar(text("SELECT count(DISTINCT recorded_at) FROM transfers"))

    assert moments is not None
    assert moments < 50
    await assert_clean(db)


async def test_a_batch_ends_before_the_command_that_would_pass_the_limit_of_postings(db: Database) -> None:
    async with committing(db) as committer:
        asked = [committer.submit(order(f"{number}", times=100)) for number in range(70)]
        answers = await asyncio.gather(*asked)
    async with db.reading() as view:
        largest = await view.scalar(
            text("SELECT max(n) FROM (SELECT count(*) / 2 AS n FROM entries GROUP BY recorded_at) batches")
        )

    assert {answer.status for answer in answers} == {201}
    assert largest is not None
    assert largest <= POSTINGS_PER_BATCH_MAX


async def test_past_the_queue_limit_callers_are_told_to_come_back(db: Database) -> None:
    async with committing(db, queue_max=3) as committer:
        asked = asyncio.gather(*(committer.submit(order(f"{number}")) for number in range(10)), return_exceptions=True)
        await asyncio.sleep(0)  # all have asked, and the committer has not taken any yet
        shown = [
            REGISTRY.get_sample_value(f"ledgerlink_wallet_queue_{name}") for name in ("commands", "limit_commands")
        ]
        results = await asked

    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == 7
    assert all(one.code == "ledger-busy" and one.retry_after_s and not one.outcome_unknown for one in refused)
    assert await count(db, "transfers") == 3
    assert shown == [3, 3]


async def test_stopping_finishes_what_waits_and_takes_no_more(db: Database) -> None:
    async with committing(db) as committer:
        asked = [asyncio.create_task(committer.submit(order(f"{number}"))) for number in range(20)]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*asked)

    assert {answer.status for answer in answers} == {201}
    with pytest.raises(Unavailable):
        await committer.submit(order("late"))
    with pytest.raises(Unavailable):
        await committer.check()


async def test_a_command_that_breaks_its_batch_breaks_alone(db: Database) -> None:
    # A check that only this command meets stands for any defect: the domain allows it, the database does not.
    async with db.transaction() as tx:
        await tx.execute(text("ALTER TABLE transfers ADD CONSTRAINT bad CHECK (kind <> 'bad')"))
    bad = order("bad")
    broken = PostTransfer(bad.id, bad.content, "bad", bad.postings)
    async with committing(db) as committer:
        results = await asyncio.gather(
            *(committer.submit(order(f"{number}")) for number in range(5)),
            committer.submit(broken),
            *(committer.submit(order(f"more {number}")) for number in range(5)),
            return_exceptions=True,
        )
        alone = await asyncio.gather(committer.submit(broken), return_exceptions=True)

    assert [type(result) for result in results] == [Answer] * 5 + [Defect] + [Answer] * 5
    assert isinstance(alone[0], Defect)
    assert await count(db, "transfers") == 10
    await assert_clean(db)


class CuttingPool:
    """A pool whose connections break at a chosen moment: before the commit reaches the server, or after."""

    def __init__(self, pool: asyncpg.Pool, plan: Sequence[str]) -> None:
        self._pool = pool
        self._plan = list(plan)

    def acquire(self) -> Any:
        return self._acquire()

    @asynccontextmanager
    async def _acquire(self) -> AsyncGenerator[Any]:
        async with self._pool.acquire() as connection:
            yield CuttingConnection(connection, self._plan.pop(0) if self._plan else "")

    async def close(self) -> None:
        await self._pool.close()


class CuttingConnection:
    """A connection whose commit is lost as planned."""

    def __init__(self, connection: Any, plan: str) -> None:
        self._connection = connection
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def transaction(self) -> Any:
        return CuttingTransaction(self._connection.transaction(), self._plan)


class CuttingTransaction:
    """A transaction whose commit's answer is lost, with or without the commit."""

    def __init__(self, transaction: Any, plan: str) -> None:
        self._transaction = transaction
        self._plan = plan

    async def start(self) -> None:
        await self._transaction.start()

    async def rollback(self) -> None:
        await self._transaction.rollback()

    async def commit(self) -> None:
        if self._plan == "before":
            await self._transaction.rollback()
            raise ConnectionResetError("cut before the commit")
        await self._transaction.commit()
        if self._plan == "after":
            raise ConnectionResetError("cut after the commit")


@pytest.mark.parametrize("plan", [["before"], ["after"], ["after", "before", "after"]])
async def test_a_lost_commit_is_resolved_by_id_before_anybody_is_answered(db: Database, plan: list[str]) -> None:
    async def pool() -> Any:
        return CuttingPool(await open_pool(db.url, application_name="test", size=2), plan)

    async with committing(db, pool) as committer:
        answers = await asyncio.gather(*(committer.submit(order(f"{number}")) for number in range(30)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 30
    assert await count(db, "transfers") == 30
    await assert_clean(db)


async def test_a_database_that_stays_away_is_told_as_unavailable_with_what_is_known(db: Database) -> None:
    class Away:
        def acquire(self) -> Any:
            raise ConnectionRefusedError("nobody there")

        async def close(self) -> None:
            return

    class Hurried(SystemClock):
        def monotonic(self) -> float:
            return super().monotonic() * 1_000

    async def pool() -> Any:
        return Away()

    committer = Committer(pool, Hurried(), Owners())
    await committer.start()
    with pytest.raises(Unavailable) as refused:
        await committer.submit(order("one"))
    await committer.stop()

    assert refused.value.code == "ledger-unavailable"
    assert not refused.value.outcome_unknown


async def test_killed_backends_lose_and_double_nothing(db: Database) -> None:
    async def kill(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0.05)
            async with db.transaction() as tx:
                await tx.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'")
                )

    pool = partial(open_pool, db.url, application_name="victim", size=2)
    async with committing(db, pool) as committer:
        killing = asyncio.create_task(kill(6))
        for round_ in range(8):
            answers = await asyncio.gather(
                *(committer.submit(order(f"{round_} {number}", amount=3)) for number in range(50))
            )
            assert {answer.status for answer in answers} == {201}
        await killing

    assert await count(db, "transfers") == 400
    await assert_clean(db)


async def test_facts_cannot_be_changed_by_the_services_own_role(db: Database) -> None:
    async with db.reading() as view:
        grants = (
            await view.execute(
                text(
                    "SELECT c.relname, x.privilege_type FROM pg_class c, aclexplode(c.relacl) x "
                    "WHERE c.relname IN ('wallets', 'transfers', 'entries') AND c.relkind = 'r'"
                )
            )
        ).all()

    assert {grant.privilege_type for grant in grants} & {"UPDATE", "DELETE", "TRUNCATE"} == set()
    assert {grant.relname for grant in grants} == {"wallets", "transfers", "entries"}


_FACTS = {
    "transfers": "kind, postings->0->>4, postings->0->>5, reference, metadata, effective_at = recorded_at",
    "entries": "side, layer, amount_minor, version % 20, hold_id, effective_at = recorded_at",
    "outcomes": "status, body IS NULL, fields IS NULL, convert_from(fields, 'utf8')",
    "outbox": "type, version, json_array_length(data), traceparent",
}


async def test_rows_that_go_by_copy_and_rows_that_go_by_arrays_are_the_same_rows(db: Database) -> None:
    orders = [order("any", amount=number + 1) for number in range(20)]
    stored: dict[int, list[Any]] = {}
    connection: Any = await asyncpg.connect(db.url)
    for way in (1, 10**9):
        now = [
            PostTransfer(TransferKey(uuid8(f"{way} {number}")), one.content, one.kind, one.postings)
            for number, one in enumerate(orders)
        ]
        async with connection.transaction():
            asked = [Asked(one, "r", "t") for one in now]
            await run(connection, asked, Owners(), Seen(), SystemClock(), copy_from=way)
            # Written in this transaction, and in no other.
            stored[way] = [
                [
                    tuple(row)
                    for row in await connection.fetch(
                        f"SELECT {columns} FROM {table} WHERE xmin = "  # noqa: S608
                        f"pg_current_xact_id()::xid ORDER BY {columns}"
                    )
                ]
                for table, columns in _FACTS.items()
            ]
    await connection.close()
    assert [len(rows) for rows in stored[1]] == [20, 40, 20, 1]
    assert stored[1] == stored[10**9]
    assert (await audit(db, SystemClock())).clean


async def test_a_batch_ends_with_its_commit_and_asks_nothing_of_the_connection_after_it(db: Database) -> None:
    pool = partial(open_pool, db.url, application_name="committer", size=2)
    async with committing(db, pool) as committer:
        await committer.submit(order("one"))
        async with db.reading() as view:
            last = await view.scalars(text("SELECT query FROM pg_stat_activity WHERE application_name = 'committer'"))
            assert list(last) == ["COMMIT;"]


async def test_a_connection_that_goes_back_in_a_transaction_is_clean_for_the_next_batch(db: Database) -> None:
    pool = await open_pool(db.url, application_name="test", size=1)
    loop, complaints = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with pool.acquire() as connection:
        await connection.execute("BEGIN; SELECT 1 FROM accounts FOR UPDATE")
    async with pool.acquire() as connection:
        assert not connection.is_in_transaction()
    await pool.close()
    assert len(complaints) == 1, "asyncpg says that somebody forgot a transaction"
