"""Proves that no crash of any process loses what was acknowledged, doubles what was retried or leaves half of a thing.

One run: people move money through the gateway without pause; every process in turn (services, workers, PostgreSQL,
Redis with its data, the supervisor) is killed with SIGKILL, in an order and at moments that the seed decides, and
finally all of them at once; then the callers ask again for everything with the same keys, and the books are compared
with their diary to the last minor unit.

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
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledgerlink_stack.layout import SERVICES
from tests.crash.load import Answer, Load, Order
from tests.crash.own_stack import OwnStack, start

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

FIRST_SEED = int(os.environ.get("SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("SEEDS", "1")))
PEOPLE = 6
SETTLED_TIMEOUT_S = 90.0
LAG_S_MAX = 2.0


@pytest.fixture(scope="module")
def stack() -> Iterator[OwnStack]:
    """One stack for all seeds: what a run leaves behind must not disturb the next."""
    with tempfile.TemporaryDirectory(prefix="ledgerlink-crash-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        running = start(Path(folder))
        try:
            yield running
        finally:
            running.ledgerlink("reset", "--yes")


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(stack: OwnStack, seed: int) -> None:
    print(f"\nseed {seed}: `make crash SEED={seed}` repeats this run")
    async with aiohttp.ClientSession() as session:
        load = Load(stack, seed, session)
        await load.enroll(PEOPLE)
        await under_fire(stack, load, seed)
        await load.settle()
        print_summary(load)
        check_answers_are_kept(load)
        await check_intents_are_settled(load)
        await check_wallets_agree_with_the_diary(load)
        await check_books(load)
        await check_workers_caught_up(stack, session)
        assert not load.defects, "\n\n".join(load.defects)


async def under_fire(stack: OwnStack, load: Load, seed: int) -> None:
    """Kill everything once, in the seed's order, while the load goes on; then wait until the stack is whole again."""
    dice = random.Random(f"{seed}/kills")
    victims = [*stack.names(), "wipe", "supervisor"]
    dice.shuffle(victims)
    stop = asyncio.Event()
    pressing = [asyncio.create_task(load.press(number, stop)) for number in range(PEOPLE)]
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


def print_summary(load: Load) -> None:
    """Say what the run was made of: a run without load proves nothing."""
    orders = load.diary.orders
    done = Counter(order.kind for order in orders if order.final is not None and order.final.done)
    refused = Counter(str(order.final.status) for order in orders if order.final is not None and not order.final.done)
    unknown = sum(order.first is None for order in orders)
    print(f"  {len(orders)} orders, {unknown} without an answer under fire; done {dict(done)}, refused {dict(refused)}")
    assert len(orders) > PEOPLE * 10
    assert sum(done.values()) > PEOPLE * 5


def check_answers_are_kept(load: Load) -> None:
    """Whoever was answered gets the same answer again, byte for byte."""
    for order in load.diary.acknowledged():
        first, final = order.first, order.final
        assert first is not None
        assert final is not None
        assert (final.status, final.body) == (first.status, first.body), f"{order.kind} {order.key}: another answer"
    ids = [_id_of(order.final) for order in load.diary.orders if order.final is not None and order.final.done]
    assert len(set(ids)) == len(ids), "two orders came to one effect"


def _id_of(answer: Answer) -> str:
    """Return the id of what an answer describes."""
    return str(answer.content.get("transfer", answer.content)["id"])


async def check_intents_are_settled(load: Load) -> None:
    """Wait until no payment is on its way any more: the worker must find every half-done one by itself."""
    deadline = time.monotonic() + SETTLED_TIMEOUT_S
    for order in load.diary.orders:
        if order.kind not in {"top_up", "pay"} or order.final is None or not order.final.done:
            continue
        while True:
            path = f"/v1/payment_intents/{_id_of(order.final)}"
            found = await load.must("GET", path, token=order.person.token)
            assert found.done, found.body
            if found.content["status"] not in {"processing", "requires_confirmation", "requires_capture"}:
                order.final = found
                break
            assert time.monotonic() < deadline, f"{path} is still {found.content['status']}"
            await asyncio.sleep(0.3)


def _effects(order: Order) -> dict[str, int]:
    """Return what an order did to wallets, going by its answer."""
    final = order.final
    if final is None or not final.done:
        return {}
    mine = order.person.wallet
    if order.kind in {"top_up", "pay"} and final.content["status"] != "succeeded":
        return {}
    if order.kind in {"credit", "top_up"}:
        return {mine: order.amount}
    if order.kind == "debit":
        return {mine: -order.amount}
    assert order.other is not None
    return {mine: -order.amount, order.other: order.amount}


async def check_wallets_agree_with_the_diary(load: Load) -> None:
    """Every wallet holds exactly what its owner's answers add up to."""
    expected: Counter[str] = Counter()
    for order in load.diary.orders:
        for wallet, amount in _effects(order).items():
            expected[wallet] += amount
    for person in load.diary.people:
        found = await load.must("GET", f"/api/v1/wallets/{person.wallet}/balance", token=person.token)
        assert found.done, found.body
        posted, pending = _balances(found.content)
        assert (posted, pending) == (expected[person.wallet], 0), f"{person.wallet} of {person.email}"


def _balances(content: dict[str, Any]) -> tuple[int, int]:
    """Return posted and pending minor units of a wallet with one currency."""
    balances = content.get("balances", [content])
    assert len(balances) == 1
    return int(balances[0]["posted_minor"]), int(balances[0]["pending_minor"])


async def check_books(load: Load) -> None:
    """The ledger's own audit finds nothing, and debits equal credits."""
    token = await load.admin_token()
    audit = await load.must("GET", "/api/v1/audit", token=token, timeout_s=60)
    assert audit.done, audit.body
    assert audit.content["clean"] is True, audit.content


async def check_workers_caught_up(stack: OwnStack, session: aiohttp.ClientSession) -> None:
    """Every event that was owed is out, none was laid aside, and no service finds an invariant of its own broken."""
    deadline = time.monotonic() + SETTLED_TIMEOUT_S
    for service in SERVICES:
        if service.worker_port is None:
            continue
        url = f"http://127.0.0.1:{stack.environment[f'{service.prefix}WORKER_PORT']}/metrics"
        while True:
            async with session.get(url) as reply:
                values = _metrics(await reply.text())
            broken = [name for name, value in values.items() if "ledgerlink_invariant_broken" in name and value]
            dead = [name for name, value in values.items() if "ledgerlink_inbox_dead_total" in name and value]
            assert not broken, broken
            assert not dead, dead
            behind = max((v for name, v in values.items() if "ledgerlink_outbox_lag_seconds" in name), default=0.0)
            if behind < LAG_S_MAX:
                break
            assert time.monotonic() < deadline, f"{service.name} still owes events of {behind:.0f} s ago"
            await asyncio.sleep(0.5)


def _metrics(text: str) -> dict[str, float]:
    """Return the samples of a Prometheus page by name and labels."""
    samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
