"""What must hold on this machine before the stack can run: asked by `up` before it starts, and by `doctor`."""

from __future__ import annotations

import platform
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ledgerlink_stack.ports import LOOPBACK, accepts, is_free
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ledgerlink_stack.plan import Plan

OLDEST_PYTHON = (3, 11)
MEBIBYTE = 1024 * 1024
NEEDED_FIRST_BYTES = 300 * MEBIBYTE  # a fresh data folder, its log, and some room to live
NEEDED_AGAIN_BYTES = 50 * MEBIBYTE


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> str:
    """Say which Python runs. Raises `Trouble` for one that is too old."""
    found = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        raise Trouble(
            f"This is Python {found}, and LedgerLink needs Python {'.'.join(map(str, OLDEST_PYTHON))} or newer.",
            "Install a newer one and run `make bootstrap` again (`PYTHON=python3.12 make bootstrap` chooses it).",
        )
    return f"Python {found}"


def check_platform(system: str = sys.platform, machine: str | None = None) -> str:
    """Say what machine this is. Raises `Trouble` where the embedded servers have no programs."""
    if system not in {"linux", "darwin"}:
        raise Trouble(
            f"The local stack does not run on {system}.",
            "Use Linux or macOS; on Windows, the Windows Subsystem for Linux.",
        )
    return f"{system} on {machine or platform.machine()}"


def check_space(folder: Path, free_bytes: Callable[[Path], int] | None = None) -> str:
    """Say how much space is left where `folder` is or will be. Raises `Trouble` when it is too little to start.

    The first start needs more than the later ones, which find their data in place.
    """
    needed = NEEDED_AGAIN_BYTES if (folder / "plan.json").exists() else NEEDED_FIRST_BYTES
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    free = (free_bytes or _free_bytes)(existing)
    if free < needed:
        raise Trouble(
            f"Only {free // MEBIBYTE} MiB are free on the disk that holds {folder}; "
            f"LedgerLink needs {needed // MEBIBYTE}.",
            "Free some space, or set LEDGERLINK_HOME to a folder on another disk.",
        )
    return f"{free // MEBIBYTE} MiB free for {folder}"


def _free_bytes(folder: Path) -> int:
    """Return what is left for us on the disk of `folder`."""
    return shutil.disk_usage(folder).free


def check_ports(plan: Plan, running: Collection[str] = ()) -> str:
    """Say that every port is free but those of our own `running` processes. Raises `Trouble` for the first taken."""
    for program in plan.programs:
        if not program.port or program.name in running or is_free(program.port):
            continue
        # A port that nobody answers on is some client's, lent by the system for the length of its connection: the
        # supervisor tries again until it is back.
        if accepts(program.port):
            raise Trouble(
                f"Port {program.port}, which {program.name} needs, is taken{_by_whom(program.port)}.",
                f"Stop that program, or choose another port with {port_variable(program.name)}=<port>.",
            )
    return f"{len(plan.programs)} ports are free or ours"


def port_variable(name: str) -> str:
    """Return the variable that chooses the port of the process `name`."""
    if name in {"postgres", "redis"}:
        return f"LEDGERLINK_{name.upper()}_PORT"
    service, worker, _ = name.upper().partition("-WORKER")
    return f"{service}_WORKER_PORT" if worker else f"{service}_PORT"


def _by_whom(port: int) -> str:
    """Return " by <program> (process <pid>)" as far as the system lets us know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.pid is None:
                continue
            address = connection.laddr
            if address and address.port == port and address.ip in {LOOPBACK, "0.0.0.0", "::", "::1"}:  # noqa: S104 - compared, not bound
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
