"""What the provider does unasked: bring refunds and payouts to their ends, and send its events until they are heard."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from random import random
from typing import Final
from uuid import UUID, uuid4

import structlog
from prometheus_client import Counter

from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Defect
from ledgerlink_kit.telemetry import entry, new_traceparent
from ledgerlink_sandbox import store
from ledgerlink_sandbox.domain import authorizations as law
from ledgerlink_sandbox.domain import movements, notices
from ledgerlink_sandbox.domain.deliveries import retry_after
from ledgerlink_sandbox.domain.faults import delivery_from_metadata
from ledgerlink_sandbox.domain.movements import RefundStatus
from ledgerlink_sandbox.runtime import Runtime
from ledgerlink_sandbox.store import Letter

SETTLE_BATCH: Final = 100
SEND_BATCH: Final = 64
SEND_AT_ONCE: Final = 8
LEASE: Final = timedelta(seconds=120)
"""Longer than a batch takes when the listener never answers, `SEND_BATCH` / `SEND_AT_ONCE` times its patience (80 s);
were it shorter, events would be sent twice for no reason."""
LETTERS_KEPT: Final = timedelta(days=1)
FORGET_BATCH: Final = 1000

_sent = Counter("sandbox_events_sent_total", "Tries to send an event, by how they ended", ["outcome"])


async def settle_due(runtime: Runtime) -> int:
    """Bring refunds and payouts that are due to their ends; say how many were."""
    now = runtime.clock.now()

    async def settle_payouts(tx: Tx) -> int:
        due = await store.claim_due_payouts(tx, now, SETTLE_BATCH)
        for payout in map(movements.settle_payout, due):
            await store.save_payout(tx, payout)
            delivery = delivery_from_metadata(payout.request.metadata)
            await store.record_notice(tx, notices.payout_notice(payout, now), delivery, now)
        return len(due)

    async def settle_one_refund(tx: Tx) -> int:
        # One at a time: a failing refund locks its authorization too, and batches would take those in any order.
        due = await store.claim_due_refunds(tx, now, 1)
        for refund in map(movements.settle_refund, due):
            if refund.status is RefundStatus.FAILED:
                authorization = await store.find_authorization(tx, refund.request.authorization, lock=True)
                if authorization is None:
                    raise Defect("a refund has no authorization")
                await store.save_authorization(tx, law.put_back(authorization, refund.request.amount_minor))
            await store.save_refund(tx, refund)
            delivery = delivery_from_metadata(refund.request.metadata)
            await store.record_notice(tx, notices.refund_notice(refund, now), delivery, now)
        return len(due)

    settled = await runtime.db.retrying(settle_payouts)
    while await runtime.db.retrying(settle_one_refund):
        settled += 1
    return settled


async def forget_letters(runtime: Runtime) -> int:
    """Delete letters that ended long ago; say how many went."""
    before = runtime.clock.now() - LETTERS_KEPT

    async def body(tx: Tx) -> int:
        return await store.forget_letters(tx, before, FORGET_BATCH)

    return await runtime.db.retrying(body)


async def send_due(runtime: Runtime) -> int:
    """Send one batch of events that are due; say how many were tried.

    Claimed under a lease and marked afterwards: a crash in between sends them again, never loses one.
    """
    now, token = runtime.clock.now(), uuid4()

    async def claim(tx: Tx) -> list[Letter]:
        return await store.claim_letters(tx, now, LEASE, token, SEND_BATCH)

    letters = await runtime.db.retrying(claim)
    if not letters:
        return 0
    gate = asyncio.Semaphore(SEND_AT_ONCE)

    async def send(letter: Letter) -> str | None:
        parent = letter.traceparent or new_traceparent()
        async with gate:
            with entry(letter.message_id, parent, "send_event", "internal"):
                return await runtime.listener.tell(letter.message_id, letter.body, runtime.clock.now())

    failures = await asyncio.gather(*(send(letter) for letter in letters))
    await _note(runtime, letters, failures, token)
    return len(letters)


async def _note(runtime: Runtime, letters: Sequence[Letter], failures: Sequence[str | None], token: UUID) -> None:
    """Write down how each try ended: heard, to be tried again, or given up."""
    now, log = runtime.clock.now(), structlog.get_logger()
    heard: list[UUID] = []
    given_up: list[UUID] = []
    again: list[tuple[Letter, timedelta]] = []
    for letter, failure in zip(letters, failures, strict=True):
        # Spreading retries needs no secrecy.
        wait = retry_after(letter.tries, random())  # noqa: S311
        if failure is None:
            heard.append(letter.id)
        elif wait is None:
            given_up.append(letter.id)
            log.error("event_given_up", message_id=letter.message_id, tries=letter.tries, why=failure)
        else:
            again.append((letter, wait))

    async def body(tx: Tx) -> None:
        await store.end_letters(tx, heard, token, now, "delivered")
        await store.end_letters(tx, given_up, token, now, "given_up")
        for letter, wait in again:
            await store.postpone_letter(tx, letter, token, now + wait)

    await runtime.db.retrying(body)
    _sent.labels("heard").inc(len(heard))
    _sent.labels("failed").inc(len(again) + len(given_up))
