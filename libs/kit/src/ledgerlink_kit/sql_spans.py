"""A span for each SQL statement that is done for a recorded trace; nothing for all others.

SQLAlchemy's statements are heard through its engine's events, which are listened to only while tracing is on; a
connection of asyncpg is wrapped (`watched`) for one batch at a time. Names and attributes follow the semantic
conventions for database clients. A statement's text is recorded as it is sent, with placeholders: what a caller wrote
stands in its parameters, and those are not recorded.
"""

import re
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, ExceptionContext

from ledgerlink_kit.telemetry import Span, Value, begin, error_type, recorded_traceparent, wire_span

_SPAN: Final = "ledgerlink_span"
"""Where a connection's `info` keeps the span of the statement that is under way."""
_WRITE: Final = re.compile(
    r"\b(INSERT) INTO\s+(\w+)|\b(DELETE) FROM\s+(\w+)|\b(UPDATE)\s+(?!SET\b)(\w+)\s+(?:(?:AS )?\w+ )?SET\b",
    re.IGNORECASE,
)
_READ: Final = re.compile(r"\bFROM\s+(\w+)\b(?!\s*\()", re.IGNORECASE)
_COPY: Final = re.compile(r"(COPY) (\w+)")


@lru_cache(maxsize=1024)
def summary_of(statement: str) -> tuple[str, str]:
    """Give the operation and the table, if any, of the first thing that ``statement`` changes, else reads."""
    write = _COPY.match(statement) or _WRITE.search(statement)
    if write is not None:
        operation, table = (found for found in write.groups() if found is not None)
        return operation.upper(), table
    read = _READ.search(statement)
    words = statement.split(maxsplit=1)
    operation = "SELECT" if read is not None or not words else words[0].upper()
    return operation, read.group(1) if read is not None else ""


def _described(statement: str, database: str) -> tuple[str, dict[str, Value]]:
    """Give a statement's span its name and its attributes."""
    operation, table = summary_of(statement)
    attributes: dict[str, Value] = {
        "db.system.name": "postgresql",
        "db.namespace": database,
        "db.operation.name": operation,
        "db.query.text": statement,
    }
    if table:
        attributes["db.collection.name"] = table
    return f"{operation} {table}".rstrip(), attributes


def statement_span(statement: str, database: str) -> AbstractContextManager[Span | None]:
    """Trace a statement that nothing here hears, such as a COMMIT; nothing when no trace is recorded."""
    if recorded_traceparent() is None:
        return nullcontext()
    name, attributes = _described(statement, database)
    return wire_span(name, "client", attributes)


def listen() -> None:
    """Hear every engine of this process from now on."""
    event.listen(Engine, "before_cursor_execute", _before)
    event.listen(Engine, "after_cursor_execute", _after)
    event.listen(Engine, "handle_error", _broke)


def leave() -> None:
    """Hear no engine any more."""
    for name, heard in (("before_cursor_execute", _before), ("after_cursor_execute", _after), ("handle_error", _broke)):
        if event.contains(Engine, name, heard):
            event.remove(Engine, name, heard)


def _before(connection: Connection, _cursor: object, statement: str, *_more: object) -> None:
    if recorded_traceparent() is not None:
        name, attributes = _described(statement, connection.engine.url.database or "")
        connection.info[_SPAN] = begin(name, "client", attributes)


def _after(connection: Connection, *_more: object) -> None:
    span: Span | None = connection.info.pop(_SPAN, None)
    if span is not None:
        span.end()


def _broke(context: ExceptionContext) -> None:
    if context.connection is None or context.connection.closed or context.connection.invalidated:
        return  # its span is lost with it; what broke is what counts
    span: Span | None = context.connection.info.pop(_SPAN, None)
    if span is not None:
        span.fail(_failure(context.original_exception))
        span.end()


def _failure(error: BaseException) -> str:
    """Name a database's error by its SQLSTATE, another by its class."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else error_type(error)


class Watched:
    """A connection of asyncpg whose statements are traced; it has the methods that batches use, and no others."""

    def __init__(self, connection: Any, database: str) -> None:
        """Pass on to ``connection``, which is one to ``database``."""
        self._connection = connection
        self._database = database

    async def fetch(self, statement: str, *values: Any) -> Any:
        """Run a statement and give its rows."""
        with statement_span(statement, self._database):
            return await self._connection.fetch(statement, *values)

    async def execute(self, statement: str, *values: Any) -> Any:
        """Run a statement."""
        with statement_span(statement, self._database):
            return await self._connection.execute(statement, *values)

    async def copy_to_table(self, table: str, **how: Any) -> Any:
        """Write rows by COPY."""
        with statement_span(f"COPY {table} FROM STDIN", self._database):
            return await self._connection.copy_to_table(table, **how)
