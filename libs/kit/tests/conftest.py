"""Fixtures for the kit's own tests: a database that holds nothing but the kit's tables and one table to spoil."""

from collections.abc import AsyncIterator

import pytest_asyncio
import sqlalchemy as sa

from ledgerlink_kit.db import Database, sync_url
from ledgerlink_kit.migrations import kit_tables, metadata_for_service


@pytest_asyncio.fixture
async def kit_db(empty_database_url: str) -> AsyncIterator[Database]:
    """A database with the kit's tables and a table `effects` that counts what was done."""
    metadata = metadata_for_service()
    kit_tables(metadata)
    sa.Table("effects", metadata, sa.Column("id", sa.Text, primary_key=True), sa.Column("n", sa.BigInteger))
    engine = sa.create_engine(sync_url(empty_database_url), poolclass=sa.NullPool)
    metadata.create_all(engine)
    engine.dispose()
    database = Database(empty_database_url, application_name="kit-test", pool_size=20)
    yield database
    await database.close()
