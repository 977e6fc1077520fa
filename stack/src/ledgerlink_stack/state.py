"""What is running now, as the supervisor last wrote it: the page that `status`, `up` and `down` read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, cast

from ledgerlink_stack.home import read_json, write_private

if TYPE_CHECKING:
    from pathlib import Path

Condition = Literal["waiting", "starting", "ready", "unready", "restarting", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one process from any other that ever had the same number: its start time and command line."""

    pid: int
    started_at: float
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process: where it stands since when (Unix seconds), how often it was restarted, and why it last ended."""

    name: str
    port: int
    condition: Condition
    since: float
    restarts: int = 0
    failures_in_row: int = 0
    reason: str = ""
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class StackState:
    """The whole stack. `trouble` holds sentence and advice when the supervisor had to give up."""

    supervisor: Identity | None
    started_at: float
    fingerprint: str
    processes: tuple[ProcessState, ...] = ()
    phase: Literal["running", "stopping", "stopped"] = "running"
    trouble: tuple[str, str] | None = None

    def process(self, name: str) -> ProcessState | None:
        """Return the state of the process `name`, or None."""
        return next((process for process in self.processes if process.name == name), None)

    @property
    def all_ready(self) -> bool:
        """Whether every process is ready."""
        return bool(self.processes) and all(process.condition == "ready" for process in self.processes)


def save_state(file: Path, state: StackState) -> None:
    """Write the state in one step, readable by its owner only."""
    write_private(file, asdict(state))


def load_state(file: Path) -> StackState | None:
    """Return the state in `file`; None when there is none, or it was written by another version of this package."""
    stored = read_json(file)
    if stored is None:
        return None
    try:
        return StackState(
            supervisor=_identity(stored["supervisor"]),
            started_at=cast("float", stored["started_at"]),
            fingerprint=cast("str", stored["fingerprint"]),
            processes=tuple(
                _process(cast("dict[str, object]", entry)) for entry in cast("list[object]", stored["processes"])
            ),
            phase=cast("Literal['running', 'stopping', 'stopped']", stored["phase"]),
            trouble=_pair(stored["trouble"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _pair(stored: object) -> tuple[str, str] | None:
    """Rebuild sentence and advice."""
    if stored is None:
        return None
    sentence, advice = cast("list[str]", stored)
    return sentence, advice


def _process(stored: dict[str, object]) -> ProcessState:
    """Rebuild one process's state."""
    identity = _identity(stored.pop("identity"))
    return ProcessState(identity=identity, **stored)  # pyright: ignore[reportArgumentType]


def _identity(stored: object) -> Identity | None:
    """Rebuild one identity."""
    if stored is None:
        return None
    entry = cast("dict[str, object]", stored)
    return Identity(
        pid=cast("int", entry["pid"]),
        started_at=cast("float", entry["started_at"]),
        command=tuple(cast("list[str]", entry["command"])),
    )
