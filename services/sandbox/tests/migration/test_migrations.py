"""Proves that the migrations run up, down and up again, and make exactly the tables that the code believes in."""

from ledgerlink_kit import migrations
from ledgerlink_sandbox.tables import metadata

PACKAGE = "ledgerlink_sandbox"


def test_migrations_run_up_down_and_up_and_equal_the_tables(empty_database_url: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    migrations.downgrade(PACKAGE, empty_database_url, "base")
    assert migrations.differences(PACKAGE, empty_database_url, metadata) == []
