"""`/v1/connectors/<name>/webhook`: what providers tell us. Public: the signature over the raw bytes is the permit."""

from fastapi import APIRouter, Request, Response

from ledgerlink_kit.idempotency import json_reply
from ledgerlink_kit.problem import responses
from ledgerlink_payments.commands import news
from ledgerlink_payments.domain import refusals
from ledgerlink_payments.runtime import Runtime

router = APIRouter(prefix="/v1/connectors", tags=["connectors"])


@router.post("/{connector}/webhook", responses=responses(400, 401, 404, 413, 415, 503))
async def hear_connector(request: Request, connector: str) -> Response:
    """Store a provider's event and answer at once; what it means is looked up afterwards."""
    rt: Runtime = request.app.state.runtime
    found = rt.connectors.get(connector)
    if found is None:
        raise refusals.missing("connector", connector[:80], "connector")
    body = await request.body()
    found.verify_webhook(request.headers, body)
    outcome = await news.hear_provider(rt, connector, found.parse_event(body), body)
    return json_reply(200, {"received": True, "outcome": outcome}).to_response()
