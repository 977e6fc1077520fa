"""Events heard: each has its effect once, whatever is delivered twice or out of order.

A consumer reads the streams of other services through its own consumer group. The handler runs in the transaction that
writes the inbox row; a second delivery finds the row and does nothing. An event whose handler keeps failing is laid
aside as dead, with its error, where an alert and a person find it.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import text

from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import LedgerLinkError, Unavailable
from ledgerlink_kit.limits import INBOX_BATCH, INBOX_TRIES_MAX
from ledgerlink_kit.outbox import stream_of
from ledgerlink_kit.redis_client import RedisClient
from ledgerlink_kit.telemetry import Span, entry, error_type

_BLOCK_MS: Final = 1000
_AWAY_S: Final = 1.0
_RETRY_AFTER_MS: Final = 15_000

_handled = Counter("ledgerlink_inbox_handled_total", "Events whose effect is recorded", ["service", "type"])
_dead = Counter("ledgerlink_inbox_dead_total", "Events laid aside after too many tries", ["service", "type"])


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event as it travels (CloudEvents 1.0 terms); ``subject`` is the wire id of what changed."""

    id: UUID
    type: str
    version: int
    source: str
    subject: str
    time: datetime
    traceparent: str
    data: dict[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> "Envelope":
        """Read the JSON that the relay wrote."""
        body = orjson.loads(raw)
        return cls(
            id=UUID(body["id"]),
            type=body["type"],
            version=body["dataversion"],
            source=body["source"],
            subject=body["subject"],
            time=datetime.fromisoformat(body["time"]),
            traceparent=body["traceparent"],
            data=body["data"],
        )


Handler = Callable[[Tx, Envelope], Awaitable[None]]

_ADMIT: Final = text(
    "INSERT INTO inbox (event_id, type, state) VALUES (:id, :type, 'done') ON CONFLICT DO NOTHING RETURNING true"
)
_LAY_ASIDE: Final = text(
    "INSERT INTO inbox (event_id, type, state, error, envelope) "
    "VALUES (:id, :type, 'dead', :error, CAST(:envelope AS jsonb)) ON CONFLICT DO NOTHING"
)


async def receive(db: Database, envelope: Envelope, handler: Handler) -> bool:
    """Give ``envelope`` its effect unless it had it before; says whether it was new."""

    async def body(tx: Tx) -> bool:
        admitted = await tx.execute(_ADMIT, {"id": envelope.id, "type": envelope.type})
        if admitted.first() is None:
            return False
        await handler(tx, envelope)
        return True

    return await db.retrying(body)


class Consumer:
    """Hears the events of other services for one service."""

    def __init__(
        self,
        db: Database,
        redis: RedisClient,
        *,
        service: str,
        streams: Sequence[str],
        handlers: Mapping[str, Handler],
    ) -> None:
        """Hear ``streams`` (names of services) and give each event type in ``handlers`` its effect in ``db``."""
        self._db = db
        self._redis = redis
        self._service = service
        self._streams = [stream_of(name) for name in streams]
        self._handlers = handlers
        self._name = f"{socket.gethostname()}-{os.getpid()}"

    async def run_forever(self, stop: asyncio.Event) -> None:
        """Hear until ``stop`` is set; an absent Redis or database is waited for."""
        log = structlog.get_logger()
        while not stop.is_set():
            try:
                await self.run_once(_BLOCK_MS)
            except (RedisError, OSError, LedgerLinkError) as error:
                if "NOGROUP" in str(error):
                    await self._make_groups()
                    continue
                log.warning("consumer_waits", reason=str(error))
                await asyncio.sleep(_AWAY_S)

    async def run_once(self, block_ms: int | None = None) -> int:
        """Handle one batch of new events and those that were left unfinished; gives how many were read."""
        read = 0
        try:
            for stream in self._streams:
                read += await self._handle_all(stream, await self._left_unfinished(stream))
            fresh = await self._redis.xreadgroup(
                self._service, self._name, dict.fromkeys(self._streams, ">"), count=INBOX_BATCH, block=block_ms
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_groups()
            return await self.run_once(block_ms)
        for stream, entries in _by_stream(fresh):
            read += await self._handle_all(stream, entries)
        return read

    async def _make_groups(self) -> None:
        for stream in self._streams:
            try:
                await self._redis.xgroup_create(stream, self._service, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _left_unfinished(self, stream: str) -> list[Any]:
        claimed = await self._redis.xautoclaim(
            stream, self._service, self._name, min_idle_time=_RETRY_AFTER_MS, count=INBOX_BATCH
        )
        return [entry for entry in claimed[1] if entry[1]]

    async def _handle_all(self, stream: str, entries: Sequence[Any]) -> int:
        for entry_id, fields in entries:
            if await self._handle(stream, entry_id, Envelope.parse(fields[b"event"])):
                await self._redis.xack(stream, self._service, entry_id)
        return len(entries)

    async def _handle(self, stream: str, entry_id: bytes, envelope: Envelope) -> bool:
        """Give one event its effect; says whether it is finished with."""
        handler = self._handlers.get(envelope.type)
        if handler is None:
            return True
        log = structlog.get_logger()
        started = time.perf_counter()
        with entry(f"event-{envelope.id}", envelope.traceparent, f"process {stream}", "consumer") as span:
            if span is not None:
                self._describe(span, stream, envelope)
            try:
                await receive(self._db, envelope, handler)
                ms = round((time.perf_counter() - started) * 1000, 2)
                log.info("event_handled", type=envelope.type, event_id=str(envelope.id), ms=ms)
            except Unavailable:
                # The database is away or busy: that says nothing about the event; wait, and count no try.
                raise
            except Exception as error:
                if span is not None:
                    span.fail(error_type(error))
                tries = await self._tries(stream, entry_id)
                log.exception("event_failed", type=envelope.type, event_id=str(envelope.id), tries=tries)
                if tries < INBOX_TRIES_MAX:
                    return False
                await self._lay_aside(envelope, error)
        _handled.labels(self._service, envelope.type).inc()
        return True

    def _describe(self, span: Span, stream: str, envelope: Envelope) -> None:
        """Describe the handling of an event by the semantic conventions for messaging and CloudEvents."""
        span.set(
            {
                "messaging.system": "redis",
                "messaging.operation.name": "xreadgroup",
                "messaging.operation.type": "process",
                "messaging.destination.name": stream,
                "messaging.consumer.group.name": self._service,
                "messaging.message.id": str(envelope.id),
                "cloudevents.event_type": envelope.type,
                "cloudevents.event_subject": envelope.subject,
            }
        )

    async def _tries(self, stream: str, entry_id: bytes) -> int:
        pending = await self._redis.xpending_range(stream, self._service, entry_id, entry_id, 1)
        return int(pending[0]["times_delivered"]) if pending else 1

    async def _lay_aside(self, envelope: Envelope, error: Exception) -> None:
        row = {
            "id": envelope.id,
            "type": envelope.type,
            "error": f"{type(error).__name__}: {error}"[:2000],
            "envelope": orjson.dumps(
                {"subject": envelope.subject, "data": envelope.data, "time": envelope.time}
            ).decode(),
        }
        async with self._db.transaction() as tx:
            await tx.execute(_LAY_ASIDE, row)
        _dead.labels(self._service, envelope.type).inc()


def _by_stream(fresh: Any) -> list[tuple[str, Sequence[Any]]]:
    """Read redis-py's answer, a list of pairs in RESP2 and a mapping in RESP3."""
    pairs = fresh.items() if isinstance(fresh, dict) else (fresh or [])  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    listed: list[tuple[str, Sequence[Any]]] = []
    for name, entries in pairs:  # pyright: ignore[reportUnknownVariableType]
        # RESP3 nests the entries of one stream in a list of their own.
        flat = entries[0] if entries and isinstance(entries[0], list) and not isinstance(entries[0], tuple) else entries  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        listed.append((name.decode(), flat))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return listed
