"""Proves that the migrations go up, down and up again, and that what they make is what the tables say."""

import sqlalchemy as sa

from ledgerlink_kit import migrations
from ledgerlink_kit.db import sync_url
from ledgerlink_payments.tables import metadata

PACKAGE = "ledgerlink_payments"


def _tables(url: str) -> set[str]:
    engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_down_and_up_again(empty_database_url: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    made = _tables(empty_database_url)
    assert set(metadata.tables) <= made
    migrations.downgrade(PACKAGE, empty_database_url, "base")
    assert _tables(empty_database_url) == {"alembic_version"}
    migrations.upgrade(PACKAGE, empty_database_url)
    assert _tables(empty_database_url) == made


def test_the_migrated_database_is_what_the_tables_say(empty_database_url: str) -> None:
    assert migrations.differences(PACKAGE, empty_database_url, metadata) == []


def test_the_database_itself_refuses_more_refunded_than_captured(empty_database_url: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    engine = sa.create_engine(sync_url(empty_database_url), poolclass=sa.NullPool)
    checks = {
        str(check["name"]): str(check["sqltext"]) for check in sa.inspect(engine).get_check_constraints("intents")
    }
    engine.dispose()
    assert checks["ck_intents_refunded_at_most_captured"] == "refunded_minor <= captured_minor"
    assert "ck_intents_captured_at_most_agreed" in checks
