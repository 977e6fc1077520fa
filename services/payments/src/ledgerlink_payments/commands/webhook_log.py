"""The log of webhook deliveries, as owners of endpoints read it. Reads only; it stands here beside what writes it."""

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import EventId, WebhookEndpointId
from ledgerlink_kit.ids import InvalidId, TypedId
from ledgerlink_payments import queries, tables
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.objects import Thing
from ledgerlink_payments.runtime import Runtime
from ledgerlink_payments.store.webhooks import endpoint_from

_deliveries = tables.webhook_deliveries
_tries = tables.webhook_tries


class DeliveryId(TypedId, prefix="whd"):
    """Names one event on its way to one endpoint."""


ENDPOINTS: Final = queries.Kind(
    "webhook_endpoint",
    WebhookEndpointId,
    tables.webhook_endpoints,
    lambda row: endpoint_from(row).wire(),
    lambda actor: tables.webhook_endpoints.c.owner == actor.subject,
)


async def deliveries(
    rt: Runtime, actor: Actor, endpoint: str, limit: int, starting_after: str | None, url: str
) -> Thing:
    """Give one page of an endpoint's deliveries, newest first, each with its tries. Refuses `resource-missing`."""
    found = await queries.retrieve(rt, ENDPOINTS, actor, endpoint)
    query = sa.select(_deliveries).where(_deliveries.c.endpoint_id == WebhookEndpointId.parse(found["id"]).uuid)
    async with rt.db.reading() as view:
        if starting_after is not None:
            after = await _place(view, query, starting_after)
            query = query.where(sa.tuple_(_deliveries.c.created_at, _deliveries.c.id) < after)
        newest = query.order_by(_deliveries.c.created_at.desc(), _deliveries.c.id.desc()).limit(limit + 1)
        rows = (await view.execute(newest)).all()
        page = rows[:limit]
        tries = await _tries_of(view, [row.id for row in page])
    things = [_shown(row, tries.get(row.id, [])) for row in page]
    return objects.listing(url, things, has_more=len(rows) > limit)


async def _place(view: AsyncConnection, query: sa.Select[Any], text: str) -> Any:
    try:
        identifier = DeliveryId.parse(text).uuid
    except InvalidId:
        raise refusals.missing("webhook_delivery", text[:80], "starting_after") from None
    row = (await view.execute(query.where(_deliveries.c.id == identifier))).one_or_none()
    if row is None:
        raise refusals.missing("webhook_delivery", text[:80], "starting_after")
    return sa.tuple_(sa.literal(row.created_at), sa.literal(row.id))


async def _tries_of(view: AsyncConnection, ids: list[UUID]) -> dict[UUID, list[Thing]]:
    found: dict[UUID, list[Thing]] = {}
    rows = await view.execute(sa.select(_tries).where(_tries.c.delivery_id.in_(ids)).order_by(_tries.c.id))
    for row in rows:
        found.setdefault(row.delivery_id, []).append(
            {
                "tried": int(row.tried_at.timestamp()),
                "duration_ms": row.duration_ms,
                "http_status": row.status,
                "error": row.error,
                "response_body": row.snippet,
            }
        )
    return found


def _shown(row: sa.Row[Any], tries: list[Thing]) -> Thing:
    return {
        "id": str(DeliveryId(row.id)),
        "object": "webhook_delivery",
        "created": int(row.created_at.timestamp()),
        "event": str(EventId(row.event_id)),
        "next_try": None if row.next_at is None else int(row.next_at.timestamp()),
        "replay": row.ordinal,
        "status": row.state,
        "tries": tries,
    }
