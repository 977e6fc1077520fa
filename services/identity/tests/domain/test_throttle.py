"""Proves how failures slow an account down per address, when they are forgotten, and what pressure changes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_identity.domain.limits import FORGET_FAILURES_AFTER, FREE_FAILURES, PRESSURE_FAILURES, WAIT_MAX_S
from ledgerlink_identity.domain.throttle import Throttle, after_failure, under_pressure, wait_s

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def fail(times: int, *, pressed: bool = False) -> Throttle:
    throttle = None
    for _ in range(times):
        throttle = after_failure(throttle, NOW, pressed=pressed)
    assert throttle is not None
    return throttle


def test_nobody_waits_before_the_first_failure() -> None:
    assert wait_s(None, NOW) == 0


def test_the_free_failures_bring_no_wait() -> None:
    assert wait_s(fail(FREE_FAILURES - 1), NOW) == 0


@pytest.mark.parametrize(
    ("failures", "wait"), [(5, 2), (6, 4), (7, 8), (8, 16), (13, 512), (14, 900), (15, 900), (500, 900)]
)
def test_the_wait_doubles_with_every_failure_up_to_a_quarter_of_an_hour(failures: int, wait: int) -> None:
    assert wait_s(fail(failures), NOW) == wait


def test_under_pressure_a_new_address_waits_after_its_first_failure() -> None:
    assert wait_s(fail(1, pressed=True), NOW) == 2


def test_a_wait_ends_by_itself() -> None:
    throttle = fail(5)
    assert wait_s(throttle, NOW + timedelta(seconds=0.5)) == 2
    assert wait_s(throttle, NOW + timedelta(seconds=2)) == 0


def test_failures_are_forgotten_after_an_hour() -> None:
    later = NOW + FORGET_FAILURES_AFTER
    assert after_failure(fail(12), later, pressed=False) == Throttle(1, later, None)


@pytest.mark.parametrize(
    ("failures", "known", "pressed"),
    [
        (PRESSURE_FAILURES - 1, False, False),
        (PRESSURE_FAILURES, False, True),
        (PRESSURE_FAILURES, True, False),
        (0, True, False),
    ],
)
def test_pressure_needs_many_failures_and_spares_a_known_address(failures: int, known: bool, pressed: bool) -> None:
    assert under_pressure(failures, address_is_known=known) is pressed


@given(st.integers(min_value=1, max_value=200), st.booleans())
def test_no_wait_is_longer_than_the_limit_and_none_shrinks(times: int, pressed: bool) -> None:
    waits = [wait_s(fail(count, pressed=pressed), NOW) for count in (times, times + 1)]
    assert 0 <= waits[0] <= waits[1] <= WAIT_MAX_S
