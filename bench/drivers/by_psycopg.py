"""psycopg 3 with its C parts: statements prepared at once, binary both ways, pipelines where the lane has them."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, LiteralString, NamedTuple, cast

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

from bench.drivers import packing
from bench.drivers.playing import Lane, Player, Rows
from bench.drivers.recorded import Recorded, Statement

_BEGIN: Final = Statement("BEGIN", ())
_COMMIT: Final = Statement("COMMIT", ())


class Packed(NamedTuple):
    """An argument in its binary format; the statement's cast tells its type."""

    raw: bytes


class PackedDumper(Dumper):
    """Gives it to the server as it is."""

    format = Format.BINARY
    oid = 0

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        """Need nothing of the connection."""
        super().__init__(cls, context)

    def dump(self, obj: Packed) -> bytes:
        """Give its bytes."""
        return obj.raw


class ByPsycopg(Player):
    """One connection, in autocommit: BEGIN and COMMIT are statements, so that they can be in a pipeline."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], lane: Lane) -> None:
        """Play on ``connection`` as ``lane`` says."""
        self._connection = connection
        self._lane = lane

    @property
    def backend(self) -> int:
        """The process in PostgreSQL that serves it."""
        return self._connection.info.backend_pid

    async def _run(self, statements: Sequence[Statement]) -> list[psycopg.AsyncCursor[Any]]:
        """Run all; in a pipeline they are sent together and waited for once."""
        cursors: list[psycopg.AsyncCursor[Any]] = []
        async with AsyncExitStack() as undo:
            if self._lane.pipeline:
                await undo.enter_async_context(self._connection.pipeline())
            for sql, values in statements:
                cursor = self._connection.cursor(binary=True)
                await cursor.execute(cast("LiteralString", sql), self._arguments(sql, values))
                cursors.append(cursor)
        return cursors

    def _arguments(self, sql: str, values: Sequence[Any]) -> Sequence[Any] | None:
        if not values:
            return None
        if not self._lane.packed:
            return [list(cast("Sequence[Any]", v)) if isinstance(v, tuple) else v for v in values]
        return [Packed(pack(value)) for pack, value in zip(packing.packers(sql), values, strict=True)]

    async def load(self, loads: Sequence[Statement]) -> Rows:
        """One round trip, BEGIN included, in a pipeline."""
        _, *cursors = await self._run([_BEGIN, *loads])
        return [await cursor.fetchall() for cursor in cursors]

    async def store(self, recorded: Recorded) -> None:
        """Two round trips for each COPY, one for all else and the COMMIT."""
        for table, columns, rows in recorded.copies:
            sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
            async with self._connection.cursor().copy(cast("LiteralString", sql)) as copy:
                await copy.write(rows)
        await self._run([*recorded.changes, _COMMIT])

    async def end(self) -> None:
        """Commit; a ROLLBACK would make psycopg forget its prepared statements."""
        await self._run([_COMMIT])

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()


async def connect(url: str, lane: Lane) -> Player:
    """Connect; every statement is prepared the first time it is met."""
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, prepare_threshold=0, cursor_factory=psycopg.AsyncRawCursor, options="-c timezone=UTC"
    )
    connection.adapters.register_dumper(Packed, PackedDumper)
    return ByPsycopg(connection, lane)
