"""The fake that other services test with keeps the promises of the real risk: one suite over both."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgi_lifespan import LifespanManager

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.client import HttpRiskClient, RiskClient
from ledgerlink_contracts.risk.fake import FakeRisk
from ledgerlink_contracts.risk.models import (
    CaseState,
    DecisionOrder,
    EventFacts,
    Resolution,
    ResolveOrder,
    Verdict,
)
from ledgerlink_kit.auth import ServiceTokens
from ledgerlink_kit.errors import Defect, Refused, Unavailable
from ledgerlink_kit.http_client import HttpClient
from ledgerlink_kit.testing import AsgiTransport, ManualClock, TokenMint
from ledgerlink_risk.app import build_app
from ledgerlink_risk.runtime import RiskSettings, Runtime

YES = ResolveOrder(resolution=Resolution.APPROVE, note="Rang the buyer.")


def judge(event: EventFacts) -> Verdict:
    """The fake's word for what the stock policy says of these amounts."""
    if event.amount_minor >= 90_000_00:
        return Verdict.DECLINE
    return Verdict.REVIEW if event.amount_minor >= 50_000_00 else Verdict.APPROVE


@pytest.fixture(params=["fake", "real"])
async def risk(
    request: pytest.FixtureRequest, runtime: Runtime, clock: ManualClock, mint: TokenMint
) -> AsyncIterator[RiskClient]:
    if request.param == "fake":
        yield FakeRisk(clock, judge)
        return
    settings = RiskSettings.model_validate({"environment": "test", "database_url": runtime.db.url})

    async def token() -> tuple[str, float]:
        return mint.token("usr_eve", ["risk:decide", "risk:read", "risk:review"]), 600.0

    async with LifespanManager(build_app(settings, runtime, mint.verifier())) as started:
        tokens = ServiceTokens(token, clock)
        http = HttpClient("http://risk", name="risk", tokens=tokens, transport=AsgiTransport(started.app))
        yield HttpRiskClient(http)
        await http.close()


def order(make_event: Callable[..., EventFacts], name: str = "a", **changes: Any) -> DecisionOrder:
    return DecisionOrder(id=DecisionId.derive(name), event=make_event(**changes))


@pytest.mark.parametrize(("amount", "verdict"), [(12_00, "approve"), (66_666_00, "review"), (99_999_00, "decline")])
async def test_a_decision_has_a_verdict_and_only_a_review_has_a_case(
    risk: RiskClient, make_event: Any, amount: int, verdict: str
) -> None:
    view = await risk.decide(order(make_event, amount_minor=amount, subject="att_9"))
    assert (view.verdict, view.id, view.subject) == (verdict, DecisionId.derive("a"), "att_9")
    assert (view.case is not None) == (verdict == "review")
    assert bool(view.reasons) == (verdict != "approve")
    assert (view.score >= 60) == (verdict != "approve")


async def test_an_order_may_be_sent_again_and_an_id_belongs_to_one_event(risk: RiskClient, make_event: Any) -> None:
    first = await risk.decide(order(make_event))
    assert await risk.decide(order(make_event)) == first
    with pytest.raises(Refused) as refused:
        await risk.decide(order(make_event, amount_minor=7, destination=None))
    assert refused.value.code == "id-reused"
    assert refused.value.members["differs"] == ["event.amount_minor", "event.destination"]


async def test_an_order_without_an_id_is_a_defect_of_the_caller(risk: RiskClient, make_event: Any) -> None:
    with pytest.raises(Defect):
        await risk.decide(DecisionOrder(event=make_event()))


async def test_a_review_waits_until_its_case_is_resolved_once(risk: RiskClient, make_event: Any) -> None:
    made = await risk.decide(order(make_event, amount_minor=66_666_00, subject="att_9"))
    assert made.case is not None
    waiting = await risk.decision(made.id)
    assert (waiting.case_state, waiting.resolution, waiting.event.subject) == (CaseState.OPEN, None, "att_9")
    assert (await risk.case(made.case)).state is CaseState.OPEN
    resolved = await risk.resolve(made.case, YES, "r-1")
    assert (resolved.state, resolved.resolution, resolved.note) == ("resolved", "approve", "Rang the buyer.")
    assert await risk.resolve(made.case, YES, "r-1") == resolved
    with pytest.raises(Refused) as refused:
        await risk.resolve(made.case, YES, "r-2")
    assert (refused.value.code, refused.value.members["resolution"]) == ("case-already-resolved", "approve")
    after = await risk.decision(made.id)
    assert (after.verdict, after.case_state, after.resolution) == ("review", "resolved", "approve")


async def test_what_is_not_there_is_not_found(risk: RiskClient) -> None:
    with pytest.raises(Refused, match="unknown-decision"):
        await risk.decision(DecisionId.derive("none"))
    with pytest.raises(Refused, match="unknown-case"):
        await risk.case(CaseId.derive("none"))
    with pytest.raises(Refused, match="unknown-case"):
        await risk.resolve(CaseId.derive("none"), YES, "r-1")


async def test_the_fake_tells_what_the_real_one_would_say_and_can_be_away(clock: ManualClock, make_event: Any) -> None:
    fake = FakeRisk(clock, judge)
    made = await fake.decide(order(make_event, amount_minor=66_666_00, subject="att_9"))
    assert made.case is not None
    await fake.resolve(made.case, YES, "r-1")
    (said,) = fake.events
    assert (said.event_type, said.case, said.subject) == ("risk.case.resolved", made.case, "att_9")
    fake.away = True
    with pytest.raises(Unavailable):
        await fake.decide(order(make_event, name="b"))
