"""The operations at their edges: 64 bits, truncation, IEEE 754, times and texts, by CEL's specification."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlink_risk.domain.language import operations as op
from ledgerlink_risk.domain.language.tokens import INT_MAX, INT_MIN
from ledgerlink_risk.domain.language.values import Missing, missing

OVERFLOW = missing("integer overflow")
BY_ZERO = missing("division by zero")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (op.subtract_int(INT_MIN, 1), OVERFLOW),
        (op.multiply_int(INT_MAX, 2), OVERFLOW),
        (op.multiply_int(-3, 4), -12),
        (op.divide_int(-7, 2), -3),
        (op.divide_int(7, -2), -3),
        (op.divide_int(INT_MIN, -1), OVERFLOW),
        (op.divide_int(1, 0), BY_ZERO),
        (op.modulo_int(-7, 2), -1),
        (op.modulo_int(7, -2), 1),
        (op.modulo_int(1, 0), BY_ZERO),
        (op.modulo_int(INT_MIN, -1), OVERFLOW),
        (op.negate_int(INT_MIN), OVERFLOW),
        (op.negate_int(5), -5),
        (op.divide_double(1.0, 4.0), 0.25),
        (op.divide_double(1.0, 0.0), math.inf),
        (op.divide_double(-1.0, 0.0), -math.inf),
        (op.divide_double(1.0, -0.0), -math.inf),
        (op.int_of_double(-1.9), -1),
        (op.int_of_double(2.0**63), OVERFLOW),
        (op.int_of_double(math.nan), OVERFLOW),
        (op.int_of_string("-12"), -12),
        (op.int_of_string("9223372036854775808"), OVERFLOW),
        (op.int_of_string("1.0"), missing("not an integer")),
    ],
)
def test_numbers_stop_at_64_bits_and_truncate_toward_zero(given: Any, expected: Any) -> None:
    assert given == expected


def test_zero_by_zero_is_no_number() -> None:
    assert math.isnan(op.divide_double(0.0, 0.0))
    assert math.isnan(op.divide_double(math.nan, 0.0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02t03:04:05.1234560z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05-02:30", datetime(2026, 1, 2, 5, 34, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1234567Z", None),
        ("2026-13-02T03:04:05Z", None),
        ("2026-01-02", None),
        ("0001-01-01T00:00:00+01:00", None),
    ],
)
def test_timestamps_are_rfc_3339_in_microseconds(text: str, expected: datetime | None) -> None:
    assert op.timestamp_of_string(text) == (missing("not a timestamp") if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h30m", timedelta(minutes=90)),
        ("-1.5s", timedelta(seconds=-1.5)),
        ("+2ms", timedelta(milliseconds=2)),
        (".5m", timedelta(seconds=30)),
        ("1.h", timedelta(hours=1)),
        ("1us", timedelta(microseconds=1)),
        ("1000ns", timedelta(microseconds=1)),
        ("0", timedelta(0)),
        ("1ns", None),
        ("0.1ns", None),
        ("1d", None),
        ("", None),
        ("3000000h", None),
    ],
)
def test_durations_are_whole_microseconds_within_292_years(text: str, expected: timedelta | None) -> None:
    assert op.duration_of_string(text) == (missing("not a duration") if expected is None else expected)


def test_time_arithmetic_stays_in_range() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert op.sooner(timedelta(hours=1), moment) == moment + timedelta(hours=1)
    assert op.subtract_duration(timedelta(hours=1), timedelta(hours=3)) == timedelta(hours=-2)
    assert isinstance(op.between(moment, datetime(1, 1, 1, tzinfo=UTC)), Missing)


def test_parts_of_times_count_as_cel_counts_them() -> None:
    sunday = datetime(2026, 3, 1, 23, 59, 58, 999_999, tzinfo=UTC)
    assert (op.month_from_zero(sunday), op.day_from_zero(sunday), op.day_of_week(sunday)) == (2, 0, 0)
    assert (op.day_of_year(sunday), op.milliseconds_of(sunday)) == (59, 999)
    back = timedelta(hours=-1, milliseconds=-250)
    assert (op.total(60)(back), op.milliseconds_part(back)) == (-60, -250)
    assert (op.total(3600)(-back), op.milliseconds_part(-back)) == (1, 250)


def test_texts_change_their_ascii_letters_only() -> None:
    assert (op.lower_ascii("AzÉ"), op.upper_ascii("aZé")) == ("azÉ", "AZé")


def test_lists_compare_item_by_item() -> None:
    assert op.equal((1, 2), (1, 2))
    assert op.unequal((1, 2), (1, 3))
    assert op.unequal((1,), (1, 2))
    assert not op.equal((math.nan,), (math.nan,))
    assert not op.is_item(math.nan, (math.nan,))
