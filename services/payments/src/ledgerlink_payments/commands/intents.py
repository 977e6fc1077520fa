"""Intents: create, confirm, capture, cancel. Each is two transactions around the calls of its attempt."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from ledgerlink_contracts.ids import AttemptId, IntentId, MerchantId, WalletId
from ledgerlink_kit import phased
from ledgerlink_kit.db import Tx, constraint_name
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply, in_flight
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import span
from ledgerlink_payments import store, tables
from ledgerlink_payments.commands import attempts
from ledgerlink_payments.commands.records import LEASE, LeaseLost, canceled, tell, tell_intent
from ledgerlink_payments.domain import intents, refusals
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.attempts import WALLET, Attempt, Operation, begin, is_wallet
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod, Intent
from ledgerlink_payments.domain.machines import AttemptState, IntentState
from ledgerlink_payments.domain.postings import Exchange
from ledgerlink_payments.runtime import Runtime

Render = Callable[[Intent], Reply]
Begun = tuple[Intent, Attempt | None, bool]
"""An intent, the attempt whose work follows, and whether that work is fresh (else an earlier request began it)."""

_FINISHED: Final = frozenset(
    {AttemptState.CAPTURED, AttemptState.VOIDED, AttemptState.DECLINED, AttemptState.FAILED, AttemptState.AUTHORIZED}
)


@dataclass(frozen=True, slots=True)
class NewIntent:
    """What is asked for when an intent is created; ``customer`` is who pays when it is not the caller."""

    amount_minor: int
    currency: str
    destination: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    payment_method: str | None = None
    exchange: Exchange | None = None
    customer: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    confirm: bool = False


async def create(rt: Runtime, once: Once, actor: Actor, new: NewIntent, render: Render, refuse: phased.Refuse) -> Reply:
    """Create an intent and, when asked to, pay it. Refuses what `_check` refuses, and an absent destination."""

    async def begin_it(tx: Tx, answer: phased.Answer) -> Begun:
        intent = _drafted(rt, once, actor, new)
        if not new.confirm:
            if await _add(tx, intent):
                await tell_intent(tx, rt, intent, "payment_intent.created")
            await answer.keep(tx, render(intent))
            return intent, None, False
        attempt = _attempt(rt, once, intent)
        intent = intents.confirm(intent, attempt.id)
        if not await _add(tx, intent):
            return await _found_again(tx, intent.id, attempt.id)
        await store.add_attempt(tx, attempt)
        return intent, attempt, True

    with span("create_intent"):
        await _check(rt, actor, new)
        return await _run(rt, once, begin_it, render, refuse)


async def _check(rt: Runtime, actor: Actor, new: NewIntent) -> None:
    """Refuse what no transaction is needed to refuse."""
    if new.customer not in {None, actor.subject} and not actor.any_wallet:
        raise refusals.not_allowed("ledger:write", "Paying in another's name")
    if new.exchange is not None:
        if not actor.may_exchange:
            raise refusals.not_allowed("payments:exchange", "Setting an exchange")
        if new.exchange.currency == new.currency:
            raise refusals.invalid("exchange[currency]", "The payer's currency is the payment's own.")
        if new.payment_method is not None and not is_wallet(new.payment_method):
            raise refusals.invalid("exchange", "Only a wallet pays in another currency.")
    if new.confirm and new.payment_method is None:
        raise refusals.absent("payment_method")
    if new.destination.startswith(WalletId.prefix) and not is_wallet(new.payment_method or ""):
        # Once a card is charged the wallet must be there to take it; a wallet that pays is checked with the transfer.
        await _wallet_exists(rt, WalletId.parse(new.destination))


async def _wallet_exists(rt: Runtime, wallet: WalletId) -> None:
    try:
        await rt.wallet.wallet(wallet)
    except Refused as refusal:
        if refusal.kind is not Kind.NOT_FOUND:
            raise
        raise _no_destination(str(wallet)) from None


def _no_destination(destination: str) -> Refused:
    return refusals.invalid("transfer_data[destination]", f"No such destination: '{destination}'", "resource-missing")


async def _add(tx: Tx, intent: Intent) -> bool:
    """Write an intent, unless it is there; that its merchant exists is for the foreign key to say, without a look."""
    try:
        return await store.add_intent(tx, intent)
    except IntegrityError as error:
        if constraint_name(error) != "fk_intents_merchant_id":
            raise
        raise _no_destination(intent.destination) from None


def _drafted(rt: Runtime, once: Once, actor: Actor, new: NewIntent) -> Intent:
    intent = Intent(
        id=once.derive(IntentId),
        owner=new.customer or actor.subject,
        amount_minor=new.amount_minor,
        currency=new.currency,
        destination=new.destination,
        capture_method=new.capture_method,
        created_at=rt.clock.now(),
        exchange=new.exchange,
        unlimited=actor.any_wallet and new.customer is None,
        description=new.description,
        metadata=new.metadata,
    )
    return intent if new.payment_method is None else intents.attach(intent, new.payment_method)


def _attempt(rt: Runtime, once: Once, intent: Intent) -> Attempt:
    """Make the attempt that this request's key stands for."""
    assert intent.payment_method is not None, "only an intent with a payment method is confirmed"
    now = rt.clock.now()
    attempt_id = once.derive(AttemptId)
    return Attempt(
        id=attempt_id,
        intent=intent.id,
        connector=WALLET if is_wallet(intent.payment_method) else rt.default_connector,
        payment_method=intent.payment_method,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        capture=intent.capture_method is CaptureMethod.AUTOMATIC,
        created_at=now,
        operation_minor=intent.amount_minor,
        begun_by=attempt_id.uuid,
        work=store.leased(now, LEASE, uuid7(now)),
    )


async def _found_again(tx: Tx, intent_id: IntentId, attempt_id: AttemptId) -> Begun:
    """Give what an earlier run of the same request has left, after its process died."""
    intent, attempt = await store.intent(tx, intent_id), await store.attempt(tx, attempt_id)
    assert intent is not None, "its id is taken, so it is there"
    return intent, attempt, False


async def _run(
    rt: Runtime,
    once: Once,
    begin_it: Callable[[Tx, phased.Answer], Awaitable[Begun]],
    render: Render,
    refuse: phased.Refuse,
) -> Reply:
    async def finish(begun: Begun, answer: phased.Answer) -> Reply:
        intent, attempt, fresh = begun

        async def keep(tx: Tx, after: Intent) -> None:
            await answer.keep(tx, render(after))

        if attempt is None or (not fresh and attempt.state in _FINISHED):
            return render(intent)
        if not fresh:
            attempt = await _take_over(rt, attempt)
        try:
            after, _ = await attempts.advance(rt, (intent, attempt), fresh=fresh, keep=keep)
        except LeaseLost:
            raise in_flight() from None
        return render(after)

    return await phased.run(rt.db, once, begin_it, finish, refuse)


async def _take_over(rt: Runtime, attempt: Attempt) -> Attempt:
    """Lease an attempt that another process has left. Refuses `idempotency-in-flight` while it is in other hands."""
    now = rt.clock.now()
    token = uuid7(now)
    async with rt.db.transaction() as tx:
        if not await store.claim_due(tx, tables.attempts, token, now, LEASE, only=attempt.id.uuid):
            raise in_flight()
        taken = await store.attempt(tx, attempt.id)
    assert taken is not None, "it has just been claimed"
    return taken


async def _mine(tx: Tx, actor: Actor, intent_id: IntentId, *, or_merchant: bool) -> Intent:
    """Give and lock an intent that ``actor`` may act on: the payer's own, or (``or_merchant``) one that pays them."""
    intent = await store.intent(tx, intent_id)
    if intent is not None and (actor.sees_all or intent.owner == actor.subject):
        return intent
    if intent is not None and or_merchant and intent.to_merchant:
        merchant = await store.merchant(tx, MerchantId.parse(intent.destination))
        if merchant is not None and merchant.owner == actor.subject:
            return intent
    raise refusals.missing("payment_intent", str(intent_id))


async def confirm(
    rt: Runtime,
    once: Once,
    actor: Actor,
    intent_id: IntentId,
    payment_method: str | None,
    render: Render,
    refuse: phased.Refuse,
) -> Reply:
    """Pay an intent, with ``payment_method`` if it is given. Refuses `payment-intent-unexpected-state`."""

    async def begin_it(tx: Tx, _answer: phased.Answer) -> Begun:
        intent = await _mine(tx, actor, intent_id, or_merchant=False)
        mine = once.derive(AttemptId)
        if intent.latest_attempt == mine:
            return await _found_again(tx, intent.id, mine)
        if payment_method is not None:
            intent = intents.attach(intent, payment_method)
            if intent.exchange is not None and not is_wallet(payment_method):
                raise refusals.invalid("payment_method", "Only a wallet pays in another currency.")
        if intent.payment_method is None:
            raise refusals.absent("payment_method")
        attempt = _attempt(rt, once, intent)
        intent = intents.confirm(intent, attempt.id)
        await store.save_intent(tx, intent)
        await store.add_attempt(tx, attempt)
        return intent, attempt, True

    with span("confirm_intent", intent=str(intent_id)):
        return await _run(rt, once, begin_it, render, refuse)


async def capture(
    rt: Runtime,
    once: Once,
    actor: Actor,
    intent_id: IntentId,
    amount_minor: int | None,
    render: Render,
    refuse: phased.Refuse,
) -> Reply:
    """Collect what is reserved, all or ``amount_minor`` of it; the rest is released. Refuses `amount-too-large`."""

    async def begin_it(tx: Tx, _answer: phased.Answer) -> Begun:
        intent = await _mine(tx, actor, intent_id, or_merchant=True)
        begun_by = once.derive(AttemptId).uuid
        if (found := await _begun_before(tx, intent, begun_by)) is not None:
            return found
        intent, amount = intents.begin_capture(intent, amount_minor)
        return await _next_step(tx, rt, intent, Operation.CAPTURE, amount, begun_by)

    with span("capture_intent", intent=str(intent_id)):
        return await _run(rt, once, begin_it, render, refuse)


async def cancel(
    rt: Runtime,
    once: Once,
    actor: Actor,
    intent_id: IntentId,
    reason: CancellationReason | None,
    render: Render,
    refuse: phased.Refuse,
) -> Reply:
    """Give an intent up; what is reserved goes back. Refuses `payment-intent-unexpected-state`."""

    async def begin_it(tx: Tx, answer: phased.Answer) -> Begun:
        intent = await _mine(tx, actor, intent_id, or_merchant=True)
        begun_by = once.derive(AttemptId).uuid
        if (found := await _begun_before(tx, intent, begun_by)) is not None:
            return found
        if intent.state is IntentState.REQUIRES_CAPTURE:
            intent = intents.begin_void(intent, reason)
            return await _next_step(tx, rt, intent, Operation.VOID, 0, begun_by)
        intent = intents.cancel(intent, reason, rt.clock.now())
        await store.save_intent(tx, intent)
        await tell_intent(tx, rt, intent, "payment_intent.canceled")
        await tell(tx, rt, canceled(intent), str(intent.id))
        await answer.keep(tx, render(intent))
        return intent, None, False

    with span("cancel_intent", intent=str(intent_id)):
        return await _run(rt, once, begin_it, render, refuse)


async def _begun_before(tx: Tx, intent: Intent, begun_by: UUID) -> Begun | None:
    """Give the step that this very request began before its process died, if it did."""
    if intent.latest_attempt is None:
        return None
    attempt = await store.attempt(tx, intent.latest_attempt)
    return (intent, attempt, False) if attempt is not None and attempt.begun_by == begun_by else None


async def _next_step(
    tx: Tx, rt: Runtime, intent: Intent, operation: Operation, amount_minor: int, begun_by: UUID
) -> Begun:
    assert intent.latest_attempt is not None, "what is reserved was reserved by an attempt"
    standing = await store.attempt(tx, intent.latest_attempt)
    assert standing is not None, "an intent's attempt exists"
    now = rt.clock.now()
    attempt = begin(standing, operation, amount_minor, begun_by, store.leased(now, LEASE, uuid7(now)))
    await store.save_intent(tx, intent)
    await store.save_attempt(tx, attempt, standing.work.lease_token)
    return intent, attempt, True
