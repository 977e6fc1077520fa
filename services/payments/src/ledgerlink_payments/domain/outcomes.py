"""What an answer does to an attempt and its intent, in one place: for calls, for lookups, for any order of news.

Answers are snapshots, so that hearing one twice, or an old one after a new one, changes nothing: a snapshot that the
machine has no move for is not news.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from ledgerlink_payments.domain import intents
from ledgerlink_payments.domain.answers import AuthorizationAnswer, AuthorizationOutcome, Decline, DeclineKind
from ledgerlink_payments.domain.attempts import DONE, Attempt, Operation, begin
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import ATTEMPT, AttemptState, AttemptVerb
from ledgerlink_payments.domain.objects import Thing, decline_error

Pair = tuple[Intent, Attempt]
_O = AuthorizationOutcome

PROCESSING_ERROR: Final = Decline(
    "processing_error", "The payment could not be processed; try again.", DeclineKind.SOFT
)
BLOCKED: Final = Decline("card_declined", "The payment was refused.", DeclineKind.HARD, "fraudulent")
"""What a payer is told when risk refuses: no more than their bank would tell."""

UNANSWERED: Final = frozenset({AttemptState.SENT, AttemptState.CAPTURING, AttemptState.VOIDING, AttemptState.UNKNOWN})
"""States in which the provider owes us an answer."""


def error_of(decline: Decline) -> Thing:
    """Write a decline as Stripe's error object."""
    hard = decline.kind is DeclineKind.HARD
    return decline_error(decline.code, decline.message, decline_code=decline.decline_code, hard=hard)


def settles(answer: AuthorizationAnswer, operation: Operation) -> bool:
    """Tell whether a looked-up snapshot answers ``operation``; if not, the call never arrived and is sent again."""
    if operation is Operation.AUTHORIZE:
        return answer.outcome is not _O.ABSENT
    return answer.outcome in {_O.CAPTURED, _O.VOIDED, _O.UNKNOWN, _O.ABSENT}


def plausible(attempt: Attempt, answer: AuthorizationAnswer) -> bool:
    """Tell whether what the provider says it has collected can be true."""
    return answer.outcome is not _O.CAPTURED or 0 < answer.captured_minor <= attempt.amount_minor


def refused(intent: Intent, attempt: Attempt) -> Pair:
    """Risk, or the person who looked, said no: nothing is sent."""
    error = error_of(BLOCKED)
    return intents.declined(intent, error), attempt.moved(AttemptVerb.REFUSE, error=error, work=DONE)


def heard(intent: Intent, attempt: Attempt, answer: AuthorizationAnswer, now: datetime) -> Pair:
    """Apply a snapshot. A captured attempt leaves the intent as it is until its transfer is posted (`settled`)."""
    attempt = replace(attempt, reference=answer.reference or attempt.reference)
    if answer.outcome in {_O.UNKNOWN, _O.ABSENT} or not plausible(attempt, answer):
        return intent, attempt.moved(AttemptVerb.LOSE) if ATTEMPT.may(attempt.state, AttemptVerb.LOSE) else attempt
    if answer.outcome is _O.CAPTURED:
        if not ATTEMPT.may(attempt.state, AttemptVerb.CAPTURED):
            return intent, attempt
        return intent, attempt.moved(AttemptVerb.CAPTURED, captured_minor=answer.captured_minor)
    if attempt.operation is not Operation.AUTHORIZE:
        return _heard_of_step(intent, attempt, answer, now)
    return _heard_of_authorization(intent, attempt, answer, now)


def _heard_of_authorization(intent: Intent, attempt: Attempt, answer: AuthorizationAnswer, now: datetime) -> Pair:
    waiting = attempt.state in UNANSWERED
    if answer.outcome is _O.AUTHORIZED:
        if not waiting:
            return intent, attempt
        standing = attempt.moved(AttemptVerb.AUTHORIZED, work=DONE)
        if attempt.capture:
            # The provider promised and did not collect: collecting is the next step.
            return intent, begin(standing, Operation.CAPTURE, attempt.amount_minor, attempt.begun_by, attempt.work)
        return intents.authorized(intent, attempt.amount_minor), standing
    if waiting:
        verb = AttemptVerb.DECLINED if answer.outcome is _O.DECLINED else AttemptVerb.FAILED
        error = error_of(answer.decline or PROCESSING_ERROR)
        return intents.declined(intent, error), attempt.moved(verb, error=error, work=DONE)
    if answer.outcome is _O.VOIDED and attempt.state is AttemptState.AUTHORIZED:
        return intents.voided(intent, now), attempt.moved(AttemptVerb.VOIDED, work=DONE)
    return intent, attempt


def _heard_of_step(intent: Intent, attempt: Attempt, answer: AuthorizationAnswer, now: datetime) -> Pair:
    """Apply a snapshot to an attempt whose capture or void was begun."""
    if answer.outcome is _O.VOIDED:
        if not ATTEMPT.may(attempt.state, AttemptVerb.VOIDED):
            return intent, attempt
        return intents.voided(intent, now), attempt.moved(AttemptVerb.VOIDED, work=DONE)
    if attempt.state not in UNANSWERED:
        return intent, attempt
    # Refused: what was authorized stands as before.
    error = error_of(answer.decline or PROCESSING_ERROR)
    attempt = attempt.moved(AttemptVerb.AUTHORIZED, error=error, work=DONE)
    intent = intents.authorized(intent, attempt.amount_minor)
    return replace(intent, last_error=error, cancellation_reason=None), attempt


def settled(intent: Intent, attempt: Attempt) -> Pair:
    """The capture stands in the books: the intent has succeeded."""
    assert attempt.state is AttemptState.CAPTURED
    return intents.succeeded(intent, attempt.captured_minor), replace(attempt, posted=True, work=DONE)
