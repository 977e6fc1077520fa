"""One process under supervision: started, asked whether it is ready, and started again with growing patience.

A small state machine that is told the time. It never blocks: the supervisor calls `tick` for all children a few times
a second, and questions of readiness run beside in a pool.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ledgerlink_stack import logs
from ledgerlink_stack.births import UNSEEN_END
from ledgerlink_stack.processes import identify
from ledgerlink_stack.state import Condition, Identity, ProcessState
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledgerlink_stack.births import Handle
    from ledgerlink_stack.plan import Program

FIRST_PATIENCE_S = 0.25
LONGEST_PATIENCE_S = 15.0
# One that lived this long counts as having worked: the next failure starts with the first patience again.
WORKED_S = 20.0
ASK_WHILE_STARTING_S = 0.2
ASK_WHILE_READY_S = 3.0


class Child:
    """One program and the process that runs it at the moment.

    `launch` starts it; `ask(program)` says whether it is ready (may raise `Trouble`), run by `submit` in a pool;
    `wall()` is the clock whose times stand in the state, while `tick` is given a monotonic one.
    """

    def __init__(
        self,
        program: Program,
        log: Path,
        *,
        launch: Callable[[Program, Path], Handle],
        ask: Callable[[Program], bool],
        submit: Callable[[Callable[[], bool]], Future[bool]],
        wall: Callable[[], float],
    ) -> None:
        """Keep what the program needs; nothing is started yet."""
        self.program = program
        self.log = log
        self.condition: Condition = "waiting"
        self.since = wall()
        self.restarts = 0
        self.failures_in_row = 0
        self.reason = ""
        self.was_ready = False
        self.trouble: Trouble | None = None
        self._launch = launch
        self._ask = ask
        self._submit = submit
        self._wall = wall
        self._process: Handle | None = None
        self._identity: Identity | None = None
        self._question: Future[bool] | None = None
        self._ask_at = 0.0
        self._started = 0.0
        self._retry_at = 0.0
        self._patience = FIRST_PATIENCE_S

    @property
    def alive(self) -> bool:
        """Whether there is a process that has not been waited for."""
        return self._process is not None

    def state(self) -> ProcessState:
        """Return what is to be written down."""
        return ProcessState(
            name=self.program.name,
            port=self.program.port,
            condition=self.condition,
            since=self.since,
            restarts=self.restarts,
            failures_in_row=self.failures_in_row,
            reason=self.reason,
            identity=self._identity,
        )

    def start(self, now: float) -> None:
        """Start the process. What the system refuses is kept as the reason, and tried again later."""
        self._started = now
        self._ask_at = now
        self._question = None
        try:
            self._process = self._launch(self.program, self.log)
        except OSError as error:
            self._failed(now, f"could not be started: {error.strerror or error}")
            return
        self._recognize()
        self._become("starting")

    def tick(self, now: float) -> None:
        """Look once: has it ended, is it ready, is it time to start it again?"""
        if self._process is not None:
            code = self._process.poll()
            if code is not None:
                self._ended(now, code)
            elif self.condition != "stopping":
                self._look(now)
        elif self.condition == "restarting" and now >= self._retry_at:
            self.restarts += 1
            self.start(now)

    def _look(self, now: float) -> None:
        """Ask whether it is ready, or take the answer of the last question."""
        if self.condition == "starting":
            self._recognize()
        if self._question is None:
            if now >= self._ask_at:
                self._question = self._submit(lambda: self._ask(self.program))
            return
        if not self._question.done():
            return
        question, self._question = self._question, None
        try:
            ready = question.result()
        except Trouble as trouble:
            self.trouble = trouble
            ready = False
        self._ask_at = now + (ASK_WHILE_READY_S if ready else ASK_WHILE_STARTING_S)
        if ready:
            self._recognize()
            self.was_ready = True
            self.failures_in_row = 0
            self.reason = ""
            self._become("ready")
        elif self.condition == "ready":
            self._become("unready")

    def _recognize(self) -> None:
        """Record the process's identity until it shows its final command line, which takes it an instant."""
        known = self._identity is not None and self._identity.command == self.program.shown_as
        if self._process is not None and self._process.pid and not known:
            self._identity = identify(self._process.pid)

    def _ended(self, now: float, code: int) -> None:
        """Note the end of the process, wanted or not."""
        self._process = None
        self._identity = None
        self._question = None
        if self.condition == "stopping":
            self._become("stopped")
            return
        said = logs.last_words(self.log)
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        elif code == UNSEEN_END:
            how = "ended unseen"
        else:
            how = f"ended with exit code {code}"
        self._failed(now, f"{how}: {said}" if said and 0 <= code < UNSEEN_END else how)

    def _failed(self, now: float, reason: str) -> None:
        """Plan the next start, later each time."""
        self._patience = (
            FIRST_PATIENCE_S if now - self._started > WORKED_S else min(self._patience * 2, LONGEST_PATIENCE_S)
        )
        self.failures_in_row += 1
        self.reason = reason
        self._retry_at = now + self._patience
        self._become("restarting")

    def hurry(self) -> None:
        """Start again at once instead of waiting the patience out, and with all patience again."""
        self.failures_in_row = 0
        self._retry_at = 0.0
        self._patience = FIRST_PATIENCE_S

    def stop(self) -> None:
        """Ask the process to end; `tick` notes when it has."""
        if self._process is None:
            self._become("stopped")
        elif self.condition != "stopping":
            self._become("stopping")
            self._process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """End the process by force."""
        if self._process is not None:
            self._process.kill()

    def _become(self, condition: Condition) -> None:
        """Change the condition and note since when it holds."""
        if condition != self.condition:
            self.condition = condition
            self.since = self._wall()


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the least environment that a server of the system needs, with `extra`."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **extra}
