"""Stretches of effective time: how sums over dated entries are kept so that any past moment is a few look-ups away.

Time from 1900 on is counted in microseconds and cut into stretches of 16^level of them, level 0 (one microsecond) to
14 (all of time). A dated entry belongs to one stretch of each level. All that is effective up to a moment is then at
most 15 stretches a level, each with one running sum: a Fenwick tree (P. Fenwick, "A New Data Structure for Cumulative
Frequency Tables", 1994) of radix 16, whose every node keeps its past by account version.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

EPOCH: Final = datetime(1900, 1, 1, tzinfo=UTC)
BITS: Final = 4
"""A stretch has 2^BITS stretches of the level below it."""

LEVEL_MAX: Final = 14
"""The level whose one stretch is all of time."""

_MICROSECOND: Final = timedelta(microseconds=1)
_IN_ALL: Final = 1 << (BITS * LEVEL_MAX)


class Stretch(NamedTuple):
    """The ``bucket``-th stretch of 16^level microseconds since 1900."""

    level: int
    bucket: int


def micros_of(moment: datetime) -> int:
    """Give the whole microseconds from 1900 to ``moment``."""
    return (moment - EPOCH) // _MICROSECOND


def stretches_of(micros: int) -> list[Stretch]:
    """Give the stretch of every level that an entry effective at ``micros`` belongs to."""
    return [Stretch(level, micros >> (BITS * level)) for level in range(LEVEL_MAX + 1)]


def stretches_until(micros: int) -> list[Stretch]:
    """Give the stretches that make up all of time up to and including ``micros``, none twice: 210 at the most."""
    end = micros + 1
    if end <= 0:
        return []
    if end >= _IN_ALL:
        return [Stretch(LEVEL_MAX, 0)]
    found: list[Stretch] = []
    for level in range(LEVEL_MAX):
        digit = (end >> (BITS * level)) & (2**BITS - 1)
        first = end >> (BITS * level) & ~(2**BITS - 1)
        found.extend(Stretch(level, first + number) for number in range(digit))
    return found
