"""asyncpg, as the committer and its store use it: a transaction, fetches, one statement of CTEs, COPYs, a commit."""

from collections.abc import Sequence
from io import BytesIO

import asyncpg
from asyncpg.transaction import Transaction

from bench.drivers.playing import Lane, Player, Rows
from bench.drivers.recorded import Recorded, Statement


class ByAsyncpg(Player):
    """One connection."""

    def __init__(self, connection: asyncpg.Connection, *, pooled: bool) -> None:
        """Play on ``connection``; ``pooled`` resets it after each batch, as an asyncpg pool does unless told not to."""
        self._connection = connection
        self._pooled = pooled
        self._transaction: Transaction | None = None

    @property
    def backend(self) -> int:
        """The process in PostgreSQL that serves it."""
        return self._connection.get_server_pid()

    async def load(self, loads: Sequence[Statement]) -> Rows:
        """One round trip each."""
        self._transaction = self._connection.transaction()
        await self._transaction.start()
        return [[tuple(row) for row in await self._connection.fetch(sql, *values)] for sql, values in loads]

    async def store(self, recorded: Recorded) -> None:
        """One round trip each; a COPY has two."""
        for sql, values in recorded.changes:
            await self._connection.execute(sql, *values)
        for table, columns, rows in recorded.copies:
            await self._connection.copy_to_table(table, source=BytesIO(rows), columns=columns, format="binary")
        await self.end()

    async def end(self) -> None:
        """Commit."""
        assert self._transaction is not None
        await self._transaction.commit()
        if self._pooled:
            await self._connection.reset()

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()


async def connect(url: str, lane: Lane) -> Player:
    """Connect as `ledgerlink_wallet.store.open_pool` does."""
    return ByAsyncpg(await asyncpg.connect(url, server_settings={"timezone": "UTC"}), pooled=lane.pooled)
