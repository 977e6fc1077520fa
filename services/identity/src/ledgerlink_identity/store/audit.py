"""Security events, appended by anybody, sealed by one at a time."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Row

from ledgerlink_identity.domain.audit import Happening, Seal, SecurityEvent
from ledgerlink_identity.tables import security_events, security_seals, unsealed_events
from ledgerlink_kit.db import Tx

_UUIDS: Final = sa.ARRAY(sa.Uuid)
_TRY_LOCK: Final = sa.text("SELECT pg_try_advisory_xact_lock(hashtext('security-seals'))")


def event_from(row: Row[Any]) -> SecurityEvent:
    """Return the event in a row of the table's columns."""
    return SecurityEvent(
        id=row.id,
        happening=Happening(row.happening),
        subject=row.subject,
        actor=row.actor,
        address=row.address,
        details=row.details,
        occurred_at=row.occurred_at,
    )


async def append(tx: Tx, events: Sequence[SecurityEvent]) -> None:
    """Append events, to be sealed soon."""
    if not events:
        return
    inserted = (
        security_events.insert()
        .values(
            [
                {
                    "id": event.id,
                    "happening": event.happening.value,
                    "subject": event.subject,
                    "actor": event.actor,
                    "address": event.address,
                    "details": dict(event.details),
                    "occurred_at": event.occurred_at,
                }
                for event in events
            ]
        )
        .returning(security_events.c.seq, security_events.c.id)
        .cte("inserted")
    )
    queued = unsealed_events.insert().from_select(["seq", "event_id"], sa.select(inserted.c.seq, inserted.c.id))
    await tx.execute(queued)


async def take_turn_to_seal(tx: Tx) -> bool:
    """Return whether nobody else is sealing; the turn ends with the transaction."""
    return bool(await tx.scalar(_TRY_LOCK))


async def last_seal(tx: Tx) -> Seal | None:
    """Return the end of the chain, or null before its first link."""
    statement = sa.select(security_seals).order_by(security_seals.c.position.desc()).limit(1)
    row = (await tx.execute(statement)).first()
    return Seal(row.position, row.event_id, row.previous_hash, row.hash) if row else None


async def unsealed(tx: Tx, limit: int) -> list[SecurityEvent]:
    """Return the next events to be sealed, in the order in which they were appended."""
    statement = (
        sa.select(security_events)
        .join(unsealed_events, unsealed_events.c.event_id == security_events.c.id)
        .order_by(unsealed_events.c.seq)
        .limit(limit)
    )
    return [event_from(row) for row in await tx.execute(statement)]


async def append_seals(tx: Tx, seals: Sequence[Seal]) -> None:
    """Append links to the chain and take their events out of the queue."""
    await tx.execute(
        security_seals.insert(),
        [
            {
                "position": link.position,
                "event_id": link.event_id,
                "previous_hash": link.previous_hash,
                "hash": link.hash,
            }
            for link in seals
        ],
    )
    sealed = [link.event_id for link in seals]
    await tx.execute(unsealed_events.delete().where(unsealed_events.c.event_id == sa.any_(sa.literal(sealed, _UUIDS))))
