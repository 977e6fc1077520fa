"""The database: transactions that a command opens and closes itself, and reads that lock nothing.

SQLAlchemy Core on asyncpg. Inside a transaction no network call may be made: `forbid_network` is what the HTTP client
asks before each call (law *Transactions* 2).
"""

import asyncio
import random
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from prometheus_client import Gauge
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ledgerlink_kit.errors import Defect, Kind, LedgerLinkError, Refused, Unavailable
from ledgerlink_kit.limits import (
    IDLE_IN_TRANSACTION_TIMEOUT_MS,
    LOCK_TIMEOUT_MS,
    STATEMENT_TIMEOUT_MS,
    TRANSACTION_TRIES_MAX,
)
from ledgerlink_kit.sql_spans import statement_span

Tx = AsyncConnection
"""An open transaction: store functions take it as their first argument."""

Result = TypeVar("Result")

_open: ContextVar[bool] = ContextVar("transaction_open", default=False)

_SERIALIZATION: Final = frozenset({"40001", "40P01"})
_LOCK_TIMEOUT: Final = "55P03"
_CANCELED: Final = "57014"
_BAD_TEXT: Final = frozenset({"22021", "22P05"})
_AWAY: Final = frozenset({"57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08006"})


class TransactionConflict(Unavailable):
    """Two transactions could not both be; this one may be tried again (SQLSTATE 40001, 40P01)."""

    def __init__(self) -> None:
        super().__init__("transaction-conflict", "Too many changes to the same rows at once; try again.")


class LockTimeout(Unavailable):
    """Another transaction holds what this one needs for too long (SQLSTATE 55P03)."""

    def __init__(self) -> None:
        super().__init__("lock-timeout", "Another request holds what this one needs; try again.")


def forbid_network(target: str) -> None:
    """Raise `Defect` when called inside a transaction: a slow ``target`` must never hold our locks."""
    if _open.get():
        raise Defect(f"A network call to {target} was made inside a database transaction.")


def async_url(url: str) -> URL:
    """Give the run-time form (asyncpg) of a ``postgresql://`` address."""
    return make_url(url).set(drivername="postgresql+asyncpg")


def sync_url(url: str) -> URL:
    """Give the form for migrations (psycopg) of a ``postgresql://`` address."""
    return make_url(url).set(drivername="postgresql+psycopg")


def sqlstate(error: BaseException) -> str | None:
    """Give the SQLSTATE of a database error, if it has one."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None)


def constraint_name(error: BaseException) -> str | None:
    """Give the name of the constraint that an integrity error broke, if PostgreSQL told it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    # SQLAlchemy wraps asyncpg's error once more; the original stands behind it.
    return getattr(cause, "constraint_name", None) or getattr(
        getattr(cause, "__cause__", None), "constraint_name", None
    )


def translate(error: BaseException) -> LedgerLinkError | None:
    """Give the error of ours that a database error means, or none when it is a defect."""
    if isinstance(error, PoolTimeoutError):
        return Unavailable("database-busy", "All database connections are in use; try again.")
    if isinstance(error, (OSError, TimeoutError)):
        return Unavailable("database-unavailable", "The database is away; try again.", 2)
    if not isinstance(error, DBAPIError):
        return None
    state = sqlstate(error)
    if state in _SERIALIZATION:
        return TransactionConflict()
    if state == _LOCK_TIMEOUT:
        return LockTimeout()
    if state == _CANCELED:
        return Unavailable("statement-timeout", "The database took too long; try again.")
    if state in _BAD_TEXT:
        return Refused(Kind.UNPROCESSABLE, "invalid-text", "A text holds a character that cannot be stored.")
    if state in _AWAY or error.connection_invalidated or isinstance(error, InterfaceError):
        return Unavailable("database-unavailable", "The database is away; try again.", 2)
    return None


_in_use = Gauge("ledgerlink_db_pool_in_use", "Database connections that somebody works with", ["pool"])
_limit = Gauge("ledgerlink_db_pool_limit", "Database connections of the pool at the most", ["pool"])


def _count_connections(engine: AsyncEngine, pool_size: int, name: str) -> None:
    """Show how full the pool is, for as long as ``engine`` lives."""
    seen = weakref.ref(engine)

    def in_use() -> float:
        living = seen()
        pool = living.pool if living is not None else None
        return pool.checkedout() if isinstance(pool, AsyncAdaptedQueuePool) else 0

    _in_use.labels(name).set_function(in_use)
    _limit.labels(name).set(pool_size)


class Database:
    """A pool of connections to one service's database. It connects on first use."""

    def __init__(self, url: str, *, application_name: str, pool_size: int = 8, pool_timeout_s: float = 5.0) -> None:
        """Prepare a pool of at most ``pool_size`` connections to ``url`` (``postgresql://user:password@host/db``)."""
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_s,
            pool_use_lifo=True,
            connect_args={
                "timeout": 5,
                "server_settings": {
                    "application_name": application_name,
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "lock_timeout": str(LOCK_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                    "timezone": "UTC",
                },
            },
        )
        _count_connections(self.engine, pool_size, application_name)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Tx]:
        """Open a transaction; leaving the block commits, an exception rolls back.

        A commit whose answer was lost raises `Unavailable` with ``outcome_unknown``: the effect may stand. Raises
        `Defect` when one is open already: a command owns its transaction and has one.
        """
        if _open.get():
            raise Defect("A transaction was opened inside another one.")
        reset = _open.set(True)
        committing = False
        try:
            async with self.engine.connect() as connection:
                transaction = await connection.begin()
                try:
                    yield connection
                except BaseException:
                    await _roll_back(connection)
                    raise
                committing = True
                with statement_span("COMMIT", self.engine.url.database or ""):
                    await transaction.commit()
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            ours = translate(error)
            if ours is None:
                raise
            if isinstance(ours, Unavailable) and committing and not isinstance(ours, TransactionConflict):
                ours.outcome_unknown = True
            raise ours from error
        finally:
            _open.reset(reset)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """Open a read-only, repeatable-read view: several statements see one moment."""
        try:
            async with self.engine.connect() as connection:
                view = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                yield view
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            ours = translate(error)
            if ours is None:
                raise
            raise ours from error

    async def retrying(self, body: Callable[[Tx], Awaitable[Result]]) -> Result:
        """Run ``body`` in a transaction, again when it collided with another, at most three times.

        ``body`` must be re-runnable: it may change nothing but the database.
        """
        for attempt in range(1, TRANSACTION_TRIES_MAX + 1):
            try:
                async with self.transaction() as tx:
                    return await body(tx)
            except TransactionConflict:
                if attempt == TRANSACTION_TRIES_MAX:
                    raise
                # Jitter keeps the two that collided from meeting again; it needs no secrecy.
                await asyncio.sleep(random.uniform(0.005, 0.03) * attempt)  # noqa: S311
        raise Defect("unreachable")  # pragma: no cover

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises `Unavailable`."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def _roll_back(connection: AsyncConnection) -> None:
    try:
        await connection.rollback()
    except (DBAPIError, OSError):
        # The connection is gone, and the transaction with it; what made us roll back is the news.
        await connection.invalidate()
