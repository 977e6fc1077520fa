"""What every command writes beside its effect: the security event, and the event for the other services."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from ledgerlink_contracts.identity.events import RevokedBecause, SessionRevoked
from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_identity.domain.audit import Happening, SecurityEvent
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import audit
from ledgerlink_kit import outbox
from ledgerlink_kit.db import Tx
from ledgerlink_kit.ids import uuid7


async def witness(
    tx: Tx,
    rt: Runtime,
    happening: Happening,
    *,
    subject: UUID | None,
    actor: str | None = None,
    address: str | None = None,
    **details: Any,
) -> None:
    """Append one security event."""
    now = rt.clock.now()
    await audit.append(tx, [SecurityEvent(uuid7(now), happening, subject, actor, address, details, now)])


async def tell_revoked(
    tx: Tx,
    rt: Runtime,
    user_id: UUID,
    revoked: Sequence[UUID],
    because: RevokedBecause,
    *,
    actor: str | None,
    address: str | None = None,
) -> None:
    """Tell the audit chain and the other services that these sessions ended."""
    if not revoked:
        return
    now = rt.clock.now()
    happening = Happening.SESSION_REVOKED
    await audit.append(
        tx,
        [
            SecurityEvent(
                uuid7(now),
                happening,
                user_id,
                actor,
                address,
                {"session": str(SessionId(session)), "because": because.value},
                now,
            )
            for session in revoked
        ],
    )
    events = [
        (SessionRevoked(session=SessionId(session), user=UserId(user_id), because=because), str(UserId(user_id)))
        for session in revoked
    ]
    await outbox.record_all(tx, events, now=now)
