"""A clock that stands still until it is turned."""

from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class ManualClock:
    """Tells the time it was set to."""

    def __init__(self, start: datetime = START) -> None:
        """Stand at ``start``."""
        self._now = start
        self._start = start

    def now(self) -> datetime:
        """Give the moment it was turned to."""
        return self._now

    def monotonic(self) -> float:
        """Give the seconds it was turned by."""
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Turn it on by ``seconds``."""
        self._now += timedelta(seconds=seconds)
