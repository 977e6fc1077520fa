"""Events to say: written with the effect, carried to Redis Streams by the relay.

`record` writes the outbox row in the command's own transaction. The relay claims rows with ``FOR UPDATE SKIP LOCKED``
under a lease, publishes them in order, and marks them. Delivery is at least once, in order per aggregate; a consumer
writes its inbox row with its effect.

Redis is never the only copy: published rows stay for a week, and when the relay sees that Redis has lost its memory (a
wipe, a fail-over, a restart without persistence) it publishes them again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple
from uuid import UUID, uuid4

import orjson
import structlog
from prometheus_client import Counter, Gauge
from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.limits import OUTBOX_BATCH, OUTBOX_RETENTION_S, STREAM_UNREAD_MAX
from ledgerlink_kit.redis_client import RedisClient
from ledgerlink_kit.telemetry import (
    Span,
    Value,
    begin,
    error_type,
    is_recorded,
    new_traceparent,
    request_context,
    traceparent,
)

_LEASE_S: Final = 30
_ROWS_AT_ONCE: Final = 25  # a row may stand for many events, and the worker's other tasks want their turn
_IDLE_S: Final = 0.2
_AWAY_S: Final = 1.0
_TIDY_EVERY_S: Final = 60.0
_MEASURE_EVERY_S: Final = 5.0

_published = Counter("ledgerlink_outbox_published_total", "Events carried to the stream", ["service"])
_lag = Gauge("ledgerlink_outbox_lag_seconds", "Age of the oldest event not yet published", ["service"])
_republished = Counter("ledgerlink_outbox_republished_total", "Events said again after Redis lost them", ["service"])


class Event(BaseModel):
    """A past-tense fact. Subclasses name their type (``wallet.transfer.posted``) and the version of their data."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    event_type: ClassVar[str]
    data_version: ClassVar[int] = 1


_RECORD: Final = text(
    "INSERT INTO outbox (id, aggregate, type, version, data, traceparent, occurred_at) "
    "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:aggregates AS text[]), CAST(:types AS text[]), "
    "CAST(:versions AS smallint[]), CAST(:data AS json[]), CAST(:traces AS text[]), CAST(:times AS timestamptz[]))"
)


async def record(tx: Tx, event: Event, *, aggregate: str, now: datetime) -> UUID:
    """Write one event to the outbox in the caller's transaction; gives its id.

    ``aggregate`` is the wire id of the thing that changed: events of one aggregate keep their order.
    """
    return (await record_all(tx, [(event, aggregate)], now=now))[0]


async def record_all(tx: Tx, events: Sequence[tuple[Event, str]], *, now: datetime) -> list[UUID]:
    """Write several ``(event, aggregate)`` in one statement, in their order; gives their ids."""
    ids = [uuid7(now) for _ in events]
    trace = traceparent() or new_traceparent()
    await tx.execute(
        _RECORD,
        {
            "ids": ids,
            "aggregates": [aggregate for _, aggregate in events],
            "types": [event.event_type for event, _ in events],
            "versions": [event.data_version for event, _ in events],
            "data": [event.model_dump_json() for event, _ in events],
            "traces": [trace] * len(events),
            "times": [now] * len(events),
        },
    )
    return ids


# An advisory lock makes claims one after the other, so that a second relay sees the leases of the first: a row waits
# while an earlier row of its aggregate is on its way.
_CLAIM_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('outbox-claim'))")
_CLAIM: Final = text(
    "WITH due AS (SELECT o.seq FROM outbox o WHERE o.published_at IS NULL "
    "AND (o.lease_until IS NULL OR o.lease_until < now()) "
    "AND NOT EXISTS (SELECT FROM outbox e WHERE e.aggregate = o.aggregate AND e.seq < o.seq "
    "AND e.published_at IS NULL AND e.lease_until >= now()) "
    "ORDER BY o.seq LIMIT :batch FOR UPDATE OF o SKIP LOCKED) "
    "UPDATE outbox SET lease_until = now() + make_interval(secs => :lease_s) FROM due WHERE outbox.seq = due.seq "
    "RETURNING outbox.seq, id, aggregate, type, version, data::text AS data, traceparent, occurred_at"
)
_MARK: Final = text("UPDATE outbox SET published_at = now(), lease_until = NULL WHERE seq = ANY(:seqs)")
_FREE: Final = text("UPDATE outbox SET lease_until = NULL WHERE seq = ANY(:seqs) AND published_at IS NULL")
_OLDEST: Final = text("SELECT extract(epoch FROM now() - min(occurred_at)) FROM outbox WHERE published_at IS NULL")
_EPOCH: Final = text("SELECT epoch FROM relay_state WHERE name = 'outbox'")
_SET_EPOCH: Final = text(
    "INSERT INTO relay_state (name, epoch) VALUES ('outbox', :epoch) "
    "ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch"
)
_SAY_AGAIN: Final = text(
    "UPDATE outbox SET published_at = NULL WHERE published_at > now() - make_interval(secs => :horizon_s)"
)
_FORGET: Final = text("DELETE FROM outbox WHERE published_at < now() - make_interval(secs => :horizon_s)")


class Said(NamedTuple):
    """An event as it goes out; ``data`` is JSON."""

    id: UUID
    aggregate: str
    type: str
    version: int
    traceparent: str
    occurred_at: datetime
    data: str


Teller = Callable[[AsyncConnection, Sequence[Row[Any]]], Awaitable[Mapping[UUID, Sequence[Said]]]]
"""Says what outbox rows stand for, by their ids: one may stand for many events that are told from facts (ADR 0084)."""


class Relay:
    """Carries one service's outbox to its stream, ``events:<service>``."""

    def __init__(
        self,
        db: Database,
        redis: RedisClient,
        *,
        service: str,
        clock: Clock,
        readers: Sequence[str],
        tellers: Mapping[str, Teller] | None = None,
    ) -> None:
        """Carry from ``db`` to ``redis`` for ``readers`` (names of services).

        ``tellers``, by type, say what a row stands for that is no event itself.
        """
        self._readers = readers
        self._tellers = tellers or {}
        self._db = db
        self._redis = redis
        self._service = service
        self._clock = clock
        self._stream = stream_of(service)
        self._marker = f"outbox:{service}:epoch"
        self._epoch: str | None = None
        self._tidied = float("-inf")

    async def run_forever(self, stop: asyncio.Event) -> None:
        """Carry and measure until ``stop`` is set; an absent Redis or database is waited for."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._carry(stop))
            both.create_task(self._watch_lag(stop))

    async def _carry(self, stop: asyncio.Event) -> None:
        log = structlog.get_logger()
        while not stop.is_set():
            try:
                carried = await self.run_once()
                await self._tidy()
                pause = 0.0 if carried else _IDLE_S
            except (RedisError, OSError, LedgerLinkError) as error:
                log.warning("relay_waits", reason=str(error))
                pause = _AWAY_S
            if pause:
                await _sleep(stop, pause)

    async def run_once(self) -> int:
        """Carry one batch; gives how many events it held."""
        await self._notice_loss()
        async with self._db.transaction() as tx:
            await tx.execute(_CLAIM_LOCK)
            claimed = (await tx.execute(_CLAIM, {"batch": OUTBOX_BATCH, "lease_s": _LEASE_S})).all()
        if not claimed:
            return 0
        rows = sorted(claimed, key=lambda row: row.seq)
        seqs = [row.seq for row in rows]
        carried = 0
        try:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                said = await self._tell(rows[start : start + _ROWS_AT_ONCE])
                await self._publish(said)
                carried += len(said)
        except (RedisError, OSError, LedgerLinkError):
            async with self._db.transaction() as tx:
                await tx.execute(_FREE, {"seqs": seqs})
            raise
        async with self._db.transaction() as tx:
            await tx.execute(_MARK, {"seqs": seqs})
        _published.labels(self._service).inc(carried)
        return carried

    async def _publish(self, said: Sequence[Said]) -> None:
        """Carry events to the stream, in their order."""
        spans = {one.id: span for one in said if (span := self._span(one)) is not None}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for one in said:
                    trace = spans[one.id].traceparent if one.id in spans else one.traceparent
                    pipe.xadd(self._stream, {"event": _envelope(one, self._service, trace)})
                await pipe.execute()
        except (RedisError, OSError) as error:
            for span in spans.values():
                span.fail(error_type(error))
                span.end()
            raise
        for one in said:
            if one.id in spans:
                _note(one, spans[one.id])

    def _span(self, said: Said) -> Span | None:
        """Begin the span of an event's publication, by the semantic conventions, if its trace is recorded."""
        if not is_recorded(said.traceparent):
            return None
        described: dict[str, Value] = {
            "messaging.system": "redis",
            "messaging.operation.name": "xadd",
            "messaging.operation.type": "send",
            "messaging.destination.name": self._stream,
            "messaging.message.id": str(said.id),
            "cloudevents.event_type": said.type,
            "cloudevents.event_subject": said.aggregate,
        }
        return begin(f"send {self._stream}", "producer", described, parent=said.traceparent)

    async def _tell(self, rows: Sequence[Row[Any]]) -> list[Said]:
        """Give the events that ``rows`` stand for, in their order."""
        told: dict[UUID, Sequence[Said]] = {}
        for kind, teller in self._tellers.items():
            wanted = [row for row in rows if row.type == kind]
            if wanted:
                async with self._db.reading() as view:
                    told |= await teller(view, wanted)
        return [one for row in rows for one in (told[row.id] if row.type in self._tellers else (_itself(row),))]

    async def _notice_loss(self) -> None:
        """Compare Redis's marker with ours; when it is another memory, mark what it may have lost as unsaid."""
        marker = await self._redis.get(self._marker)
        if self._epoch is None:
            async with self._db.reading() as view:
                self._epoch = await view.scalar(_EPOCH)
        if marker is not None and marker.decode() == self._epoch:
            return
        run = (await self._redis.info("server"))["run_id"]
        fresh = f"{run}:{uuid4().hex}"
        async with self._db.transaction() as tx:
            again = await tx.execute(_SAY_AGAIN, {"horizon_s": OUTBOX_RETENTION_S})
            await tx.execute(_SET_EPOCH, {"epoch": fresh})
        await self._redis.set(self._marker, fresh)
        self._epoch = fresh
        if again.rowcount:
            _republished.labels(self._service).inc(again.rowcount)
            structlog.get_logger().warning("redis_lost_events", said_again=again.rowcount)

    async def measure(self) -> float:
        """Read the age of the oldest event that waits, in seconds, and set its gauge."""
        async with self._db.reading() as view:
            oldest = await view.scalar(_OLDEST)
        age_s = max(0.0, float(oldest or 0))  # a clock ahead of the database's must not look like a lead
        _lag.labels(self._service).set(age_s)
        return age_s

    async def _watch_lag(self, stop: asyncio.Event) -> None:
        """Measure beside the carrying: when Redis is away, or hangs, the lag is what an alert must see grow."""
        while not stop.is_set():
            try:
                await self.measure()
            except (OSError, LedgerLinkError) as error:
                structlog.get_logger().warning("lag_unmeasured", reason=str(error))
            await _sleep(stop, _MEASURE_EVERY_S)

    async def _tidy(self) -> None:
        """Once a minute: forget old rows, and cut what every group has read from the stream."""
        if self._clock.monotonic() - self._tidied < _TIDY_EVERY_S:
            return
        self._tidied = self._clock.monotonic()
        async with self._db.transaction() as tx:
            await tx.execute(_FORGET, {"horizon_s": OUTBOX_RETENTION_S})
        await trim(self._redis, self._stream, self._readers)


async def trim(redis: RedisClient, stream: str, readers: Sequence[str]) -> None:
    """Cut the entries of ``stream`` that every consumer group has read and acknowledged.

    Nothing is cut before all ``readers`` have made their groups: after a loss of Redis they come back one by one. Of a
    stream that nobody reads only the newest stay, or Redis would fill up for nobody.
    """
    if not await redis.exists(stream):
        return
    groups = await redis.xinfo_groups(stream)
    if set(readers) - {group["name"].decode() for group in groups}:
        return
    floors: list[bytes] = []
    for group in groups:
        pending = await redis.xpending(stream, group["name"])
        floors.append(pending["min"] if pending["pending"] else group["last-delivered-id"])
    if floors:
        await redis.xtrim(stream, minid=min(floors, key=_entry_order), approximate=True)
    else:
        await redis.xtrim(stream, maxlen=STREAM_UNREAD_MAX, approximate=True)


def stream_of(service: str) -> str:
    """Give the name of the stream that carries the events of ``service``."""
    return f"events:{service}"


def _entry_order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.decode().partition("-")
    return int(milliseconds), int(sequence or 0)


def _itself(row: Row[Any]) -> Said:
    return Said(row.id, row.aggregate, row.type, row.version, row.traceparent, row.occurred_at, row.data)


def _note(said: Said, span: Span) -> None:
    """End the span of an event that is published, and log it; without a span a line for each would be too much."""
    span.end()
    with request_context(f"event-{said.id}", span.traceparent):
        structlog.get_logger().info("event_published", type=said.type, event_id=str(said.id))


def _envelope(said: Said, service: str, trace: str) -> bytes:
    """Write the event in CloudEvents 1.0 terms (JSON format), with the distributed-tracing extension."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{said.id}",
            "source": f"/ledgerlink/{service}",
            "type": said.type,
            "dataversion": said.version,
            "subject": said.aggregate,
            "time": said.occurred_at.isoformat(),
            "traceparent": trace,
            "data": orjson.Fragment(said.data),
        }
    )


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
