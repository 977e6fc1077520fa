"""News from outside: what providers tell by webhook, and what a person answers to a review.

News is a hint, never the truth. It makes the row that it is about due, and whoever takes the row up asks the provider
how things stand. So any order and any number of the same news end in the same state and the same postings.
"""

from typing import Final

import structlog
from prometheus_client import Counter

from ledgerlink_contracts.ids import AttemptId, PayoutId, RefundId
from ledgerlink_contracts.risk.events import CaseResolved
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.ids import InvalidId, TypedId
from ledgerlink_kit.inbox import Envelope
from ledgerlink_kit.telemetry import span
from ledgerlink_payments import store, tables
from ledgerlink_payments.connectors import ProviderEvent, Subject
from ledgerlink_payments.domain.machines import AttemptState
from ledgerlink_payments.runtime import Runtime

# A refund or a payout can still fail after it has succeeded; an attempt that ended stays ended.
_ENDED: Final = tuple(
    state.value for state in (AttemptState.CAPTURED, AttemptState.VOIDED, AttemptState.DECLINED, AttemptState.FAILED)
)
# Before a review is written its answer can be there already.
_NOT_IN_REVIEW: Final = tuple(
    state.value for state in AttemptState if state not in {AttemptState.CREATED, AttemptState.IN_REVIEW}
)
_ABOUT: Final[dict[Subject, tuple[type[TypedId], store.Workable, tuple[str, ...]]]] = {
    Subject.AUTHORIZATION: (AttemptId, tables.attempts, _ENDED),
    Subject.REFUND: (RefundId, tables.refunds, ("failed",)),
    Subject.PAYOUT: (PayoutId, tables.payouts, ("failed",)),
}

_received = Counter(
    "ledgerlink_payments_provider_events_total", "Webhooks of providers by effect", ["connector", "outcome"]
)


async def hear_provider(rt: Runtime, connector: str, event: ProviderEvent, body: bytes) -> str:
    """Store a provider's event and wake what it is about; says what came of it (`seen` when it came before)."""
    now = rt.clock.now()
    with span("hear_provider", connector=connector, type=event.type):
        async with rt.db.transaction() as tx:
            outcome = await _wake(tx, rt, event)
            row = {
                "connector": connector,
                "event_id": event.id,
                "type": event.type,
                "subject": event.subject.value,
                "key": event.key,
                "body": body,
                "outcome": outcome,
                "occurred_at": event.occurred_at,
                "recorded_at": now,
            }
            if not await store.admit_provider_event(tx, row):
                outcome = "seen"
    _received.labels(connector, outcome).inc()
    return outcome


async def _wake(tx: Tx, rt: Runtime, event: ProviderEvent) -> str:
    about = _ABOUT.get(event.subject)
    if about is None or event.key is None:
        return "unmatched"
    kind, table, ended = about
    try:
        # A later step's key is the attempt's with a number behind it.
        identifier = kind.parse(event.key.partition("-")[0])
    except InvalidId:
        return "unmatched"
    return await store.wake(tx, table, identifier.uuid, ended, rt.clock.now())


async def hear_review(rt: Runtime, tx: Tx, envelope: Envelope) -> None:
    """Wake the attempt that waits for a person's answer (`risk.case.resolved`); risk is asked what the answer is."""
    resolved = CaseResolved.model_validate(envelope.data)
    try:
        attempt = AttemptId.parse(resolved.subject)
    except Refused:
        return  # somebody else's case: not every decision is about an attempt of ours
    if await store.wake(tx, tables.attempts, attempt.uuid, _NOT_IN_REVIEW, rt.clock.now()) != "woke":
        structlog.get_logger().info("review_without_attempt", subject=resolved.subject)
