"""Proves that what falls due happens once, and that every event is heard at least once.

After failures, crashes and races too.
"""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from ledgerlink_kit.testing import Fault, ManualClock
from ledgerlink_sandbox import queries
from ledgerlink_sandbox.commands import orders, timers
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.domain.authorizations import AuthorizationRequest
from ledgerlink_sandbox.domain.deliveries import SCHEDULE_S, retry_after
from ledgerlink_sandbox.domain.movements import (
    CaptureRequest,
    PayoutRequest,
    PayoutStatus,
    RefundRequest,
    RefundStatus,
)
from ledgerlink_sandbox.runtime import Runtime
from ledgerlink_sandbox.tables import events


async def buy(provider: Runtime, key: str = "a1", card: str = "pm_card_visa", **metadata: str) -> None:
    await orders.authorize(provider, AuthorizationRequest(key, 1000, "GBP", card, capture=True, metadata=metadata))


async def test_a_payout_is_paid_about_a_second_later_and_told(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await orders.pay_out(provider, PayoutRequest("p1", 500, "EUR", "ba_x"))
    await orders.pay_out(provider, PayoutRequest("p2", 500, "EUR", "ba_accountClosed"))
    assert await timers.settle_due(provider) == 0
    clock.advance(1)
    assert await timers.settle_due(provider) == 2
    assert await timers.settle_due(provider) == 0
    assert (await queries.payout(provider, "p1")).status is PayoutStatus.PAID
    assert (await queries.payout(provider, "p2")).status is PayoutStatus.FAILED
    await timers.send_due(provider)
    assert sorted(listener.types) == ["payout.failed", "payout.paid", "payout.pending", "payout.pending"]


async def test_a_refund_that_fails_late_may_be_asked_again(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider, card="pm_card_refundFail")
    await orders.refund(provider, RefundRequest("r1", "a1", 1000))
    assert (await queries.refund(provider, "r1")).status is RefundStatus.SUCCEEDED
    clock.advance(2)
    await timers.settle_due(provider)
    assert (await queries.refund(provider, "r1")).status is RefundStatus.FAILED
    assert (await queries.authorization(provider, "a1")).refundable_minor == 1000
    await timers.send_due(provider)
    assert listener.types[-1] == "refund.failed"


async def test_two_timers_at_once_settle_each_thing_once(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider, card="pm_card_pendingRefund")
    for number in range(10):
        await orders.refund(provider, RefundRequest(f"r{number}", "a1", 10))
        await orders.pay_out(provider, PayoutRequest(f"p{number}", 5, "EUR", "ba_x"))
    clock.advance(5)
    settled = await asyncio.gather(*(timers.settle_due(provider) for _ in range(3)))
    assert sum(settled) == 20
    while await timers.send_due(provider):
        pass
    assert (listener.types.count("payout.paid"), listener.types.count("refund.succeeded")) == (10, 10)


async def test_a_captured_purchase_is_told_in_one_event(provider: Runtime, listener: RecordingListener) -> None:
    await buy(provider)
    await timers.send_due(provider)
    [(_, kind, data)] = listener.heard
    assert (kind, data["status"], data["amount_captured"]) == ("authorization.succeeded", "captured", 1000)


async def test_an_event_is_sent_again_until_it_is_heard(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider)
    listener.failures.extend(["answered 500", "TimeoutError"])
    for _ in range(3):
        assert await timers.send_due(provider) == 1
        assert await timers.send_due(provider) == 0
        clock.advance(3)
    assert listener.types == ["authorization.succeeded"]


async def test_an_event_is_given_up_after_the_last_wait(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider)
    listener.failures.extend(["answered 500"] * (len(SCHEDULE_S) + 1))
    for _ in range(len(SCHEDULE_S) + 1):
        assert await timers.send_due(provider) == 1
        clock.advance(100_000)
    assert await timers.send_due(provider) == 0
    async with provider.db.reading() as view:
        assert (await view.execute(select(events.c.ended_how))).scalars().all() == ["given_up"]


async def test_a_crash_between_sending_and_noting_sends_again(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider)
    listener.failures.append(Fault("killed while sending"))
    with pytest.raises(Fault):
        await timers.send_due(provider)
    assert await timers.send_due(provider) == 0, "the lease still holds"
    clock.advance(timers.LEASE.total_seconds())
    assert await timers.send_due(provider) == 1
    assert listener.types == ["authorization.succeeded"]


async def test_senders_at_once_send_each_event_once(provider: Runtime, listener: RecordingListener) -> None:
    for number in range(30):
        await buy(provider, f"a{number}")
    await asyncio.gather(*(timers.send_due(provider) for _ in range(4)))
    while await timers.send_due(provider):
        pass
    ids = [message_id for message_id, _, _ in listener.heard]
    assert len(ids) == len(set(ids)) == 30


async def test_a_duplicate_asked_for_is_sent_twice_with_one_id(provider: Runtime, listener: RecordingListener) -> None:
    await buy(provider, sandbox_webhook="duplicate")
    await timers.send_due(provider)
    (first, _, _), (second, _, _) = listener.heard
    assert first == second


async def test_a_late_event_is_overtaken_by_later_ones(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider, "a1", sandbox_webhook="late")
    await buy(provider, "a2")
    await timers.send_due(provider)
    clock.advance(2)
    await timers.send_due(provider)
    assert [data["key"] for _, _, data in listener.heard] == ["a2", "a1"]


async def test_an_event_asked_to_be_kept_back_is_never_sent(provider: Runtime, listener: RecordingListener) -> None:
    await buy(provider, sandbox_webhook="never")
    assert await timers.send_due(provider) == 0
    assert listener.heard == []


async def test_captures_and_voids_are_told(provider: Runtime, listener: RecordingListener) -> None:
    await orders.authorize(provider, AuthorizationRequest("a1", 1000, "GBP", "pm_card_visa"))
    await orders.capture(provider, CaptureRequest("c1", "a1", 400))
    await orders.void(provider, "a1")
    await timers.send_due(provider)
    assert sorted(listener.types) == ["authorization.succeeded", "authorization.voided", "capture.succeeded"]


async def test_letters_that_ended_a_day_ago_are_forgotten(
    provider: Runtime, clock: ManualClock, listener: RecordingListener
) -> None:
    await buy(provider)
    await timers.send_due(provider)
    assert await timers.forget_letters(provider) == 0
    clock.advance(timers.LETTERS_KEPT.total_seconds() + 1)
    assert await timers.forget_letters(provider) == 1
    async with provider.db.reading() as view:
        assert (await view.execute(select(func.count()).select_from(events))).scalar_one() == 0


def test_waits_are_spread_around_the_schedule_and_end() -> None:
    assert [retry_after(2, jitter) for jitter in (0.0, 0.5)] == [timedelta(seconds=1.6), timedelta(seconds=2)]
    assert retry_after(len(SCHEDULE_S), 0.0) is not None
    assert retry_after(len(SCHEDULE_S) + 1, 0.0) is None
