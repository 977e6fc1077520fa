"""What risk tells the others: a case was opened, a case was resolved. Stream: `events:risk`."""

from typing import ClassVar

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import Resolution
from ledgerlink_kit.outbox import Event


class CaseOpened(Event):
    """A decision was `review`: `subject` (the id given by who asked) waits for a person."""

    event_type: ClassVar[str] = "risk.case.opened"
    data_version: ClassVar[int] = 1

    case: CaseId
    decision: DecisionId
    subject: str


class CaseResolved(Event):
    """A person resolved the case: whoever waits for `subject` goes on (approve) or ends it (decline)."""

    event_type: ClassVar[str] = "risk.case.resolved"
    data_version: ClassVar[int] = 1

    case: CaseId
    decision: DecisionId
    subject: str
    resolution: Resolution
