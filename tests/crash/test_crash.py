"""Proves that no crash of any process loses what was acknowledged, doubles what was retried or leaves half of a thing.

One run: people move money through the gateway without pause, in every way there is (`orders.py`), and a file of
transfers is uploaded all the time (`imported.py`); every process in turn (services, workers, PostgreSQL, Redis with its
data, the supervisor) is killed with SIGKILL, in an order and at moments that the seed decides, and finally all of them
at once. Then the callers ask again for everything with the same keys, and the ledger must hold exactly the transfers
that their diary tells of, each once with its amount, and nothing else.

    make crash                   one run with seed 1
    make crash SEEDS=10          seeds 1 to 10
    make crash SEED=4711         that seed again
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.crash import judging
from tests.crash.load import Load
from tests.crash.orders import FEE_BPS
from tests.crash.own_stack import OwnStack, start

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

FIRST_SEED = int(os.environ.get("SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("SEEDS", "1")))
PEOPLE = 6


@pytest.fixture(scope="module")
def stack() -> Iterator[OwnStack]:
    """One stack for all seeds: what a run leaves behind must not disturb the next."""
    with tempfile.TemporaryDirectory(prefix="ledgerlink-crash-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        running = start(Path(folder), PAYMENTS_FEE_BPS=str(FEE_BPS))
        try:
            yield running
        finally:
            running.ledgerlink("reset", "--yes")


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(stack: OwnStack, seed: int) -> None:
    print(f"\nseed {seed}: `make crash SEED={seed}` repeats this run")
    began = time.monotonic()

    def note(what: str) -> None:
        print(f"  {time.monotonic() - began:5.1f} s  {what}")

    async with aiohttp.ClientSession() as session:
        load = Load(stack, seed, session)
        await load.enroll(PEOPLE)
        assert load.file is not None
        note("enrolled")
        await under_fire(stack, load, seed)
        note("the fire is over")
        _, imported = await asyncio.gather(load.settle(), load.file.finish())
        note("every order has an answer")
        judging.print_summary(load)
        judging.check_answers_are_kept(load)
        await judging.check_payments_end(load)
        await judging.check_holds_end(load)
        traces = [*judging.traces_of(load), *await load.file.posted(imported)]
        await judging.check_ledger_holds_each_once(load, traces)
        await judging.check_balances(load, traces)
        note(f"{len(traces)} transfers stand as they were meant, {load.file.cuts} uploads were cut")
        await judging.check_workers_caught_up(stack, session)
        await judging.check_books(stack, load)
        note("the books are whole")
        assert not load.defects, "\n\n".join(load.defects)
        assert load.file.cuts, "no upload was cut: the import proved nothing"


async def under_fire(stack: OwnStack, load: Load, seed: int) -> None:
    """Kill everything once, in the seed's order, while the load goes on; then wait until the stack is whole again."""
    dice = random.Random(f"{seed}/kills")
    victims = [*stack.names(), "wipe", "supervisor"]
    dice.shuffle(victims)
    stop = asyncio.Event()
    assert load.file is not None
    pressing = [asyncio.create_task(load.press(number, stop)) for number in range(PEOPLE)]
    pressing.append(asyncio.create_task(load.file.press(stop)))
    try:
        for victim in victims:
            await asyncio.sleep(dice.uniform(0.5, 2.5))
            if victim == "wipe":
                killed = await asyncio.to_thread(stack.wipe_redis)
            else:
                killed = stack.kill(victim)
            print(f"  {'killed' if killed else 'found dead already'}: {victim}")
            if victim == "supervisor":
                # Nobody is left to heal anything: this is what `up` is for.
                await asyncio.to_thread(stack.ledgerlink, "up")
        await asyncio.to_thread(stack.heals_by_itself)
        await asyncio.sleep(dice.uniform(0.5, 2))
        # And at last as a power cut would do it: everybody at once, the supervisor first.
        killed_at_once = [name for name in ("supervisor", *stack.names()) if stack.kill(name)]
        print(f"  killed at once: {len(killed_at_once)} processes")
        await asyncio.to_thread(stack.ledgerlink, "up")
        await asyncio.sleep(1)
    finally:
        stop.set()
        await asyncio.gather(*pressing)
