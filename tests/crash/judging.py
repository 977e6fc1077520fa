"""What must be so when the fire is over: the diary on one side, what the services say on the other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from ledgerlink_stack.layout import SERVICES
from tests.crash.load import WISHES, Load
from tests.crash.orders import INTENTS, Answer, Order, Posting, Trace, id_of, merchant_account, traces
from tests.crash.own_stack import OwnStack

SETTLED_TIMEOUT_S: Final = 90.0
LAG_S_MAX: Final = 2.0
_PATHS: Final = {
    **dict.fromkeys(INTENTS, "/v1/payment_intents"),
    "refund": "/v1/refunds",
    "payout": "/v1/payouts",
}
_ON_THE_WAY: Final = frozenset({"processing", "requires_confirmation", "requires_capture", "pending", "in_transit"})


def print_summary(load: Load) -> None:
    """Say what the run was made of: a run without load proves nothing."""
    orders = load.diary.orders
    done = Counter(order.kind for order in orders if order.done is not None)
    refused = Counter(
        f"{order.kind} {order.final.content.get('code')}"
        for order in orders
        if order.final is not None and order.done is None
    )
    unknown = sum(order.first is None for order in orders)
    print(f"  {len(orders)} orders, {unknown} without an answer under fire")
    print(f"  done {dict(done)}")
    print(f"  refused {dict(refused)}")
    missing = {*WISHES, "quote", "capture"} - done.keys()
    assert not missing, f"nothing of this was done: {missing}"
    assert len(orders) > len(load.diary.people) * 10


def check_answers_are_kept(load: Load) -> None:
    """Whoever was answered gets the same answer again, byte for byte."""
    for order in load.diary.acknowledged():
        first, final = order.first, order.final
        assert first is not None
        assert final is not None
        told = f"{order.kind} {order.key}: {first.status} {first.body!r} and then {final.status} {final.body!r}"
        assert (final.status, final.body) == (first.status, first.body), told
    ids = [id_of(order.done) for order in load.diary.orders if order.done is not None and _has_id(order)]
    assert len(set(ids)) == len(ids), "two orders came to one effect"


def _has_id(order: Order) -> bool:
    return order.kind != "bulk"


async def check_payments_end(load: Load) -> None:
    """Wait until nothing is on its way any more: the worker must find every half-done thing by itself."""
    deadline = time.monotonic() + SETTLED_TIMEOUT_S
    for order in load.diary.orders:
        while order.kind in _PATHS and order.done is not None:
            path = f"{_PATHS[order.kind]}/{id_of(order.done)}"
            found = await load.must("GET", path, token=load.admin, merchant=order.merchant)
            assert found.done, found.body
            if found.content["status"] not in _ON_THE_WAY:
                order.final = found
                break
            assert time.monotonic() < deadline, f"{path} is still {found.content['status']}"
            await asyncio.sleep(0.3)


async def check_holds_end(load: Load) -> None:
    """Release what is still held; then a hold has collected what its captures say, and keeps nothing back."""
    captured: Counter[str] = Counter()
    for order in load.diary.orders:
        if order.kind == "capture" and order.done is not None:
            captured[order.done["hold"]["id"]] += order.amount
    for order in load.holds():
        path = f"/api/v1/holds/{order.body['id']}"
        await load.must("POST", f"{path}/release", token=load.admin)
        hold = (await load.must("GET", path, token=load.admin)).content
        assert hold["state"] in {"captured", "released"}, hold
        assert (hold["captured_minor"], hold["remaining_minor"]) == (captured[hold["id"]], 0), hold


def traces_of(load: Load) -> list[Trace]:
    """Give what the diary's orders have left in the ledger."""
    return [trace for order in load.diary.orders for trace in traces(order)]


async def check_ledger_holds_each_once(load: Load, expected: Sequence[Trace]) -> None:
    """The ledger's transfers since the run began are those of the diary: each once, with its amounts, and no other."""
    since = quote(load.began_at.isoformat())
    stored = await load.items(f"/api/v1/transfers?recorded_from={since}", limit=1_000)
    assert max(Counter(expected).values()) == 1, "the diary tells of one thing twice"
    lost, extra = differences(expected, stored)
    assert not lost, f"{len(lost)} are not in the ledger: {lost[:5]}; not in the diary: {extra[:5]}"
    assert not extra, f"{len(extra)} are in the ledger and not (or not so often) in the diary: {extra[:5]}"


def differences(expected: Sequence[Trace], stored: Sequence[dict[str, Any]]) -> tuple[list[Trace], list[Trace]]:
    """Give the traces that `stored` transfers lack, and those that they have and nobody expects."""
    names = {trace.name for trace in expected}
    found = Counter(
        Trace(
            transfer["id"] if transfer["id"] in names else str(transfer["reference"] or transfer["id"]),
            transfer["kind"],
            tuple(_posting(posting) for posting in transfer["postings"]),
        )
        for transfer in stored
    )
    wanted = Counter(expected)
    return list((wanted - found).elements()), list((found - wanted).elements())


def _posting(posting: dict[str, Any]) -> Posting:
    return (posting["debit"], posting["credit"], posting["amount_minor"], posting["currency"])


async def check_balances(load: Load, expected: Sequence[Trace]) -> None:
    """Every wallet and every merchant has exactly what the diary adds up to, in every currency, and nothing pending."""
    sums: Counter[tuple[str, str]] = Counter()
    for trace in expected:
        for debit, credit, amount, currency in trace.postings:
            sums[debit, currency] -= amount
            sums[credit, currency] += amount
    for person in load.diary.people:
        found = await load.must("GET", f"/api/v1/wallets/{person.wallet}/balance", token=person.token)
        for balance in _content(found)["balances"]:
            due = sums.pop((person.wallet, balance["currency"]), 0)
            assert (balance["posted_minor"], balance["pending_minor"]) == (due, 0), f"{person.wallet}: {balance}"
    for merchant in load.diary.merchants:
        found = await load.must("GET", "/v1/balance", token=load.admin, merchant=merchant)
        for balance in _content(found)["available"]:
            due = sums.pop((merchant_account(merchant), balance["currency"].upper()), 0)
            assert balance["amount"] == due, f"{merchant}: {balance}, due {due}"
    left = {party for party, _ in sums if party.startswith(("wal_", "merchant:"))}
    assert not left, f"accounts that nobody shows: {left}"
    assert sums["refunds_in_flight", "GBP"] == sums["payouts_in_transit", "GBP"] == 0


def _content(answer: Answer) -> dict[str, Any]:
    assert answer.done, answer.body
    return answer.content


async def check_books(stack: OwnStack, load: Load) -> None:
    """The audit finds nothing, asked by the API and by the command line, which exits with 0."""
    audit = await load.must("GET", "/api/v1/audit", token=load.admin, timeout_s=60)
    assert _content(audit)["clean"] is True, audit.content
    await asyncio.to_thread(stack.ledgerlink, "audit")


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
