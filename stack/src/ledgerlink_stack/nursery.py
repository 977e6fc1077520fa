"""Where our Python processes are born: one process that has imported what all of them need, and forks.

    python -m ledgerlink_stack.nursery [MODULE ...]      (imports these instead of `SHARED`)

Importing FastAPI, SQLAlchemy and the rest costs a process about two seconds and a hundred megabytes. Ten of them pay
that once here: a fork starts in a fraction of a second and shares the pages that it only reads. Orders arrive as lines
of JSON on standard input (`Birth`), and lines of JSON on standard output tell who was born and who has ended.

The nursery is single-threaded and opens nothing, so forking is safe; it imports no service, so that no child sees
another's metrics. When its input ends, whoever gave orders is gone, and so is it; its children live on.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

POLL_S = 0.05
KNOWN_AS = "ledgerlink"
# Only what every service imports anyway, and nothing that starts a thread or opens anything when imported.
SHARED = (
    "aiohttp",
    "alembic.command",
    "alembic.runtime.migration",
    "asyncpg",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "fastapi",
    "httptools",
    "ledgerlink_contracts.ids",
    "ledgerlink_contracts.permissions",
    "ledgerlink_kit.auth",
    "ledgerlink_kit.db",
    "ledgerlink_kit.http_app",
    "ledgerlink_kit.http_client",
    "ledgerlink_kit.idempotency",
    "ledgerlink_kit.inbox",
    "ledgerlink_kit.invariants",
    "ledgerlink_kit.migrations",
    "ledgerlink_kit.money",
    "ledgerlink_kit.outbox",
    "ledgerlink_kit.pagination",
    "ledgerlink_kit.problem",
    "ledgerlink_kit.settings",
    "ledgerlink_kit.telemetry",
    "ledgerlink_kit.wire",
    "orjson",
    "psycopg",
    "pydantic_settings",
    "redis.asyncio",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "structlog",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)


class Birth(TypedDict):
    """An order: run `module` under `name`, with this environment, in this folder, writing to this log."""

    number: int
    name: str
    module: str
    environment: dict[str, str]
    folder: str
    log: str


def tell(**message: object) -> None:
    """Write one message; whoever reads it gets whole lines."""
    os.write(1, json.dumps(message).encode() + b"\n")


def serve() -> Birth | None:
    """Follow orders until there are no more (None), or return in a child what it is to become."""
    waiting = b""
    while True:
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable:
            piece = os.read(0, 65536)
            if not piece:
                return None
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                order = cast("Birth", json.loads(line))
                pid = os.fork()
                if pid == 0:
                    return order
                tell(born=order["number"], pid=pid)
        report_ended()


def report_ended() -> None:
    """Wait for every child that has ended, so that there are no zombies, and say how it went."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def become(order: Birth) -> None:
    """Turn this fork into the process that was ordered, and run it to its end."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    rename(order["name"])
    sys.argv = [order["module"]]
    gc.enable()
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def rename(name: str) -> None:
    """Show this process as `ledgerlink <name>` in process lists, by writing over its command line in memory.

    The kernel tells where the command line lies (arg_start and arg_end in proc(5)); where it does not, the old name
    stays.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        length = end - start
        if start > 0 and length > 0:
            title = f"{KNOWN_AS}\0{name}".encode()[: length - 1]
            ctypes.memmove(start, title.ljust(length, b"\0"), length)


def main() -> None:
    """Import what is shared, then serve; in a child, become what was ordered."""
    gc.disable()
    for name in sys.argv[1:] or SHARED:
        try:
            importlib.import_module(name)
        except (ImportError, SyntaxError) as error:
            # Whoever needs it will say so, under its own name and with the whole story.
            print(f"{name} could not be loaded beforehand: {error}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, every shared page
    tell(ready=True)
    order = serve()
    if order is not None:
        become(order)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
