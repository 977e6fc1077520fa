"""What risk says is carried to its stream, in order, once for each fact."""

from typing import Any

import orjson
from redis.asyncio import Redis

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.events import CaseOpened, CaseResolved
from ledgerlink_contracts.risk.models import DecisionView, Resolution, ResolveOrder
from ledgerlink_kit.idempotency import once_for
from ledgerlink_kit.outbox import Relay, stream_of
from ledgerlink_kit.testing import ManualClock
from ledgerlink_risk.commands import decide_event, resolve_case
from ledgerlink_risk.domain.cases import Approver
from ledgerlink_risk.runtime import Runtime

YES = ResolveOrder(resolution=Resolution.APPROVE, note="Rang the buyer.")


async def test_a_case_is_said_to_be_opened_and_then_resolved(
    runtime: Runtime, make_event: Any, redis_url: str, clock: ManualClock
) -> None:
    event = make_event(amount_minor=66_666_00, subject="att_7")
    decided = await decide_event(runtime, DecisionId.derive("a"), event, "svc_payments")
    case = DecisionView.model_validate_json(decided.answer).case
    assert case is not None
    once = once_for("usr_eve", "resolve", "k-1", {"case": str(case)})
    for _ in range(2):
        await resolve_case(runtime, case, YES, Approver("usr_eve", is_person=True), once)

    redis = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType] - redis types it in part
    try:
        relay = Relay(runtime.db, redis, service="risk", clock=clock, readers=())
        while await relay.run_once():
            pass
        entries: Any = await redis.xrange(stream_of("risk"))  # pyright: ignore[reportUnknownMemberType]
    finally:
        await redis.aclose()

    said = [orjson.loads(fields[b"event"]) for _, fields in entries]
    assert [(one["type"], one["subject"]) for one in said] == [
        ("risk.case.opened", str(case)),
        ("risk.case.resolved", str(case)),
    ]
    opened, resolved = CaseOpened.model_validate(said[0]["data"]), CaseResolved.model_validate(said[1]["data"])
    assert (opened.case, opened.decision, opened.subject) == (case, DecisionId.derive("a"), "att_7")
    assert (resolved.case, resolved.subject, resolved.resolution) == (CaseId.parse(str(case)), "att_7", "approve")
