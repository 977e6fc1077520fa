"""Proves that the stretches until a moment hold whatever is effective by then exactly once, and nothing else."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_contracts.wallet.models import YEAR_MAX, YEAR_MIN
from ledgerlink_wallet.domain.stretches import LEVEL_MAX, Stretch, micros_of, stretches_of, stretches_until

MICROS = st.integers(0, 2**55)


@given(micros=MICROS, until=st.one_of(st.integers(-2, 2**56 + 2), MICROS))
def test_what_is_effective_by_a_moment_is_in_exactly_one_stretch_until_it(micros: int, until: int) -> None:
    shared = set(stretches_of(micros)) & set(stretches_until(until))

    assert len(shared) == (1 if micros <= until else 0)
    assert len(stretches_until(until)) <= 210


@given(near=MICROS, by=st.integers(-20, 20))
def test_neighbors_of_a_moment_are_told_apart(near: int, by: int) -> None:
    shared = set(stretches_of(max(near + by, 0))) & set(stretches_until(near))

    assert len(shared) == (1 if max(near + by, 0) <= near else 0)


def test_nothing_is_before_the_beginning_and_all_of_time_is_one_stretch() -> None:
    last = datetime(YEAR_MAX, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    assert stretches_until(-1) == stretches_until(-5) == []
    assert stretches_until(0) == [Stretch(0, 0)]
    assert stretches_until(2**56 - 1) == stretches_until(2**60) == [Stretch(LEVEL_MAX, 0)]
    assert micros_of(datetime(YEAR_MIN, 1, 1, tzinfo=UTC) + timedelta(microseconds=7)) == 7
    assert stretches_of(micros_of(last))[-1] == Stretch(LEVEL_MAX, 0)
    assert micros_of(last) < 2**56
