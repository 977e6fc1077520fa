"""Proves that a provider's webhooks, in any order, number and moment, end in the same state and books."""

import asyncio
import random
from typing import Any

import pytest

from ledgerlink_payments import tables
from ledgerlink_payments.connectors import RefundOutcome
from ledgerlink_payments.domain.intents import CaptureMethod

CARD = "pm_card_visa"


async def test_each_event_is_stored_once_and_says_what_came_of_it(house: Any) -> None:
    await house.pay(1000, payment_method=CARD, capture_method=CaptureMethod.MANUAL)
    (key,) = house.provider.authorizations
    assert await house.hear("authorization.succeeded", "authorization", key, "evt-1") == "woke"
    assert await house.hear("authorization.succeeded", "authorization", key, "evt-1") == "seen"
    assert await house.hear("authorization.succeeded", "authorization", f"{key}-2", "evt-2") == "woke"
    assert await house.hear("authorization.succeeded", "authorization", "att_" + "0" * 26, "evt-3") == "unmatched"
    assert await house.hear("something.else", "other", key, "evt-4") == "unmatched"
    assert await house.hear("authorization.succeeded", "authorization", "nonsense", "evt-5") == "unmatched"
    async with house.rt.db.reading() as view:
        stored = (await view.execute(tables.provider_events.select().order_by(tables.provider_events.c.event_id))).all()
    assert [row.outcome for row in stored] == ["woke", "woke", "unmatched", "unmatched", "unmatched"]


async def test_news_of_what_has_ended_wakes_nobody(house: Any) -> None:
    await house.pay(1000, payment_method=CARD)
    (key,) = house.provider.authorizations
    assert await house.hear("capture.succeeded", "authorization", key) == "final"
    assert (await house.attempt()).next_action_at is None


LIFE = [
    ("authorization.succeeded", "authorization"),
    ("capture.succeeded", "authorization"),
    ("refund.created", "refund"),
    ("refund.succeeded", "refund"),
    ("refund.failed", "refund"),
    ("payout.paid", "payout"),
]


@pytest.mark.parametrize("seed", range(8))
async def test_any_order_of_a_lifecycles_events_ends_alike(house: Any, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        told = chance.choices(LIFE, k=chance.randrange(9))
        end = chance.choice([RefundOutcome.PENDING, RefundOutcome.SUCCEEDED, RefundOutcome.FAILED])
        await _one_life(house, told, lost=chance.random() < 0.5, end=end)


async def _one_life(house: Any, told: list[Any], *, lost: bool, end: RefundOutcome) -> None:
    """Live through a payment, a refund and a payout while the provider talks out of turn; then look at the end."""
    charged, owed = house.provider.charged_minor, await house.owed()
    went_back = house.provider.refunded_minor
    if lost:
        house.provider.lose_after.extend(["authorize", "refund", "payout"])
    intent = await house.pay(1000, payment_method=CARD)
    key = intent["latest_attempt"]
    await _say(house, told, {"authorization": key})
    await house.sweep_all()
    house.provider.refunds_are = RefundOutcome.PENDING
    refund = await house.refund(intent["id"], 300)
    await _say(house, told, {"authorization": key, "refund": refund["id"]})
    await house.sweep_for(60)
    if end is not RefundOutcome.PENDING:
        house.provider.settle_refund(refund["id"], end)
    payout = await house.payout(100)
    await _say(house, told, {"authorization": key, "refund": refund["id"], "payout": payout["id"]})
    await house.sweep_for(600)
    back = {RefundOutcome.PENDING: 300, RefundOutcome.SUCCEEDED: 300, RefundOutcome.FAILED: 0}[end]
    assert house.provider.charged_minor - charged == 1000
    assert house.provider.refunded_minor - went_back == back
    assert await house.owed() == owed + 1000 - back - 100
    house.provider.settle_refund(refund["id"], RefundOutcome.FAILED)
    await house.hear("refund.failed", "refund", refund["id"])
    await house.sweep_for(60)
    assert await house.owed() == owed + 900
    await house.books_are_square()


async def _say(house: Any, told: list[Any], keys: dict[str, str]) -> None:
    await asyncio.gather(*(house.hear(kind, subject, keys[subject]) for kind, subject in told if subject in keys))
