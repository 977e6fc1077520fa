"""Proves when a circuit opens, how long it rests, and that exactly one probe decides whether it closes."""

import pytest

from ledgerlink_gateway.domain.breaker import Breaker, BreakerRule, Circuit

RULE = BreakerRule(window_s=10.0, outcomes_min=4, ratio=0.5, rest_s=2.0)


def _opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(RULE)
    for _ in range(4):
        breaker.failed(at)
    assert breaker.state is Circuit.OPEN
    return breaker


def test_it_opens_when_enough_outcomes_hold_enough_failures() -> None:
    breaker = Breaker(RULE)
    for _ in range(2):
        breaker.succeeded(0.0)
        breaker.failed(0.0)
    assert breaker.state is Circuit.OPEN


def test_it_stays_closed_on_few_outcomes_or_few_failures() -> None:
    few = Breaker(RULE)
    for _ in range(3):
        few.failed(0.0)
    mostly_good = Breaker(RULE)
    for _ in range(30):
        mostly_good.succeeded(0.0)
    for _ in range(10):
        mostly_good.failed(0.0)
    assert few.state is mostly_good.state is Circuit.CLOSED


def test_open_refuses_with_the_rest_that_is_left() -> None:
    breaker = _opened()
    assert breaker.refuses_for(0.5) == 1.5


def test_after_the_rest_one_probe_passes_and_all_others_wait_for_it() -> None:
    breaker = _opened()
    assert breaker.refuses_for(2.0) == 0.0
    assert breaker.refuses_for(2.0) > 0
    assert breaker.state is Circuit.HALF_OPEN


def test_a_good_probe_closes_it_and_a_bad_one_opens_it_for_another_rest() -> None:
    good, bad = _opened(), _opened()
    for breaker in (good, bad):
        breaker.refuses_for(2.0)
    good.succeeded(2.1)
    bad.failed(2.1)
    assert good.refuses_for(2.1) == 0.0
    assert bad.refuses_for(2.1) == pytest.approx(2.0)


def test_a_probe_without_an_outcome_lets_the_next_one_probe() -> None:
    breaker = _opened()
    breaker.refuses_for(2.0)
    breaker.forgot()
    assert breaker.refuses_for(2.0) == 0.0


def test_old_failures_lose_their_weight() -> None:
    breaker = Breaker(RULE)
    for _ in range(3):
        breaker.failed(0.0)
    for at in (10.0, 20.0, 30.0):
        breaker.succeeded(at)
    breaker.failed(30.0)
    assert breaker.state is Circuit.CLOSED
