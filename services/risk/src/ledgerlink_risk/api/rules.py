"""Rules in force, and the lists they read."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from ledgerlink_contracts.risk.models import EntityRef
from ledgerlink_kit.pagination import PAGE_DEFAULT, Page, PageCursor, PageLimit
from ledgerlink_kit.problem import responses
from ledgerlink_risk import commands
from ledgerlink_risk.api.callers import GivenRuntime, RiskReader, RiskReviewer
from ledgerlink_risk.domain.lists import Entry, EntryOrder, ListName
from ledgerlink_risk.queries import policies
from ledgerlink_risk.queries.policies import Lists, PolicyView

router = APIRouter(tags=["rules"])


@router.get("/rules", name="list_rules", responses=responses(404))
async def list_rules(
    _caller: RiskReader,
    runtime: GivenRuntime,
    policy_version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Absent: the policy in force")] = None,
) -> PolicyView:
    """Give the rules in force, or those of an earlier policy, such as one that a decision names."""
    return await policies.policy_view(runtime, policy_version)


@router.get("/lists", name="list_lists")
async def list_lists(_caller: RiskReader, runtime: GivenRuntime) -> Lists:
    """Give the lists that the rules in force read."""
    return await policies.lists(runtime)


@router.get("/lists/{name}/entries", name="list_entries")
async def list_entries(
    name: Annotated[ListName, Path()],
    _caller: RiskReader,
    runtime: GivenRuntime,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> Page[Entry]:
    """Give the values that stand on a list."""
    return await policies.entry_page(runtime, name, limit=limit, cursor=cursor)


@router.put("/lists/{name}/entries/{value}", name="put_entry", responses=responses(404))
async def put_entry(
    name: Annotated[ListName, Path()],
    value: Annotated[EntityRef, Path()],
    order: EntryOrder,
    caller: RiskReviewer,
    runtime: GivenRuntime,
) -> Entry:
    """Put a value on a list that a rule reads; the next decision heeds it."""
    return await commands.put_entry(runtime, name, value, order, caller.subject)


@router.delete("/lists/{name}/entries/{value}", name="remove_entry", status_code=204, responses=responses(404))
async def remove_entry(
    name: Annotated[ListName, Path()], value: Annotated[EntityRef, Path()], caller: RiskReviewer, runtime: GivenRuntime
) -> Response:
    """Take a value off a list; who did it stays known."""
    await commands.remove_entry(runtime, name, value, caller.subject)
    return Response(status_code=204)
