"""Delivery of webhooks: events to deliveries, deliveries to endpoints, until they are heard or time runs out.

At least once: a delivery is claimed under a lease, sent, and then noted; whoever dies in between leaves a lease that
ends. Endpoints that answer well, that were never tried, and that fail have places of their own (`Lane`), and one
endpoint gets few places at a time, so a thousand dead endpoints wait for each other and for nobody else.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from random import random
from typing import Final
from uuid import UUID, uuid4

import orjson
import structlog
from prometheus_client import Counter

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.telemetry import Span, entry, new_traceparent
from ledgerlink_payments.connectors.outgoing import Sender, Try
from ledgerlink_payments.domain import objects, webhooks
from ledgerlink_payments.domain.webhooks import DeliveryState, Endpoint, Health, Judgment, Lane
from ledgerlink_payments.store import webhooks as store
from ledgerlink_payments.store.webhooks import Parcel

FAN_OUT_BATCH: Final = 500
PLACES: Final[Mapping[Lane, int]] = {Lane.PROVEN: 64, Lane.UNPROVEN: 32, Lane.FAILING: 32}
"""How many endpoints of each lane are served at a time."""
PER_ENDPOINT: Final = 8
"""How many deliveries one endpoint is sent at a time."""
LEASE: Final = timedelta(seconds=60)
"""Four times as long as one try may take."""
GATHER_S: Final = 0.05
IDLE_S: Final = 0.5
AWAY_S: Final = 2.0
LOG_KEPT: Final = timedelta(days=30)
FORGET_BATCH: Final = 1000
FORGET_EVERY_S: Final = 600.0

_tried = Counter("ledgerlink_payments_webhook_tries_total", "Tries to deliver a webhook", ["lane", "outcome"])
_disabled = Counter("ledgerlink_payments_webhook_endpoints_disabled_total", "Endpoints given up", ["reason"])


async def fan_out(db: Database, clock: Clock) -> int:
    """Write the deliveries of one batch of new events; gives how many events there were."""

    async def body(tx: Tx) -> int:
        return await store.fan_out(tx, clock.now(), FAN_OUT_BATCH)

    return await db.retrying(body)


class Couriers:
    """Serves endpoints side by side. One per process; several processes share the work by leases."""

    def __init__(self, db: Database, clock: Clock, sender: Sender, places: Mapping[Lane, int] = PLACES) -> None:
        """Send through ``sender``, in each lane to at most as many endpoints at a time as it has ``places``."""
        self._db = db
        self._clock = clock
        self._sender = sender
        self._places = places
        self._busy: dict[UUID, tuple[Lane, asyncio.Task[None]]] = {}

    async def run_forever(self, stop: asyncio.Event) -> None:
        """Fan out and deliver until ``stop`` is set; a database that is away is waited for."""
        log = structlog.get_logger()
        forget_at = self._clock.monotonic()
        while not stop.is_set():
            try:
                more = await self.run_once()
                if self._clock.monotonic() >= forget_at:
                    await self.forget()
                    forget_at = self._clock.monotonic() + FORGET_EVERY_S
            except LedgerLinkError as error:
                log.warning("couriers_wait", reason=error.detail)
                await asyncio.sleep(AWAY_S)
                continue
            # Under load there is always something new; what comes within the same moment goes in one batch.
            await (asyncio.sleep(GATHER_S) if more else self._rest(stop))
        await self.finish()

    async def run_once(self) -> bool:
        """Fan out one batch and set couriers off for whatever is due; tells whether there was anything to do."""
        told = await fan_out(self._db, self._clock)
        return await self.dispatch() > 0 or told > 0

    async def dispatch(self) -> int:
        """Set off a courier for every endpoint that something is due for, as far as there are places."""
        started = 0
        for lane, places in self._places.items():
            free = places - sum(1 for taken, _ in self._busy.values() if taken is lane)
            for endpoint, parcels, token in await self._claim(lane, free) if free > 0 else ():
                task = asyncio.create_task(self._serve(endpoint, parcels, token), name=f"webhook {endpoint.id}")
                self._busy[endpoint.id.uuid] = (lane, task)
                task.add_done_callback(lambda _, key=endpoint.id.uuid: self._busy.pop(key, None))
                started += 1
        return started

    async def finish(self) -> None:
        """Wait for the couriers that are under way; each is back after one try at the latest."""
        await asyncio.gather(*(task for _, task in list(self._busy.values())), return_exceptions=True)

    async def forget(self) -> int:
        """Delete deliveries that ended longer than `LOG_KEPT` ago, with their log; gives how many went."""
        before = self._clock.now() - LOG_KEPT

        async def body(tx: Tx) -> int:
            return await store.forget_deliveries(tx, before, FORGET_BATCH)

        return await self._db.retrying(body)

    async def _rest(self, stop: asyncio.Event) -> None:
        """Wait until a courier is back, or a moment."""
        stopping = asyncio.create_task(stop.wait())
        under_way = (task for _, task in self._busy.values())
        await asyncio.wait({stopping, *under_way}, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _claim(self, lane: Lane, free: int) -> list[tuple[Endpoint, list[Parcel], UUID]]:
        now, token = self._clock.now(), uuid4()

        async def body(tx: Tx) -> list[tuple[Endpoint, list[Parcel], UUID]]:
            claimed: list[tuple[Endpoint, list[Parcel], UUID]] = []
            for endpoint_id in await store.ripe_endpoints(tx, lane, list(self._busy), now, free):
                taken = await store.claim(tx, endpoint_id, now, now + LEASE, token, PER_ENDPOINT)
                if taken is not None:
                    claimed.append((*taken, token))
            return claimed

        return await self._db.retrying(body)

    async def _serve(self, endpoint: Endpoint, parcels: list[Parcel], token: UUID) -> None:
        """Take the parcels of one endpoint to it, side by side."""
        results = await asyncio.gather(
            *(self._deliver(endpoint, parcel, token) for parcel in parcels), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                # Not noted, so the lease ends and the delivery is tried again.
                structlog.get_logger().warning("delivery_not_noted", endpoint=str(endpoint.id), reason=str(result))

    async def _deliver(self, endpoint: Endpoint, parcel: Parcel, token: UUID) -> None:
        now = self._clock.now()
        body = orjson.dumps(objects.event(str(parcel.event), parcel.type, parcel.object, parcel.created_at))
        headers = webhooks.signed_headers(endpoint.secrets(now), str(parcel.event), now, body, endpoint.seed)
        parent = parcel.traceparent or new_traceparent()
        with entry(f"delivery-{parcel.delivery}", parent, "deliver_webhook", "internal") as span:
            attempt = await self._sender.send(endpoint.url, headers, body)
            if span is not None:
                _describe(span, endpoint, parcel, attempt)
            structlog.get_logger().info(
                "webhook_tried",
                endpoint=str(endpoint.id),
                delivered=str(parcel.event),
                type=parcel.type,
                tries=parcel.tries,
                status=attempt.outcome.status,
                ms=attempt.duration_ms,
            )
            await note(self._db, self._clock, endpoint, parcel, attempt, token)


def _describe(span: Span, endpoint: Endpoint, parcel: Parcel, attempt: Try) -> None:
    span.set(
        {
            "ledgerlink.endpoint": str(endpoint.id),
            "ledgerlink.event": str(parcel.event),
            "ledgerlink.type": parcel.type,
            "ledgerlink.tries": parcel.tries,
        }
    )
    if not attempt.outcome.success:
        span.fail("not-delivered")


async def note(db: Database, clock: Clock, endpoint: Endpoint, parcel: Parcel, attempt: Try, token: UUID) -> None:
    """Write what came of a try: the log, the delivery's next step, the endpoint's health."""
    now, outcome = clock.now(), attempt.outcome

    async def body(tx: Tx) -> Judgment | None:
        fresh = None if outcome.success else await store.find_endpoint(tx, endpoint.id.uuid)
        if fresh is None and not outcome.success:
            return None  # deleted while it was tried, and its deliveries with it
        health = fresh.health if fresh else Health()
        # Spreading retries needs no secrecy.
        judgment = webhooks.judge(outcome, parcel.tries, health, now, random())  # noqa: S311
        # The endpoint goes before its delivery here as everywhere, so that nobody waits in a circle.
        if fresh is None:
            await store.note_success(tx, endpoint.id.uuid)
        if not await store.end_try(tx, parcel.delivery, token, judgment.state, judgment.next_at, now):
            return None
        await store.log_try(
            tx,
            parcel.delivery,
            tried_at=now,
            duration_ms=attempt.duration_ms,
            status=outcome.status,
            error=outcome.error,
            snippet=attempt.snippet,
        )
        if fresh is not None:
            await store.save_endpoint(tx, fresh.judged(judgment))
        return judgment

    judgment = await db.retrying(body)
    if judgment is None:
        return
    _tried.labels(endpoint.health.lane.value, "delivered" if outcome.success else "failed").inc()
    if judgment.disable is not None and endpoint.status is webhooks.EndpointStatus.ENABLED:
        _disabled.labels(judgment.disable).inc()
    if judgment.state is DeliveryState.EXHAUSTED:
        structlog.get_logger().warning("delivery_exhausted", endpoint=str(endpoint.id), delivered=str(parcel.event))
