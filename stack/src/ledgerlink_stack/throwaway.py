"""Throw-away PostgreSQL and Valkey for a test run: `python -m ledgerlink_stack.throwaway FOLDER OWNER_PID`.

This small process owns both servers, so that it does not matter which test worker asked first or ends first. It writes
`FOLDER/servers.json` when they answer, and stops them and removes the folder when it is told to (SIGTERM) or when the
owner is gone, however it went.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ledgerlink_stack import postgres, redis
from ledgerlink_stack.accounts import Account, identity, server_account
from ledgerlink_stack.ports import free_port
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSWER = "servers.json"
LOG = "servers.log"
OWNER_POLL_S = 0.5
STOP_TIMEOUT_S = 5.0


def _spawn(command: list[str], account: Account | None, folder: Path) -> subprocess.Popen[bytes]:
    """Start a server that writes to the run's log and has no terminal to be interrupted from."""
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **identity(account),
        )


def _stop(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Stop a server whose data nobody will read again."""
    server.send_signal(number)
    try:
        server.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def start_postgres(folder: Path, account: Account | None) -> tuple[subprocess.Popen[bytes], str]:
    """Create and start a PostgreSQL without durability under `folder`; return it with the superuser's DSN."""
    binaries = postgres.usable_binaries(folder, account)
    password, port = postgres.new_password(), free_port()
    data = folder / "postgres"
    postgres.create_cluster(binaries, data, account, password, disposable=True)
    server = _spawn(postgres.server_command(binaries, data, port, disposable=True), account, folder)
    return server, postgres.superuser_dsn(port, password)


def start_redis(folder: Path) -> tuple[subprocess.Popen[bytes], int, str]:
    """Start a Valkey under `folder`; return it with its port and password."""
    password, port = postgres.new_password(), free_port()
    server = _spawn(redis.server_command(port, folder / "redis", password), None, folder)
    return server, port, password


def _owner_lives(owner: psutil.Process) -> bool:
    """Say whether the process that wanted the servers is still there (a zombie is not)."""
    with suppress(psutil.Error):
        return owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE
    return False


def run(folder: Path, owner_pid: int, announce: Callable[[Mapping[str, str]], None] | None = None) -> None:
    """Start both servers, announce them, and keep them until told to stop or the owner is gone.

    They are announced by `FOLDER/servers.json`, or by calling `announce` with the same content.
    """
    told = threading.Event()

    def tell(_number: int, _frame: object) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    owner = psutil.Process(owner_pid)
    folder.chmod(0o711)  # the servers' account must pass through it
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        valkey, port, secret = start_redis(folder)
        undo.callback(_stop, valkey, signal.SIGKILL)
        server, dsn = start_postgres(folder, server_account(os.environ))
        undo.callback(_stop, server, signal.SIGQUIT)
        postgres.wait_until_ready(dsn, lambda: server.poll() is None)
        redis.wait_until_ready(port, secret, lambda: valkey.poll() is None)
        (announce or partial(_write_answer, folder))({"postgres": dsn, "redis": redis.url(port, secret)})
        while not told.wait(OWNER_POLL_S) and _owner_lives(owner):
            pass


def _write_answer(folder: Path, answer: Mapping[str, str]) -> None:
    """Write the answer in one step, so that a reader sees all of it or nothing."""
    unfinished = folder / f"{ANSWER}.new"
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(dict(answer)))
    unfinished.rename(folder / ANSWER)


if __name__ == "__main__":
    try:
        run(Path(sys.argv[1]), int(sys.argv[2]))
    except Trouble as trouble:
        sys.exit(str(trouble))
