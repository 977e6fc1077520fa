"""What waits for the worker."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_wallet.domain.books import HoldKey

_DUE: Final = text(
    "SELECT id FROM holds WHERE state = 'placed' AND expires_at <= :now ORDER BY expires_at LIMIT :limit"
)


async def due_holds(view: AsyncConnection, now: datetime, limit: int) -> list[HoldKey]:
    """Give up to ``limit`` holds whose time has come by ``now``, the oldest first."""
    return [HoldKey(row.id) for row in await view.execute(_DUE, {"now": now, "limit": limit})]


_OLDEST: Final = text("SELECT min(try_at) FROM scheduled_transfers WHERE state = 'active'")


async def schedules_lag_s(view: AsyncConnection, now: datetime) -> float:
    """Give for how many seconds the oldest scheduled transfer that is due by ``now`` has waited; 0 when none is."""
    oldest: datetime | None = await view.scalar(_OLDEST)
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
