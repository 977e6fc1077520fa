"""Proves groups, conditions and dry runs on a real PostgreSQL: a group that breaks does so alone and whole, a lost
commit is resolved by its items, and two processes never both rely on what the other one changes.
"""

import asyncio
from dataclasses import replace

import orjson
import pytest
from services.wallet.tests.command.test_committer import (
    CuttingPool,
    MakeDatabase,
    assert_clean,
    committing,
    count,
    order,
)
from sqlalchemy import text

from ledgerlink_contracts.wallet.models import Predicate
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect
from ledgerlink_wallet.commands.batch import postings_of
from ledgerlink_wallet.commands.committer import POSTINGS_PER_BATCH_MAX
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import Condition, DryRun, LinkedGroup, PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.store import open_pool


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


def group(name: str, *items: PostTransfer) -> LinkedGroup:
    return LinkedGroup(
        tuple(
            replace(item, content=content_of(orjson.dumps({"group": name, "item": number})))
            for number, item in enumerate(items)
        )
    )


async def test_a_group_that_breaks_its_batch_breaks_alone_and_whole(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute(text("ALTER TABLE transfers ADD CONSTRAINT bad CHECK (kind <> 'bad')"))
    broken = group("broken", order("fine"), replace(order("bad"), kind="bad"))
    async with committing(db) as committer:
        results = await asyncio.gather(
            committer.submit(order("before")),
            committer.submit(broken),
            committer.submit(group("whole", order("one"), order("two"))),
            return_exceptions=True,
        )

    assert [isinstance(result, Defect) for result in results] == [False, True, False]
    assert await count(db, "transfers") == 3
    await assert_clean(db)


@pytest.mark.parametrize("plan", [["before"], ["after"], ["after", "before", "after"]])
async def test_a_groups_lost_commit_is_resolved_by_its_items(db: Database, plan: list[str]) -> None:
    async def pool() -> object:
        return CuttingPool(await open_pool(db.url, application_name="test", size=2), plan)

    async with committing(db, pool) as committer:
        answer = await committer.submit(group("g", order("one"), order("two", amount=5)))

    assert answer.status == 201
    assert [sorted(item) for item in orjson.loads(answer.body)["items"]] == [["transfer"], ["transfer"]]
    assert await count(db, "transfers") == 2
    await assert_clean(db)


async def test_the_largest_group_is_one_commit(db: Database) -> None:
    largest = group("largest", *(order(f"{number}", times=100) for number in range(100)))
    async with committing(db) as committer:
        answers = await asyncio.gather(committer.submit(order("small")), committer.submit(largest))

    assert postings_of(largest) == postings_of(DryRun(largest)) == 10_000 > POSTINGS_PER_BATCH_MAX
    assert [answer.status for answer in answers] == [201, 201]
    async with db.reading() as view:
        moments = await view.scalar(text("SELECT count(DISTINCT recorded_at) FROM transfers"))
    assert moments == 2
    await assert_clean(db)


async def test_two_processes_never_both_rely_on_an_account_that_the_other_one_fills(db: Database) -> None:
    def rely(name: str, mine: str, other: str) -> PostTransfer:
        empty = Condition(party_of(other, "GBP"), "GBP", Predicate.POSTED_AT_MOST, 0)
        return replace(order(name, "world", mine), conditions=(empty,))

    async with committing(db) as first, committing(db) as second:
        for number in range(40):
            # Neither account stands yet, so there is no row to lock but the one that relying on it makes.
            left, right = f"merchant:left{number}", f"merchant:right{number}"
            answers = await asyncio.gather(
                first.submit(rely(f"left {number}", left, right)), second.submit(rely(f"right {number}", right, left))
            )
            assert sorted(answer.status for answer in answers) == [201, 409]

    await assert_clean(db)


async def test_a_dry_run_beside_real_ones_writes_nothing(db: Database) -> None:
    async with committing(db) as committer:
        answers = await asyncio.gather(
            committer.submit(order("real")),
            committer.submit(DryRun(order("tried"))),
            committer.submit(DryRun(group("g", order("one"), order("two")))),
        )

    assert [answer.status for answer in answers] == [201, 200, 200]
    assert [await count(db, table) for table in ("transfers", "entries", "outcomes", "outbox")] == [1, 2, 1, 1]
    await assert_clean(db)
