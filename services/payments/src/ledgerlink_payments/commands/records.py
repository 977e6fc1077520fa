"""The last phase of every piece of work: the outcome, the events and the answer, in one transaction."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from prometheus_client import Counter

from ledgerlink_contracts.ids import MerchantId
from ledgerlink_contracts.payments import events as told
from ledgerlink_kit.db import Tx
from ledgerlink_kit.outbox import Event, record_all
from ledgerlink_payments import store
from ledgerlink_payments.domain import intents, objects
from ledgerlink_payments.domain.attempts import Attempt, Payout, Refund
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import IntentState, PayoutState, RefundState
from ledgerlink_payments.runtime import LEASE_S, Runtime

LEASE: Final = timedelta(seconds=LEASE_S)

KeepIntent = Callable[[Tx, Intent], Awaitable[None]]
KeepRefund = Callable[[Tx, Refund], Awaitable[None]]
KeepPayout = Callable[[Tx, Payout], Awaitable[None]]

_attempts = Counter("ledgerlink_payments_attempts_total", "Attempts by where they came to", ["connector", "state"])
_refunds = Counter("ledgerlink_payments_refunds_total", "Refunds by where they came to", ["connector", "state"])
_payouts = Counter("ledgerlink_payments_payouts_total", "Payouts by where they came to", ["connector", "state"])


class LeaseLost(Exception):
    """Somebody else took the work over while we were at it: what they record is the truth, ours is dropped."""


_INTENT_EVENTS: Final[dict[IntentState, str]] = {
    IntentState.SUCCEEDED: "payment_intent.succeeded",
    IntentState.REQUIRES_CAPTURE: "payment_intent.amount_capturable_updated",
    IntentState.REQUIRES_PAYMENT_METHOD: "payment_intent.payment_failed",
    IntentState.CANCELED: "payment_intent.canceled",
}


async def record_attempt(
    rt: Runtime, before: tuple[Intent, Attempt], after: tuple[Intent, Attempt], keep: KeepIntent | None
) -> None:
    """Write what became of an attempt and its intent, tell it, and store the answer. Raises `LeaseLost`."""
    (old, held), (intent, attempt) = before, after
    async with rt.db.transaction() as tx:
        if intent != old:
            await store.save_intent(tx, intent)
        if not await store.save_attempt(tx, attempt, held.work.lease_token):
            raise LeaseLost
        if intent.state is not old.state and intent.state in _INTENT_EVENTS:
            await tell_intent(tx, rt, intent, _INTENT_EVENTS[intent.state])
            await tell(tx, rt, _fact(intent, attempt), str(intent.id))
        elif intent.review_case and not old.review_case:
            await tell_intent(tx, rt, intent, "payment_intent.processing")
        if keep is not None:
            await keep(tx, intent)
    if attempt.state is not held.state:
        _attempts.labels(attempt.connector, attempt.state.value).inc()


def _fact(intent: Intent, attempt: Attempt) -> Event:
    """Give the event that other services hear for the state an intent has come to."""
    if intent.state is IntentState.CANCELED:
        return canceled(intent)
    facts: dict[str, Any] = {
        "intent": intent.id,
        "attempt": attempt.id,
        "customer": intent.owner,
        "source": attempt.payment_method,
        "destination": intent.destination,
        "currency": intent.currency,
    }
    if intent.state is IntentState.SUCCEEDED:
        return told.IntentSucceeded(amount_minor=intent.captured_minor, **facts)
    if intent.state is IntentState.REQUIRES_CAPTURE:
        return told.IntentAuthorized(amount_minor=intent.capturable_minor, **facts)
    code = str((attempt.error or {}).get("code", "processing_error"))
    return told.IntentFailed(amount_minor=intent.amount_minor, code=code, **facts)


def canceled(intent: Intent) -> told.IntentCanceled:
    """Give the event of an intent that was given up."""
    return told.IntentCanceled(
        intent=intent.id,
        customer=intent.owner,
        destination=intent.destination,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        reason=intent.cancellation_reason.value if intent.cancellation_reason else None,
    )


def _merchant(destination: str) -> MerchantId | None:
    return MerchantId.parse(destination) if destination.startswith("acct_") else None


async def tell_intent(tx: Tx, rt: Runtime, intent: Intent, kind: str) -> None:
    """Tell payer and merchant of an intent."""
    event = (kind, objects.payment_intent(intent), intent.owner, _merchant(intent.destination))
    await store.add_events(tx, [event], rt.clock.now())


async def tell(tx: Tx, rt: Runtime, event: Event, aggregate: str) -> None:
    """Tell the other services."""
    await record_all(tx, [(event, aggregate)], now=rt.clock.now())


_REFUND_EVENTS: Final[dict[RefundState, str]] = {
    RefundState.SUCCEEDED: "refund.updated",
    RefundState.FAILED: "refund.failed",
}


async def record_refund(rt: Runtime, before: Refund, after: Refund, keep: KeepRefund | None) -> None:
    """Write what became of a refund; one that failed may be refunded again. Raises `LeaseLost`."""
    async with rt.db.transaction() as tx:
        if after.state is RefundState.FAILED and before.state is not RefundState.FAILED:
            intent = await store.intent(tx, after.intent)
            assert intent is not None, "a refund's foreign key names its intent"
            exchanged = after.exchange.amount_minor if after.exchange else 0
            await store.save_intent(tx, intents.refund_failed(intent, after.amount_minor, exchanged))
        await _write_refund(tx, rt, before, after)
        if keep is not None:
            await keep(tx, after)
    if after.state is not before.state:
        _refunds.labels(after.connector, after.state.value).inc()


async def _write_refund(tx: Tx, rt: Runtime, before: Refund, after: Refund) -> None:
    """Write a refund and tell it, in the caller's transaction. Raises `LeaseLost`."""
    if not await store.save_refund(tx, after, before.work.lease_token):
        raise LeaseLost
    if (after.state, after.posted) == (before.state, before.posted) or not after.posted:
        return
    kind = _REFUND_EVENTS.get(after.state)
    if kind is None:
        return
    await tell_refund(tx, rt, after, kind)
    facts: dict[str, Any] = {
        "refund": after.id,
        "intent": after.intent,
        "amount_minor": after.amount_minor,
        "currency": after.currency,
    }
    if after.state is RefundState.SUCCEEDED:
        await tell(tx, rt, told.RefundSucceeded(**facts), str(after.id))
    else:
        await tell(tx, rt, told.RefundFailed(reason=after.failure_reason or "unknown", **facts), str(after.id))


async def tell_refund(tx: Tx, rt: Runtime, refund: Refund, kind: str) -> None:
    """Tell payer and merchant of a refund."""
    event = (kind, objects.refund(refund), refund.owner, _merchant(refund.destination))
    await store.add_events(tx, [event], rt.clock.now())


_PAYOUT_EVENTS: Final[dict[PayoutState, str]] = {
    PayoutState.PAID: "payout.paid",
    PayoutState.FAILED: "payout.failed",
    PayoutState.IN_TRANSIT: "payout.updated",
}


async def record_payout(rt: Runtime, before: Payout, after: Payout, owner: str, keep: KeepPayout | None) -> None:
    """Write what became of a payout of ``owner``'s merchant and tell it. Raises `LeaseLost`."""
    async with rt.db.transaction() as tx:
        if not await store.save_payout(tx, after, before.work.lease_token):
            raise LeaseLost
        news = (after.state, after.posted) != (before.state, before.posted)
        kind = _PAYOUT_EVENTS.get(after.state)
        if news and kind and (after.posted or after.state is PayoutState.IN_TRANSIT):
            await tell_payout(tx, rt, after, owner, kind)
            fact = _payout_fact(after)
            if fact is not None:
                await tell(tx, rt, fact, str(after.id))
        if keep is not None:
            await keep(tx, after)
    if after.state is not before.state:
        _payouts.labels(after.connector, after.state.value).inc()


async def tell_payout(tx: Tx, rt: Runtime, payout: Payout, owner: str, kind: str) -> None:
    """Tell the merchant of a payout."""
    await store.add_events(tx, [(kind, objects.payout(payout), owner, payout.merchant)], rt.clock.now())


def _payout_fact(payout: Payout) -> Event | None:
    facts: dict[str, Any] = {
        "payout": payout.id,
        "merchant": payout.merchant,
        "amount_minor": payout.amount_minor,
        "currency": payout.currency,
    }
    if payout.state is PayoutState.PAID:
        return told.PayoutPaid(**facts)
    if payout.state is PayoutState.FAILED:
        return told.PayoutFailed(code=payout.failure_code or "unknown", **facts)
    return None
