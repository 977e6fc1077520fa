"""The answers of `status` and `doctor`: gathered as data first, then printed as a table or as JSON."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import psutil
from rich.table import Table
from rich.text import Text

from ledgerlink_stack import checks, postgres, processes, redis
from ledgerlink_stack.home import Home, read_json
from ledgerlink_stack.plan import NURSERY, load_plan
from ledgerlink_stack.screen import STYLES, duration, mebibytes
from ledgerlink_stack.state import Condition, load_state
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ledgerlink_stack.accounts import Account
    from ledgerlink_stack.plan import Plan

MEASURES = {
    "pss": "memory is PSS: pages shared between processes are divided among them, so the total is true",
    "uss": "memory is USS: pages shared between processes are left out",
    "rss": "memory is RSS: pages shared between processes are counted once for each, so the total is too high",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One process in `status`. Memory is in bytes, uptime in seconds; both are None when it does not live."""

    name: str
    pid: int | None
    port: int | None
    state: Condition
    restarts: int
    uptime_s: float | None
    memory_bytes: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of `status`: `state` is up, degraded, down, or unsupervised (children without their supervisor)."""

    state: str
    home: str
    processes: tuple[Line, ...]
    memory_bytes: int
    memory_measure: str

    def as_json(self) -> dict[str, object]:
        """Return the answer for programs."""
        return asdict(self)


def gather_status(home: Home, now: float) -> Status:
    """Look at what the supervisor wrote and at the system, and believe the system. `now` is in Unix seconds."""
    state, plan = load_state(home.state_file), load_plan(home.plan_file)
    supervisor = processes.recorded(state.supervisor) if state else None
    alive = processes.ours(plan, state)
    lines: list[Line] = []
    memories: list[processes.Memory | None] = []
    if state is not None and supervisor is not None:
        memories.append(processes.memory_of(supervisor, alone=True))
        lines.append(_line("supervisor", None, "ready", supervisor, memories[-1], now))
    for entry in state.processes if state else ():
        process = alive.get(entry.name)
        # What the nursery bore has lines of its own.
        memories.append(processes.memory_of(process, alone=entry.name == NURSERY) if process else None)
        condition = (
            entry.condition if process is not None or entry.condition in {"waiting", "stopped"} else "restarting"
        )
        if supervisor is None and process is None:
            condition = "stopped"
        line = _line(entry.name, entry.port or None, condition, process, memories[-1], now)
        lines.append(replace(line, restarts=entry.restarts, reason=entry.reason))
    total = processes.add(memories)
    return Status(
        state=_verdict(lines, supervised=supervisor is not None, alive=bool(alive)),
        home=str(home.path),
        processes=tuple(lines),
        memory_bytes=total.size,
        memory_measure=total.measure,
    )


def _line(
    name: str,
    port: int | None,
    condition: Condition,
    process: psutil.Process | None,
    memory: processes.Memory | None,
    now: float,
) -> Line:
    """Describe one process."""
    uptime_s: float | None = None
    if process is not None:
        with suppress(psutil.Error):
            uptime_s = round(now - process.create_time(), 1)
    return Line(
        name=name,
        pid=process.pid if process else None,
        port=port,
        state=condition,
        restarts=0,
        uptime_s=uptime_s,
        memory_bytes=memory.size if memory else None,
        reason="",
    )


def _verdict(lines: Sequence[Line], *, supervised: bool, alive: bool) -> str:
    """Sum the stack up in one word."""
    if not supervised:
        return "unsupervised" if alive else "down"
    return "up" if len(lines) > 1 and all(line.state == "ready" for line in lines) else "degraded"


def status_table(status: Status) -> Table:
    """Return the answer for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("process", no_wrap=True)
    for heading in ("pid", "port"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("uptime", "restarts", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in status.processes:
        table.add_row(
            line.name,
            str(line.pid or "-"),
            str(line.port or "-"),
            Text(line.state, style=STYLES[line.state]),
            "-" if line.uptime_s is None else duration(line.uptime_s),
            str(line.restarts),
            "-" if line.memory_bytes is None else mebibytes(line.memory_bytes),
        )
    table.add_section()
    table.add_row("total", "", "", status.state, "", "", mebibytes(status.memory_bytes), style="bold")
    return table


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of `doctor`: what was looked at, whether it is well, what was found, what to do if it is not."""

    check: str
    ok: bool
    found: str
    advice: str = ""


def examine(home: Home, account: Account | None, make_plan: Callable[[], Plan]) -> list[Finding]:
    """Ask everything that `up` depends on, changing nothing; `make_plan` may raise `Trouble`."""
    findings = [
        _find("python", checks.check_python),
        _find("platform", checks.check_platform),
        _find("postgresql", lambda: f"program in {postgres.installed_binaries()}"),
        _find("redis", lambda: f"program in {redis.installed_binary()}"),
        _find("home", lambda: _writable(home)),
        _find("space", lambda: checks.check_space(home.path)),
        _find("secrets", lambda: _private(home)),
        _find("data", lambda: _data(home.server_data(account) / "postgres")),
    ]
    if all(finding.ok for finding in findings):
        alive = processes.ours(load_plan(home.plan_file), load_state(home.state_file))
        findings.append(_find("ports", lambda: checks.check_ports(make_plan(), running=alive)))
    findings.append(_find("stack", lambda: _stack(home)))
    return findings


def _find(check: str, ask: Callable[[], str]) -> Finding:
    """Ask, and turn a `Trouble` into a finding."""
    try:
        return Finding(check, ok=True, found=ask())
    except Trouble as trouble:
        return Finding(check, ok=False, found=trouble.sentence, advice=trouble.advice)


def _writable(home: Home) -> str:
    """Say whether the home can be written, without creating it."""
    place = next(folder for folder in (home.path, *home.path.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise Trouble(
            f"LedgerLink may not write to {place}.", "Give this user that folder, or set LEDGERLINK_HOME to another."
        )
    return f"{home.path}{'' if place == home.path else ' (not there yet)'}"


def _private(home: Home) -> str:
    """Say whether the secrets are whole and closed to others."""
    file = home.secrets_file
    if not file.exists():
        return "none yet; the first `ledgerlink up` makes them"
    if file.stat().st_mode & 0o077:
        raise Trouble(f"{file} can be read by other users.", f"Close it: `chmod 600 {file}`.")
    if read_json(file) is None:
        raise Trouble(f"{file} is damaged.", "Put a copy of it back, or run `ledgerlink reset` to start empty.")
    return f"{file}, readable by its owner only"


def _data(data: Path) -> str:
    """Say whether the databases' folder looks whole."""
    if not data.exists():
        return "none yet; the first `ledgerlink up` creates it"
    postgres.check_cluster(data)
    return f"{data} is whole as far as one can see from outside"


def _stack(home: Home) -> str:
    """Say how the stack is."""
    status = gather_status(home, time.time())
    if status.state in {"up", "down"}:
        return f"the stack is {status.state}"
    bad = ", ".join(line.name for line in status.processes if line.state != "ready")
    raise Trouble(f"The stack is {status.state}: {bad or 'the supervisor is gone'}.", "Run `ledgerlink up` to heal it.")


def doctor_table(findings: Sequence[Finding]) -> Table:
    """Return the findings for people."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("no", style="bold red")
        table.add_row(mark, finding.check, finding.found if finding.ok else f"{finding.found}\n{finding.advice}")
    return table
