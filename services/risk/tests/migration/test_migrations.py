"""The schema goes up, down and up again, and equals the models."""

import sqlalchemy as sa

from ledgerlink_kit.db import sync_url
from ledgerlink_kit.migrations import differences, downgrade, upgrade
from ledgerlink_risk.tables import metadata

PACKAGE = "ledgerlink_risk"


def tables_of(url: str) -> set[str]:
    engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)
    try:
        return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def test_the_migrations_go_up_down_and_up_again(empty_database_url: str) -> None:
    upgrade(PACKAGE, empty_database_url)
    assert tables_of(empty_database_url) == set(metadata.tables)
    downgrade(PACKAGE, empty_database_url, "base")
    assert tables_of(empty_database_url) == set()
    upgrade(PACKAGE, empty_database_url)
    assert tables_of(empty_database_url) == set(metadata.tables)


def test_the_migrated_schema_equals_the_models(empty_database_url: str) -> None:
    assert differences(PACKAGE, empty_database_url, metadata) == []
