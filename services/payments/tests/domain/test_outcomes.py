"""Proves that an answer, heard in any state and any number of times, moves attempt and intent together."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_contracts.ids import AttemptId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_payments.domain import intents, objects, outcomes
from ledgerlink_payments.domain.answers import AuthorizationAnswer, AuthorizationOutcome, Decline, DeclineKind
from ledgerlink_payments.domain.attempts import (
    WALLET,
    Attempt,
    Operation,
    Payout,
    Refund,
    Work,
    begin,
    is_wallet,
    wait,
)
from ledgerlink_payments.domain.intents import CaptureMethod, Intent
from ledgerlink_payments.domain.machines import (
    ATTEMPT,
    AttemptState,
    AttemptVerb,
    IntentState,
    PayoutState,
    PayoutVerb,
    RefundState,
    RefundVerb,
)
from ledgerlink_payments.domain.outcomes import Pair

NOW = datetime(2026, 1, 5, tzinfo=UTC)
_O = AuthorizationOutcome
WORK = Work(due_at=NOW, lease_token=UUID(int=1))


def _sent(*, manual: bool = False, by_wallet: bool = False) -> Pair:
    attempt = Attempt(
        id=AttemptId.derive("test"),
        intent=IntentId.derive("test"),
        connector=WALLET if by_wallet else "fake",
        payment_method="wal_1" if by_wallet else "pm_card_visa",
        amount_minor=1000,
        currency="GBP",
        capture=not manual,
        created_at=NOW,
        operation_minor=1000,
        work=WORK,
    )
    intent = Intent(
        id=attempt.intent,
        owner="usr_x",
        amount_minor=1000,
        currency="GBP",
        destination="acct_" + "0" * 26,
        capture_method=CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC,
        created_at=NOW,
        state=IntentState.PROCESSING,
        payment_method=attempt.payment_method,
        latest_attempt=attempt.id,
    )
    return intent, attempt.moved(AttemptVerb.APPROVE).moved(AttemptVerb.SEND)


def _hear(pair: Pair, outcome: AuthorizationOutcome, captured: int = 1000, decline: Decline | None = None) -> Pair:
    captured_minor = captured if outcome is _O.CAPTURED else 0
    answer = AuthorizationAnswer(outcome, "ch_1", 1000, captured_minor, decline)
    return outcomes.heard(*pair, answer, NOW)


def _states(pair: Pair) -> tuple[IntentState, AttemptState]:
    return pair[0].state, pair[1].state


def _reserved() -> Pair:
    return _hear(_sent(manual=True), _O.AUTHORIZED)


def _stepping(operation: Operation) -> Pair:
    intent, attempt = _reserved()
    if operation is Operation.CAPTURE:
        intent, amount = intents.begin_capture(intent, 600)
    else:
        intent, amount = intents.begin_void(intent, None), 0
    return intent, begin(attempt, operation, amount, None, WORK)


N, A = IntentState, AttemptState
TABLE: list[tuple[Pair, AuthorizationOutcome, tuple[IntentState, AttemptState]]] = [
    (_sent(), _O.CAPTURED, (N.PROCESSING, A.CAPTURED)),
    (_sent(), _O.AUTHORIZED, (N.PROCESSING, A.CAPTURING)),
    (_sent(), _O.DECLINED, (N.REQUIRES_PAYMENT_METHOD, A.DECLINED)),
    (_sent(), _O.FAILED, (N.REQUIRES_PAYMENT_METHOD, A.FAILED)),
    (_sent(), _O.VOIDED, (N.REQUIRES_PAYMENT_METHOD, A.FAILED)),
    (_sent(), _O.UNKNOWN, (N.PROCESSING, A.UNKNOWN)),
    (_sent(), _O.ABSENT, (N.PROCESSING, A.UNKNOWN)),
    (_sent(manual=True), _O.AUTHORIZED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_hear(_sent(), _O.UNKNOWN), _O.UNKNOWN, (N.PROCESSING, A.UNKNOWN)),
    (_hear(_sent(), _O.UNKNOWN), _O.DECLINED, (N.REQUIRES_PAYMENT_METHOD, A.DECLINED)),
    (_reserved(), _O.AUTHORIZED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_reserved(), _O.UNKNOWN, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_reserved(), _O.VOIDED, (N.CANCELED, A.VOIDED)),
    (_reserved(), _O.CAPTURED, (N.REQUIRES_CAPTURE, A.CAPTURED)),
    (_reserved(), _O.DECLINED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_stepping(Operation.CAPTURE), _O.CAPTURED, (N.PROCESSING, A.CAPTURED)),
    (_stepping(Operation.CAPTURE), _O.AUTHORIZED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_stepping(Operation.CAPTURE), _O.DECLINED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_stepping(Operation.CAPTURE), _O.VOIDED, (N.CANCELED, A.VOIDED)),
    (_stepping(Operation.CAPTURE), _O.UNKNOWN, (N.PROCESSING, A.UNKNOWN)),
    (_stepping(Operation.VOID), _O.VOIDED, (N.CANCELED, A.VOIDED)),
    (_stepping(Operation.VOID), _O.CAPTURED, (N.PROCESSING, A.CAPTURED)),
    (_stepping(Operation.VOID), _O.AUTHORIZED, (N.REQUIRES_CAPTURE, A.AUTHORIZED)),
    (_hear(_stepping(Operation.VOID), _O.UNKNOWN), _O.VOIDED, (N.CANCELED, A.VOIDED)),
]


@pytest.mark.parametrize(("before", "said", "after"), TABLE)
def test_each_answer_in_each_state_comes_to_what_the_table_says(
    before: Pair, said: AuthorizationOutcome, after: tuple[IntentState, AttemptState]
) -> None:
    assert _states(_hear(before, said)) == after


@pytest.mark.parametrize("captured", [0, -1, 1001])
def test_a_capture_that_cannot_be_true_is_as_good_as_no_answer(captured: int) -> None:
    assert _states(_hear(_sent(), _O.CAPTURED, captured)) == (N.PROCESSING, A.UNKNOWN)


@given(st.lists(st.sampled_from(list(_O)), max_size=12), st.booleans(), st.sampled_from([0, 1, 600, 1000, 1001]))
def test_any_sequence_of_answers_keeps_every_sum_and_never_leaves_an_end(
    said: list[AuthorizationOutcome], manual: bool, captured: int
) -> None:
    pair = _sent(manual=manual)
    for outcome in said:
        before = pair
        pair = _hear(pair, outcome, captured)
        if pair[1].state is A.CAPTURED and not pair[1].posted:
            pair = outcomes.settled(*pair)
            assert pair[0].captured_minor == pair[1].captured_minor
        if before[1].state in ATTEMPT.final():
            assert _states(pair) == _states(before)
        again = _hear(pair, outcome, captured)
        assert again[0].state in {pair[0].state, *_next_ends(pair)}
        assert pair[0].captured_minor + pair[0].capturable_minor <= 1000


def _next_ends(pair: Pair) -> set[IntentState]:
    """States that hearing a provider's word once more may lead to, when it ended a capture that we had begun."""
    return {N.REQUIRES_CAPTURE, N.CANCELED, N.REQUIRES_PAYMENT_METHOD} if pair[0].state is N.PROCESSING else set()


def test_a_decline_tells_the_payer_why_and_whether_to_try_again() -> None:
    soft = Decline("card_declined", "No funds.", DeclineKind.SOFT, "insufficient_funds")
    intent, attempt = _hear(_sent(), _O.DECLINED, decline=soft)
    assert intent.last_error == attempt.error
    assert intent.last_error is not None
    assert intent.last_error["advice_code"] == "try_again_later"
    bare, _ = _hear(_sent(), _O.DECLINED)
    assert bare.last_error is not None
    assert bare.last_error["code"] == "processing_error"


def test_what_risk_refuses_is_declined_without_a_reason_that_helps_a_thief() -> None:
    intent, attempt = _sent()
    created = replace(attempt, state=A.CREATED)
    refused = outcomes.refused(intent, created)
    assert _states(refused) == (N.REQUIRES_PAYMENT_METHOD, A.DECLINED)
    assert refused[0].last_error is not None
    assert refused[0].last_error["decline_code"] == "fraudulent"


@pytest.mark.parametrize(
    ("outcome", "operation", "settles"),
    [
        (_O.ABSENT, Operation.AUTHORIZE, False),
        (_O.AUTHORIZED, Operation.AUTHORIZE, True),
        (_O.UNKNOWN, Operation.AUTHORIZE, True),
        (_O.AUTHORIZED, Operation.CAPTURE, False),
        (_O.CAPTURED, Operation.CAPTURE, True),
        (_O.VOIDED, Operation.VOID, True),
        (_O.AUTHORIZED, Operation.VOID, False),
    ],
)
def test_a_lookup_settles_a_step_or_shows_that_it_never_arrived(
    outcome: AuthorizationOutcome, operation: Operation, settles: bool
) -> None:
    assert outcomes.settles(AuthorizationAnswer(outcome), operation) is settles


def test_a_step_after_the_first_has_a_key_of_its_own() -> None:
    _, attempt = _sent(manual=True)
    assert attempt.operation_key == attempt.authorization_key == str(attempt.id)
    _, capturing = _stepping(Operation.CAPTURE)
    assert capturing.operation_key == f"{attempt.id}-2"


def test_an_attempt_knows_whether_a_wallet_pays() -> None:
    assert _sent(by_wallet=True)[1].by_wallet
    assert not _sent()[1].by_wallet
    assert is_wallet("wal_1")
    assert not is_wallet("pm_card_visa")


def test_waits_grow_to_five_minutes_and_no_further() -> None:
    assert [wait(tries) for tries in (0, 1, 5, 9, 60)] == [timedelta(seconds=s) for s in (1, 2, 32, 300, 300)]


@pytest.mark.parametrize("sums", [{"captured_minor": 1001}, {"captured_minor": -1}, {"posted": True}])
def test_an_attempt_whose_sums_do_not_hold_cannot_be(sums: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        replace(_sent()[1], **sums)


def _refund(state: RefundState, *, posted: bool = False) -> Refund:
    ids = (RefundId.derive("test"), IntentId.derive("test"), AttemptId.derive("test"))
    return Refund(*ids, "fake", "pm_x", "acct_x", 100, "JPY", NOW, "usr_x", state=state, posted=posted)


def _payout(state: PayoutState, *, posted: bool = False) -> Payout:
    ids = (PayoutId.derive("test"), MerchantId.derive("test"))
    return Payout(*ids, "fake", "ba_x", 100, "JPY", NOW, state=state, posted=posted)


def test_what_fails_after_it_had_succeeded_failed_late() -> None:
    assert _refund(RefundState.SUCCEEDED).moved(RefundVerb.FAILED).late
    assert not _refund(RefundState.PENDING).moved(RefundVerb.FAILED).late
    assert _payout(PayoutState.PAID).moved(PayoutVerb.FAILED).late
    assert not _payout(PayoutState.IN_TRANSIT).moved(PayoutVerb.FAILED).late
    assert not _refund(RefundState.CREATED).by_wallet


def test_what_the_books_do_not_tell_yet_is_not_shown_as_done() -> None:
    assert objects.refund(_refund(RefundState.SUCCEEDED))["status"] == "pending"
    assert objects.refund(_refund(RefundState.SUCCEEDED, posted=True))["status"] == "succeeded"
    assert objects.refund(_refund(RefundState.UNKNOWN))["status"] == "pending"
    assert objects.payout(_payout(PayoutState.PAID))["status"] == "in_transit"
    assert objects.payout(_payout(PayoutState.PAID, posted=True))["status"] == "paid"
    assert objects.payout(_payout(PayoutState.FAILED))["status"] == "failed"


def test_an_intent_is_shown_in_stripes_shape() -> None:
    shown = objects.payment_intent(_reserved()[0])
    assert (shown["object"], shown["status"], shown["amount_capturable"]) == (
        "payment_intent",
        "requires_capture",
        1000,
    )
    assert objects.payment_intent(_sent()[0])["amount_capturable"] == 0
    assert objects.listing("/v1/x", [shown], has_more=False)["data"] == [shown]
    assert objects.event("evt_1", "x.y", shown, NOW)["created"] == int(NOW.timestamp())
