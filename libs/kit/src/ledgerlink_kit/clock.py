"""The one source of time. Commands are given a clock; the domain is given a moment."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the wall-clock moment and a monotonic count for measuring spans."""

    def now(self) -> datetime:
        """Give the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds from an arbitrary start that never go back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Give the present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give the machine's monotonic seconds."""
        return time.monotonic()
