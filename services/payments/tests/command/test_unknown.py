"""Proves that a lost answer is never guessed and never charged again: the provider is asked until it tells."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from ledgerlink_kit.errors import Unavailable
from ledgerlink_payments.commands.sweep import count_unfinished
from ledgerlink_payments.connectors import AuthorizationAnswer, AuthorizationOutcome

CARD = "pm_card_visa"


@pytest.mark.parametrize("lost", ["lose_before", "lose_after"])
async def test_a_lost_authorization_is_found_out_and_charged_once(house: Any, lost: str) -> None:
    getattr(house.provider, lost).append("authorize")
    intent = await house.pay(1000, payment_method=CARD)
    assert intent["status"] == "processing"
    assert (await house.attempt()).state == "unknown"
    assert await house.owed() == 0
    await house.sweep_all()
    assert (await house.attempt()).state == "captured"
    assert house.provider.charged_minor == await house.owed() == 1000
    assert house.provider.calls[1] == "lookup_authorization"


async def test_a_decline_whose_answer_was_lost_is_still_a_decline(house: Any) -> None:
    house.provider.lose_after.append("authorize")
    intent = await house.pay(1000, payment_method="pm_card_chargeDeclined")
    assert intent["status"] == "processing"
    await house.sweep_all()
    assert (await house.attempt()).state == "declined"
    assert "payment_intent.payment_failed" in await house.event_types()
    assert (await house.confirm(intent["id"], CARD))["status"] == "succeeded"


async def test_a_provider_that_stays_silent_is_asked_ever_more_slowly_and_never_given_up(house: Any) -> None:
    house.provider.lose_after.append("authorize")
    await house.pay(1000, payment_method=CARD)
    house.provider.lose_before.extend(["lookup_authorization"] * 8)
    await house.sweep_for(1200)
    assert (await house.attempt()).state == "captured"
    assert house.provider.calls.count("authorize") == 1
    assert house.provider.calls.count("lookup_authorization") == 9


async def test_nothing_else_may_start_while_an_answer_is_missing(house: Any) -> None:
    house.provider.lose_after.append("authorize")
    intent = await house.pay(1000, payment_method=CARD)
    for answer in (
        await house.confirm(intent["id"], CARD),
        await house.cancel(intent["id"]),
        await house.capture(intent["id"]),
    ):
        assert answer["error"]["code"] == "payment_intent_unexpected_state"


async def test_collected_money_waits_for_a_ledger_that_is_away(house: Any) -> None:
    house.faults.plan("before post_transfer", Unavailable("wallet-unavailable", "away", outcome_unknown=True))
    intent = await house.pay(1000, payment_method=CARD)
    assert intent["status"] == "processing"
    row = await house.attempt()
    assert (row.state, row.posted) == ("captured", False)
    await house.sweep_all()
    assert (await house.attempt()).posted
    assert await house.owed() == 1000
    assert house.provider.calls == ["authorize"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_wallet_payment_whose_answer_was_lost_is_paid_once(house: Any, when: str) -> None:
    house.faults.plan(f"{when} post_transfer", Unavailable("wallet-unavailable", "away", outcome_unknown=True))
    intent = await house.pay(1000)
    assert intent["status"] == "processing"
    assert (await house.attempt()).state == "unknown"
    await house.sweep_all()
    assert (await house.attempt()).state == "captured"
    assert await house.owed() == 1000


async def test_an_amount_that_cannot_be_true_is_not_booked(house: Any) -> None:
    await house.pay(1000, payment_method=CARD, confirm=False)
    house.provider.lose_after.append("authorize")
    await house.pay(1000, payment_method=CARD)
    row = await house.attempt()
    (key,) = house.provider.authorizations
    true = house.provider.authorizations[key]
    house.provider.authorizations[key] = AuthorizationAnswer(AuthorizationOutcome.CAPTURED, captured_minor=1001)
    await house.sweep_for(60)
    assert (await house.attempt()).state == "unknown"
    assert await house.owed() == 0
    house.provider.authorizations[key] = true
    await house.sweep_for(600)
    assert await house.owed() == 1000
    assert row.state == "unknown"


async def test_a_promise_that_runs_out_at_the_provider_cancels_the_intent_when_news_of_it_comes(house: Any) -> None:
    intent = await house.pay(1000, payment_method=CARD, capture_method="manual")
    (key,) = house.provider.authorizations
    await house.hear("authorization.touched", "authorization", key)
    await house.sweep_all(1)
    assert (await house.attempt()).state == "authorized"
    house.provider.end(key)
    await house.hear("authorization.expired", "authorization", key)
    await house.sweep_all(1)
    assert (await house.attempt()).state == "voided"
    assert "payment_intent.canceled" in await house.event_types()
    assert intent["status"] == "requires_capture"


async def test_news_of_a_silent_provider_is_followed_up(house: Any) -> None:
    await house.pay(1000, payment_method=CARD, capture_method="manual")
    (key,) = house.provider.authorizations
    house.provider.end(key)
    house.provider.lose_before.append("lookup_authorization")
    await house.hear("authorization.expired", "authorization", key)
    await house.sweep_for(120)
    assert (await house.attempt()).state == "voided"


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"ledgerlink_payments_{name}", labels)


async def test_the_gauges_tell_how_long_nobody_knows_and_how_late_the_sweeper_is(house: Any) -> None:
    house.provider.lose_after.append("authorize")
    await house.pay(1000, payment_method=CARD)
    house.clock.advance(3600)
    await count_unfinished(house.rt.db, house.clock.now())
    assert gauge("unknown_attempts") == 1
    assert gauge("unknown_oldest_seconds") == 3600
    assert 3000 < (gauge("overdue_seconds", kind="attempt") or 0) <= 3600
    assert gauge("overdue_seconds", kind="refund") == 0
    await house.sweep_all()
    await count_unfinished(house.rt.db, house.clock.now())
    assert gauge("unknown_attempts") == gauge("unknown_oldest_seconds") == gauge("overdue_seconds", kind="attempt") == 0


async def test_work_that_is_yet_to_come_is_not_overdue(house: Any) -> None:
    house.provider.lose_after.append("authorize")
    await house.pay(1000, payment_method=CARD)
    await count_unfinished(house.rt.db, house.clock.now())
    assert gauge("unfinished", kind="attempt") == 1
    assert gauge("overdue_seconds", kind="attempt") == 0
