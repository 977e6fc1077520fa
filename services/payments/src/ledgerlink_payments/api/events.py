"""`/v1/events`: what happened, as it was when it happened."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from ledgerlink_kit.idempotency import json_reply
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsReader
from ledgerlink_payments.api.dialect import actor_of
from ledgerlink_payments.api.fields import LIMIT_DEFAULT, READ, Cursor, Limit

router = APIRouter(prefix="/v1/events", tags=["events"])
_URL: Final = "/v1/events"


@router.get("/{event}", responses=READ)
async def retrieve_event(request: Request, event: str, caller: PaymentsReader) -> Response:
    """Give one event about a thing that the caller may see."""
    shown = await queries.retrieve(request.app.state.runtime, queries.EVENTS, actor_of(caller), event)
    return json_reply(200, shown).to_response()


@router.get("", responses=READ)
async def list_events(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    type: Annotated[str | None, Query(max_length=64, description="Only this type")] = None,
) -> Response:
    """List events, newest first."""
    window = queries.Window(limit, starting_after, ending_before)
    rt, actor = request.app.state.runtime, actor_of(caller)
    filters = {} if type is None else {"type": type}
    return json_reply(200, await queries.listing(rt, queries.EVENTS, actor, window, filters, _URL)).to_response()
