"""Taking an attempt as far as it goes: risk decides, the provider or the ledger is asked, the answer is recorded.

The same function serves the request that made the attempt and the worker that finds it later. Every call is made
with a key or id that derives from the attempt, so that after a crash between any two phases the work is simply done
again: what had been done before answers as it did then.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from ledgerlink_contracts.ids import AttemptId, DecisionId
from ledgerlink_contracts.risk.models import DecisionOrder, EventFacts, EventKind, Resolution, SourceKind, Verdict
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_payments.commands import ledger
from ledgerlink_payments.commands.records import KeepIntent, record_attempt
from ledgerlink_payments.connectors import (
    AuthorizationAnswer,
    AuthorizationOutcome,
    AuthorizeRequest,
    CaptureRequest,
    VoidRequest,
)
from ledgerlink_payments.domain import intents, outcomes
from ledgerlink_payments.domain.attempts import Attempt, Operation, Work, wait
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import AttemptState, AttemptVerb
from ledgerlink_payments.domain.outcomes import UNANSWERED, Pair
from ledgerlink_payments.runtime import RiskAway, Runtime

REVIEW_POLL: Final = timedelta(seconds=60)
"""How often risk is asked about an open review, should its event have been missed."""


async def advance(rt: Runtime, pair: Pair, *, fresh: bool, keep: KeepIntent | None = None) -> Pair:
    """Take an attempt, leased by us, as far as it goes now; gives it and its intent as recorded.

    ``fresh`` says that the step begun last has certainly not been sent yet. ``keep`` stores the caller's answer in the
    last transaction. Raises `LeaseLost` when somebody else has taken over.
    """
    recorded = pair
    if pair[1].state in {AttemptState.CREATED, AttemptState.IN_REVIEW}:
        pair = await _decide(rt, pair, fresh=fresh)
        if pair[1].state is not AttemptState.CHECKED:
            await record_attempt(rt, recorded, pair, keep)
            return pair
    if pair[1].state is AttemptState.CHECKED:
        pair = (pair[0], pair[1].moved(AttemptVerb.SEND))
        fresh = True
        if not pair[1].by_wallet:
            # What leaves the house is written down first. An order to our own ledger needs no such note: its id is
            # the attempt's, and giving it twice is giving it once.
            await record_attempt(rt, recorded, pair, None)
            recorded = pair
    pair = await _hear(rt, pair, fresh=fresh)
    pair = await _settle(rt, pair)
    await record_attempt(rt, recorded, pair, keep)
    return pair


async def _decide(rt: Runtime, pair: Pair, *, fresh: bool) -> Pair:
    """Ask risk, or the person who was asked to look. The attempt comes back checked, in review, refused, or waiting.

    Found again after a crash it may have been approved and paid already: then an absent risk can only be waited for.
    """
    intent, attempt = pair
    if attempt.state is AttemptState.IN_REVIEW:
        return await _review(rt, pair)
    order = DecisionOrder(id=decision_id(attempt.id), event=facts(intent, attempt))
    try:
        decision = await rt.risk.decide(order)
    except (Unavailable, Refused) as error:
        structlog.get_logger().warning("risk_away", attempt=str(attempt.id), policy=rt.risk_away, reason=error.detail)
        if rt.risk_away is RiskAway.APPROVE:
            return intent, attempt.moved(AttemptVerb.APPROVE, degraded=True)
        if rt.risk_away is RiskAway.DECLINE and fresh:
            return outcomes.refused(intent, replace(attempt, degraded=True))
        return intent, replace(attempt, work=_later(rt, attempt.work))
    if decision.verdict is Verdict.APPROVE:
        return intent, attempt.moved(AttemptVerb.APPROVE)
    if decision.verdict is Verdict.DECLINE:
        return outcomes.refused(intent, attempt)
    case = str(decision.case)
    held = attempt.moved(AttemptVerb.HOLD, case=case, work=Work(due_at=rt.clock.now() + REVIEW_POLL))
    return intents.hold_for_review(intent, case), held


async def _review(rt: Runtime, pair: Pair) -> Pair:
    """Ask risk what a person has answered; an event that says so is only the reason to ask (ADR 41)."""
    intent, attempt = pair
    try:
        resolution = (await rt.risk.decision(decision_id(attempt.id))).resolution
    except (Unavailable, Refused):
        resolution = None
    if resolution is Resolution.APPROVE:
        return intent, attempt.moved(AttemptVerb.APPROVE)
    if resolution is Resolution.DECLINE:
        return outcomes.refused(intent, attempt)
    return intent, replace(attempt, work=Work(due_at=rt.clock.now() + REVIEW_POLL, tries=attempt.work.tries))


def decision_id(attempt: AttemptId) -> DecisionId:
    """Give the id of risk's decision about an attempt."""
    return DecisionId.derive("payments", str(attempt))


def facts(intent: Intent, attempt: Attempt) -> EventFacts:
    """Describe to risk what is about to happen; the same attempt is always described alike."""
    given = intent.exchange
    return EventFacts(
        kind=_kind(intent, attempt),
        amount_minor=given.amount_minor if given else intent.amount_minor,
        currency=given.currency if given else intent.currency,
        customer=intent.owner,
        source_kind=SourceKind.WALLET if attempt.by_wallet else SourceKind.CARD,
        subject=str(attempt.id),
        destination=intent.destination,
        payment_method=attempt.payment_method,
        metadata=dict(intent.metadata),
        occurred_at=attempt.created_at,
    )


def _kind(intent: Intent, attempt: Attempt) -> EventKind:
    if intent.to_merchant:
        return EventKind.PAYMENT
    return EventKind.TRANSFER if attempt.by_wallet else EventKind.TOP_UP


async def _hear(rt: Runtime, pair: Pair, *, fresh: bool) -> Pair:
    """Ask the provider, or the ledger, until it owes us nothing more or does not answer."""
    while True:
        intent, attempt = pair
        if attempt.state not in UNANSWERED and attempt.state is not AttemptState.AUTHORIZED:
            return pair
        answer = await _ask(rt, intent, attempt, fresh=fresh)
        if not outcomes.plausible(attempt, answer):
            structlog.get_logger().error(
                "provider_amount_differs", attempt=str(attempt.id), captured_minor=answer.captured_minor
            )
        pair = outcomes.heard(intent, attempt, answer, rt.clock.now())
        if pair[1].operations == attempt.operations:
            return _due_again(rt, pair, answer)
        fresh = True  # the answer was half of what was asked; the other half is begun and not sent yet


def _due_again(rt: Runtime, pair: Pair, answer: AuthorizationAnswer) -> Pair:
    """Come back later for what is not answered; an authorization that stands waits for nobody."""
    intent, attempt = pair
    if attempt.state in UNANSWERED or answer.outcome is AuthorizationOutcome.UNKNOWN:
        return intent, replace(attempt, work=_later(rt, attempt.work))
    if attempt.state is AttemptState.AUTHORIZED:
        return intent, replace(attempt, work=Work())
    return pair


def _later(rt: Runtime, work: Work) -> Work:
    return Work(due_at=rt.clock.now() + wait(work.tries), tries=work.tries)


async def _ask(rt: Runtime, intent: Intent, attempt: Attempt, *, fresh: bool) -> AuthorizationAnswer:
    if attempt.by_wallet:
        return await ledger.ask_wallet(rt, intent, attempt)
    connector = rt.connector(attempt.connector)
    if not fresh or attempt.state is AttemptState.AUTHORIZED:
        found = await connector.lookup_authorization(attempt.authorization_key)
        if attempt.state is AttemptState.AUTHORIZED or outcomes.settles(found, attempt.operation):
            return found
        if found.outcome is AuthorizationOutcome.UNKNOWN:
            return found
    # Not sent yet, or it never arrived: the same key makes sending it again the same call.
    if attempt.operation is Operation.AUTHORIZE:
        return await connector.authorize(
            AuthorizeRequest(
                key=attempt.authorization_key,
                amount_minor=attempt.amount_minor,
                currency=attempt.currency,
                payment_method=attempt.payment_method,
                capture=attempt.capture,
                metadata={"payment_intent": str(intent.id)},
            )
        )
    if attempt.operation is Operation.CAPTURE:
        return await connector.capture(
            CaptureRequest(attempt.operation_key, attempt.authorization_key, attempt.operation_minor)
        )
    return await connector.void(VoidRequest(attempt.operation_key, attempt.authorization_key))


async def _settle(rt: Runtime, pair: Pair) -> Pair:
    """Book what was collected; until that is done the intent is not paid, and the worker comes back."""
    intent, attempt = pair
    if attempt.state is not AttemptState.CAPTURED or attempt.posted:
        return pair
    if not attempt.by_wallet:
        try:
            await ledger.post_capture(rt, intent, attempt)
        except (Unavailable, Refused) as error:
            log = structlog.get_logger()
            log.warning("capture_not_posted", attempt=str(attempt.id), code=error.code, reason=error.detail)
            return intent, replace(attempt, work=_later(rt, attempt.work))
    return outcomes.settled(intent, attempt)
