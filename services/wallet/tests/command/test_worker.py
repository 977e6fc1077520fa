"""Proves what the worker does: due holds expire once, and every event reaches the stream as its contract says."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from redis.asyncio import Redis
from services.wallet.tests.conftest import Service

from ledgerlink_contracts.ids import HoldId
from ledgerlink_contracts.wallet import events
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.outbox import Event, Relay
from ledgerlink_kit.testing import ManualClock
from ledgerlink_wallet.commands.alerts import tell_crossings
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.runtime import Ledger
from ledgerlink_wallet.worker import EXPIRY_BATCH, TELLERS, expire_holds, watch_holds

EVENTS: dict[str, type[Event]] = {
    kind.event_type: kind
    for kind in (
        events.WalletCreated,
        events.TransferPosted,
        events.HoldPlaced,
        events.HoldCaptured,
        events.HoldReleased,
        events.HoldExpired,
        events.BalanceCrossed,
        events.ScheduleExecuted,
        events.ScheduleFailed,
    )
}


async def place(service: Service, wallet: str, minor: int, expires_at: datetime | None = None) -> str:
    order: dict[str, Any] = {"wallet": wallet, "amount_minor": minor, "currency": "GBP"}
    if expires_at is not None:
        order["expires_at"] = expires_at.isoformat()
    answer = await service.call("POST", "/holds", order, Idempotency_Key=f"hold {minor}")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ledger_of(service: Service) -> Ledger:
    ledger: Ledger = service.app.state.runtime.ledger
    return ledger


async def test_due_holds_expire_once_and_give_their_funds_back(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    due = await place(service, wallet, 100, datetime.now(UTC) + timedelta(seconds=0.3))
    later = await place(service, wallet, 200, datetime.now(UTC) + timedelta(hours=1))
    endless = await place(service, wallet, 300)
    await asyncio.sleep(0.4)

    ledger = ledger_of(service)
    first = await expire_holds(service.db, ledger, SystemClock())
    second = await expire_holds(service.db, ledger, SystemClock())
    states = [(await service.call("GET", f"/holds/{hold}")).json()["state"] for hold in (due, later, endless)]

    assert (first, second) == (1, 0)
    assert states == ["expired", "placed", "placed"]
    assert await service.available(wallet) == 500
    assert (await service.audit())["clean"]


async def test_the_watch_goes_on_when_the_ledger_is_away_and_stops_when_told(service: Service) -> None:
    stop = asyncio.Event()

    class AwayClock(ManualClock):
        asked = 0

        def now(self) -> datetime:
            self.asked += 1
            if self.asked == 1:
                raise Unavailable("database-unavailable", "away")
            stop.set()
            return super().now()

    clock = AwayClock()
    await asyncio.wait_for(watch_holds(service.db, ledger_of(service), clock, stop), 10)

    assert clock.asked == 2
    assert EXPIRY_BATCH > 1


async def test_every_event_reaches_the_stream_and_reads_as_its_contract(
    service: Service, alice: str, bob: str, redis_url: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    captured = await place(service, wallet, 100)
    await service.call("POST", f"/holds/{captured}/capture", {"credit": "merchant:m"}, Idempotency_Key="c")
    await service.call("POST", f"/holds/{await place(service, wallet, 101)}/release")
    await place(service, wallet, 102, datetime.now(UTC) + timedelta(seconds=0.2))
    await asyncio.sleep(0.3)
    await expire_holds(service.db, ledger_of(service), SystemClock())
    alerts = {"items": [{"currency": "GBP", "below_minor": 100}]}
    await service.call_as(alice, "PUT", f"/wallets/{wallet}/alerts", alerts)
    await place(service, wallet, 850)
    assert await tell_crossings(service.db, SystemClock(), 10) == 1
    to = await service.wallet(bob)
    for key, minor in (("enough", 10), ("too much", 10_000)):
        order = {"to": to, "amount_minor": minor, "currency": "GBP", "starts_at": datetime.now(UTC).isoformat()}
        made = await service.call_as(alice, "POST", f"/wallets/{wallet}/scheduled-transfers", order, key)
        assert made.status_code == 201, made.text
    assert await carry_out_due(service.db, ledger_of(service), SystemClock(), 10) == 2

    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
    relay = Relay(service.db, redis, service="wallet", clock=SystemClock(), readers=(), tellers=TELLERS)
    while await relay.run_once():
        pass
    stream: Any = await redis.xrange("events:wallet")
    await redis.aclose()

    told = [orjson.loads(fields[b"event"]) for _, fields in stream]
    assert {one["type"] for one in told} == set(EVENTS)
    for one in told:
        read = EVENTS[one["type"]].model_validate(one["data"])
        subject = (
            getattr(read, "wallet", None)
            or getattr(read, "alert", None)
            or getattr(read, "hold", None)
            or getattr(read, "occurrence", None)
            or getattr(read, "transfer", None)
        )
        assert subject is not None
        names = (getattr(subject, "id", None), getattr(subject, "schedule", None), getattr(subject, "wallet", None))
        assert one["subject"] == str(next(name for name in names if name is not None))
    assert HoldId.parse(captured)
