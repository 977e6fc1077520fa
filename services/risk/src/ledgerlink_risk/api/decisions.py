"""Decisions: order one, read one, list them."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_contracts.risk.models import DecisionOrder, DecisionRecord, DecisionView, EntityRef, Verdict
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import REPLAYED_HEADER, check_key
from ledgerlink_kit.pagination import PAGE_DEFAULT, Page, PageCursor, PageLimit
from ledgerlink_kit.problem import responses
from ledgerlink_risk.api.callers import AnyCaller, GivenRuntime, RiskDecider, RiskReader
from ledgerlink_risk.commands import decide_event
from ledgerlink_risk.queries import records

router = APIRouter(tags=["decisions"])

_Key = Annotated[
    str | None, Header(description="Takes the place of an `id`: fresh for a new order, the same for a retry")
]


@router.post(
    "/decisions",
    name="decide",
    status_code=201,
    response_model=DecisionView,
    responses=responses(409),
)
async def decide(
    order: DecisionOrder, caller: RiskDecider, runtime: GivenRuntime, idempotency_key: _Key = None
) -> Response:
    """Decide about an event. The same id (or key) again gives the same bytes, with `Idempotency-Replayed: true`."""
    if order.id is not None:
        decision = order.id
    elif idempotency_key is not None:
        decision = DecisionId.derive(caller.subject, "risk.decide", check_key(idempotency_key))
    else:
        raise Refused(
            Kind.INVALID,
            "idempotency-key-missing",
            "Give the order an id, or send an Idempotency-Key header: fresh for a new order, the same for a retry.",
        )
    decided = await decide_event(runtime, decision, order.event, caller.subject)
    headers = {REPLAYED_HEADER: "true"} if decided.replayed else {}
    return Response(decided.answer, 201, headers=headers, media_type="application/json")


@router.get("/decisions", name="list_decisions")
async def list_decisions(
    _caller: RiskReader,
    runtime: GivenRuntime,
    verdict: Annotated[Verdict | None, Query()] = None,
    customer: Annotated[EntityRef | None, Query()] = None,
    subject: Annotated[EntityRef | None, Query()] = None,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> Page[DecisionRecord]:
    """List decisions, newest first."""
    return await records.decision_page(
        runtime, verdict=verdict, customer=customer, subject=subject, limit=limit, cursor=cursor
    )


@router.get("/decisions/{decision}", name="read_decision", responses=responses(403, 404))
async def read_decision(
    decision: Annotated[DecisionId, Path()], caller: AnyCaller, runtime: GivenRuntime
) -> DecisionRecord:
    """Read a decision and what became of it: any with `risk:read`, the caller's own with `risk:decide`."""
    if not caller.has("risk:read") and not caller.has("risk:decide"):
        raise Refused(
            Kind.FORBIDDEN,
            "scope-missing",
            "This needs the permission risk:read or risk:decide, which the token does not carry.",
            missing=["risk:read"],
        )
    only_of = None if caller.has("risk:read") else caller.subject
    return await records.decision_record(runtime, decision, only_of=only_of)
