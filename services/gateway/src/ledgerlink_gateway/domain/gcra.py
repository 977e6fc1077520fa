"""The generic cell rate algorithm: a rate limit that keeps one number per key.

The number is the theoretical arrival time (TAT): the moment at which the key's bucket is empty again. A request of cost
``c`` moves it by ``c`` emission intervals; it is refused if that would put the TAT more than one window ahead of now.
A key that was quiet for a window has its whole quota; a busy one gains a request an interval, without window edges.
Source: ITU-T I.371, "virtual scheduling". All times are whole microseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Final, NamedTuple

MICROS: Final = 1_000_000


class Per(StrEnum):
    """Whom a policy counts: each client address, each caller, or all users of the route together."""

    ADDRESS = auto()
    CALLER = auto()
    ROUTE = auto()


class WhenLost(StrEnum):
    """What holds while Redis is away: let everything pass, refuse everything, or count in this process alone."""

    OPEN = auto()
    CLOSED = auto()
    LOCAL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``quota`` units per ``window_s`` seconds, counted ``per`` whom; ``when_lost`` holds while Redis is away.

    Derived once, since every request needs them: ``interval_us``, in which one unit comes back; ``window_us``, in which
    a spent quota is whole again (whole intervals, so that nothing is lost to rounding); ``item``, as it is announced.
    """

    name: str
    per: Per
    quota: int
    window_s: int
    when_lost: WhenLost = WhenLost.LOCAL
    interval_us: int = field(init=False, repr=False)
    window_us: int = field(init=False, repr=False)
    item: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a policy without a whole interval of at least a microsecond. Raises ValueError."""
        if self.quota < 1 or self.window_s < 1 or self.quota > self.window_s * MICROS:
            message = f"policy {self.name}: the quota must be 1 to {MICROS} a second over at least a second"
            raise ValueError(message)
        interval_us = self.window_s * MICROS // self.quota
        object.__setattr__(self, "interval_us", interval_us)
        object.__setattr__(self, "window_us", interval_us * self.quota)
        object.__setattr__(self, "item", f'"{self.name}";q={self.quota};w={self.window_s}')

    @property
    def needs_caller(self) -> bool:
        """Whether the policy counts by caller, so that only a route with a token can have it."""
        return self.per is Per.CALLER

    def scaled(self, factor: float) -> "Policy":
        """Give the policy with its quota multiplied, at least 1 and at most one unit a microsecond."""
        quota = max(1, min(round(self.quota * factor), self.window_s * MICROS))
        return Policy(name=self.name, per=self.per, quota=quota, window_s=self.window_s, when_lost=self.when_lost)


class Charge(NamedTuple):
    """What one policy is asked for on one key."""

    policy: Policy
    key: str
    cost: int


class Standing(NamedTuple):
    """Where one key stands after a decision: units left, microseconds until whole again, and until it would pass."""

    policy: Policy
    remaining: int
    reset_us: int
    retry_us: int


def decide(now_us: int, tats: Sequence[int], charges: Sequence[Charge]) -> tuple[bool, list[int], list[Standing]]:
    """Decide a request that asks several policies at once: all of them are charged, or none.

    ``tats`` are the stored TATs in the order of ``charges`` (0 for a new key). Gives whether it passes, the TATs to
    store (unchanged ones if refused) and where each key then stands. A TAT further ahead than the window (the clock was
    set back, or the policy was made smaller) counts as a window ahead, so that nobody is locked out for longer.
    """
    floors = [
        max(now_us, min(tat, now_us + charge.policy.window_us)) for tat, charge in zip(tats, charges, strict=True)
    ]
    moved = [floor + charge.cost * charge.policy.interval_us for floor, charge in zip(floors, charges, strict=True)]
    waits = [max(0, tat - charge.policy.window_us - now_us) for tat, charge in zip(moved, charges, strict=True)]
    passes = not any(waits)
    kept = moved if passes else floors
    standings = [
        Standing(
            charge.policy,
            (now_us + charge.policy.window_us - tat) // charge.policy.interval_us,
            tat - now_us,
            wait,
        )
        for tat, wait, charge in zip(kept, waits, charges, strict=True)
    ]
    return passes, kept, standings
