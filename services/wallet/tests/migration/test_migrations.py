"""Proves that migrations go up, down and up again, and end at exactly the tables that the code has."""

import asyncio

from ledgerlink_kit import migrations
from ledgerlink_wallet.tables import METADATA


async def test_up_down_and_up_again_ends_at_the_models(empty_database_url: str) -> None:
    def turn() -> list[object]:
        migrations.upgrade("ledgerlink_wallet", empty_database_url)
        migrations.downgrade("ledgerlink_wallet", empty_database_url, "base")
        return migrations.differences("ledgerlink_wallet", empty_database_url, METADATA)

    assert await asyncio.to_thread(turn) == []
