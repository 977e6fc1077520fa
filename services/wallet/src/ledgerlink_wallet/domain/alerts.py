"""When a balance crosses a threshold: told once per crossing, however many entries follow on the far side."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ledgerlink_contracts.wallet.alerts import Crossing


class Watch(NamedTuple):
    """Thresholds of the available balance, and on which side it was when it was looked at last."""

    below_minor: int | None
    above_minor: int | None
    is_below: bool
    is_above: bool


class Seen(NamedTuple):
    """The available balance after one entry."""

    version: int
    available_minor: int
    recorded_at: datetime


class Crossed(NamedTuple):
    """A threshold that was crossed, and the entry that did it."""

    crossing: Crossing
    threshold_minor: int
    seen: Seen


def placed(below_minor: int | None, above_minor: int | None, available_minor: int) -> Watch:
    """Begin to watch a balance as it is: what lies beyond a threshold already is no crossing."""
    return Watch(
        below_minor,
        above_minor,
        below_minor is not None and available_minor < below_minor,
        above_minor is not None and available_minor > above_minor,
    )


def follow(watch: Watch, entries: Iterable[Seen]) -> tuple[Watch, list[Crossed]]:
    """Follow the balance from entry to entry, in the order of their versions."""
    crossed: list[Crossed] = []
    for seen in entries:
        now = placed(watch.below_minor, watch.above_minor, seen.available_minor)
        if now.is_below and not watch.is_below:
            assert now.below_minor is not None
            crossed.append(Crossed(Crossing.BELOW, now.below_minor, seen))
        if now.is_above and not watch.is_above:
            assert now.above_minor is not None
            crossed.append(Crossed(Crossing.ABOVE, now.above_minor, seen))
        watch = now
    return watch, crossed
