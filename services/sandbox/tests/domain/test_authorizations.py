"""Proves the law of authorizations: each refusal in its order of precedence, and that no run of calls makes money."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_sandbox.domain.authorizations import (
    AUTHORIZATION_TTL,
    Authorization,
    AuthorizationRequest,
    AuthorizationStatus,
    authorize,
    capture,
    put_back,
    take_back,
    void,
)
from ledgerlink_sandbox.domain.cards import TEST_TOKENS, DeclineCode, find_card

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def authorized(amount_minor: int = 1000, card: str = "pm_card_visa", *, at_once: bool = False) -> Authorization:
    return authorize(AuthorizationRequest("k", amount_minor, "GBP", card, capture=at_once), NOW)


@pytest.mark.parametrize(
    ("card", "code", "soft"),
    [
        ("pm_card_chargeDeclined", DeclineCode.GENERIC, False),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineCode.INSUFFICIENT_FUNDS, True),
        ("pm_card_chargeDeclinedExpiredCard", DeclineCode.EXPIRED_CARD, False),
        ("pm_card_chargeDeclinedProcessingError", DeclineCode.PROCESSING_ERROR, True),
        ("pm_card_authenticationRequired", DeclineCode.AUTHENTICATION_REQUIRED, True),
    ],
)
def test_a_declining_card_declines_with_its_published_code(card: str, code: DeclineCode, soft: bool) -> None:
    decided = authorized(card=card)
    assert (decided.status, decided.decline, code.soft) == (AuthorizationStatus.DECLINED, code, soft)


@pytest.mark.parametrize("token", TEST_TOKENS)
def test_every_published_card_decides_the_same_request_alike(token: str) -> None:
    assert authorized(card=token) == authorized(card=token)
    assert (authorized(card=token).decline is None) == (find_card(token).decline is None)


def test_a_card_that_nobody_published_is_refused() -> None:
    with pytest.raises(Refused, match="payment-method-unknown"):
        authorized(card="pm_card_nobody")


def test_captures_in_parts_end_captured_when_nothing_is_left() -> None:
    first = capture(authorized(), 400, NOW)
    assert (first.status, first.capturable_minor) == (AuthorizationStatus.PARTIALLY_CAPTURED, 600)
    second = capture(first, 600, NOW)
    assert (second.status, second.capturable_minor, second.version) == (AuthorizationStatus.CAPTURED, 0, 3)


def test_a_final_capture_releases_what_it_leaves() -> None:
    ended = capture(capture(authorized(), 400, NOW), 100, NOW, final=True)
    assert (ended.status, ended.captured_minor, ended.released_minor) == (AuthorizationStatus.CAPTURED, 500, 500)
    assert capture(authorized(), 1000, NOW, final=True).released_minor == 0


@pytest.mark.parametrize(
    ("authorization", "amount_minor", "later", "code"),
    [
        (authorized(card="pm_card_chargeDeclined"), 2000, AUTHORIZATION_TTL, "authorization-not-open"),
        (authorized(at_once=True), 2000, AUTHORIZATION_TTL, "authorization-not-open"),
        (void(authorized()), 2000, AUTHORIZATION_TTL, "authorization-not-open"),
        (authorized(), 2000, AUTHORIZATION_TTL, "authorization-expired"),
        (authorized(), 1001, AUTHORIZATION_TTL - timedelta(seconds=1), "amount-too-large"),
    ],
)
def test_a_capture_is_refused_in_this_order(
    authorization: Authorization, amount_minor: int, later: timedelta, code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        capture(authorization, amount_minor, NOW + later)
    assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, code)


def test_a_capture_above_the_rest_is_refused_with_the_rest() -> None:
    with pytest.raises(Refused) as refusal:
        capture(capture(authorized(), 400, NOW), 601, NOW)
    assert refusal.value.members == {"remaining": 600, "currency": "GBP"}


def test_voiding_twice_is_voiding_once() -> None:
    once = void(authorized())
    assert (once.status, once.released_minor) == (AuthorizationStatus.VOIDED, 1000)
    assert void(once) == once


def test_voiding_after_a_partial_capture_releases_the_rest() -> None:
    released = void(capture(authorized(), 400, NOW))
    assert (released.status, released.captured_minor, released.released_minor) == (
        AuthorizationStatus.CAPTURED,
        400,
        600,
    )
    assert void(released) == released


@pytest.mark.parametrize("ended", [authorized(at_once=True), authorized(card="pm_card_chargeDeclined")])
def test_what_has_nothing_left_cannot_be_voided(ended: Authorization) -> None:
    with pytest.raises(Refused, match="authorization-not-open"):
        void(ended)


def test_a_refund_of_what_was_never_captured_is_refused() -> None:
    with pytest.raises(Refused, match="authorization-not-captured"):
        take_back(authorized(), 1)


def test_a_refund_above_what_was_captured_is_refused_with_what_remains() -> None:
    with pytest.raises(Refused) as refusal:
        take_back(take_back(authorized(at_once=True), 999), 2)
    assert (refusal.value.code, refusal.value.members["remaining"]) == ("amount-too-large", 1)


def test_a_refund_that_failed_may_be_asked_again() -> None:
    assert put_back(take_back(authorized(at_once=True), 999), 999).refundable_minor == 1000


class AgainstNaiveModel(RuleBasedStateMachine):
    """Any run of calls, beside a model that only counts pennies."""

    @initialize(amount=st.integers(1, 50))
    def open(self, amount: int) -> None:
        self.authorization = authorized(amount)
        self.left, self.collected, self.given_back, self.released = amount, 0, 0, False

    @rule(amount=st.integers(1, 60), final=st.booleans())
    def capture(self, amount: int, final: bool) -> None:
        may = not self.released and self.left > 0 and amount <= self.left
        try:
            self.authorization = capture(self.authorization, amount, NOW, final=final)
        except Refused:
            assert not may
        else:
            assert may
            self.left, self.collected = self.left - amount, self.collected + amount
            if final:
                self.left, self.released = 0, self.released or self.left > 0

    @rule()
    def void(self) -> None:
        try:
            self.authorization = void(self.authorization)
        except Refused:
            assert self.left == 0
            assert not self.released
        else:
            self.left, self.released = 0, True

    @rule(amount=st.integers(1, 60))
    def refund(self, amount: int) -> None:
        may = amount <= self.collected - self.given_back
        try:
            self.authorization = take_back(self.authorization, amount)
        except Refused:
            assert not may
        else:
            assert may
            self.given_back += amount

    @rule(share=st.integers(1, 60))
    def fail_refund(self, share: int) -> None:
        amount = min(share, self.given_back)
        self.authorization = put_back(self.authorization, amount)
        self.given_back -= amount

    @invariant()
    def the_pennies_agree(self) -> None:
        found = self.authorization
        assert found.capturable_minor == self.left
        assert found.refundable_minor == self.collected - self.given_back
        assert found.captured_minor + found.released_minor + found.capturable_minor == found.request.amount_minor


TestAgainstNaiveModel = AgainstNaiveModel.TestCase
