"""SQL of outgoing webhooks: endpoints, deliveries and the log of tries. Functions take the transaction first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from ledgerlink_contracts.ids import EventId, WebhookEndpointId
from ledgerlink_kit.db import Tx
from ledgerlink_payments import tables
from ledgerlink_payments.domain.webhooks import ALL_EVENTS, DeliveryState, Endpoint, EndpointStatus, Health, Lane

_endpoints = tables.webhook_endpoints
_deliveries = tables.webhook_deliveries
_tries = tables.webhook_tries

REPLAYS_MAX: Final = 100
"""How often one event may be sent once more to one endpoint."""


def endpoint_from(row: sa.Row[Any]) -> Endpoint:
    """Read an endpoint's row."""
    return Endpoint(
        id=WebhookEndpointId(row.id),
        owner=row.owner,
        url=row.url,
        enabled_events=tuple(row.enabled_events),
        secret=row.secret,
        created_at=row.created_at,
        description=row.description,
        metadata=row.metadata,
        status=EndpointStatus(row.status),
        disabled_reason=row.disabled_reason,
        old_secret=row.old_secret,
        old_secret_until=row.old_secret_until,
        seed=row.seed,
        health=Health(Lane(row.lane), row.failing_since),
    )


def _values(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id.uuid,
        "owner": endpoint.owner,
        "url": endpoint.url,
        "description": endpoint.description,
        "enabled_events": list(endpoint.enabled_events),
        "metadata": dict(endpoint.metadata),
        "status": endpoint.status.value,
        "disabled_reason": endpoint.disabled_reason,
        "secret": endpoint.secret,
        "old_secret": endpoint.old_secret,
        "old_secret_until": endpoint.old_secret_until,
        "seed": endpoint.seed,
        "lane": endpoint.health.lane.value,
        "failing_since": endpoint.health.failing_since,
        "created_at": endpoint.created_at,
    }


async def count_endpoints(tx: Tx, owner: str) -> int:
    """Count an owner's endpoints; others who want to add one for that owner wait until this transaction ends."""
    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"webhooks:{owner}", 0))))
    found = await tx.execute(sa.select(sa.func.count()).select_from(_endpoints).where(_endpoints.c.owner == owner))
    return int(found.scalar_one())


async def add_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """Write a new endpoint."""
    await tx.execute(sa.insert(_endpoints).values(_values(endpoint)))


async def find_endpoint(tx: Tx, endpoint_id: UUID) -> Endpoint | None:
    """Give an endpoint and lock it."""
    query = sa.select(_endpoints).where(_endpoints.c.id == endpoint_id)
    # Not against new deliveries, whose foreign key only asks that the endpoint stays.
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    return endpoint_from(row) if row else None


async def save_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """Write an endpoint's new values."""
    await tx.execute(sa.update(_endpoints).where(_endpoints.c.id == endpoint.id.uuid).values(_values(endpoint)))


async def drop_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """Forget an endpoint, with its deliveries and their log."""
    await tx.execute(sa.delete(_endpoints).where(_endpoints.c.id == endpoint.id.uuid))


# An event is for the endpoints of those it belongs to: the payer who made it, and the merchant's owner. One statement,
# so that an event is marked in the same instant in which its deliveries are written.
_FAN_OUT: Final = sa.text("""
    WITH waiting AS (
        SELECT id, type, owner, merchant_id, created_at FROM events
        WHERE fanned_out_at IS NULL ORDER BY created_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), written AS (
        INSERT INTO webhook_deliveries (id, event_id, endpoint_id, ordinal, state, tries, next_at, created_at)
        SELECT gen_random_uuid(), w.id, e.id, 0, 'pending', 0, :now, :now
        FROM waiting w
        LEFT JOIN merchants m ON m.id = w.merchant_id
        JOIN webhook_endpoints e ON e.owner IN (w.owner, m.owner)
            AND e.status = 'enabled' AND e.created_at <= w.created_at
            AND (e.enabled_events @> to_jsonb(w.type) OR e.enabled_events @> to_jsonb(CAST(:all AS text)))
        ON CONFLICT DO NOTHING
    )
    UPDATE events SET fanned_out_at = :now FROM waiting WHERE events.id = waiting.id
""")


async def fan_out(tx: Tx, now: datetime, limit: int) -> int:
    """Write the deliveries of events that have none yet, oldest first; gives how many events were looked at."""
    return (await tx.execute(_FAN_OUT, {"now": now, "limit": limit, "all": ALL_EVENTS})).rowcount


async def event_for(tx: Tx, event_id: UUID, owner: str) -> bool:
    """Tell whether an event exists and belongs to ``owner``."""
    events, merchants = tables.events, tables.merchants
    theirs = sa.select(merchants.c.id).where(merchants.c.owner == owner)
    query = sa.select(events.c.id).where(
        events.c.id == event_id, sa.or_(events.c.owner == owner, events.c.merchant_id.in_(theirs))
    )
    return (await tx.execute(query)).first() is not None


async def add_replay(tx: Tx, delivery_id: UUID, event_id: UUID, endpoint: Endpoint, now: datetime) -> int | None:
    """Write one more delivery of an event; gives its ordinal, or None when there were too many.

    The endpoint must be locked, so that two replays get two ordinals.
    """
    same = (_deliveries.c.event_id == event_id) & (_deliveries.c.endpoint_id == endpoint.id.uuid)
    last = (await tx.execute(sa.select(sa.func.max(_deliveries.c.ordinal)).where(same))).scalar_one()
    ordinal = 0 if last is None else int(last) + 1
    if ordinal > REPLAYS_MAX:
        return None
    await tx.execute(
        sa.insert(_deliveries).values(
            id=delivery_id,
            event_id=event_id,
            endpoint_id=endpoint.id.uuid,
            ordinal=ordinal,
            state=DeliveryState.PENDING.value,
            tries=0,
            next_at=now,
            created_at=now,
        )
    )
    return ordinal


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery that is due, with all that sending it needs. ``tries`` counts this one too."""

    delivery: UUID
    tries: int
    event: EventId
    type: str
    object: dict[str, Any]
    created_at: datetime
    traceparent: str | None = None


_RIPE: Final = sa.text("""
    SELECT e.id FROM webhook_endpoints e
    CROSS JOIN LATERAL (
        SELECT d.next_at FROM webhook_deliveries d
        WHERE d.endpoint_id = e.id AND d.next_at IS NOT NULL ORDER BY d.next_at LIMIT 1
    ) first
    WHERE e.status = 'enabled' AND e.lane = :lane AND first.next_at <= :now AND e.id <> ALL(CAST(:busy AS uuid[]))
    ORDER BY first.next_at LIMIT :limit
""")


async def ripe_endpoints(tx: Tx, lane: Lane, busy: Sequence[UUID], now: datetime, limit: int) -> list[UUID]:
    """Give enabled endpoints of a lane that something is due for, the longest waiting first, without the ``busy``."""
    found = await tx.execute(_RIPE, {"lane": lane.value, "now": now, "busy": list(busy), "limit": limit})
    return list(found.scalars())


async def claim(
    tx: Tx, endpoint_id: UUID, now: datetime, lease_end: datetime, token: UUID, limit: int
) -> tuple[Endpoint, list[Parcel]] | None:
    """Take what is due for one endpoint under a lease; None when another has taken it, or it is gone."""
    row = (await tx.execute(sa.select(_endpoints).where(_endpoints.c.id == endpoint_id))).one_or_none()
    due = (
        sa.select(_deliveries.c.id)
        .where(_deliveries.c.endpoint_id == endpoint_id, _deliveries.c.next_at <= now)
        .order_by(_deliveries.c.next_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    events = tables.events
    statement = (
        sa.update(_deliveries)
        .where(_deliveries.c.id.in_(due), events.c.id == _deliveries.c.event_id)
        .values(next_at=lease_end, lease_token=token, tries=_deliveries.c.tries + 1)
        .returning(
            _deliveries.c.id,
            _deliveries.c.tries,
            events.c.id,
            events.c.type,
            events.c.object,
            events.c.created_at,
            events.c.traceparent,
        )
    )
    parcels = [
        Parcel(delivery, tries, EventId(event), kind, thing, created_at, trace)
        for delivery, tries, event, kind, thing, created_at, trace in (await tx.execute(statement)).all()
    ]
    if row is None or not parcels:
        return None
    return endpoint_from(row), sorted(parcels, key=lambda parcel: (parcel.created_at, parcel.event.uuid))


async def log_try(
    tx: Tx,
    delivery_id: UUID,
    *,
    tried_at: datetime,
    duration_ms: int,
    status: int | None,
    error: str | None,
    snippet: str,
) -> None:
    """Write one line of the log."""
    await tx.execute(
        sa.insert(_tries).values(
            delivery_id=delivery_id,
            tried_at=tried_at,
            duration_ms=duration_ms,
            status=status,
            error=error,
            snippet=snippet,
        )
    )


async def end_try(
    tx: Tx, delivery_id: UUID, token: UUID, state: DeliveryState, next_at: datetime | None, now: datetime
) -> bool:
    """Write how a delivery goes on; false when its lease went to somebody else, whose word then counts."""
    changed = await tx.execute(
        sa.update(_deliveries)
        .where(_deliveries.c.id == delivery_id, _deliveries.c.lease_token == token)
        .values(
            state=state.value,
            next_at=next_at,
            lease_token=None,
            ended_at=None if state is DeliveryState.PENDING else now,
        )
    )
    return changed.rowcount == 1


async def note_success(tx: Tx, endpoint_id: UUID) -> None:
    """Remember that an endpoint answered well; nothing is written when that is known."""
    await tx.execute(
        sa.update(_endpoints)
        .where(_endpoints.c.id == endpoint_id, _endpoints.c.lane != Lane.PROVEN.value)
        .values(lane=Lane.PROVEN.value, failing_since=None)
    )


async def forget_deliveries(tx: Tx, before: datetime, limit: int) -> int:
    """Delete deliveries that ended ``before``, with their log, at most ``limit``; gives how many went."""
    old = (
        sa.select(_deliveries.c.id)
        .where(_deliveries.c.ended_at < before)
        .order_by(_deliveries.c.ended_at)
        .limit(limit)
        .scalar_subquery()
    )
    return (await tx.execute(sa.delete(_deliveries).where(_deliveries.c.id.in_(old)))).rowcount
