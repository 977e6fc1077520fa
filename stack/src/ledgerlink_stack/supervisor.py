"""The process that owns all others: `python -m ledgerlink_stack.supervisor HOME`.

It carries out `plan.json`, waits for every child (so that there are no zombies), starts the dead again with growing
patience, rotates the logs and writes down what it sees. SIGTERM stops everything in order; SIGHUP says: try what is
waiting for its next start now. It holds the lock file as long as it lives, so that there is one of it at most.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ledgerlink_kit.databases import create_databases
from ledgerlink_stack import logs, postgres, probes, processes
from ledgerlink_stack.births import Nursery, start_directly
from ledgerlink_stack.child import Child
from ledgerlink_stack.home import Home, file_trouble, supervisor_lock
from ledgerlink_stack.plan import Plan, Program, load_plan
from ledgerlink_stack.state import StackState, load_state, save_state
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledgerlink_stack.births import Handle

TICK_S = 0.1
LOCK_TIMEOUT_S = 3.0
ROTATE_EVERY_S = 10.0
ORPHAN_GRACE_S = 10.0
SERVER_STAGE = 9
# A server that ends this often before it ever worked will not start to work by trying.
HOPELESS_STARTS = 3


class Supervisor:
    """Carries out one plan in one home until told to stop."""

    def __init__(
        self,
        home: Home,
        plan: Plan,
        *,
        stop: threading.Event,
        hurry: threading.Event,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare the children; nothing is started yet."""
        self._home = home
        self._plan = plan
        self._stop = stop
        self._hurry = hurry
        self._monotonic = monotonic
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="probe")
        self._children = [
            Child(
                program,
                home.log_of(program.name),
                launch=self._launch,
                ask=self._ready,
                submit=self._pool.submit,
                wall=wall,
            )
            for program in plan.programs
        ]
        self._state = StackState(
            supervisor=processes.identify(os.getpid()), started_at=wall(), fingerprint=plan.fingerprint()
        )
        self._written: StackState | None = None
        self._nursery: Nursery | None = None
        self._rotate_at = 0.0

    def run(self) -> None:
        """Run the stack until told to stop, then stop it in order; a `Trouble` is written down and ends it too."""
        try:
            self._publish()
            servers = [child for child in self._children if child.program.stop_stage == SERVER_STAGE]
            first = [child for child in self._children if child.program.kind == "nursery"]
            self._start([*first, *servers])
            if self._until_ready(servers):
                if self._plan.databases:
                    create_databases(self._plan.postgres_dsn, self._plan.databases)
                self._start([child for child in self._children if child not in servers and child not in first])
                while not self._stop.wait(TICK_S):
                    self._tick()
        except Trouble as trouble:
            self._state = replace(self._state, trouble=(trouble.sentence, trouble.advice))
        finally:
            self._shut_down()

    def _launch(self, program: Program, log: Path) -> Handle:
        """Start a program as its kind wants it."""
        if program.kind == "nursery":
            self._nursery = Nursery(program, log)
            return self._nursery
        if not program.module:
            return start_directly(program, log)
        if self._nursery is None:
            raise OSError(errno.ESRCH, "there is no nursery")
        return self._nursery.bear(program, log)

    def _ready(self, program: Program) -> bool:
        """Ask one program."""
        if program.kind == "nursery":
            return self._nursery is not None and self._nursery.is_ready
        return probes.ready(self._plan, program)

    def _start(self, children: Sequence[Child]) -> None:
        """Start children, writing each down at once: what is not written down is an orphan to whoever comes after."""
        for child in children:
            if child.program.kind == "postgres":
                forget_dead_server(Path(self._plan.postgres_data))
            child.start(self._monotonic())
            self._publish()

    def _until_ready(self, servers: Sequence[Child]) -> bool:
        """Wait for the servers. Says False when told to stop meanwhile; raises `Trouble` when one cannot start."""
        while not all(child.condition == "ready" for child in servers):
            if self._stop.wait(TICK_S):
                return False
            self._tick()
            for child in servers:
                if child.trouble is not None:
                    raise child.trouble
                if child.failures_in_row >= HOPELESS_STARTS:
                    raise self._hopeless(child)
        return True

    def _hopeless(self, child: Child) -> Trouble:
        """Say why a server does not start, in its own words where it left any."""
        reason = logs.last_words(child.log).rpartition("] ")[2].strip() or child.reason
        if "No space left" in reason:
            return Trouble(
                f"{child.program.name} cannot start: the disk that holds {self._home.path} is full.",
                "Free some space, then run `ledgerlink up` again.",
            )
        return Trouble(
            f"{child.program.name} cannot start: {reason}",
            "Restore its data from a backup, or run `ledgerlink reset` to throw it away and start empty; "
            f"`ledgerlink logs {child.program.name}` has the whole story.",
        )

    def _tick(self) -> None:
        """Look after everything once."""
        now = self._monotonic()
        if self._hurry.is_set():
            self._hurry.clear()
            for child in self._children:
                child.hurry()
        for child in self._children:
            if child.program.kind == "postgres" and child.condition == "restarting":
                forget_dead_server(Path(self._plan.postgres_data))
            child.tick(now)
        if now >= self._rotate_at:
            self._rotate_at = now + ROTATE_EVERY_S
            for file in (*(child.log for child in self._children), self._home.log_of("supervisor")):
                with suppress(OSError):
                    logs.rotate(file)
        self._publish()

    def _publish(self) -> None:
        """Write the state down when it changed; what cannot be written now is tried again at the next tick."""
        self._state = replace(self._state, processes=tuple(child.state() for child in self._children))
        if self._state == self._written:
            return
        try:
            save_state(self._home.state_file, self._state)
            self._written = self._state
        except OSError as error:
            note(f"The state could not be written: {error}")

    def _shut_down(self) -> None:
        """Stop everything, stage by stage: first who takes requests, last who holds the data."""
        self._state = replace(self._state, phase="stopping")
        for stage in sorted({child.program.stop_stage for child in self._children}):
            group = [child for child in self._children if child.program.stop_stage == stage]
            for child in group:
                child.stop()
            self._publish()
            if not self._gone(group, self._plan.stop_grace_s):
                for child in group:
                    child.kill()
                self._gone(group, self._plan.stop_grace_s)
        self._state = replace(self._state, phase="stopped")
        self._publish()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _gone(self, group: Sequence[Child], grace_s: float) -> bool:
        """Wait for a group to end; says whether it did in time."""
        deadline = self._monotonic() + grace_s
        while any(child.alive for child in group):
            if self._monotonic() > deadline:
                return False
            time.sleep(TICK_S / 2)
            for child in group:
                child.tick(self._monotonic())
            self._publish()
        return True


def note(text: str) -> None:
    """Write one line to the supervisor's log. A full disk must not take the running stack with it."""
    with suppress(OSError):
        print(text, flush=True)


def forget_dead_server(data: Path) -> None:
    """Remove PostgreSQL's lock file when the number in it now belongs to somebody else's process.

    PostgreSQL takes any living process of its own account with that number for itself and would refuse to start for
    ever. While any process still works in the data folder the file stays: it leads PostgreSQL to the shared memory of
    a killed server, whose last processes must be gone before another may touch the data.
    """
    file = data / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        holder = psutil.Process(int(file.read_text().splitlines()[0]))
        if str(data) not in holder.cmdline() and not any(_works_in(process, data) for process in psutil.process_iter()):
            file.unlink()


def _works_in(process: psutil.Process, data: Path) -> bool:
    """Say whether `process` has `data` as its working folder, as all processes of a PostgreSQL have."""
    with suppress(psutil.Error):
        return process.cwd() == str(data)
    return False


def prepare(home: Home, plan: Plan) -> None:
    """Make the machine ready for the plan: end the orphans of an earlier supervisor, create the data folder.

    Raises `Trouble` for a damaged data folder.
    """
    ended = processes.end_all(load_plan(home.plan_file), load_state(home.state_file), ORPHAN_GRACE_S)
    if ended:
        note(f"Ended what an earlier supervisor left behind: {', '.join(ended)}.")
    program = plan.program("postgres")
    if program is None:
        return
    data = Path(plan.postgres_data)
    unfinished = data.with_name(f"{data.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    if data.exists():
        postgres.check_cluster(data)
        return
    password = plan.postgres_dsn.split("@", 1)[0].rsplit(":", 1)[1]
    # Under another name until it is whole: a folder that stopped half-way would look like a damaged one.
    binaries = Path(program.command[0]).parents[1]
    postgres.create_cluster(binaries, unfinished, program.account, password)
    unfinished.rename(data)


def main(folder: str) -> int:
    """Run the supervisor; returns the exit code. Troubles stand in the state, for `up` to print."""
    home = Home(Path(folder))
    stop, hurry = threading.Event(), threading.Event()

    def on_stop(_number: int, _frame: object) -> None:
        stop.set()

    def on_hurry(_number: int, _frame: object) -> None:
        hurry.set()

    signal.signal(signal.SIGTERM, on_stop)
    signal.signal(signal.SIGINT, on_stop)
    signal.signal(signal.SIGHUP, on_hurry)
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        with supervisor_lock(home) as mine:
            if mine:
                return _supervise(home, stop, hurry)
        if time.monotonic() > deadline:
            note("Another supervisor looks after this home.")
            return 0
        time.sleep(TICK_S)


def _supervise(home: Home, stop: threading.Event, hurry: threading.Event) -> int:
    """Do everything that needs the lock."""
    plan = load_plan(home.plan_file)
    if plan is None:
        note(f"There is no plan in {home.plan_file}.")
        return 2
    try:
        prepare(home, plan)
        Supervisor(home, plan, stop=stop, hurry=hurry).run()
    except OSError as error:
        _give_up(home, plan, file_trouble(error, home.path))
    except Trouble as trouble:
        _give_up(home, plan, trouble)
    return 0


def _give_up(home: Home, plan: Plan, trouble: Trouble) -> None:
    """Leave the reason where `up` looks for it."""
    note(str(trouble))
    state = StackState(
        supervisor=None,
        started_at=time.time(),
        fingerprint=plan.fingerprint(),
        phase="stopped",
        trouble=(trouble.sentence, trouble.advice),
    )
    with suppress(OSError):
        save_state(home.state_file, state)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
