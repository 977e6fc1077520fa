"""pytest fixtures: databases cloned from migrated templates, a Redis of one's own, a clock and a mint of tokens."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from ledgerlink_kit import migrations
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.testing.clock import ManualClock
from ledgerlink_kit.testing.tokens import TokenMint

POSTGRES: Final = "LEDGERLINK_TEST_POSTGRES"
REDIS: Final = "LEDGERLINK_TEST_REDIS"

MakeDatabase = Callable[[str], Awaitable[Database]]


class Templates:
    """Makes databases: one migrated template per package and process, a clone of it per test."""

    def __init__(self, server: str, worker: str) -> None:
        """Work on ``server`` (a superuser's DSN); ``worker`` keeps the names of parallel runs apart."""
        self._server = server
        self._worker = f"{worker}_{os.getpid()}"
        self._made: set[str] = set()
        self._count = 0

    def address(self, name: str) -> str:
        """Give the address of the database ``name`` on the server."""
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())

    def clone(self, package: str | None) -> str:
        """Make a fresh database, migrated for ``package`` (or empty), and give its name."""
        self._count += 1
        name = f"test_{self._worker}_{self._count}"
        if package is None:
            self.execute(f'CREATE DATABASE "{name}"')
            return name
        template = f"template_{package}_{self._worker}"
        if package not in self._made:
            self.execute(f'CREATE DATABASE "{template}"')
            migrations.upgrade(package, self.address(template))
            self._made.add(package)
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def drop_templates(self) -> None:
        """Drop the templates of this process."""
        for package in self._made:
            self.drop(f"template_{package}_{self._worker}")


@pytest.fixture(scope="session")
def database_templates(request: pytest.FixtureRequest) -> Iterator[Templates]:
    """The templates of this test process."""
    worker = str(getattr(request.config, "workerinput", {}).get("workerid", "main"))
    templates = Templates(os.environ[POSTGRES], worker)
    yield templates
    templates.drop_templates()


@pytest_asyncio.fixture
async def make_database(database_templates: Templates) -> AsyncIterator[MakeDatabase]:
    """Make databases: awaiting it with a package such as ``"ledgerlink_wallet"`` gives a fresh, migrated one."""
    made: list[tuple[str, Database]] = []

    async def make(package: str) -> Database:
        name = database_templates.clone(package)
        database = Database(database_templates.address(name), application_name="test", pool_size=20)
        made.append((name, database))
        return database

    yield make
    for name, database in made:
        await database.close()
        database_templates.drop(name)


@pytest.fixture
def empty_database_url(make_database: MakeDatabase, database_templates: Templates) -> Iterator[str]:  # noqa: ARG001 - asks for the servers
    """The address of an empty database, for tests of migrations."""
    name = database_templates.clone(None)
    yield database_templates.address(name)
    database_templates.drop(name)


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty Redis database that no other test process uses."""
    from redis import Redis  # noqa: PLC0415 - only tests that need a Redis pay for it

    worker = str(getattr(request.config, "workerinput", {}).get("workerid", "gw0"))
    number = uuid8(worker).int % 15 + 1 if not worker.startswith("gw") else int(worker[2:]) % 16
    url = f"{os.environ[REDIS].rstrip('/').removesuffix('/0')}/{number}"
    client: Any = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    client.flushdb()
    yield url
    client.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands until it is turned."""
    return ManualClock()


@pytest.fixture
def mint() -> TokenMint:
    """An issuer of access tokens."""
    return TokenMint()
