"""A case is resolved once, by a person; refusals come in their documented order."""

from datetime import UTC, datetime, timedelta

import pytest

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import Resolution, ResolveOrder
from ledgerlink_risk.domain.cases import Approver, ApproverNotAPerson, CaseAlreadyResolved, open_case, resolve

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
CASE = open_case(CaseId.derive("a"), DecisionId.derive("a"), "pi_1", NOW)
PERSON = Approver("usr_eve", is_person=True)
YES = ResolveOrder(resolution=Resolution.APPROVE, note="Rang the buyer.")


def test_a_person_resolves_an_open_case_and_stays_on_it() -> None:
    later = NOW + timedelta(hours=2)
    case, event = resolve(CASE, YES, PERSON, later)
    assert (case.state, case.resolution, case.note) == ("resolved", "approve", "Rang the buyer.")
    assert (case.resolved_by, case.resolved_at, case.opened_at) == ("usr_eve", later, NOW)
    assert (event.case, event.decision, event.subject, event.resolution) == (case.id, case.decision, "pi_1", "approve")


def test_a_service_cannot_resolve_a_case_whatever_its_state() -> None:
    resolved, _ = resolve(CASE, YES, PERSON, NOW)
    for case in (CASE, resolved):
        with pytest.raises(ApproverNotAPerson):
            resolve(case, YES, Approver("svc_payments", is_person=False), NOW)


def test_the_first_answer_stands() -> None:
    resolved, _ = resolve(CASE, YES, PERSON, NOW)
    with pytest.raises(CaseAlreadyResolved) as refused:
        resolve(resolved, ResolveOrder(resolution=Resolution.DECLINE, note="No."), PERSON, NOW)
    assert refused.value.members == {
        "resolution": "approve",
        "resolved_by": "usr_eve",
        "resolved_at": "2026-01-05T12:00:00+00:00",
    }
