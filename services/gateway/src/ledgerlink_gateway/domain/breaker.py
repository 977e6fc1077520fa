"""A circuit breaker by ratio: an upstream that mostly gives no answer is left alone for a while.

What counts as a failure is silence (no connection, no answer, a cut or late answer), not an answered 5xx: an answer is
cheap to have and tells the caller more than the gateway could.
"""

from dataclasses import dataclass, field
from enum import StrEnum, auto


class Circuit(StrEnum):
    """Closed lets everything pass, open nothing, half-open one probe."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """Opens when at least ``outcomes_min`` outcomes of the last ``window_s`` hold a share of ``ratio`` failures.

    Stays open for ``rest_s`` seconds, then lets one probe pass, whose outcome closes or opens it again.
    """

    window_s: float = 10.0
    outcomes_min: int = 20
    ratio: float = 0.5
    rest_s: float = 2.0


@dataclass(slots=True)
class Breaker:
    """The state of one upstream's circuit. Times are monotonic seconds given by the caller."""

    rule: BreakerRule = field(default_factory=BreakerRule)
    state: Circuit = Circuit.CLOSED
    _since: float = 0.0
    _outcomes: int = 0
    _failures: int = 0
    _probing: bool = False

    def refuses_for(self, now: float) -> float:
        """Give for how many seconds a request is refused; 0.0 lets it pass (and is its ticket as the probe)."""
        if self.state is Circuit.CLOSED:
            return 0.0
        rest = self._since + self.rule.rest_s - now
        if self.state is Circuit.OPEN and rest > 0:
            return rest
        if self._probing:
            return self.rule.rest_s
        self.state = Circuit.HALF_OPEN
        self._probing = True
        return 0.0

    def succeeded(self, now: float) -> None:
        """Record an answer; it closes the circuit if it is a probe's."""
        if self.state is not Circuit.CLOSED:
            self._become(Circuit.CLOSED, now)
            return
        self._roll(now)
        self._outcomes += 1

    def failed(self, now: float) -> None:
        """Record a silence; it opens the circuit if it is a probe's or one too many."""
        if self.state is not Circuit.CLOSED:
            self._become(Circuit.OPEN, now)
            return
        self._roll(now)
        self._outcomes += 1
        self._failures += 1
        if self._outcomes >= self.rule.outcomes_min and self._failures >= self.rule.ratio * self._outcomes:
            self._become(Circuit.OPEN, now)

    def forgot(self) -> None:
        """Give a ticket back without an outcome: the request ended for a reason that is not the upstream's."""
        self._probing = False

    def _roll(self, now: float) -> None:
        # Old outcomes lose half their weight at each window's end, so that one quiet window does not erase a storm.
        if now - self._since >= self.rule.window_s:
            self._since = now
            self._outcomes //= 2
            self._failures //= 2

    def _become(self, state: Circuit, now: float) -> None:
        self.state = state
        self._since = now
        self._outcomes = 0
        self._failures = 0
        self._probing = False
