"""The machine of a case: open, then resolved, once, by a person whose name stays on it."""

from dataclasses import dataclass
from datetime import datetime

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.events import CaseResolved
from ledgerlink_contracts.risk.models import CaseState, CaseView, ResolveOrder
from ledgerlink_kit.errors import Kind, Refused


class UnknownCase(Refused):
    """There is no such case."""

    def __init__(self, case: CaseId) -> None:
        super().__init__(Kind.NOT_FOUND, "unknown-case", f"There is no case {case}.")


class CaseAlreadyResolved(Refused):
    """Somebody has resolved the case; members: `resolution`, `resolved_by`, `resolved_at`."""

    def __init__(self, case: CaseView) -> None:
        assert case.resolution is not None
        assert case.resolved_at is not None
        super().__init__(
            Kind.CONFLICT,
            "case-already-resolved",
            "Somebody has resolved this case; the first answer stands.",
            resolution=case.resolution.value,
            resolved_by=case.resolved_by,
            resolved_at=case.resolved_at.isoformat(),
        )


@dataclass(frozen=True, slots=True)
class Approver:
    """The person who answers, by their token's subject."""

    subject: str
    is_person: bool


class ApproverNotAPerson(Refused):
    """A case waits for a person; a service's token cannot answer it."""

    def __init__(self) -> None:
        super().__init__(Kind.FORBIDDEN, "approver-not-a-person", "A case is resolved by a person, not by a service.")


def open_case(case: CaseId, decision: DecisionId, subject: str, now: datetime) -> CaseView:
    """Open the case of a review decision."""
    return CaseView(id=case, decision=decision, subject=subject, state=CaseState.OPEN, opened_at=now)


def resolve(case: CaseView, order: ResolveOrder, approver: Approver, now: datetime) -> tuple[CaseView, CaseResolved]:
    """Resolve an open case; gives its new face and the event to say.

    Refuses, in this order: `ApproverNotAPerson`, `CaseAlreadyResolved`.
    """
    if not approver.is_person:
        raise ApproverNotAPerson
    if case.state is CaseState.RESOLVED:
        raise CaseAlreadyResolved(case)
    resolved = CaseView(
        id=case.id,
        decision=case.decision,
        subject=case.subject,
        state=CaseState.RESOLVED,
        opened_at=case.opened_at,
        resolution=order.resolution,
        note=order.note,
        resolved_by=approver.subject,
        resolved_at=now,
    )
    event = CaseResolved(case=case.id, decision=case.decision, subject=case.subject, resolution=order.resolution)
    return resolved, event
