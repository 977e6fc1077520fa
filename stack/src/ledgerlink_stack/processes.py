"""Processes of this machine: which are ours, how to end them, and what memory they take.

A number alone proves nothing: the system hands it out again. A process is ours when number, start time and command line
are those that we recorded, or when its environment carries the mark of this very stack and its command line is one
that the plan would start. Nothing else is ever ended.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from ledgerlink_stack.plan import MARK
from ledgerlink_stack.state import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ledgerlink_stack.plan import Plan
    from ledgerlink_stack.state import StackState

# Start times are told against the system's boot time, which the kernel works out anew from a clock that is being set
# right: the same process may seem to have begun a second earlier or later.
SAME_START_S = 2.0
POLL_S = 0.02


def identify(pid: int) -> Identity | None:
    """Return the identity of the process `pid` as it stands now, or None when it is gone."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return Identity(pid, process.create_time(), command_of(process))
    return None


def command_of(process: psutil.Process) -> tuple[str, ...]:
    """Return the command line of `process`, without the empty room behind one that was written over."""
    words = process.cmdline()
    while words and not words[-1]:
        words.pop()
    return tuple(words)


def recorded(identity: Identity | None) -> psutil.Process | None:
    """Return the living process that `identity` was recorded of, or None when it is gone or someone else's now."""
    if identity is None:
        return None
    with suppress(psutil.Error):
        process = psutil.Process(identity.pid)
        same_start = abs(process.create_time() - identity.started_at) < SAME_START_S
        alive = process.status() != psutil.STATUS_ZOMBIE
        if same_start and alive and command_of(process) == identity.command:
            return process
    return None


def ours(plan: Plan | None, state: StackState | None) -> dict[str, psutil.Process]:
    """Return the living processes of the stack by name: those recorded, and those started but not recorded in time."""
    found: dict[str, psutil.Process] = {}
    for entry in state.processes if state else ():
        process = recorded(entry.identity)
        if process is not None:
            found[entry.name] = process
    if plan is not None:
        known = {process.pid for process in found.values()}
        for process in psutil.process_iter():
            name = _marked(process, plan)
            if name is not None and process.pid not in known:
                found.setdefault(name, process)
    return found


def _marked(process: psutil.Process, plan: Plan) -> str | None:
    """Return the name of the plan's program that `process` is, going by its mark and its command line."""
    with suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        command = command_of(process)
        for program in plan.programs:
            if command == program.shown_as and process.environ().get(MARK) == program.mark(plan.stack_id):
                return program.name
    return None


def lives(process: psutil.Process) -> bool:
    """Say whether `process` still runs. One that waits only to be noticed by its parent (a zombie) does not."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_gone(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until `processes` have ended, at most `timeout_s`; return those that have not."""
    deadline = time.monotonic() + timeout_s
    while True:
        alive = [process for process in processes if lives(process)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(POLL_S)


def end(processes: Sequence[psutil.Process], first: signal.Signals, grace_s: float) -> None:
    """Ask `processes` to end with the signal `first`, wait up to `grace_s`, then end by force what is left."""
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(first)
    alive = wait_gone(processes, grace_s)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    wait_gone(alive, grace_s)


def end_all(plan: Plan | None, state: StackState | None, grace_s: float) -> list[str]:
    """End what is left of a stack without a supervisor, in the plan's order; return the names that were ended."""
    left = ours(plan, state)
    stages: dict[tuple[int, int], list[str]] = {}
    for name in left:
        program = plan.program(name) if plan else None
        stage = (program.stop_stage, program.stop_signal) if program else (0, int(signal.SIGTERM))
        stages.setdefault(stage, []).append(name)
    for stage in sorted(stages):
        end([left[name] for name in stages[stage]], signal.Signals(stage[1]), grace_s)
    return sorted(left)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes, and what it counts.

    "pss" divides shared pages among those who share them, so that sums are true; "uss" counts only what belongs to
    the process alone; "rss" counts shared pages once for every process, and its sums are too high.
    """

    size: int
    measure: str


def memory_of(process: psutil.Process, *, alone: bool = False) -> Memory | None:
    """Return the memory of `process` and, unless `alone`, everything below it; None when it is gone."""
    with suppress(psutil.Error):
        below = [] if alone else process.children(recursive=True)
        return add([_memory(member) for member in (process, *below)])
    return None


def add(parts: Iterable[Memory | None]) -> Memory:
    """Add memory up; the sum is named after the least exact measure in it."""
    known = [part for part in parts if part is not None]
    measures = {part.measure for part in known}
    measure = next((name for name in ("rss", "uss", "pss") if name in measures), "pss")
    return Memory(sum(part.size for part in known), measure)


def _memory(process: psutil.Process) -> Memory | None:
    """Return the memory of one process by the best measure that the system gives us."""
    with suppress(psutil.Error, AttributeError):
        full = process.memory_full_info()
        pss = getattr(full, "pss", None)
        return Memory(int(full.uss), "uss") if pss is None else Memory(int(pss), "pss")
    with suppress(psutil.Error):
        return Memory(int(process.memory_info().rss), "rss")
    return None
