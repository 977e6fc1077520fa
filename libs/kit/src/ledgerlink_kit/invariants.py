"""What must always hold, checked on a schedule in production as it is in the tests.

An invariant gives the list of its first differences; an empty list is health. Each has a gauge that an alert watches.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError

_broken = Gauge("ledgerlink_invariant_broken", "1 while an invariant is broken", ["name"])
_age = Gauge(
    "ledgerlink_invariant_age_seconds",
    "Time since an invariant was last checked, or since its worker began when it never was",
    ["name"],
)
_every = Gauge("ledgerlink_invariant_every_seconds", "How often an invariant is to be checked", ["name"])

DIFFERENCES_MAX: Final = 20
"""How many differences a report lists at the most."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """One promise: ``check`` reads and lists what breaks it, in sentences."""

    name: str
    description: str
    check: Callable[[AsyncConnection], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``differences`` is empty when the invariant holds."""

    name: str
    description: str
    differences: tuple[str, ...]
    seconds: float


async def run_invariants(db: Database, invariants: Sequence[Invariant]) -> list[Finding]:
    """Check each of ``invariants`` on one read-only view and set its gauge."""
    findings: list[Finding] = []
    for invariant in invariants:
        started = time.monotonic()
        async with db.reading() as view:
            differences = await invariant.check(view)
        _broken.labels(invariant.name).set(1 if differences else 0)
        _age_from_now(invariant)
        shown = tuple(differences[:DIFFERENCES_MAX])
        if shown:
            structlog.get_logger().error("invariant_broken", invariant=invariant.name, differences=shown)
        findings.append(Finding(invariant.name, invariant.description, shown, time.monotonic() - started))
    return findings


async def watch_invariants(
    db: Database, invariants: Sequence[Invariant], stop: asyncio.Event, *, every_s: float = 60.0
) -> None:
    """Check ``invariants`` every ``every_s`` seconds until ``stop`` is set.

    The age of what was never checked grows from the start, and an alert sees it.
    """
    for invariant in invariants:
        _every.labels(invariant.name).set(every_s)
        _age_from_now(invariant)
    while not stop.is_set():
        try:
            await run_invariants(db, invariants)
        except LedgerLinkError as error:
            structlog.get_logger().warning("invariants_unchecked", reason=error.detail)
        try:
            await asyncio.wait_for(stop.wait(), every_s)
        except TimeoutError:
            continue


def _age_from_now(invariant: Invariant) -> None:
    """Let the age grow from now on by itself: a check that hangs must not keep it young."""
    since = time.monotonic()
    _age.labels(invariant.name).set_function(lambda: time.monotonic() - since)
