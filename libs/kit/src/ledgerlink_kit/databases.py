"""Roles and databases, one of each for a service; light to import, since the local stack's supervisor does."""

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg import sql

_LOCK_KEY: Final = 0x4C4C_4442  # "LLDB"
_CONNECT_TIMEOUT_S: Final = 10


def create_databases(dsn: str, passwords: Mapping[str, str]) -> None:
    """Give every service named in ``passwords`` a role and a database of its own, or renew what is there.

    ``dsn`` is the superuser's. Nobody but the owner may connect to a database: what a service may not read, it cannot
    come to depend on. Two callers at once take turns. Raises `psycopg.Error`.
    """
    with psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S) as connection:
        connection.execute("SET lock_timeout = '30s'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        for name, password in passwords.items():
            role = sql.Identifier(name)
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))
