"""Proves that migrations go up, down and up again, end at exactly the tables that the code has, and
carry along what was there before.
"""

import asyncio
from datetime import UTC, datetime

import psycopg
from sqlalchemy import text

from ledgerlink_kit import migrations
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.notes import Signer
from ledgerlink_wallet.commands.sealing import seal
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of
from ledgerlink_wallet.queries.audit import CHECKS
from ledgerlink_wallet.queries.auditing.looking import nobody_listens
from ledgerlink_wallet.queries.moments import balance_at
from ledgerlink_wallet.tables import METADATA


async def test_up_down_and_up_again_ends_at_the_models(empty_database_url: str) -> None:
    def turn() -> list[object]:
        migrations.upgrade("ledgerlink_wallet", empty_database_url)
        migrations.downgrade("ledgerlink_wallet", empty_database_url, "base")
        return migrations.differences("ledgerlink_wallet", empty_database_url, METADATA)

    assert await asyncio.to_thread(turn) == []


BEFORE = """
INSERT INTO accounts VALUES ('00000000-0000-0000-0000-00000000000a', 'merchant:m', 'GBP', 'credit', true, NULL, 'open',
                             0, 60, 0, 0, 40, now());
INSERT INTO entries
SELECT '00000000-0000-0000-0000-00000000000a', n, 'credit', 'posted', 1, 0, n, 0, 0, gen_random_uuid(), NULL,
       CASE WHEN n % 3 = 0 THEN at ELSE timestamptz '2025-12-31 23:59:59.999999Z' - n % 5 * interval '1 hour' END, at
FROM generate_series(1, 40) n, LATERAL (SELECT timestamptz '2026-01-01 00:00Z' + n * interval '1 second' AS at) moment;
"""


async def test_entries_that_were_dated_before_there_were_sums_are_summed(empty_database_url: str) -> None:
    def turn() -> None:
        migrations.upgrade("ledgerlink_wallet", empty_database_url, "0001")
        with psycopg.connect(empty_database_url) as connection:
            connection.execute(BEFORE.encode())
        migrations.upgrade("ledgerlink_wallet", empty_database_url)

    await asyncio.to_thread(turn)
    db = Database(empty_database_url, application_name="test")
    async with db.reading() as view:
        looked = [await check.look(view, nobody_listens) for check in CHECKS if check.name == "dated_sums_match"]
        account = account_of((await view.execute(text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a"))).one())  # noqa: S608
        at_new_year = await balance_at(view, account, datetime(2026, 1, 1, tzinfo=UTC), None)
    await db.close()

    assert [one.differences for one in looked] == [[]]
    assert looked[0].examined == 27 * 15
    assert at_new_year.credits_posted == 27


STOOD = """
INSERT INTO accounts (id, code, currency, normal_side, may_overdraw, standing, debits_posted, credits_posted,
                      debits_pending, credits_pending, version, opened_at, floor_minor)
SELECT md5('account' || n)::uuid, 'merchant:m' || n, 'GBP', 'credit', true,
       CASE WHEN n = 1 THEN 'frozen' ELSE 'open' END, 0, 0, 0, 0, 0, now() - interval '1 year',
       CASE WHEN n = 2 THEN -5 END
FROM generate_series(1, 12000) n;
INSERT INTO wallet_profiles VALUES
    (gen_random_uuid(), 'frozen', 'customer'), (gen_random_uuid(), 'open', 'customer');
INSERT INTO spending_limits VALUES ('everybody', 'GBP', 1, 2, 3), ('everybody', 'EUR', NULL, 2, NULL);
"""


async def test_what_stood_before_there_were_promises_is_taken_over_and_sealed_in_lots(empty_database_url: str) -> None:
    def turn() -> None:
        migrations.upgrade("ledgerlink_wallet", empty_database_url, "0007")
        with psycopg.connect(empty_database_url) as connection:
            connection.execute(STOOD.encode())
        migrations.upgrade("ledgerlink_wallet", empty_database_url)

    await asyncio.to_thread(turn)
    db = Database(empty_database_url, application_name="test")
    lots: list[int] = []
    while (done := await seal(db, Signer("ledger.example/test", bytes(32)), SystemClock(), most=1)) and done.added:
        lots.append(done.added)
    names = {"promises_follow_each_other", "promises_kept", "tree_matches_what_is_stored"}
    async with db.reading() as view:
        looked = [await check.look(view, nobody_listens) for check in CHECKS if check.name in names]
    await db.close()

    assert [one.differences for one in looked] == [[], [], []]
    assert sum(lots) == 12_003
    assert max(lots) <= 5_000
