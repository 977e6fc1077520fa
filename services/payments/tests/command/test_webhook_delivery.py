"""Proves that every event reaches every endpoint that asked for it: after failures, crashes, races, among the dead."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
import sqlalchemy as sa
from standardwebhooks import Webhook

from ledgerlink_contracts.ids import EventId, MerchantId, WebhookEndpointId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import Fault, ManualClock
from ledgerlink_payments import store as core
from ledgerlink_payments import tables
from ledgerlink_payments.commands.webhook_delivery import LEASE, LOG_KEPT, PER_ENDPOINT, Couriers, fan_out
from ledgerlink_payments.connectors.outgoing import Try
from ledgerlink_payments.domain.merchants import Merchant
from ledgerlink_payments.domain.webhooks import DISABLE_AFTER, JITTER, SCHEDULE, Endpoint, Lane, Outcome, secret_from
from ledgerlink_payments.store import webhooks as store

ME, OTHER = "usr_me", "usr_other"
SECRET = secret_from(b"s" * 32)
Plan = Callable[[str, int], Awaitable[Try]]


class Post:
    """A sender that writes down what it is given; `plan` decides on the answer to the n-th message of a URL."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str], bytes]] = []
        self.under_way: dict[str, int] = {}
        self.most_at_once: dict[str, int] = {}
        self.plan: Plan = self.accept

    async def accept(self, url: str, number: int) -> Try:
        return Try(Outcome(200), "ok", 1)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Try:
        self.sent.append((url, dict(headers), body))
        self.under_way[url] = self.under_way.get(url, 0) + 1
        self.most_at_once[url] = max(self.most_at_once.get(url, 0), self.under_way[url])
        try:
            return await self.plan(url, sum(1 for sent in self.sent if sent[0] == url))
        finally:
            self.under_way[url] -= 1

    async def close(self) -> None:
        """Nothing is open."""

    def urls(self) -> list[str]:
        return [url for url, _, _ in self.sent]


class Bench:
    """A database with events and endpoints, a clock, and a post office."""

    def __init__(self, db: Database, clock: ManualClock) -> None:
        self.db, self.clock, self.post = db, clock, Post()
        self.couriers = Couriers(db, clock, self.post)

    async def endpoint(self, url: str = "https://a.test/", owner: str = ME, *events: str, **more: Any) -> Endpoint:
        now = self.clock.now()
        made = Endpoint(WebhookEndpointId.new(now), owner, url, events or ("*",), SECRET, now, **more)
        async with self.db.transaction() as tx:
            await store.add_endpoint(tx, made)
        return made

    async def event(self, kind: str = "payout.paid", owner: str = ME, merchant: MerchantId | None = None) -> None:
        async with self.db.transaction() as tx:
            await core.add_events(tx, [(kind, {"id": "po_1", "amount": 5}, owner, merchant)], self.clock.now())

    async def run(self) -> None:
        """Deliver whatever is due now."""
        while await self.couriers.run_once():
            await self.couriers.finish()

    async def rows(self, table: sa.Table) -> list[Any]:
        async with self.db.reading() as view:
            return list((await view.execute(sa.select(table))).all())

    async def states(self) -> list[str]:
        return [row.state for row in await self.rows(tables.webhook_deliveries)]


@pytest_asyncio.fixture
async def bench(make_database: Callable[[str], Awaitable[Database]], clock: ManualClock) -> Bench:
    return Bench(await make_database("ledgerlink_payments"), clock)


def answering(status: int, retry_after: timedelta | None = None) -> Plan:
    async def plan(_url: str, _number: int) -> Try:
        return Try(Outcome(status, None, retry_after))

    return plan


async def test_an_event_reaches_its_endpoint_signed_and_in_stripes_shape(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    await bench.run()
    [(url, headers, body)] = bench.post.sent
    event = orjson.loads(body)
    assert (url, headers["webhook-id"], event["type"]) == ("https://a.test/", event["id"], "payout.paid")
    assert (event["object"], event["data"]["object"]) == ("event", {"id": "po_1", "amount": 5})
    assert EventId.parse(event["id"])
    assert await bench.states() == ["delivered"]
    [tried] = await bench.rows(tables.webhook_tries)
    assert (tried.status, tried.error, tried.snippet) == (200, None, "ok")


async def test_the_official_library_verifies_a_delivery(make_database: Any) -> None:
    # The library reads the wall clock, so this delivery runs on it too.

    clock: Any = SystemClock()
    bench = Bench(await make_database("ledgerlink_payments"), clock)
    await bench.endpoint()
    await bench.event()
    await bench.run()
    [(_, headers, body)] = bench.post.sent
    assert Webhook(SECRET).verify(body, headers)["type"] == "payout.paid"


async def test_an_endpoint_hears_what_it_asked_for_of_its_owners_and_from_its_birth_on(bench: Bench) -> None:
    await bench.event("payout.paid")
    bench.clock.advance(1)
    await bench.endpoint("https://paid.test/", ME, "payout.paid", "refund.failed")
    await bench.endpoint("https://other.test/", OTHER)
    await bench.event("payout.paid")
    await bench.event("payout.failed")
    await bench.run()
    assert bench.post.urls() == ["https://paid.test/"]


async def test_a_merchants_owner_hears_of_what_payers_do(bench: Bench) -> None:
    merchant = MerchantId.new(bench.clock.now())
    async with bench.db.transaction() as tx:
        shop = Merchant(merchant, OTHER, "GB", "GBP", "ba_x", bench.clock.now())
        await core.add_merchant(tx, shop)
    await bench.endpoint("https://payer.test/", ME)
    await bench.endpoint("https://shop.test/", OTHER)
    await bench.event(owner=ME, merchant=merchant)
    await bench.run()
    assert sorted(bench.post.urls()) == ["https://payer.test/", "https://shop.test/"]


async def test_an_event_is_fanned_out_once_by_however_many_workers(bench: Bench) -> None:
    await bench.endpoint()
    for _ in range(20):
        await bench.event()
    looked_at = await asyncio.gather(*(fan_out(bench.db, bench.clock) for _ in range(4)))
    assert sum(looked_at) == 20
    assert len(await bench.states()) == 20


async def test_a_failed_delivery_is_tried_again_after_its_wait_until_it_is_heard(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    bench.post.plan = answering(500)
    await bench.run()
    await bench.run()
    assert len(bench.post.sent) == 1
    bench.post.plan = bench.post.accept
    bench.clock.advance(SCHEDULE[0].total_seconds() * 1.2)
    await bench.run()
    assert len({body for _, _, body in bench.post.sent}) == 1
    assert len({headers["webhook-id"] for _, headers, _ in bench.post.sent}) == 1
    assert await bench.states() == ["delivered"]
    assert [row.status for row in await bench.rows(tables.webhook_tries)] == [500, 200]


async def test_a_receiver_that_asks_for_patience_gets_it(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    bench.post.plan = answering(503, timedelta(hours=1))
    await bench.run()
    bench.clock.advance(3599)
    await bench.run()
    assert len(bench.post.sent) == 1
    bench.clock.advance(1)
    await bench.run()
    assert len(bench.post.sent) == 2


async def test_a_delivery_ends_after_its_last_try(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    bench.post.plan = answering(500)
    for wait in SCHEDULE:
        await bench.run()
        bench.clock.advance(wait.total_seconds() * (1 + JITTER))
    assert await bench.states() == ["pending"]
    await bench.run()
    bench.clock.advance(100_000)
    await bench.run()
    assert len(bench.post.sent) == len(SCHEDULE) + 1
    assert await bench.states() == ["exhausted"]


async def test_an_endpoint_that_fails_for_days_is_disabled_and_hears_no_more(bench: Bench) -> None:
    await bench.endpoint()
    bench.post.plan = answering(500)
    await bench.event()
    await bench.run()
    bench.clock.advance(DISABLE_AFTER.total_seconds())
    await bench.run()
    [row] = await bench.rows(tables.webhook_endpoints)
    assert (row.status, row.disabled_reason) == ("disabled", "failing")
    sent = len(bench.post.sent)
    await bench.event()
    bench.clock.advance(70_000)
    await bench.run()
    assert len(bench.post.sent) == sent


async def test_an_endpoint_that_is_gone_is_disabled_at_once(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    bench.post.plan = answering(410)
    await bench.run()
    [row] = await bench.rows(tables.webhook_endpoints)
    assert (row.status, row.disabled_reason) == ("disabled", "gone")


async def test_a_success_ends_the_memory_of_failures(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    bench.post.plan = answering(500)
    await bench.run()
    [row] = await bench.rows(tables.webhook_endpoints)
    assert (row.lane, row.failing_since) == ("failing", bench.clock.now())
    bench.post.plan = bench.post.accept
    bench.clock.advance(10)
    await bench.run()
    [row] = await bench.rows(tables.webhook_endpoints)
    assert (row.lane, row.failing_since) == ("proven", None)


async def test_a_crash_while_sending_delivers_again_when_the_lease_ends(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()

    async def crash(_url: str, number: int) -> Try:
        if number == 1:
            raise Fault("killed while sending")
        return Try(Outcome(200))

    bench.post.plan = crash
    await bench.run()
    await bench.run()
    assert len(bench.post.sent) == 1, "the lease still holds"
    bench.clock.advance(LEASE.total_seconds())
    await bench.run()
    assert (len(bench.post.sent), await bench.states()) == (2, ["delivered"])


async def test_a_crash_between_an_event_and_its_fan_out_loses_nothing(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    with pytest.raises(Fault):
        async with bench.db.transaction() as tx:
            assert await store.fan_out(tx, bench.clock.now(), 10) == 1
            raise Fault("killed before the commit")
    await bench.run()
    assert await bench.states() == ["delivered"]


async def test_a_worker_whose_lease_went_to_another_does_not_have_the_last_word(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    released = asyncio.Event()

    async def slow_then_good(_url: str, number: int) -> Try:
        if number == 1:
            await released.wait()
            return Try(Outcome(500))
        return Try(Outcome(200))

    bench.post.plan = slow_then_good
    assert await bench.couriers.run_once()
    await asyncio.sleep(0.01)
    bench.clock.advance(LEASE.total_seconds())
    second = Couriers(bench.db, bench.clock, bench.post)
    await second.dispatch()
    await second.finish()
    assert await bench.states() == ["delivered"]
    released.set()
    await bench.couriers.finish()
    assert await bench.states() == ["delivered"]


async def test_two_workers_share_deliveries_and_send_each_once(bench: Bench) -> None:
    await bench.endpoint()
    for _ in range(40):
        await bench.event()
    await fan_out(bench.db, bench.clock)
    both = [bench.couriers, Couriers(bench.db, bench.clock, bench.post)]

    async def work(couriers: Couriers) -> None:
        while await couriers.dispatch():
            await couriers.finish()

    await asyncio.gather(*(work(couriers) for couriers in both))
    await work(bench.couriers)
    ids = [headers["webhook-id"] for _, headers, _ in bench.post.sent]
    assert (len(ids), len(set(ids))) == (40, 40)


async def test_one_endpoint_gets_few_messages_at_a_time(bench: Bench) -> None:
    await bench.endpoint()
    for _ in range(30):
        await bench.event()

    async def slow(_url: str, _number: int) -> Try:
        await asyncio.sleep(0.01)
        return Try(Outcome(200))

    bench.post.plan = slow
    await bench.run()
    assert len(bench.post.sent) == 30
    assert bench.post.most_at_once == {"https://a.test/": PER_ENDPOINT}


async def add_dead(bench: Bench, count: int) -> None:
    """Add endpoints that never answer."""
    now = bench.clock.now()
    dead = [
        Endpoint(WebhookEndpointId.new(now), ME, f"https://dead-{number}.test/", ("*",), SECRET, now)
        for number in range(count)
    ]
    async with bench.db.transaction() as tx:
        await tx.execute(sa.insert(tables.webhook_endpoints), [store._values(one) for one in dead])


async def test_a_thousand_dead_endpoints_do_not_slow_a_living_one(bench: Bench) -> None:
    living = await bench.endpoint("https://living.test/")
    await bench.event()
    await bench.run()
    await add_dead(bench, 1000)
    never = asyncio.Event()

    async def dead_or_alive(url: str, _number: int) -> Try:
        if url != living.url:
            await never.wait()
        return Try(Outcome(200) if url == living.url else Outcome(None, "dead"))

    bench.post.plan = dead_or_alive
    for _ in range(10):
        await bench.event()
    stop = asyncio.Event()
    running = asyncio.create_task(bench.couriers.run_forever(stop))
    for _ in range(1500):
        await asyncio.sleep(0.02)
        if bench.post.urls().count(living.url) == 11:
            break
    heard_among_the_dead = bench.post.urls().count(living.url)
    never.set()
    stop.set()
    await running
    assert heard_among_the_dead == 11


async def test_each_lane_has_its_own_places(bench: Bench) -> None:
    for number in range(5):
        await bench.endpoint(f"https://new-{number}.test/")
    await bench.event()
    await fan_out(bench.db, bench.clock)
    couriers = Couriers(bench.db, bench.clock, bench.post, {Lane.UNPROVEN: 2})
    assert await couriers.dispatch() == 2
    await couriers.finish()
    assert await couriers.dispatch() == 2


async def test_during_a_rotation_both_secrets_sign(bench: Bench) -> None:
    fresh = secret_from(b"f" * 32)
    made = await bench.endpoint()
    async with bench.db.transaction() as tx:
        await store.save_endpoint(tx, made.rotated(fresh, bench.clock.now(), timedelta(hours=1)))
    await bench.event()
    await bench.run()
    bench.clock.advance(3600)
    await bench.event()
    await bench.run()
    assert [len(headers["webhook-signature"].split()) for _, headers, _ in bench.post.sent] == [2, 1]


async def test_an_endpoint_deleted_while_it_is_tried_leaves_nothing_behind(bench: Bench) -> None:
    made = await bench.endpoint()
    await bench.event()

    async def deleted_meanwhile(_url: str, _number: int) -> Try:
        async with bench.db.transaction() as tx:
            await store.drop_endpoint(tx, made)
        return Try(Outcome(500))

    bench.post.plan = deleted_meanwhile
    await bench.run()
    assert (await bench.states(), await bench.rows(tables.webhook_tries)) == ([], [])


async def test_deliveries_that_ended_long_ago_are_forgotten_with_their_log(bench: Bench) -> None:
    await bench.endpoint()
    await bench.event()
    await bench.run()
    assert await bench.couriers.forget() == 0
    bench.clock.advance(LOG_KEPT.total_seconds() + 1)
    bench.post.plan = answering(500)
    await bench.event()
    await bench.run()
    assert await bench.couriers.forget() == 1
    assert (await bench.states(), len(await bench.rows(tables.webhook_tries))) == (["pending"], 1)
