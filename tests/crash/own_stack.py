"""A whole LedgerLink of the test's own: in a temporary home, on free ports, by the same command that people use."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ledgerlink_stack.home import Home, Secrets, load_secrets
from ledgerlink_stack.layout import ADMIN_EMAIL, CLIENTS, DATABASES, quiet_ports
from ledgerlink_stack.plan import load_plan
from ledgerlink_stack.ports import LOOPBACK
from ledgerlink_stack.processes import recorded
from ledgerlink_stack.state import StackState, load_state

UP_TIMEOUT_S = 240
CONVERGE_TIMEOUT_S = 120.0
TOLD_LINES = 60


@dataclass(frozen=True, slots=True)
class OwnStack:
    """One running stack, and the means to hurt it."""

    home: Home
    environment: dict[str, str]
    url: str

    @property
    def secrets(self) -> Secrets:
        """What the stack keeps for its owner."""
        return load_secrets(self.home, DATABASES, CLIENTS)

    @property
    def admin_email(self) -> str:
        """Who may audit."""
        return ADMIN_EMAIL

    def ledgerlink(self, *arguments: str) -> str:
        """Run the command line; returns what it printed. Fails the test when it does."""
        done = subprocess.run(
            [sys.executable, "-m", "ledgerlink_stack", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=UP_TIMEOUT_S,
        )
        assert done.returncode == 0, f"ledgerlink {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def state(self) -> StackState:
        """What the supervisor last wrote."""
        state = load_state(self.home.state_file)
        assert state is not None
        return state

    def names(self) -> list[str]:
        """All processes but the supervisor."""
        return [process.name for process in self.state().processes]

    def kill(self, name: str) -> bool:
        """Send SIGKILL to a process, or to the supervisor; says whether there was one to kill."""
        state = self.state()
        entry = state.process(name)
        identity = state.supervisor if name == "supervisor" else entry.identity if entry else None
        process = recorded(identity)
        if process is None:
            return False
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
            return True
        return False

    def wipe_redis(self) -> bool:
        """FLUSHALL: everything that Redis knew is gone while everybody is still connected."""
        plan = load_plan(self.home.plan_file)
        program = plan.program("redis") if plan else None
        if plan is None or program is None:
            return False
        with suppress(OSError), socket.create_connection((LOOPBACK, program.port), 2) as connection:
            connection.sendall(f"AUTH {plan.redis_password}\r\nFLUSHALL\r\n".encode())
            return connection.recv(64).startswith(b"+OK")
        return False

    def told_of(self, request_id: str) -> str:
        """Return what the services wrote about a request, with what follows it (a traceback, mostly)."""
        told: list[str] = []
        for file in sorted(self.home.logs.glob("*.log")):
            lines = file.read_text(errors="replace").splitlines()
            found = [number for number, line in enumerate(lines) if request_id in line]
            if found:
                told += [f"{file.stem}:", *lines[found[0] : found[-1] + TOLD_LINES]]
        return "\n".join(told)

    def heals_by_itself(self) -> None:
        """Wait until everything is ready again without anybody's help."""
        deadline = time.monotonic() + CONVERGE_TIMEOUT_S
        while True:
            state = self.state()
            alive = all(recorded(process.identity) is not None for process in state.processes)
            if state.all_ready and alive:
                return
            if time.monotonic() > deadline:
                waiting = {p.name: (p.condition, p.reason) for p in state.processes if p.condition != "ready"}
                raise AssertionError(f"not ready {CONVERGE_TIMEOUT_S:.0f} s after the last kill: {waiting}")
            time.sleep(0.2)


def start(folder: Path, **settings: str) -> OwnStack:
    """Start a stack in `folder` with `settings`, on ports that nobody has and that no client will be lent."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERLINK_")}
    environment["LEDGERLINK_HOME"] = str(folder / "home")
    environment |= quiet_ports(random.Random())
    # The load comes from one address; the limits are proven elsewhere.
    environment["GATEWAY_LIMIT_SCALE"] = "10000"
    environment |= settings
    url = f"http://{LOOPBACK}:{environment['GATEWAY_PORT']}"
    stack = OwnStack(Home(folder / "home"), environment, url)
    stack.ledgerlink("up")
    return stack
