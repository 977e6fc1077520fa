"""Cases: what waits for a person, and the person's answer."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from ledgerlink_contracts.ids import CaseId
from ledgerlink_contracts.risk.models import CaseState, CaseView, ResolveOrder
from ledgerlink_kit.idempotency import OnceHeader
from ledgerlink_kit.pagination import PAGE_DEFAULT, Page, PageCursor, PageLimit
from ledgerlink_kit.problem import responses
from ledgerlink_risk.api.callers import GivenRuntime, RiskReader, RiskReviewer
from ledgerlink_risk.commands import resolve_case
from ledgerlink_risk.domain.cases import Approver
from ledgerlink_risk.queries import records

router = APIRouter(tags=["cases"])


@router.get("/cases", name="list_cases")
async def list_cases(
    _caller: RiskReader,
    runtime: GivenRuntime,
    state: Annotated[CaseState | None, Query()] = None,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> Page[CaseView]:
    """List cases, those that have waited longest first."""
    return await records.case_page(runtime, state=state, limit=limit, cursor=cursor)


@router.get("/cases/{case}", name="read_case", responses=responses(404))
async def read_case(case: Annotated[CaseId, Path()], _caller: RiskReader, runtime: GivenRuntime) -> CaseView:
    """Read a case."""
    return await records.case_view(runtime, case)


@router.post("/cases/{case}/resolve", name="resolve_case", response_model=CaseView, responses=responses(404, 409))
async def resolve(
    case: Annotated[CaseId, Path()], order: ResolveOrder, caller: RiskReviewer, runtime: GivenRuntime, once: OnceHeader
) -> Response:
    """Resolve a case, once. Who waits for its subject goes on (approve) or is ended (decline)."""
    approver = Approver(caller.subject, is_person=caller.kind == "user")
    return (await resolve_case(runtime, case, order, approver, once)).to_response()
