"""Proves the pure rate limit: what passes, what is left, how long to wait, and that policies are charged together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_gateway.domain.gcra import MICROS, Charge, Per, Policy, decide

TEN = Policy(name="ten", per=Per.ADDRESS, quota=10, window_s=10)
TWO = Policy(name="two", per=Per.CALLER, quota=2, window_s=10)


def test_a_new_key_has_its_whole_quota_at_once_and_then_nothing() -> None:
    tat = 0
    remaining: list[int] = []
    for _ in range(10):
        passes, (tat,), (standing,) = decide(MICROS * 1000, [tat], [Charge(TEN, "k", 1)])
        assert passes
        remaining.append(standing.remaining)
    assert remaining == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    passes, (kept,), (standing,) = decide(MICROS * 1000, [tat], [Charge(TEN, "k", 1)])
    assert not passes
    assert (kept, standing.remaining, standing.retry_us, standing.reset_us) == (tat, 0, MICROS, 10 * MICROS)


def test_a_unit_comes_back_each_interval() -> None:
    _, (tat,), _ = decide(0, [0], [Charge(TEN, "k", 10)])
    assert not decide(MICROS - 1, [tat], [Charge(TEN, "k", 1)])[0]
    assert decide(MICROS, [tat], [Charge(TEN, "k", 1)])[0]


def test_what_one_policy_refuses_is_not_charged_to_the_other() -> None:
    charges = [Charge(TEN, "a", 1), Charge(TWO, "b", 1)]
    tats = [0, 0]
    for _ in range(2):
        _, tats, _ = decide(0, tats, charges)
    passes, kept, standings = decide(0, tats, charges)
    assert not passes
    assert kept == tats
    assert [(each.remaining, each.retry_us) for each in standings] == [(8, 0), (0, 5 * MICROS)]


def test_a_stored_time_beyond_the_window_locks_nobody_out_for_longer_than_the_window() -> None:
    _, _, (standing,) = decide(0, [10**15], [Charge(TEN, "k", 1)])
    assert standing.retry_us == MICROS


def test_a_policy_of_no_quota_or_of_more_than_a_unit_a_microsecond_is_refused() -> None:
    for quota in (0, MICROS + 1):
        with pytest.raises(ValueError, match="the quota must be"):
            Policy(name="x", per=Per.ADDRESS, quota=quota, window_s=1)


@pytest.mark.parametrize(("factor", "quota"), [(1.0, 10), (50.0, 500), (0.5, 5), (0.001, 1), (1e12, 10 * MICROS)])
def test_a_scaled_policy_keeps_its_window_and_stays_within_bounds(factor: float, quota: int) -> None:
    assert (TEN.scaled(factor).quota, TEN.scaled(factor).window_s) == (quota, 10)


@given(
    quota=st.integers(1, 50),
    window_s=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 3 * MICROS), st.integers(1, 5)), max_size=60),
)
def test_no_span_of_time_ever_passes_more_than_its_quota_and_what_came_back(
    quota: int, window_s: int, steps: list[tuple[int, int]]
) -> None:
    policy = Policy(name="p", per=Per.ADDRESS, quota=quota, window_s=window_s)
    now, tat = 10**9, 0
    passed: list[tuple[int, int]] = []
    for wait, cost in steps:
        now += wait
        passes, (tat,), (standing,) = decide(now, [tat], [Charge(policy, "k", cost)])
        if passes:
            passed.append((now, cost))
        elif cost <= quota:
            # the wait it names is exact: one microsecond less is refused, then it passes
            assert decide(now + standing.retry_us, [tat], [Charge(policy, "k", cost)])[0]
            assert not decide(now + standing.retry_us - 1, [tat], [Charge(policy, "k", cost)])[0]
    for start, (first, _) in enumerate(passed):
        for end in range(start, len(passed)):
            spent = sum(cost for _, cost in passed[start : end + 1])
            assert spent * policy.interval_us <= policy.window_us + (passed[end][0] - first)
