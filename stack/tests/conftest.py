"""A home of one's own per test, and stacks of small programs in it that are gone when the test ends."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledgerlink_stack import postgres, redis
from ledgerlink_stack.accounts import server_account
from ledgerlink_stack.child import clean_environment
from ledgerlink_stack.home import Home
from ledgerlink_stack.plan import MARK, Plan, Program
from ledgerlink_stack.ports import free_port
from ledgerlink_stack.up import bring_down

SMALL_SERVICE = Path(__file__).with_name("small_service.py")
# Of this process alone: stacks that tests run side by side must not find each other's programs by their marks.
STACK_ID = f"test-stack-{os.getpid()}"
MakeService = Callable[..., Program]


@pytest.fixture
def home() -> Iterator[Home]:
    """A home outside pytest's own folders, which root's account for servers may not enter."""
    with tempfile.TemporaryDirectory(prefix="ledgerlink-home-") as folder:
        Path(folder).chmod(0o711)
        made = Home(Path(folder) / "home")
        made.create()
        yield made
        bring_down(made, lambda _processes: None)


@pytest.fixture
def make_service(home: Home) -> MakeService:
    """A factory of small HTTP programs: `make_service("one", "--stubborn", stop_stage=0)`."""

    def make(name: str, *arguments: str, stop_stage: int = 1, port: int | None = None) -> Program:
        chosen = port or free_port()
        return Program(
            name=name,
            kind="http",
            command=(sys.executable, "-S", str(SMALL_SERVICE), str(chosen), *arguments),
            port=chosen,
            environment=clean_environment({MARK: f"{STACK_ID}/{name}"}),
            stop_stage=stop_stage,
            stop_signal=int(signal.SIGTERM),
            folder=str(home.path),
        )

    return make


@pytest.fixture
def two_services(make_service: MakeService) -> Plan:
    """A plan of two small services without any server."""
    return Plan(stack_id=STACK_ID, programs=(make_service("one", stop_stage=0), make_service("two")), stop_grace_s=5)


@pytest.fixture
def with_servers(home: Home, make_service: MakeService) -> Plan:
    """A plan with the real PostgreSQL and Redis, and one small service."""
    account = server_account(os.environ)
    place = home.server_data(account)
    binaries = postgres.usable_binaries(place, account)
    ports = free_port(), free_port()
    servers = (
        Program(
            name="postgres",
            kind="postgres",
            command=tuple(postgres.server_command(binaries, place / "postgres", ports[0])),
            port=ports[0],
            environment=clean_environment({MARK: f"{STACK_ID}/postgres"}),
            stop_stage=9,
            stop_signal=int(signal.SIGINT),
            folder=str(place),
            account=account,
        ),
        Program(
            name="redis",
            kind="redis",
            command=tuple(redis.server_command(ports[1], home.redis, "rpw")),
            port=ports[1],
            environment=clean_environment({MARK: f"{STACK_ID}/redis"}),
            stop_stage=9,
            stop_signal=int(signal.SIGTERM),
            folder=str(home.redis),
        ),
    )
    return Plan(
        stack_id=STACK_ID,
        programs=(*servers, make_service("one")),
        postgres_data=str(place / "postgres"),
        postgres_dsn=postgres.superuser_dsn(ports[0], "spw"),
        databases={"wallet": "wpw"},
        redis_password="rpw",
        stop_grace_s=10,
    )
