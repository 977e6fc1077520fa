"""The committer: every write of the ledger passes through it, in batches, one commit each.

A row lock is held until the write-ahead log is flushed, so one commit per transfer makes a hot account slow; a batch
shares the flush. Commands wait in a bounded queue; while one batch commits the next one gathers, without any timer, so
a command alone is a batch of one and load makes batches grow. Nobody is answered before the commit is durable.

When the commit's answer is lost, the batch is run again: its ids find the outcomes that were committed, so nothing is
done twice and nobody is answered from hope. A batch that breaks on one command is run command by command, so that the
bad one breaks alone.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, cast

import asyncpg
import structlog
from prometheus_client import Counter as CounterMetric
from prometheus_client import Gauge, Histogram

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Defect, LedgerLinkError, Unavailable
from ledgerlink_kit.limits import TRANSACTION_TRIES_MAX
from ledgerlink_kit.sql_spans import Watched, statement_span
from ledgerlink_kit.telemetry import (
    Span,
    new_traceparent,
    recorded_traceparent,
    request_id,
    shared_span,
    span,
    traceparent,
)
from ledgerlink_wallet.commands import batch
from ledgerlink_wallet.commands.batch import Asked
from ledgerlink_wallet.domain.orders import Command
from ledgerlink_wallet.runtime import Answer, Owners
from ledgerlink_wallet.store import Tx

POSTINGS_PER_BATCH_MAX: Final = 5_000
"""Postings in one commit; a batch ends before the command that would pass it."""

PATIENCE_S: Final = 5.0
"""How long a batch waits for an absent database before its callers are told to come back."""

_PAUSE_S: Final = 0.1

_CONFLICTS: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,  # another process opened the same account or used the same id a moment before
)
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server died in the middle of an operation: "cannot switch to state …"
    asyncpg.OperatorInterventionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
    OSError,
    TimeoutError,
)

_batch_size = Histogram(
    "ledgerlink_wallet_batch_commands",
    "Commands that one commit carried",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
)
_commit_seconds = Histogram(
    "ledgerlink_wallet_batch_seconds",
    "Time from taking a batch to its durable commit",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_queue_depth = Gauge("ledgerlink_wallet_queue_commands", "Commands that wait for the committer")
_queue_limit = Gauge("ledgerlink_wallet_queue_limit_commands", "Commands that may wait for the committer at the most")
_reruns = CounterMetric("ledgerlink_wallet_batch_reruns_total", "Batches that were run again", ["reason"])
_commands = CounterMetric("ledgerlink_wallet_commands_total", "Commands carried out", ["command", "status"])
_refusals = CounterMetric("ledgerlink_wallet_refusals_total", "Commands refused, by code", ["code"])
_replays = CounterMetric("ledgerlink_wallet_idempotency_replays_total", "Commands answered from memory")


Told = Answer | LedgerLinkError
"""What becomes of a command: its answer, or the error that kept it from having one."""


class _Waiting(NamedTuple):
    """Commands that somebody waits for together."""

    asked: Sequence[Asked]
    told: "asyncio.Future[Sequence[Told]]"
    span: Span | None


class Committer:
    """Takes commands from many callers and commits them in batches, one batch at a time."""

    def __init__(
        self,
        open_pool: Callable[[], Awaitable[asyncpg.Pool]],
        clock: Clock,
        owners: Owners,
        *,
        queue_max: int = 10_000,
        batch_max: int = 1_000,
        database: str = "wallet",
    ) -> None:
        """Commit over the pool of ``open_pool``; at most ``queue_max`` commands wait, ``batch_max`` share a commit.

        ``database`` is how spans name it.
        """
        self._database = database
        self._open_pool = open_pool
        self._pool: asyncpg.Pool | None = None
        self._clock = clock
        self._owners = owners
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._seen = batch.Seen()
        self._queue: deque[_Waiting] = deque()
        self._queued = 0
        self._news = asyncio.Event()
        self._stopping = False
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to commit."""
        self._pool = await self._open_pool()
        _queue_limit.set(self._queue_max)
        _queue_depth.set_function(lambda: self._queued)
        self._loop = asyncio.create_task(self._run(), name="committer")

    async def stop(self) -> None:
        """Take no more commands, finish those that wait, and end."""
        self._stopping = True
        self._news.set()
        if self._loop is not None:
            await self._loop
        if self._pool is not None:
            await self._pool.close()

    async def check(self) -> None:
        """Raise `Unavailable` when nothing is being committed (for readiness)."""
        if self._loop is None or self._loop.done():
            raise Unavailable("committer-stopped", "The ledger takes no commands now; try again.")

    async def submit(self, command: Command) -> Answer:
        """Carry out ``command`` with whoever else asks meanwhile; answers once that is durable.

        Raises `Unavailable` when the queue is full or the database is away (``outcome_unknown`` tells whether the
        command may have been carried out: send it again with its id), `Defect` when the ledger cannot do it.
        """
        (told,) = await self.submit_all([command])
        if isinstance(told, LedgerLinkError):
            raise told
        return told

    async def submit_all(self, commands: Sequence[Command]) -> Sequence[Told]:
        """Carry out ``commands``, each for itself, in one commit where it holds them; gives what became of each.

        One refused or broken does not touch its neighbors. Raises `Unavailable` when the queue is full; an empty one
        takes any number.
        """
        if self._stopping or (self._queued and self._queued + len(commands) > self._queue_max):
            raise Unavailable("ledger-busy", f"{self._queued} commands wait already; try again in a moment.")
        with span("await commit", commands=len(commands)) as waits:
            request, trace = request_id(), traceparent() or new_traceparent()
            told = asyncio.get_running_loop().create_future
            waiting = [
                _Waiting([Asked(command, request, trace) for command in lot], told(), waits)
                for lot in self._lots(commands)
            ]
            self._queue.extend(waiting)
            self._queued += len(commands)
            self._news.set()
            return [told for each in waiting for told in await each.told]

    def _lots(self, commands: Sequence[Command]) -> list[list[Command]]:
        """Cut ``commands`` into what one commit holds each."""
        lots: list[list[Command]] = []
        postings = 0
        for command in commands:
            more = batch.postings_of(command)
            if not lots or len(lots[-1]) >= self._batch_max or postings + more > POSTINGS_PER_BATCH_MAX:
                lots.append([])
                postings = 0
            lots[-1].append(command)
            postings += more
        return lots

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._stopping:
                    return
                self._news.clear()
                await self._news.wait()
                continue
            await self._commit(self._take())

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        commands = postings = 0
        while self._queue:
            asked = self._queue[0].asked
            commands += len(asked)
            postings += sum(batch.postings_of(one.command) for one in asked)
            if taken and (commands > self._batch_max or postings > POSTINGS_PER_BATCH_MAX):
                break
            taken.append(self._queue.popleft())
            self._queued -= len(asked)
        return taken

    async def _commit(self, waiting: Sequence[_Waiting]) -> None:
        asked = [one for each in waiting for one in each.asked]
        _batch_size.observe(len(asked))
        spans = [each.span for each in waiting if each.span is not None]
        with _commit_seconds.time(), shared_span("commit batch", spans, commands=len(asked)):
            told = await self._carried_out(asked)
        _count(asked, told)
        start = 0
        for each in waiting:
            end = start + len(each.asked)
            # A caller who has gone away hears nothing; what was done stands under its id.
            if not each.told.done():
                each.told.set_result(told[start:end])
            start = end

    async def _carried_out(self, asked: Sequence[Asked]) -> Sequence[Told]:
        """Commit ``asked``; a batch that breaks is run command by command, so that only those that break it break."""
        try:
            return await self._durably(asked)
        except Unavailable as error:
            return [error] * len(asked)
        except Exception as error:  # noqa: BLE001 - whatever breaks a batch must not break the committer
            if len(asked) == 1:
                return [_broken(asked[0], error)]
        _reruns.labels("poisoned").inc()
        return [told for one in asked for told in await self._carried_out([one])]

    async def _durably(self, asked: Sequence[Asked]) -> list[Answer]:
        """Run the batch until its commit is known to be durable, or patience ends."""
        assert self._pool is not None
        deadline = self._clock.monotonic() + PATIENCE_S
        conflicts = 0
        unknown = False
        while True:
            trial = _Trial(self._database)
            try:
                async with self._pool.acquire() as connection:
                    return await trial.run(connection, asked, self._owners, self._seen, self._clock)
            except _CONFLICTS as error:
                conflicts += 1
                _reruns.labels("conflict").inc()
                if conflicts >= TRANSACTION_TRIES_MAX and isinstance(error, asyncpg.UniqueViolationError):
                    raise
                if conflicts >= TRANSACTION_TRIES_MAX:
                    raise Unavailable(
                        "transaction-conflict", "Too many changes to the same accounts at once."
                    ) from error
                # Jitter keeps two processes that collided from meeting again; it needs no secrecy.
                await asyncio.sleep(random.uniform(0.002, 0.02) * conflicts)  # noqa: S311
            except _AWAY as error:
                # After a lost commit only the ids can tell; running the batch again asks them.
                unknown = unknown or trial.committing
                _reruns.labels("away").inc()
                if self._clock.monotonic() > deadline:
                    raise Unavailable(
                        "ledger-unavailable",
                        "The ledger's database is away; send this again with the same id.",
                        2,
                        outcome_unknown=unknown,
                    ) from error
                await asyncio.sleep(_PAUSE_S)


class _Trial:
    """One run of a batch; ``committing`` tells afterwards whether its commit was sent."""

    def __init__(self, database: str) -> None:
        self.committing = False
        self._database = database

    async def run(
        self,
        connection: "asyncpg.pool.PoolConnectionProxy",
        asked: Sequence[Asked],
        owners: Owners,
        seen: batch.Seen,
        clock: Clock,
    ) -> list[Answer]:
        transaction = connection.transaction()
        await transaction.start()
        tx: Tx = connection if recorded_traceparent() is None else cast(Tx, Watched(connection, self._database))
        try:
            done = await batch.run(tx, asked, owners, seen, clock)
        except BaseException:
            # When the connection is gone the transaction is gone with it; what made us roll back is the news.
            with suppress(*_AWAY):
                await transaction.rollback()
            raise
        self.committing = True
        with statement_span("COMMIT", self._database):
            await transaction.commit()
        seen.keep(done.accounts)
        return done.answers


def _name(asked: Asked) -> str:
    return type(asked.command).__name__


def _broken(asked: Asked, error: Exception) -> LedgerLinkError:
    if isinstance(error, LedgerLinkError):
        return error
    structlog.get_logger().error("command_broke", command=_name(asked), exc_info=error)
    return Defect(f"{type(error).__name__}: {error}")


def _count(asked: Sequence[Asked], told: Sequence[Told]) -> None:
    answers = [(one, answer) for one, answer in zip(asked, told, strict=True) if isinstance(answer, Answer)]
    for (name, status), times in Counter((_name(one), answer.status) for one, answer in answers).items():
        _commands.labels(name, str(status)).inc(times)
    _replays.inc(sum(answer.replayed for _, answer in answers))
    for refusal, times in Counter(answer.refusal for _, answer in answers if answer.refusal is not None).items():
        _refusals.labels(refusal.value).inc(times)
