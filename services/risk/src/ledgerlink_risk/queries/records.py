"""Decisions and cases, one and in pages."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import CaseState, CaseView, DecisionRecord, Verdict
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.pagination import InvalidCursor, Page, decode_cursor, encode_cursor
from ledgerlink_risk.domain.cases import UnknownCase
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store.cases import case_of
from ledgerlink_risk.tables import cases, decisions


class UnknownDecision(Refused):
    """There is no such decision, or it is not the caller's to see."""

    def __init__(self, decision: DecisionId) -> None:
        super().__init__(Kind.NOT_FOUND, "unknown-decision", f"There is no decision {decision}.")


_DECISIONS = sa.select(
    decisions.c.id,
    decisions.c.decided_at,
    decisions.c.inputs,
    decisions.c.answer,
    cases.c.state.label("case_state"),
    cases.c.resolution,
).outerjoin_from(decisions, cases, cases.c.decision_id == decisions.c.id)


async def decision_record(runtime: Runtime, decision: DecisionId, *, only_of: str | None) -> DecisionRecord:
    """Give a decision with what became of it; `only_of` hides those of other callers. Refuses `UnknownDecision`."""
    wanted = _DECISIONS.where(decisions.c.id == decision.uuid)
    if only_of is not None:
        wanted = wanted.where(decisions.c.caller == only_of)
    async with runtime.db.reading() as view:
        row = (await view.execute(wanted)).one_or_none()
    if row is None:
        raise UnknownDecision(decision)
    return _record_of(row)


async def decision_page(
    runtime: Runtime,
    *,
    verdict: Verdict | None,
    customer: str | None,
    subject: str | None,
    limit: int,
    cursor: str | None,
) -> Page[DecisionRecord]:
    """Give decisions, newest first. Refuses `InvalidCursor`."""
    wanted = _DECISIONS.order_by(decisions.c.decided_at.desc(), decisions.c.id.desc()).limit(limit + 1)
    if verdict is not None:
        wanted = wanted.where(decisions.c.verdict == verdict.value)
    if customer is not None:
        wanted = wanted.where(decisions.c.customer == customer)
    if subject is not None:
        wanted = wanted.where(decisions.c.subject == subject)
    if cursor is not None:
        wanted = wanted.where(sa.tuple_(decisions.c.decided_at, decisions.c.id) < sa.tuple_(*_position(cursor)))
    async with runtime.db.reading() as view:
        rows = list((await view.execute(wanted)).all())
    shown = rows[:limit]
    following = _cursor(shown[-1].decided_at, shown[-1].id) if len(rows) > limit else None
    return Page(items=[_record_of(row) for row in shown], next_cursor=following)


def _record_of(row: Any) -> DecisionRecord:
    document = orjson.loads(row.answer)
    document["event"] = orjson.loads(row.inputs)["event"]
    document["case_state"] = row.case_state
    document["resolution"] = row.resolution
    return DecisionRecord.model_validate_json(orjson.dumps(document))


async def case_view(runtime: Runtime, case: CaseId) -> CaseView:
    """Give a case. Refuses `UnknownCase`."""
    async with runtime.db.reading() as view:
        row = (await view.execute(sa.select(cases).where(cases.c.id == case.uuid))).one_or_none()
    if row is None:
        raise UnknownCase(case)
    return case_of(row)


async def case_page(runtime: Runtime, *, state: CaseState | None, limit: int, cursor: str | None) -> Page[CaseView]:
    """Give cases, oldest first: who has waited longest comes first. Refuses `InvalidCursor`."""
    wanted = sa.select(cases).order_by(cases.c.opened_at, cases.c.id).limit(limit + 1)
    if state is not None:
        wanted = wanted.where(cases.c.state == state.value)
    if cursor is not None:
        wanted = wanted.where(sa.tuple_(cases.c.opened_at, cases.c.id) > sa.tuple_(*_position(cursor)))
    async with runtime.db.reading() as view:
        rows = list((await view.execute(wanted)).all())
    shown = rows[:limit]
    following = _cursor(shown[-1].opened_at, shown[-1].id) if len(rows) > limit else None
    return Page(items=[case_of(row) for row in shown], next_cursor=following)


def _cursor(moment: datetime, row_id: UUID) -> str:
    return encode_cursor({"at": moment.isoformat(), "id": str(row_id)})


def _position(cursor: str) -> tuple[sa.ColumnElement[datetime], sa.ColumnElement[UUID]]:
    position = decode_cursor(cursor, "at", "id")
    try:
        moment, row_id = datetime.fromisoformat(position["at"]), UUID(position["id"])
    except (TypeError, ValueError, AttributeError):
        raise InvalidCursor from None
    if moment.tzinfo is None:
        raise InvalidCursor
    return sa.literal(moment, sa.DateTime(timezone=True)), sa.literal(row_id, sa.Uuid)
