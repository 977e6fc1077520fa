"""Bringing the stack up and down: the conversation between the command line and the supervisor.

The command line checks the machine, writes the plan and starts the supervisor; from then on it only reads the state
that the supervisor writes down, so that it can be interrupted at any time without harm.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from ledgerlink_stack import checks, logs, processes
from ledgerlink_stack.home import Home, supervisor_runs, trouble_with_files
from ledgerlink_stack.plan import MARK, Plan, load_plan, save_plan
from ledgerlink_stack.state import StackState, load_state, save_state
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ledgerlink_stack.state import ProcessState

POLL_S = 0.1
DYING_TIMEOUT_S = 2.0
READY_TIMEOUT_S = 180.0
DOWN_TIMEOUT_S = 90.0
ORPHAN_GRACE_S = 10.0
# A process that ends this often in a row before it ever answered needs a human, not another try.
HOPELESS_STARTS = 5


@dataclass(frozen=True, slots=True)
class Risen:
    """How `up` ended: `already` when there was nothing to do, `healed` names what had to be started again."""

    already: bool
    healed: tuple[str, ...]
    seconds: float
    changed_settings: bool = False


def bring_up(home: Home, plan: Plan, show: Callable[[Sequence[ProcessState]], None]) -> Risen:
    """Start what does not run, wait until everything is ready, and say what was done.

    Raises `Trouble` with what keeps the stack from coming up.
    """
    begun = time.monotonic()
    if _is_supervised(home):
        return _join(home, plan, show, begun)
    before = load_state(home.state_file)
    interrupted = before is not None and before.phase == "running" and before.trouble is None
    left = processes.ours(load_plan(home.plan_file) or plan, before)
    checks.check_space(home.path)
    checks.check_ports(plan, running=left)
    with trouble_with_files(home.path):
        save_plan(home.plan_file, plan)
        if before is not None and before.trouble is not None:
            save_state(home.state_file, replace(before, trouble=None))  # or we would take it for today's
    _start_supervisor(home, plan)
    state = _wait_until_ready(home, show, begun, restarted=True)
    healed = tuple(process.name for process in state.processes) if interrupted else ()
    return Risen(already=False, healed=healed, seconds=time.monotonic() - begun)


def _is_supervised(home: Home) -> bool:
    """Say whether a supervisor looks after the home, not taken in by one that is just dying.

    A killed process keeps its lock for an instant after it is dead. One that is only starting holds the lock too, and
    has not written its own state yet: that one is believed after a short wait.
    """
    deadline = time.monotonic() + DYING_TIMEOUT_S
    while supervisor_runs(home):
        state = load_state(home.state_file)
        if time.monotonic() > deadline or (state is not None and processes.recorded(state.supervisor) is not None):
            return True
        time.sleep(POLL_S)
    return False


def _join(home: Home, plan: Plan, show: Callable[[Sequence[ProcessState]], None], begun: float) -> Risen:
    """A supervisor is there: have it look again at once, and wait with it for what is not ready."""
    state = load_state(home.state_file)
    changed = state is not None and state.fingerprint != plan.fingerprint()
    broken = () if state is None else tuple(_not_ready(state))
    if state is not None and state.supervisor is not None and broken:
        supervisor = processes.recorded(state.supervisor)
        if supervisor is not None:
            supervisor.send_signal(signal.SIGHUP)
    tried = {process.name: process.restarts for process in state.processes} if state else {}
    _wait_until_ready(home, show, begun, restarted=False, tried=tried)
    if not supervisor_runs(home):  # it was just being killed when we asked for it
        return bring_up(home, plan, show)
    return Risen(
        already=not broken and state is not None,
        healed=broken,
        seconds=time.monotonic() - begun,
        changed_settings=changed,
    )


def _not_ready(state: StackState) -> list[str]:
    """Name what is not ready, believing the system rather than the paper about who is alive."""
    return [
        process.name
        for process in state.processes
        if process.condition != "ready" or processes.recorded(process.identity) is None
    ]


def _start_supervisor(home: Home, plan: Plan) -> None:
    """Start the supervisor in a session of its own, away from this terminal."""
    log = home.log_of("supervisor")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONOPTIMIZE"},
        MARK: f"{plan.stack_id}/supervisor",
        "PYTHONUNBUFFERED": "1",
    }
    with trouble_with_files(home.path), log.open("ab") as out:
        # It outlives us on purpose; nobody is to wait for it.
        process = subprocess.Popen(
            [sys.executable, "-m", "ledgerlink_stack.supervisor", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    process.returncode = 0  # keeps Popen from warning that a child is left behind, which is what we want


def _wait_until_ready(
    home: Home,
    show: Callable[[Sequence[ProcessState]], None],
    begun: float,
    *,
    restarted: bool,
    tried: Mapping[str, int] | None = None,
) -> StackState:
    """Follow the state until everything is ready. Raises `Trouble` when it cannot be or takes too long.

    `tried` are the restarts before we came: only what fails from now on counts as hopeless.
    """
    seen_alive = not restarted
    while True:
        state = load_state(home.state_file)
        runs = supervisor_runs(home)
        seen_alive = seen_alive or runs
        fresh = state is not None and (not restarted or processes.recorded(state.supervisor) is not None)
        if state is not None and state.trouble is not None and not runs:
            raise Trouble(*state.trouble)
        if state is not None and fresh:
            show(state.processes)
            if state.phase == "running" and not _not_ready(state) and state.processes:
                return state
            _raise_hopeless(home, state, tried or {})
        elapsed = time.monotonic() - begun
        if not restarted and not runs:
            return state or StackState(None, 0.0, "")  # killed while we waited: the caller starts another
        if (seen_alive and not runs) or (not seen_alive and elapsed > READY_TIMEOUT_S / 6):
            # One more look: it may have written its trouble between our two questions.
            final = load_state(home.state_file)
            if final is not None and final.trouble is not None:
                raise Trouble(*final.trouble)
            raise Trouble("The supervisor ended while starting.", _last_words(home, "supervisor"))
        if elapsed > READY_TIMEOUT_S:
            names = ", ".join(_not_ready(state)) if state else "anything"
            raise Trouble(
                f"{names} did not become ready within {READY_TIMEOUT_S:.0f} s.",
                "The stack goes on trying; see `ledgerlink status` and `ledgerlink logs`.",
            )
        time.sleep(POLL_S)


def _raise_hopeless(home: Home, state: StackState, tried: Mapping[str, int]) -> None:
    """Stop waiting for a process that ends again and again."""
    for process in state.processes:
        fresh = process.restarts - tried.get(process.name, 0)
        if process.failures_in_row >= HOPELESS_STARTS and fresh >= HOPELESS_STARTS - 1:
            raise Trouble(
                f"{process.name} does not start: {process.reason}.".replace("..", "."), _last_words(home, process.name)
            )


def _last_words(home: Home, name: str) -> str:
    """Point at the log, with its last line."""
    said = logs.last_words(home.log_of(name))
    return f"`ledgerlink logs {name}` has the whole story{f'; it ends with: {said}' if said else ''}."


def bring_down(home: Home, show: Callable[[Sequence[ProcessState]], None]) -> list[str]:
    """Stop everything in order, by force at last; return the names of what was stopped.

    Raises `Trouble` only when a process survives even that.
    """
    state, plan = load_state(home.state_file), load_plan(home.plan_file)
    stopped = sorted(processes.ours(plan, state))
    supervisor = processes.recorded(state.supervisor) if state else None
    if supervisor is not None:
        with suppress(psutil.Error):
            supervisor.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        while supervisor_runs(home) and time.monotonic() < deadline:
            current = load_state(home.state_file)
            if current is not None:
                show(current.processes)
            time.sleep(POLL_S)
        current = load_state(home.state_file)
        if current is not None:
            show(current.processes)
        if processes.recorded(state.supervisor if state else None) is not None:
            processes.end([supervisor], signal.SIGKILL, ORPHAN_GRACE_S)
    processes.end_all(plan, load_state(home.state_file), ORPHAN_GRACE_S)
    survivors = sorted(processes.ours(plan, load_state(home.state_file)))
    if survivors:
        raise Trouble(f"{', '.join(survivors)} could not be stopped.", "Look at them with `ledgerlink status`.")
    return stopped
