"""A ledger with a past: entries that PostgreSQL writes itself, consistent to the last version, faster than by posting.

Round r moves 1 from account i to account i+1 for every i (the last one to the first), so every account has two entries
a round and the running columns are plain arithmetic. A commit holds 500 transfers and waits for the sealer like any
other; every transfer has its outcome. The audit finds nothing wrong with it.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import psycopg
from cluster import Cluster
from work import ACCOUNTS, code

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_wallet.domain.parties import account_key
from ledgerlink_wallet.store.promises import STANDING_NOW

_ACCOUNTS = """
CREATE TEMP TABLE numbered (number int PRIMARY KEY, id uuid NOT NULL, code text NOT NULL);
"""
_FILL = """
CREATE TEMP TABLE made AS
SELECT gen_random_uuid() AS id, r, i, d.id AS debit, c.id AS credit,
       CASE WHEN i = 0 THEN 2 * r + 1 ELSE 2 * r + 2 END AS debit_version,
       CASE WHEN i = %(last)s THEN 2 * r + 2 ELSE 2 * r + 1 END AS credit_version,
       %(start)s::timestamptz + make_interval(secs => r::float8 + (i / 500)::float8 / %(accounts)s) AS at
FROM generate_series(%(from)s::bigint, %(until)s::bigint - 1) r, generate_series(0, %(last)s) i
JOIN numbered d ON d.number = i JOIN numbered c ON c.number = (i + 1) %% %(accounts)s;
INSERT INTO transfers (id, kind, postings, metadata, effective_at, recorded_at)
SELECT id, 'bench.history', jsonb_build_array(jsonb_build_array(debit, debit_version, credit, credit_version, 1, 'GBP',
       NULL)), '{}', at, at FROM made ORDER BY r, i;
INSERT INTO entries (account_id, version, side, layer, amount_minor, debits_posted, credits_posted, debits_pending,
                     credits_pending, transfer_id, effective_at, recorded_at)
SELECT debit, debit_version, 'debit', 'posted', 1, r + 1, CASE WHEN i = 0 THEN r ELSE r + 1 END, 0, 0, id, at, at
FROM made
UNION ALL
SELECT credit, credit_version, 'credit', 'posted', 1, CASE WHEN i = %(last)s THEN r + 1 ELSE r END, r + 1, 0, 0, id, at,
       at
FROM made ORDER BY 1, 2;
INSERT INTO outcomes (id, status, recorded_at) SELECT id, 201, at FROM made ORDER BY r, i;
INSERT INTO unsealed (recorded_at, transfers) SELECT at, count(*) FROM made GROUP BY at;
DROP TABLE made;
"""
# As the ledger would have it: what an account is held to is written when it opens.
_PROMISES = f"""
INSERT INTO promises (id, kind, subject, step, says, recorded_at)
SELECT gen_random_uuid(), kind, subject, 1, says, '2020-01-01T00:00:00Z' FROM ({STANDING_NOW}) AS standing;
INSERT INTO unsealed (recorded_at, transfers, promises) SELECT recorded_at, 0, count(*) FROM promises GROUP BY 1;
"""  # noqa: S608 - our own names
_TOTALS = "UPDATE accounts SET debits_posted = %(rounds)s, credits_posted = %(rounds)s, version = 2 * %(rounds)s"
_ROUNDS_AT_ONCE = 50


def _quiet(_entries: int) -> None:
    """Tell nobody."""


@contextmanager
def _without_indexes(connection: psycopg.Connection, *tables: str) -> Generator[None]:
    """Drop the indexes of ``tables``, whose keys come in no order, and build them when the rows are there."""
    found = connection.execute(
        "SELECT i.indrelid::regclass::text, c.relname, pg_get_indexdef(i.indexrelid), k.conname, "
        "pg_get_constraintdef(k.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid WHERE i.indrelid = ANY(%s::regclass[])",
        (list(tables),),
    ).fetchall()
    for table, index, _, constraint, _ in found:
        drop = f"ALTER TABLE {table} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}"
        connection.execute(drop.encode())
    yield
    for table, _, index, constraint, key in found:
        make = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {key}" if constraint else index
        connection.execute(make.encode())


def open_accounts(cluster: Cluster, database: str) -> None:
    """Open the benchmark's accounts, empty."""
    with psycopg.connect(cluster.dsn(database), autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(
            "COPY accounts (id, code, currency, normal_side, may_overdraw, standing, debits_posted, credits_posted, "
            "debits_pending, credits_pending, version, opened_at) FROM STDIN"
        ) as rows:
            for number in range(ACCOUNTS):
                key = account_key(code(number), "GBP")
                start = "2020-01-01T00:00:00Z"
                rows.write_row((key, code(number), "GBP", str(Side.CREDIT), True, "open", 0, 0, 0, 0, 0, start))
        connection.execute(_PROMISES.encode())
        connection.execute("VACUUM ANALYZE")


def write_history(cluster: Cluster, database: str, entries: int, told: Callable[[int], None] = _quiet) -> None:
    """Give every account its share of ``entries`` entries; the accounts must be open and untouched.

    ``told`` hears how many there are by now.
    """
    rounds = entries // (2 * ACCOUNTS)
    with psycopg.connect(cluster.dsn(database), autocommit=True) as connection:
        connection.execute(_ACCOUNTS)
        with connection.cursor().copy("COPY numbered FROM STDIN") as rows:
            for number in range(ACCOUNTS):
                rows.write_row((number, account_key(code(number), "GBP"), code(number)))
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET work_mem = '256MB'")
        with _without_indexes(connection, "transfers", "outcomes"):
            for first in range(0, rounds, _ROUNDS_AT_ONCE):
                until = min(rounds, first + _ROUNDS_AT_ONCE)
                values = {"last": ACCOUNTS - 1, "accounts": ACCOUNTS, "start": "2020-01-01T00:00:00Z"}
                with psycopg.ClientCursor(connection) as cursor:
                    cursor.execute(_FILL, {**values, "from": first, "until": until})
                told(until * 2 * ACCOUNTS)
        connection.execute(_TOTALS, {"rounds": rounds})
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
