"""A `RiskClient` in memory for the tests of other services: same answers, same refusals, no rules of its own.

The caller says which verdict an event gets; review opens a case, `resolve` closes it and keeps the event that the
real service would send, so that a test can hand it to its own consumer.
"""

from collections.abc import Callable

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.events import CaseResolved
from ledgerlink_contracts.risk.models import (
    CaseState,
    CaseView,
    DecisionOrder,
    DecisionRecord,
    DecisionView,
    EventFacts,
    Reason,
    ResolveOrder,
    Verdict,
)
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Defect, Kind, Refused, Unavailable

_SCORES = {Verdict.APPROVE: 0, Verdict.REVIEW: 60, Verdict.DECLINE: 100}


def approve_everything(_event: EventFacts) -> Verdict:
    """Give the verdict of a calm day."""
    return Verdict.APPROVE


class FakeRisk:
    """Risk in memory. `decided`, `events` show what happened; `away` makes every call `Unavailable`."""

    def __init__(self, clock: Clock, judge: Callable[[EventFacts], Verdict] = approve_everything) -> None:
        """Take the verdict of each event from `judge`."""
        self.away = False
        self.events: list[CaseResolved] = []
        self.decided: dict[DecisionId, DecisionRecord] = {}
        self._cases: dict[CaseId, CaseView] = {}
        self._clock = clock
        self._judge = judge

    async def decide(self, order: DecisionOrder) -> DecisionView:
        """See `RiskClient.decide`."""
        self._reach()
        if order.id is None:
            raise Defect("A decision was ordered without an id; derive one, or a retry would decide twice.")
        known = self.decided.get(order.id)
        if known is not None:
            differs = _differences(known.event, order.event)
            if differs:
                raise Refused(
                    Kind.CONFLICT, "id-reused", "This id belongs to a decision about another event.", differs=differs
                )
            return _as_made(known)
        record = self._decide(order.id, order.event)
        self.decided[order.id] = record
        return _as_made(record)

    async def decision(self, decision: DecisionId) -> DecisionRecord:
        """See `RiskClient.decision`."""
        self._reach()
        if decision not in self.decided:
            raise Refused(Kind.NOT_FOUND, "unknown-decision", f"There is no decision {decision}.")
        return self.decided[decision]

    async def case(self, case: CaseId) -> CaseView:
        """See `RiskClient.case`."""
        self._reach()
        if case not in self._cases:
            raise Refused(Kind.NOT_FOUND, "unknown-case", f"There is no case {case}.")
        return self._cases[case]

    async def resolve(self, case: CaseId, order: ResolveOrder, idempotency_key: str) -> CaseView:
        """See `RiskClient.resolve`; the event that follows is appended to `events`."""
        view = await self.case(case)
        if view.state is CaseState.RESOLVED:
            if view.resolved_by == idempotency_key:
                return view
            raise Refused(
                Kind.CONFLICT, "case-already-resolved", "Somebody has resolved this case.", resolution=view.resolution
            )
        resolved = view.model_copy(
            update={
                "state": CaseState.RESOLVED,
                "resolution": order.resolution,
                "note": order.note,
                "resolved_by": idempotency_key,
                "resolved_at": self._clock.now(),
            }
        )
        self._cases[case] = resolved
        record = self.decided[view.decision]
        self.decided[view.decision] = record.model_copy(
            update={"case_state": CaseState.RESOLVED, "resolution": order.resolution}
        )
        self.events.append(
            CaseResolved(case=case, decision=view.decision, subject=view.subject, resolution=order.resolution)
        )
        return resolved

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("risk-unavailable", "Risk does not answer.")

    def _decide(self, decision: DecisionId, event: EventFacts) -> DecisionRecord:
        verdict = self._judge(event)
        case = CaseId.derive("case", str(decision)) if verdict is Verdict.REVIEW else None
        reasons = [] if verdict is Verdict.APPROVE else [_said_so(verdict)]
        if case is not None:
            self._cases[case] = CaseView(
                id=case,
                decision=decision,
                subject=event.subject,
                state=CaseState.OPEN,
                opened_at=self._clock.now(),
            )
        return DecisionRecord(
            id=decision,
            verdict=verdict,
            score=_SCORES[verdict],
            reasons=reasons,
            case=case,
            subject=event.subject,
            policy_version=1,
            decided_at=self._clock.now(),
            event=event,
            case_state=CaseState.OPEN if case is not None else None,
        )


def _said_so(verdict: Verdict) -> Reason:
    return Reason(code=f"told-to-{verdict.value}", rule=f"told-to-{verdict.value}", version=1, clause="true")


def _as_made(record: DecisionRecord) -> DecisionView:
    return DecisionView.model_validate({name: getattr(record, name) for name in DecisionView.model_fields})


def _differences(stored: EventFacts, given: EventFacts) -> list[str]:
    """Name the top-level fields of the event that differ, as paths of the request body."""
    return [f"event.{name}" for name in EventFacts.model_fields if getattr(stored, name) != getattr(given, name)]
