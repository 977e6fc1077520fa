"""SQL for commands, on asyncpg directly: `loading` what a batch touches under lock, `writing` what it changed.

A batch is a dozen statements that carry a thousand rows each, and the driver's binary arrays and COPY are what makes
them cheap. Every function takes the open transaction first, or gathers what it writes in `writing.Writes`.
"""

from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ledgerlink_kit.limits import IDLE_IN_TRANSACTION_TIMEOUT_MS, LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS

Tx: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""A connection with an open transaction."""


async def open_pool(database_url: str, *, application_name: str, size: int) -> asyncpg.Pool:
    """Prepare a pool of at most ``size`` connections for batches; it connects on first use.

    A connection goes back as it is: batches leave nothing in a session, and asyncpg's own reset would be a round trip
    more for each of them. What asyncpg does besides, rolling back a transaction that was left open, it still does.
    """
    return await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=size,
        timeout=5,
        command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 1,
        reset=_leave_as_it_is,
        # A backend that waits for the next batch is no burden; reconnecting for each quiet spell would be.
        max_inactive_connection_lifetime=0,
        server_settings={
            "application_name": application_name,
            "statement_timeout": str(STATEMENT_TIMEOUT_MS),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            "timezone": "UTC",
            # Every statement of a batch looks rows up by their keys, so one plan is right for all arguments. Left to
            # itself the server plans each batch anew, or keeps a plan that it made when the tables were empty: scans.
            "plan_cache_mode": "force_generic_plan",
            "enable_seqscan": "off",
        },
    )


async def _leave_as_it_is(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Send nothing when a connection goes back to its pool."""
