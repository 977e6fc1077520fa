"""pytest plugin: one throw-away PostgreSQL and one Valkey per test run, started when the first test needs them.

`LEDGERLINK_TEST_POSTGRES` (a superuser DSN) and `LEDGERLINK_TEST_REDIS` are set before the fixtures of a test that
uses any of `SERVER_FIXTURES` run; pure tests never pay for a server. Under xdist the workers share one pair: a file
lock lets the first of them start it. When both variables are set already, those servers are used and left alone
(`ledgerlink test-servers` keeps a pair running between runs).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import MutableMapping

POSTGRES = "LEDGERLINK_TEST_POSTGRES"
REDIS = "LEDGERLINK_TEST_REDIS"
RUN_FOLDER = "LEDGERLINK_TEST_RUN"
OWNER = "LEDGERLINK_TEST_OWNER"
# A test that asks for any of these, directly or through another fixture, needs the servers.
SERVER_FIXTURES = frozenset({"test_servers", "database_templates", "make_database", "redis_url"})
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02


class Servers:
    """The pair of one test run: where it is announced, and who owns it."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Join the run that `environment` names, or open a new one and name it there for the workers."""
        self._environment = environment
        self._opened_here = RUN_FOLDER not in environment
        if self._opened_here:
            environment[RUN_FOLDER] = tempfile.mkdtemp(prefix="ledgerlink-test-")
            environment[OWNER] = str(os.getpid())
        self._folder = Path(environment[RUN_FOLDER])
        self._keeper: subprocess.Popen[bytes] | None = None

    def ensure(self) -> tuple[str, str]:
        """Return the DSN and the Redis URL, starting the pair when nobody has, and export both variables."""
        given = self._environment
        if POSTGRES not in given or REDIS not in given:
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                answer = self._read() or self._start()
            given.setdefault(POSTGRES, answer["postgres"])
            given.setdefault(REDIS, answer["redis"])
        return given[POSTGRES], given[REDIS]

    def _read(self) -> dict[str, str] | None:
        """Return what the keeper announced, or None."""
        with suppress(FileNotFoundError):
            return cast("dict[str, str]", json.loads((self._folder / "servers.json").read_text()))
        return None

    def _start(self) -> dict[str, str]:
        """Start the keeper and wait for its announcement."""
        log = self._folder / "servers.log"
        with log.open("ab") as out:
            self._keeper = keeper = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "ledgerlink_stack.throwaway",
                    str(self._folder),
                    self._environment[OWNER],
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches pytest, which then stops the keeper in order
            )
        (self._folder / "keeper.pid").write_text(str(keeper.pid))
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            answer = self._read()
            if answer is not None:
                return answer
            if keeper.poll() is not None:
                break
            time.sleep(POLL_S)
        said = log.read_text(errors="replace") if log.exists() else "(its folder is gone)"
        pytest.exit(f"The test servers did not start:\n{said}", returncode=3)

    def close(self) -> None:
        """Stop the keeper, which stops the servers, when this process opened the run."""
        if not self._opened_here:
            return
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            keeper = psutil.Process(int((self._folder / "keeper.pid").read_text()))
            keeper.send_signal(signal.SIGTERM)
            psutil.wait_procs([keeper], timeout=STOP_TIMEOUT_S)
        for file in ("lock", "keeper.pid", "servers.log"):
            (self._folder / file).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()
        for name in (RUN_FOLDER, OWNER):
            self._environment.pop(name, None)


SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    """Open or join the run; nothing is started yet."""
    config.stash[SERVERS] = Servers(os.environ)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have the servers running before the fixtures of a test that needs them."""
    names = cast("list[str]", getattr(item, "fixturenames", []))
    if not SERVER_FIXTURES.isdisjoint(names):
        item.config.stash[SERVERS].ensure()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what this run started; runs after an interrupt too."""
    servers = config.stash.get(SERVERS, None)
    if servers is not None:
        servers.close()


@pytest.fixture(scope="session")
def test_servers(pytestconfig: pytest.Config) -> tuple[str, str]:
    """Return (superuser DSN, Redis URL) of the run's servers."""
    return pytestconfig.stash[SERVERS].ensure()
