"""How the supervisor's children come into the world: started directly, or born in the nursery.

Either way a child is a `Handle`: it can be polled for its end and sent signals. The nursery itself may die (it is a
process like any other); those born in it live on, and are then watched by number and start time instead of waited for.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

import psutil

from ledgerlink_stack.accounts import identity
from ledgerlink_stack.nursery import Birth
from ledgerlink_stack.processes import SAME_START_S, identify, lives

if TYPE_CHECKING:
    from pathlib import Path

    from ledgerlink_stack.plan import Program
    from ledgerlink_stack.state import Identity

UNSEEN_END = 4242
"""The exit code of a process that ended when nobody could wait for it; no real one is above 255."""


class Handle(Protocol):
    """A process that was started; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int:
        """Its number; 0 while it is not born yet."""
        ...

    def poll(self) -> int | None:
        """Return its exit code (negative: the signal that killed it), or None while it runs."""
        ...

    def send_signal(self, number: int, /) -> None:
        """Send a signal, if it still runs."""
        ...

    def kill(self) -> None:
        """End it by force."""
        ...


def start_directly(program: Program, log: Path) -> subprocess.Popen[bytes]:
    """Start a program of its own. Raises OSError when the system refuses."""
    with log.open("ab") as out:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=program.folder,
            env=program.environment,
            start_new_session=True,  # a Ctrl-C or a closed terminal is none of its business
            **identity(program.account),
        )


class Newborn:
    """A process born, or about to be born, in a nursery."""

    def __init__(self, nursery: Nursery) -> None:
        """Nothing is known of it yet but who will bear it."""
        self.pid = 0
        self.code: int | None = None
        self._nursery = nursery
        self._identity: Identity | None = None
        self._signal_at_birth = 0

    def born(self, pid: int) -> None:
        """Note its number, and hand over a signal that came too early."""
        self.pid = pid
        self._identity = identify(pid)
        if self._signal_at_birth:
            self.send_signal(self._signal_at_birth)

    def poll(self) -> int | None:
        """Return how it ended; when its nursery has died, only that it is gone can be known."""
        if self.code is None and not self._nursery.lives:
            if self.pid == 0:
                self.code = UNSEEN_END
            else:
                self.code = None if self._is_still_there() else UNSEEN_END
        return self.code

    def _is_still_there(self) -> bool:
        """Say whether the process with its number still is the one that was born."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            began = process.create_time()
            return (
                self._identity is not None and abs(began - self._identity.started_at) < SAME_START_S and lives(process)
            )
        return False

    def send_signal(self, number: int, /) -> None:
        """Send a signal; before it is born, keep it for the birth."""
        if self.pid == 0:
            self._signal_at_birth = number
        elif self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by force."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """One nursery process (`ledgerlink_stack.nursery`) as its supervisor sees it; a handle itself.

    When it dies another takes its place, and those born in this one stay with it.
    """

    def __init__(self, program: Program, log: Path) -> None:
        """Start the process. Raises OSError when the system refuses."""
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                program.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=program.folder,
                env=program.environment,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.is_ready = False
        self._unborn: dict[int, Newborn] = {}
        self._by_pid: dict[int, Newborn] = {}
        self._count = 0
        self._waiting = b""
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def lives(self) -> bool:
        """Whether the process runs; when it does not, everything that it still said has been heard."""
        return self.poll() is None

    def poll(self) -> int | None:
        """Listen to what it says; return its exit code, or None while it runs."""
        code = self._process.poll()
        self._listen()
        if code is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
        return code

    def send_signal(self, number: int, /) -> None:
        """Send a signal to the nursery alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the nursery alone by force."""
        self._process.kill()

    def bear(self, program: Program, log: Path) -> Newborn:
        """Order a process. Raises OSError when the nursery can no longer hear."""
        self._count += 1
        order = Birth(
            number=self._count,
            name=program.name,
            module=program.module,
            environment=program.environment,
            folder=program.folder,
            log=str(log),
        )
        child = Newborn(self)
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            raise BrokenPipeError(errno.EPIPE, "the nursery is gone")
        self._unborn[self._count] = child
        pipe.write(json.dumps(order).encode() + b"\n")
        pipe.flush()
        return child

    def _listen(self) -> None:
        """Take in what the nursery has said since the last time."""
        pipe = self._process.stdout
        while pipe is not None and not pipe.closed:
            try:
                piece = os.read(pipe.fileno(), 65536)
            except BlockingIOError:
                return
            if not piece:
                return
            *lines, self._waiting = (self._waiting + piece).split(b"\n")
            for line in lines:
                self._hear(cast("dict[str, int]", json.loads(line)))

    def _hear(self, said: dict[str, int]) -> None:
        """Take in one message."""
        if "ready" in said:
            self.is_ready = True
        elif "born" in said:
            child = self._unborn.pop(said["born"])
            self._by_pid[said["pid"]] = child
            child.born(said["pid"])
        elif said.get("ended") in self._by_pid:
            self._by_pid.pop(said["ended"]).code = said["code"]
