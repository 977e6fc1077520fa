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
