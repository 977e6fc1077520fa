"""What workers tell CloudWatch of themselves, and from where on it is an alarm. Plain data, no AWS in it.

The thresholds are those of the rules in deploy/observability/prometheus; a test compares them.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledgerlink_aws.wiring import Process


class Kind(Enum):
    """How a metric is read: a level as it is, a count by what is added."""

    LEVEL = "level"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Sign:
    """One metric of a worker and its alarm: above ``threshold`` for ``minutes``.

    ``why`` has a place for the worker's name. One that ``is_always_told`` raises its alarm also when it is not told:
    the collector is not essential to a task, so somebody must notice when it is gone and all other signs are silent.
    """

    name: str
    metric: str
    threshold: float
    why: str
    minutes: int = 1
    kind: Kind = Kind.LEVEL
    is_always_told: bool = False


def _unchecked(every_s: int) -> Sign:
    """Watch the oldest check of a worker's invariants; the rarest of them is due every ``every_s`` seconds."""
    why = "{} did not check an invariant for too long: nobody knows whether it holds."
    return Sign("unchecked", "ledgerlink_invariant_age_seconds", 2 * every_s + 120, why, minutes=2)


_OF_ALL: Final = (
    Sign(
        "lag",
        "ledgerlink_outbox_lag_seconds",
        60,
        "Events of {} wait for more than a minute, or it tells nothing any more.",
        minutes=5,
        is_always_told=True,
    ),
    Sign("invariant", "ledgerlink_invariant_broken", 0, "{} found an invariant broken: the books may be wrong."),
    Sign("dead", "ledgerlink_inbox_dead_total", 0, "{} laid an event aside after too many tries.", kind=Kind.COUNT),
)
_OF: Final = {
    "wallet": (
        _unchecked(1_800),
        Sign("tree", "ledgerlink_wallet_tree_broken", 0, "{} found that what is sealed was changed."),
        Sign("schedules", "ledgerlink_wallet_schedules_lag_seconds", 300, "{} is late with scheduled transfers.", 5),
    ),
    "payments": (
        _unchecked(60),
        Sign(
            "unknown", "ledgerlink_payments_unknown_oldest_seconds", 900, "{} cannot find out how a payment ended.", 2
        ),
        Sign("overdue", "ledgerlink_payments_overdue_seconds", 120, "{} does not take up unfinished payments.", 2),
    ),
}


def signs_of(process: Process) -> tuple[Sign, ...]:
    """Give what a process tells CloudWatch; a server tells it nothing, since the load balancer sees what it does."""
    return (*_OF_ALL, *_OF.get(process.service.name, (_unchecked(60),))) if process.is_worker else ()
