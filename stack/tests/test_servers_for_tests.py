"""Proves that the test run's own PostgreSQL and Valkey answer before a test that needs them begins."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg

from ledgerlink_stack import redis


def test_postgresql_of_the_test_run_answers_and_is_recent_enough(test_servers: tuple[str, str]) -> None:
    with psycopg.connect(test_servers[0]) as connection:
        row = connection.execute("SHOW server_version_num").fetchone()
    assert row is not None
    assert int(row[0]) >= 160000


def test_redis_of_the_test_run_answers(test_servers: tuple[str, str]) -> None:
    address = urlsplit(test_servers[1])
    assert address.port is not None
    assert address.password is not None
    assert redis.answers(address.port, address.password)
