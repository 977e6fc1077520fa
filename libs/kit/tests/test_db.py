"""Proves that a transaction is whole or nothing, forbids the network, retries collisions, and names outages."""

import asyncio

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from sqlalchemy.exc import DBAPIError, IntegrityError

from ledgerlink_kit.db import Database, Tx, async_url, constraint_name, forbid_network, sync_url
from ledgerlink_kit.errors import Defect, Refused, Unavailable


async def put(tx: Tx, name: str) -> None:
    await tx.execute(sa.text("INSERT INTO effects VALUES (:id, 0)"), {"id": name})


async def names(db: Database) -> list[str]:
    async with db.reading() as view:
        return list(await view.scalars(sa.text("SELECT id FROM effects ORDER BY id")))


async def test_the_pools_gauge_counts_the_connections_that_are_in_use(kit_db: Database) -> None:
    def in_use() -> float | None:
        return REGISTRY.get_sample_value("ledgerlink_db_pool_in_use", {"pool": "kit-test"})

    assert in_use() == 0
    async with kit_db.transaction(), kit_db.reading() as view:
        await view.execute(sa.text("SELECT 1"))
        assert in_use() == 2
    assert in_use() == 0
    assert REGISTRY.get_sample_value("ledgerlink_db_pool_limit", {"pool": "kit-test"}) == 20


async def test_leaving_the_block_commits_and_an_error_rolls_back(kit_db: Database) -> None:
    async with kit_db.transaction() as tx:
        await put(tx, "kept")
    with pytest.raises(RuntimeError):
        async with kit_db.transaction() as tx:
            await put(tx, "lost")
            raise RuntimeError
    assert await names(kit_db) == ["kept"]


async def test_a_cancelled_command_rolls_back_and_leaves_the_pool_whole(kit_db: Database) -> None:
    async def stall() -> None:
        async with kit_db.transaction() as tx:
            await put(tx, "lost")
            await tx.execute(sa.text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(stall())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(kit_db) == []


async def test_no_network_call_may_be_made_inside_a_transaction(kit_db: Database) -> None:
    forbid_network("risk")
    async with kit_db.transaction():
        with pytest.raises(Defect, match="network call to risk"):
            forbid_network("risk")
    forbid_network("risk")


async def test_a_transaction_inside_a_transaction_is_a_defect(kit_db: Database) -> None:
    async with kit_db.transaction():
        with pytest.raises(Defect, match="inside another"):
            async with kit_db.transaction():
                pass


async def test_a_read_view_writes_nothing_and_sees_one_moment(kit_db: Database) -> None:
    async with kit_db.reading() as view:
        assert await view.scalar(sa.text("SELECT count(*) FROM effects")) == 0
        async with kit_db.transaction() as tx:
            await put(tx, "later")
        assert await view.scalar(sa.text("SELECT count(*) FROM effects")) == 0
    with pytest.raises(DBAPIError, match="read-only"):
        async with kit_db.reading() as view:
            await view.execute(sa.text("INSERT INTO effects VALUES ('x', 1)"))


async def test_two_that_deadlock_both_succeed_by_trying_again(kit_db: Database) -> None:
    async with kit_db.transaction() as tx:
        await put(tx, "a")
        await put(tx, "b")
    both_hold_one = asyncio.Barrier(2)
    tries: list[str] = []

    async def touch(first: str, second: str) -> None:
        async def body(tx: Tx) -> None:
            tries.append(first)
            await tx.execute(sa.text("UPDATE effects SET n = n + 1 WHERE id = :id"), {"id": first})
            if len(tries) <= 2:
                await both_hold_one.wait()
            await tx.execute(sa.text("UPDATE effects SET n = n + 1 WHERE id = :id"), {"id": second})

        await kit_db.retrying(body)

    await asyncio.gather(touch("a", "b"), touch("b", "a"))
    async with kit_db.reading() as view:
        assert list(await view.scalars(sa.text("SELECT n FROM effects"))) == [2, 2]
    assert len(tries) == 3


async def test_a_text_that_postgres_cannot_store_is_refused_and_no_defect(kit_db: Database) -> None:
    with pytest.raises(Refused, match="invalid-text"):
        async with kit_db.transaction() as tx:
            await put(tx, "nul\x00")


async def test_a_lost_connection_is_an_outage_and_the_next_use_works(kit_db: Database) -> None:
    with pytest.raises(Unavailable, match="database-unavailable"):
        async with kit_db.transaction() as tx:
            await put(tx, "lost")
            await tx.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert await names(kit_db) == []


async def test_a_database_that_is_not_there_is_an_outage() -> None:
    nowhere = Database("postgresql://nobody:x@127.0.0.1:1/none", application_name="test")
    with pytest.raises(Unavailable, match="database-unavailable"):
        await nowhere.ping()
    await nowhere.close()


async def test_a_broken_constraint_can_be_named(kit_db: Database) -> None:
    with pytest.raises(IntegrityError) as broken:
        async with kit_db.transaction() as tx:
            await put(tx, "twice")
            await put(tx, "twice")
    assert constraint_name(broken.value) == "pk_effects"


def test_one_address_gives_the_forms_of_both_drivers() -> None:
    assert async_url("postgresql://u:p@h/d").drivername == "postgresql+asyncpg"
    assert sync_url("postgresql://u:p@h/d").drivername == "postgresql+psycopg"
