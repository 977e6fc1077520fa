"""Proves that an invariant's gauges say broken, whole, how often it is due, and how long nobody has checked it."""

import asyncio

from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.invariants import Invariant, run_invariants, watch_invariants


def gauge(name: str, invariant: str) -> float | None:
    return REGISTRY.get_sample_value(f"ledgerlink_invariant_{name}", {"name": invariant})


async def test_a_broken_invariant_shows_until_it_is_mended(kit_db: Database) -> None:
    differences = ["one is missing"]

    async def check(_view: AsyncConnection) -> list[str]:
        return differences

    invariant = Invariant("test-broken", "Nothing is missing", check)
    (found,) = await run_invariants(kit_db, [invariant])
    assert found.differences == ("one is missing",)
    assert gauge("broken", "test-broken") == 1
    differences.clear()
    await run_invariants(kit_db, [invariant])
    assert gauge("broken", "test-broken") == 0


async def test_the_age_of_an_invariant_that_cannot_be_checked_grows_from_the_start(kit_db: Database) -> None:
    stop = asyncio.Event()
    ages: list[float] = []

    async def check(_view: AsyncConnection) -> list[str]:
        for _ in range(2):
            ages.append(gauge("age_seconds", "test-unchecked") or 0)
            await asyncio.sleep(0.05)
        stop.set()
        raise Unavailable("database-unavailable", "away")

    await watch_invariants(kit_db, [Invariant("test-unchecked", "Nobody knows", check)], stop, every_s=7)
    ages.append(gauge("age_seconds", "test-unchecked") or 0)
    assert 0 < ages[0] < ages[1] < ages[2]
    assert gauge("every_seconds", "test-unchecked") == 7
    assert gauge("broken", "test-unchecked") is None


async def test_a_check_makes_an_invariant_young_again(kit_db: Database) -> None:
    stop = asyncio.Event()
    ages: list[float] = []

    async def check(_view: AsyncConnection) -> list[str]:
        await asyncio.sleep(0.2)
        ages.append(gauge("age_seconds", "test-young") or 0)
        stop.set()
        return []

    await watch_invariants(kit_db, [Invariant("test-young", "It is checked", check)], stop)
    ages.append(gauge("age_seconds", "test-young") or 0)
    assert ages[0] >= 0.2 > ages[1]
