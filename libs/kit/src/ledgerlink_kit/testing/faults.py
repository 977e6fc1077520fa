"""Faults on demand: code under test asks at named points, the test says which of them break and how often."""

from collections import defaultdict


class Fault(Exception):
    """The process stops here, as far as the test is concerned."""


class Faults:
    """Counts the named points that are passed and breaks those the test chose."""

    def __init__(self) -> None:
        """Break nothing yet."""
        self._planned: dict[str, list[BaseException]] = defaultdict(list)
        self.passed: list[str] = []

    def plan(self, point: str, error: BaseException | None = None) -> None:
        """Let the next passing of ``point`` raise ``error`` (a `Fault` unless told)."""
        self._planned[point].append(error or Fault(point))

    def reach(self, point: str) -> None:
        """Pass ``point``; raises what was planned for it, once for each plan."""
        self.passed.append(point)
        if self._planned[point]:
            raise self._planned[point].pop(0)
