"""Payouts: a merchant's balance leaves to their bank. The money is set aside before the provider is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from ledgerlink_contracts.ids import MerchantId, PayoutId
from ledgerlink_kit import phased
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused, Unavailable
from ledgerlink_kit.idempotency import Once, Reply, in_flight
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import span
from ledgerlink_payments import store, tables
from ledgerlink_payments.commands import ledger
from ledgerlink_payments.commands.records import LEASE, KeepPayout, LeaseLost, record_payout, tell_payout
from ledgerlink_payments.connectors import PayoutAnswer, PayoutOutcome, PayoutRequest
from ledgerlink_payments.domain import postings, refusals
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.attempts import DONE, Payout, Work, wait
from ledgerlink_payments.domain.machines import PAYOUT, PayoutState, PayoutVerb
from ledgerlink_payments.domain.merchants import Merchant
from ledgerlink_payments.domain.postings import Line
from ledgerlink_payments.runtime import Runtime

Render = Callable[[Payout], Reply]

INSUFFICIENT: Final = "insufficient_funds"

_VERBS: Final = {
    PayoutOutcome.IN_TRANSIT: PayoutVerb.ACCEPTED,
    PayoutOutcome.PAID: PayoutVerb.PAID,
    PayoutOutcome.FAILED: PayoutVerb.FAILED,
    PayoutOutcome.UNKNOWN: PayoutVerb.LOSE,
    PayoutOutcome.ABSENT: PayoutVerb.LOSE,
}


@dataclass(frozen=True, slots=True)
class NewPayout:
    """What is asked for when a payout is created; without a destination it goes to the merchant's bank account."""

    merchant: MerchantId
    amount_minor: int
    currency: str
    destination: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class _Begun:
    merchant: Merchant
    payout: Payout
    fresh: bool


async def create(rt: Runtime, once: Once, actor: Actor, new: NewPayout, render: Render, refuse: phased.Refuse) -> Reply:
    """Pay a merchant out. Refuses `balance-insufficient`, and `payout-in-progress` while another is being set aside."""

    async def begin(tx: Tx, _answer: phased.Answer) -> _Begun:
        merchant = await store.merchant(tx, new.merchant, lock=True)
        if merchant is None or not (actor.sees_all or merchant.owner == actor.subject):
            raise refusals.missing("account", str(new.merchant), "Stripe-Account")
        payout = _drafted(rt, once, merchant, new)
        if await store.add_payout(tx, payout):
            await tell_payout(tx, rt, payout, merchant.owner, "payout.created")
            return _Begun(merchant, payout, fresh=True)
        found = await store.payout(tx, payout.id)
        if found is None:
            raise _in_progress()
        return _Begun(merchant, found, fresh=False)

    async def finish(begun: _Begun, answer: phased.Answer) -> Reply:
        payout = begun.payout

        async def keep(tx: Tx, after: Payout) -> None:
            if after.failure_code != INSUFFICIENT:
                await answer.keep(tx, render(after))

        if not begun.fresh and payout.work.due_at is not None:
            payout = await _take_over(rt, payout)
        if payout.work.due_at is not None:
            try:
                payout = await advance(rt, payout, begun.merchant, fresh=begun.fresh, keep=keep)
            except LeaseLost:
                raise in_flight() from None
        if payout.failure_code == INSUFFICIENT:
            raise refusals.balance_insufficient(await available(rt, payout), payout.currency)
        return render(payout)

    with span("create_payout", merchant=str(new.merchant)):
        return await phased.run(rt.db, once, begin, finish, refuse)


def _in_progress() -> Refused:
    detail = "Another payout of this merchant in this currency is just being set aside; try again in a moment."
    return Refused(Kind.LOCKED, "payout-in-progress", detail, retry_after_s=1)


def _drafted(rt: Runtime, once: Once, merchant: Merchant, new: NewPayout) -> Payout:
    now = rt.clock.now()
    return Payout(
        id=once.derive(PayoutId),
        merchant=merchant.id,
        connector=rt.default_connector,
        destination=new.destination or merchant.external_account,
        amount_minor=new.amount_minor,
        currency=new.currency,
        created_at=now,
        description=new.description,
        metadata=new.metadata,
        work=store.leased(now, LEASE, uuid7(now)),
    )


async def _take_over(rt: Runtime, payout: Payout) -> Payout:
    now = rt.clock.now()
    async with rt.db.transaction() as tx:
        if not await store.claim_due(tx, tables.payouts, uuid7(now), now, LEASE, only=payout.id.uuid):
            raise in_flight()
        taken = await store.payout(tx, payout.id)
    assert taken is not None, "it has just been claimed"
    return taken


async def available(rt: Runtime, payout: Payout) -> int:
    """Give what a merchant may still be paid out in the payout's currency; what they owe us counts as nothing."""
    for account in await rt.wallet.accounts(postings.payee(str(payout.merchant))):
        if account.currency == payout.currency:
            return max(0, account.available_minor)
    return 0


async def advance(
    rt: Runtime, payout: Payout, merchant: Merchant, *, fresh: bool, keep: KeepPayout | None = None
) -> Payout:
    """Take a payout, leased by us, as far as it goes now. Raises `LeaseLost`."""
    after = payout
    try:
        if after.state in {PayoutState.PAID, PayoutState.FAILED} and not after.posted:
            after = await _book(rt, after)
        if not after.reserved and after.state is PayoutState.CREATED:
            after = await _set_aside(rt, after, fresh=fresh)
        if after.state is not PayoutState.FAILED:
            after = await _hear(rt, after, fresh=fresh)
        after = await _book(rt, after)
        finished = after.posted
    except Unavailable as error:
        # The ledger or the provider is away: where it stands is kept, and the worker comes back.
        structlog.get_logger().warning("payout_waits", payout=str(payout.id), reason=error.detail)
        finished = False
    tries = payout.work.tries
    after = replace(after, work=DONE if finished else Work(due_at=rt.clock.now() + wait(tries), tries=tries))
    await record_payout(rt, payout, after, merchant.owner, keep)
    return after


async def _set_aside(rt: Runtime, payout: Payout, *, fresh: bool) -> Payout:
    """Move the money out of the merchant's balance, which must suffice.

    A merchant's account may go below zero (refunds must always be possible), so the ledger does not check for us. Only
    one payout of a merchant and currency is ever at this point (`uq_payouts_reserving`).
    """
    if not fresh and await _was_set_aside(rt, payout):
        return replace(payout, reserved=True)
    if await available(rt, payout) < payout.amount_minor:
        return payout.moved(PayoutVerb.FAILED, failure_code=INSUFFICIENT, posted=True)
    lines = postings.payout_created(str(payout.merchant), payout.amount_minor, payout.currency)
    try:
        await _post(rt, payout, "reserve", lines)
    except Refused as refusal:
        return payout.moved(PayoutVerb.FAILED, failure_code=refusal.code.replace("-", "_"), posted=True)
    return replace(payout, reserved=True)


async def _was_set_aside(rt: Runtime, payout: Payout) -> bool:
    try:
        await rt.wallet.transfer(ledger.transfer_id(str(payout.id), "reserve"))
    except Refused:
        return False
    return True


async def _hear(rt: Runtime, payout: Payout, *, fresh: bool) -> Payout:
    answer = await _ask(rt, payout, fresh=fresh)
    verb = _VERBS[answer.outcome]
    if not PAYOUT.may(payout.state, verb):
        if verb is PayoutVerb.LOSE and payout.state is not PayoutState.UNKNOWN:
            raise Unavailable("provider-silent", "The provider does not say how the payout stands.")
        return payout
    reference = answer.reference or payout.reference
    return payout.moved(verb, reference=reference, failure_code=answer.failure_code, posted=False)


async def _ask(rt: Runtime, payout: Payout, *, fresh: bool) -> PayoutAnswer:
    connector = rt.connector(payout.connector)
    key = str(payout.id)
    if not fresh:
        found = await connector.lookup_payout(key)
        if found.outcome is not PayoutOutcome.ABSENT:
            return found
    return await connector.payout(PayoutRequest(key, payout.amount_minor, payout.currency, payout.destination))


async def _book(rt: Runtime, payout: Payout) -> Payout:
    if payout.posted or payout.state not in {PayoutState.PAID, PayoutState.FAILED}:
        return payout
    merchant, amount, currency = str(payout.merchant), payout.amount_minor, payout.currency
    if payout.state is PayoutState.PAID:
        step, lines = "paid", postings.payout_paid(amount, currency)
    elif payout.late:
        step, lines = "returned", postings.payout_returned(merchant, amount, currency)
    else:
        step, lines = "failed", postings.payout_failed(merchant, amount, currency)
    try:
        await _post(rt, payout, step, lines)
    except (Unavailable, Refused) as error:
        structlog.get_logger().warning("payout_not_posted", payout=str(payout.id), step=step, reason=error.detail)
        return payout
    return replace(payout, posted=True)


async def _post(rt: Runtime, payout: Payout, step: str, lines: tuple[Line, ...]) -> None:
    transfer = ledger.transfer_id(str(payout.id), step)
    await ledger.post(rt, transfer, f"payout.{step}", lines, reference=str(payout.id))
