"""What the user sees: rich tables and a live picture on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ledgerlink_stack.state import Condition, ProcessState

STYLES: dict[Condition, str] = {
    "waiting": "dim",
    "starting": "yellow",
    "ready": "green",
    "unready": "yellow",
    "restarting": "red",
    "stopping": "yellow",
    "stopped": "dim",
}
MEBIBYTE = 1024 * 1024
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Return a length of time in two units at most: `7 s`, `3 min 20 s`, `5 h 2 min`, `2 d 1 h`."""
    whole = max(0, int(seconds))
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def mebibytes(size: int) -> str:
    """Return a size in MiB."""
    return f"{size / MEBIBYTE:.0f} MiB"


def picture(processes: Sequence[ProcessState], *, moving: bool = False) -> Table:
    """Return the processes as a table for the live display."""
    table = Table.grid(padding=(0, 2))
    for process in processes:
        busy = moving and process.condition in {"starting", "restarting", "unready", "stopping"}
        mark = Spinner("dots") if busy else Text("✓" if process.condition == "ready" else "·")
        table.add_row(
            mark,
            process.name,
            Text(process.condition, style=STYLES[process.condition]),
            Text(process.reason, style="dim", overflow="ellipsis", no_wrap=True),
        )
    return table


class Progress:
    """Shows how a stack comes up or goes down: redrawn on a terminal, one line per change elsewhere."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock that the lines show."""
        self._console = console
        self._clock = clock
        self._begun = clock()
        self._live: Live | None = None
        self._seen: dict[str, set[str]] = {}

    @contextmanager
    def shown(self) -> Generator[None]:
        """Show the picture for the length of the block."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, processes: Sequence[ProcessState]) -> None:
        """Show where every process stands."""
        if self._live is not None:
            self._live.update(picture(processes, moving=True))
            return
        if self._console.is_terminal:
            return
        for process in processes:
            failing = process.condition == "restarting" and process.reason
            line = f"{process.condition}: {process.reason}" if failing else process.condition
            told = self._seen.setdefault(process.name, set())
            if process.condition != "waiting" and line not in told:
                # What was said once is not said again, or one that fails fast would drown the others.
                told.add(line)
                self._console.print(
                    f"{self._clock() - self._begun:6.1f} s  {process.name:16} {line}", highlight=False, soft_wrap=True
                )
