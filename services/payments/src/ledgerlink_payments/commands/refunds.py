"""Refunds: part or all of a payment goes back to its payer, to their card through the provider or to their wallet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import structlog

from ledgerlink_contracts.ids import IntentId, MerchantId, RefundId
from ledgerlink_kit import phased
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.idempotency import Once, Reply, in_flight
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import span
from ledgerlink_payments import store, tables
from ledgerlink_payments.commands import ledger
from ledgerlink_payments.commands.records import LEASE, KeepRefund, LeaseLost, record_refund, tell_refund
from ledgerlink_payments.connectors import RefundAnswer, RefundOutcome, RefundRequest
from ledgerlink_payments.domain import intents, postings, refusals
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.attempts import DONE, Refund, Work, wait
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import REFUND, RefundState, RefundVerb
from ledgerlink_payments.domain.postings import Exchange, Line
from ledgerlink_payments.runtime import Runtime

Render = Callable[[Refund], Reply]


class RefundReason(StrEnum):
    """Why money goes back, in Stripe's words."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"


@dataclass(frozen=True, slots=True)
class NewRefund:
    """What is asked for when a refund is created; without an amount all that is left goes back."""

    intent: IntentId
    amount_minor: int | None = None
    exchange: Exchange | None = None
    reason: RefundReason | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


_VERBS: Final = {
    RefundOutcome.PENDING: RefundVerb.ACCEPTED,
    RefundOutcome.SUCCEEDED: RefundVerb.SUCCEEDED,
    RefundOutcome.FAILED: RefundVerb.FAILED,
    RefundOutcome.UNKNOWN: RefundVerb.LOSE,
    RefundOutcome.ABSENT: RefundVerb.LOSE,
}


async def create(rt: Runtime, once: Once, actor: Actor, new: NewRefund, render: Render, refuse: phased.Refuse) -> Reply:
    """Give money back. Refuses `charge-already-refunded`, `amount-too-large`, `payment-intent-unexpected-state`."""

    async def begin(tx: Tx, _answer: phased.Answer) -> tuple[Refund, bool]:
        found = await store.refund(tx, once.derive(RefundId))
        if found is not None:
            return found, False
        intent = await _refundable(tx, actor, new.intent)
        intent, amount, back = intents.begin_refund(intent, new.amount_minor, new.exchange)
        refund = await _drafted(tx, rt, once, intent, new, amount, back)
        await store.save_intent(tx, intent)
        await store.add_refund(tx, refund)
        await tell_refund(tx, rt, refund, "refund.created")
        return refund, True

    async def finish(begun: tuple[Refund, bool], answer: phased.Answer) -> Reply:
        refund, fresh = begun

        async def keep(tx: Tx, after: Refund) -> None:
            await answer.keep(tx, render(after))

        if not fresh:
            if refund.work.due_at is None:
                return render(refund)
            refund = await _take_over(rt, refund)
        try:
            return render(await advance(rt, refund, fresh=fresh, keep=keep))
        except LeaseLost:
            raise in_flight() from None

    with span("create_refund", intent=str(new.intent)):
        if new.exchange is not None and not actor.may_exchange:
            raise refusals.not_allowed("payments:exchange", "Setting an exchange")
        return await phased.run(rt.db, once, begin, finish, refuse)


async def _refundable(tx: Tx, actor: Actor, intent_id: IntentId) -> Intent:
    """Give and lock an intent that ``actor`` may refund: it paid their merchant, or topped up their own wallet."""
    intent = await store.intent(tx, intent_id)
    if intent is not None and actor.sees_all:
        return intent
    if intent is not None and intent.to_merchant:
        merchant = await store.merchant(tx, MerchantId.parse(intent.destination))
        if merchant is not None and merchant.owner == actor.subject:
            return intent
    if intent is not None and not intent.to_merchant and intent.owner == actor.subject:
        return intent
    raise refusals.missing("payment_intent", str(intent_id), "payment_intent")


async def _drafted(
    tx: Tx, rt: Runtime, once: Once, intent: Intent, new: NewRefund, amount_minor: int, back: Exchange | None
) -> Refund:
    assert intent.latest_attempt is not None, "what has succeeded has an attempt"
    attempt = await store.attempt(tx, intent.latest_attempt)
    assert attempt is not None, "an intent's attempt exists"
    now = rt.clock.now()
    return Refund(
        id=once.derive(RefundId),
        intent=intent.id,
        attempt=attempt.id,
        connector=attempt.connector,
        payment_method=attempt.payment_method,
        destination=intent.destination,
        amount_minor=amount_minor,
        currency=intent.currency,
        created_at=now,
        owner=intent.owner,
        exchange=back,
        reason=new.reason.value if new.reason else None,
        metadata=new.metadata,
        work=store.leased(now, LEASE, uuid7(now)),
    )


async def _take_over(rt: Runtime, refund: Refund) -> Refund:
    now = rt.clock.now()
    async with rt.db.transaction() as tx:
        if not await store.claim_due(tx, tables.refunds, uuid7(now), now, LEASE, only=refund.id.uuid):
            raise in_flight()
        taken = await store.refund(tx, refund.id)
    assert taken is not None, "it has just been claimed"
    return taken


async def advance(rt: Runtime, refund: Refund, *, fresh: bool, keep: KeepRefund | None = None) -> Refund:
    """Take a refund, leased by us, as far as it goes now. Raises `LeaseLost`."""
    after = refund
    try:
        if after.state in {RefundState.SUCCEEDED, RefundState.FAILED} and not after.posted:
            after = await _book(rt, after)
        if after.by_wallet:
            after = await _to_wallet(rt, after)
        else:
            after = await _to_card(rt, after, fresh=fresh)
            after = await _book(rt, after)
        finished = after.posted
    except Unavailable as error:
        # The ledger or the provider is away: nothing has changed, and the worker comes back.
        structlog.get_logger().warning("refund_waits", refund=str(refund.id), reason=error.detail)
        finished = False
    tries = refund.work.tries
    after = replace(after, work=DONE if finished else Work(due_at=rt.clock.now() + wait(tries), tries=tries))
    await record_refund(rt, refund, after, keep)
    return after


async def _to_wallet(rt: Runtime, refund: Refund) -> Refund:
    if refund.state not in {RefundState.CREATED, RefundState.UNKNOWN}:
        return refund
    lines = postings.refunded_to_wallet(
        refund.payment_method, refund.destination, refund.amount_minor, refund.currency, refund.exchange
    )
    try:
        await _post(rt, refund, "refund", lines)
    except Refused as refusal:
        return refund.moved(RefundVerb.FAILED, failure_reason=_reason(refusal), posted=True)
    return refund.moved(RefundVerb.SUCCEEDED, posted=True)


async def _to_card(rt: Runtime, refund: Refund, *, fresh: bool) -> Refund:
    """Set the money aside, ask the provider, and note its answer; what it means for the books comes after."""
    if refund.state in {RefundState.CREATED, RefundState.UNKNOWN}:
        aside = postings.refund_created(refund.destination, refund.amount_minor, refund.currency)
        try:
            await _post(rt, refund, "reserve", aside)
        except Refused as refusal:
            return refund.moved(RefundVerb.FAILED, failure_reason=_reason(refusal), posted=True)
    elif refund.state is RefundState.FAILED:
        return refund
    answer = await _ask(rt, refund, fresh=fresh)
    verb = _VERBS[answer.outcome]
    if not REFUND.may(refund.state, verb):
        if verb is RefundVerb.LOSE and refund.state is not RefundState.UNKNOWN:
            raise Unavailable("provider-silent", "The provider does not say how the refund stands.")
        return refund
    reference = answer.reference or refund.reference
    return refund.moved(verb, reference=reference, failure_reason=answer.failure_reason, posted=False)


async def _ask(rt: Runtime, refund: Refund, *, fresh: bool) -> RefundAnswer:
    connector = rt.connector(refund.connector)
    key = str(refund.id)
    if not fresh:
        found = await connector.lookup_refund(key)
        if found.outcome is not RefundOutcome.ABSENT:
            return found
    return await connector.refund(RefundRequest(key, str(refund.attempt), refund.amount_minor, refund.currency))


async def _book(rt: Runtime, refund: Refund) -> Refund:
    """Book what the provider's answer means; an unavailable ledger leaves it to the worker."""
    if refund.posted or refund.state not in {RefundState.SUCCEEDED, RefundState.FAILED}:
        return refund
    destination, amount, currency = refund.destination, refund.amount_minor, refund.currency
    if refund.state is RefundState.SUCCEEDED:
        step, lines = "settle", postings.refund_succeeded(refund.connector, amount, currency)
    elif refund.late:
        step, lines = "late", postings.refund_failed_late(refund.connector, destination, amount, currency)
    else:
        step, lines = "return", postings.refund_failed(destination, amount, currency)
    try:
        await _post(rt, refund, step, lines)
    except (Unavailable, Refused) as error:
        structlog.get_logger().warning("refund_not_posted", refund=str(refund.id), step=step, reason=error.detail)
        return refund
    return replace(refund, posted=True)


async def _post(rt: Runtime, refund: Refund, step: str, lines: tuple[Line, ...]) -> None:
    transfer = ledger.transfer_id(str(refund.id), step)
    await ledger.post(rt, transfer, f"refund.{step}", lines, reference=str(refund.id))


def _reason(refusal: Refused) -> str:
    return "insufficient_funds" if refusal.code == "insufficient-funds" else refusal.code.replace("-", "_")
