"""Proves that risk decides before anything goes out: a refusal is final, review waits for a person."""

from typing import Any

import pytest

from ledgerlink_contracts.ids import AttemptId
from ledgerlink_contracts.risk.models import Resolution, ResolveOrder, SourceKind, Verdict
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.inbox import Envelope, receive
from ledgerlink_payments.commands import news
from ledgerlink_payments.runtime import RiskAway

CARD = "pm_card_visa"


def _verdict(house: Any, verdict: Verdict) -> None:
    def judge(_event: Any) -> Verdict:
        return verdict

    house.risk._judge = judge


async def _resolve(house: Any, resolution: Resolution, *, tell: bool = True) -> Envelope:
    ((case, _),) = house.risk._cases.items()
    await house.risk.resolve(case, ResolveOrder(resolution=resolution, note="looked at"), "a person")
    event = house.risk.events[-1]
    now = house.clock.now()
    envelope = Envelope(uuid7(now), "risk.case.resolved", 1, "risk", str(case), now, "", event.model_dump(mode="json"))
    if tell:
        await _hear(house, envelope)
    return envelope


async def _hear(house: Any, envelope: Envelope) -> bool:
    return await receive(house.rt.db, envelope, lambda tx, e: news.hear_review(house.rt, tx, e))


async def test_a_declined_payment_sends_nothing_and_tells_no_more_than_a_bank_would(house: Any) -> None:
    _verdict(house, Verdict.DECLINE)
    intent = await house.pay(1000, payment_method=CARD)
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["decline_code"] == "fraudulent"
    assert house.provider.calls == []
    assert (await house.attempt()).state == "declined"


async def test_risk_is_told_what_the_source_would_give(house: Any) -> None:
    await house.pay(1000, metadata={"department": "CYP&F"})
    (record,) = house.risk.decided.values()
    event = record.event
    assert (event.kind.value, event.amount_minor, event.currency) == ("payment", 1000, "GBP")
    assert (event.source_kind, event.customer) == (SourceKind.WALLET, house.payer.subject)
    assert event.metadata == {"department": "CYP&F"}
    await house.pay(500, payment_method=CARD, destination=str(house.purse))
    assert {r.event.kind.value for r in house.risk.decided.values()} == {"payment", "top_up"}


@pytest.mark.parametrize("method", ["wallet", CARD])
async def test_a_review_waits_and_an_approval_lets_it_go_on(house: Any, method: str) -> None:
    _verdict(house, Verdict.REVIEW)
    intent = await house.pay(1000, payment_method=str(house.purse) if method == "wallet" else method)
    assert intent["status"] == "processing"
    assert intent["review"].startswith("case_")
    assert await house.owed() == 0
    envelope = await _resolve(house, Resolution.APPROVE)
    assert not await _hear(house, envelope)
    await house.sweep_all(1)
    assert (await house.attempt()).state == "captured"
    assert await house.owed() == 1000


async def test_a_review_that_ends_in_a_refusal_declines_the_payment(house: Any) -> None:
    _verdict(house, Verdict.REVIEW)
    intent = await house.pay(1000)
    await _resolve(house, Resolution.DECLINE)
    await house.sweep_all(1)
    assert (await house.attempt()).state == "declined"
    _verdict(house, Verdict.APPROVE)
    assert (await house.confirm(intent["id"], str(house.purse)))["status"] == "succeeded"


@pytest.mark.parametrize("answer", [None, Resolution.DECLINE])
async def test_an_event_that_says_what_nobody_decided_approves_nothing(house: Any, answer: Resolution | None) -> None:
    _verdict(house, Verdict.REVIEW)
    await house.pay(1000)
    if answer is not None:
        await _resolve(house, answer, tell=False)
    now, attempt = house.clock.now(), await house.attempt()
    data = {
        "case": attempt.case_id,
        "decision": "dec_" + "0" * 26,
        "subject": str(AttemptId(attempt.id)),
        "resolution": "approve",
    }
    await _hear(house, Envelope(uuid7(now), "risk.case.resolved", 1, "risk", "x", now, "", data))
    await house.sweep_all(1)
    assert (await house.attempt()).state == ("in_review" if answer is None else "declined")
    assert await house.owed() == 0


async def test_an_answer_whose_event_was_lost_is_asked_for(house: Any) -> None:
    _verdict(house, Verdict.REVIEW)
    await house.pay(1000)
    await house.sweep_for(120)
    assert (await house.attempt()).state == "in_review"
    await _resolve(house, Resolution.APPROVE, tell=False)
    await house.sweep_for(120)
    assert (await house.attempt()).state == "captured"


async def test_an_answer_that_comes_before_the_review_is_written_is_not_lost(house: Any) -> None:
    _verdict(house, Verdict.REVIEW)
    house.faults.plan("after decide")
    with pytest.raises(Exception, match="after decide"):
        await house.pay(1000)
    await _resolve(house, Resolution.APPROVE)
    await house.sweep_all()
    await house.sweep_for(120)
    assert (await house.attempt()).state == "captured"


async def test_a_case_about_something_else_is_none_of_our_business(house: Any) -> None:
    now = house.clock.now()
    data = {"case": "case_" + "0" * 26, "decision": "dec_" + "0" * 26, "resolution": "approve"}
    for subject in ("tr_" + "0" * 26, "att_" + "0" * 26):
        envelope = Envelope(uuid7(now), "risk.case.resolved", 1, "risk", "x", now, "", {**data, "subject": subject})
        assert await _hear(house, envelope)


async def test_while_risk_is_away_a_payment_waits_and_goes_on_later(house: Any) -> None:
    house.risk.away = True
    intent = await house.pay(1000)
    assert intent["status"] == "processing"
    await house.sweep_for(60)
    assert await house.owed() == 0
    house.risk.away = False
    await house.sweep_for(120)
    assert await house.owed() == 1000


@pytest.mark.parametrize(
    ("policy", "status"), [(RiskAway.APPROVE, "succeeded"), (RiskAway.DECLINE, "requires_payment_method")]
)
async def test_the_operator_may_choose_what_the_absence_of_risk_means(
    house: Any, policy: RiskAway, status: str
) -> None:
    house.risk.away = True
    intent = await house.with_rt(risk_away=policy).pay(1000)
    assert intent["status"] == status
    assert (await house.attempt()).degraded


async def test_an_absent_risk_never_declines_what_may_have_been_paid_already(house: Any) -> None:
    strict = house.with_rt(risk_away=RiskAway.DECLINE)
    house.faults.plan("after post_transfer")
    with pytest.raises(Exception, match="after post_transfer"):
        await strict.pay(1000)
    house.risk.away = True
    await strict.sweep_for(60)
    assert (await house.attempt()).state == "created"
    house.risk.away = False
    await strict.sweep_for(120)
    assert (await house.attempt()).state == "captured"
    assert await house.owed() == 1000
