"""The operations of the language on values that are there: total functions, each gives a value or `Missing`.

They follow CEL's specification: integers of 64 bits that never wrap, division that truncates toward zero, IEEE 754
doubles, strings counted and ordered by code points, times in UTC. Two places differ and are documented in the
profile: times keep microseconds, not nanoseconds, and money exists.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_risk.domain.language.tokens import INT_MAX, INT_MIN
from ledgerlink_risk.domain.language.values import Missing, Money, missing

DURATION_MICROS_MAX: Final = INT_MAX // 1000
"""Longest duration, either way: 292 years, the 64 bits of nanoseconds that CEL's implementations count in."""

_OVERFLOW: Final = missing("integer overflow")
_TIME_OVERFLOW: Final = missing("time out of range")
_BY_ZERO: Final = missing("division by zero")
_MONEY_OVERFLOW: Final = missing("amount out of range")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.(\d{1,9}))?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION: Final = re.compile(r"([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|m|s|us|ns))+|0)", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?(h|ms|m|s|us|ns)", re.ASCII)
_UNIT_NS: Final = {
    "h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1,
}  # fmt: skip

# -- integers and doubles ----------------------------------------------------------------------------------------------


def _bounded(value: int) -> int | Missing:
    return value if INT_MIN <= value <= INT_MAX else _OVERFLOW


def add_int(left: int, right: int) -> int | Missing:
    """Add, within 64 bits."""
    return _bounded(left + right)


def subtract_int(left: int, right: int) -> int | Missing:
    """Subtract, within 64 bits."""
    return _bounded(left - right)


def multiply_int(left: int, right: int) -> int | Missing:
    """Multiply, within 64 bits."""
    return _bounded(left * right)


def divide_int(left: int, right: int) -> int | Missing:
    """Divide, truncating toward zero."""
    if right == 0:
        return _BY_ZERO
    quotient = abs(left) // abs(right)
    return _bounded(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int | Missing:
    """Give the remainder, with the sign of the dividend; the smallest integer has none by -1, as in CEL."""
    if right == 0:
        return _BY_ZERO
    if left == INT_MIN and right == -1:
        return _OVERFLOW
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def negate_int(value: int) -> int | Missing:
    """Negate, within 64 bits."""
    return _bounded(-value)


def divide_double(left: float, right: float) -> float:
    """Divide by IEEE 754: infinities and NaN instead of an exception."""
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def int_of_double(value: float) -> int | Missing:
    """Truncate toward zero; no result outside the open range of 64 bits."""
    if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
        return _OVERFLOW
    return math.trunc(value)


def int_of_string(value: str) -> int | Missing:
    """Read a plain decimal integer."""
    if re.fullmatch(r"[+-]?[0-9]{1,30}", value) is None:
        return missing("not an integer")
    return _bounded(int(value))


# -- times -------------------------------------------------------------------------------------------------------------


def timestamp_of_string(text: str) -> datetime | Missing:
    """Read RFC 3339; at most six decimals of a second that are not zero."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None or (match[1] or "")[6:].strip("0"):
        return missing("not a timestamp")
    fraction = (match[1] or "")[:6]
    upper = text.upper()
    plain = upper if not match[1] else upper.replace(f".{match[1]}", f".{fraction}", 1)
    try:
        return datetime.fromisoformat(plain).astimezone(UTC)
    except (ValueError, OverflowError):
        return missing("not a timestamp")


def duration_of_string(text: str) -> timedelta | Missing:
    """Read `1h30m`, `1.5s`, `-2m`; units h, m, s, ms, us, ns, in whole microseconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return missing("not a duration")
    nanos = 0
    for whole, fraction, unit in _DURATION_PART.findall(match[2]):
        nanos += int(whole or "0") * _UNIT_NS[unit]
        if fraction:
            scaled, rest = divmod(int(fraction) * _UNIT_NS[unit], 10 ** len(fraction))
            if rest:
                return missing("not a duration")
            nanos += scaled
    micros, rest = divmod(nanos, 1000)
    if rest or micros > DURATION_MICROS_MAX:
        return missing("not a duration")
    return timedelta(microseconds=-micros if match[1] == "-" else micros)


def _bounded_duration(value: timedelta) -> timedelta | Missing:
    return value if abs(value) <= timedelta(microseconds=DURATION_MICROS_MAX) else _TIME_OVERFLOW


def add_duration(left: timedelta, right: timedelta) -> timedelta | Missing:
    """Add two durations, within CEL's bound."""
    return _bounded_duration(left + right)


def subtract_duration(left: timedelta, right: timedelta) -> timedelta | Missing:
    """Subtract two durations, within CEL's bound."""
    return _bounded_duration(left - right)


def later(moment: datetime, by: timedelta) -> datetime | Missing:
    """Move a moment; the years 1 to 9999 exist."""
    try:
        return moment + by
    except OverflowError:
        return _TIME_OVERFLOW


def earlier(moment: datetime, by: timedelta) -> datetime | Missing:
    """Move a moment back."""
    try:
        return moment - by
    except OverflowError:
        return _TIME_OVERFLOW


def sooner(by: timedelta, moment: datetime) -> datetime | Missing:
    """Add with the operands the other way round."""
    return later(moment, by)


def between(left: datetime, right: datetime) -> timedelta | Missing:
    """Give the span between two moments, within a duration's bound."""
    return _bounded_duration(left - right)


def total(unit_s: int) -> Callable[[timedelta], int]:
    """Make the accessor that counts whole units in a duration, truncated toward zero."""

    def count(value: timedelta) -> int:
        units = abs(value) // timedelta(seconds=unit_s)
        return -units if value < timedelta(0) else units

    return count


def milliseconds_part(value: timedelta) -> int:
    """Give the milliseconds within the second, as CEL's `getMilliseconds` of a duration does."""
    micros = abs(value) // timedelta(microseconds=1) % 1_000_000
    return -(micros // 1000) if value < timedelta(0) else micros // 1000


def month_from_zero(moment: datetime) -> int:
    """Give 0 for January, in UTC."""
    return moment.month - 1


def day_from_zero(moment: datetime) -> int:
    """Give 0 for the first day of the month, in UTC."""
    return moment.day - 1


def milliseconds_of(moment: datetime) -> int:
    """Give the milliseconds within the second."""
    return moment.microsecond // 1000


def day_of_week(moment: datetime) -> int:
    """Give 0 for Sunday to 6 for Saturday, in UTC."""
    return moment.isoweekday() % 7


def day_of_year(moment: datetime) -> int:
    """Give 0 for the first of January, in UTC."""
    return moment.timetuple().tm_yday - 1


def epoch_seconds(moment: datetime) -> int:
    """Give whole seconds since 1970, rounded down."""
    return (moment - _EPOCH) // timedelta(seconds=1)


# -- texts, lists, maps ------------------------------------------------------------------------------------------------


def lower_ascii(text: str) -> str:
    """Lower the ASCII letters only, so that the result does not hang on a locale or a Unicode version."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def upper_ascii(text: str) -> str:
    """Raise the ASCII letters only."""
    return "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text)


def item_at(items: tuple[Any, ...], index: int) -> Any:
    """Give the item at an index from 0; there is none outside."""
    return items[index] if 0 <= index < len(items) else missing(f"index {index}")


def entry_at(entries: dict[str, Any], key: str) -> Any:
    """Give a map's entry; an absent one is missing by its key."""
    value = entries.get(key)
    return missing(f"entry {key!r}") if value is None else value


def named_entry(name: str, key: str) -> Callable[[dict[str, Any]], Any]:
    """Make the access to one entry of a fact; an absent one is missing by its full name."""
    absent = missing(name)

    def run(entries: dict[str, Any]) -> Any:
        return entries.get(key, absent)

    return run


def is_item(item: Any, items: tuple[Any, ...]) -> bool:
    """Look a value up in a list; NaN is in none."""
    return any(item == other for other in items)


def is_key(key: str, entries: dict[str, Any]) -> bool:
    """Look a text up among a map's keys."""
    return key in entries


def equal(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Compare two lists item by item; NaN equals nothing, itself included."""
    return len(left) == len(right) and all(a == b for a, b in zip(left, right, strict=True))


def unequal(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Give the opposite of `equal`."""
    return not equal(left, right)


# -- money -------------------------------------------------------------------------------------------------------------


def _other_currency(left: Money, right: Money) -> Missing:
    return missing(f"{left.currency} is not {right.currency}")


def _bounded_money(minor: int, currency: str) -> Money | Missing:
    return Money(minor, currency) if abs(minor) <= MAX_MINOR else _MONEY_OVERFLOW


def add_money(left: Money, right: Money) -> Money | Missing:
    """Add two amounts of one currency."""
    if left.currency != right.currency:
        return _other_currency(left, right)
    return _bounded_money(left.minor + right.minor, left.currency)


def subtract_money(left: Money, right: Money) -> Money | Missing:
    """Subtract two amounts of one currency."""
    if left.currency != right.currency:
        return _other_currency(left, right)
    return _bounded_money(left.minor - right.minor, left.currency)


def multiply_money(amount: Money, by: int) -> Money | Missing:
    """Multiply an amount by a whole number; there is no other arithmetic that would need a rounding."""
    return _bounded_money(amount.minor * by, amount.currency)


def times_money(by: int, amount: Money) -> Money | Missing:
    """Multiply with the operands the other way round."""
    return multiply_money(amount, by)


def limit_in(name: str, amounts: Mapping[str, Money]) -> Callable[[str], Money | Missing]:
    """Make the lookup of a limit by currency; a currency without one is missing."""

    def run(currency: str) -> Money | Missing:
        return amounts.get(currency) or missing(f"limit {name} in {currency}")

    return run


def negate_money(amount: Money) -> Money:
    """Negate; the bound is symmetric."""
    return Money(-amount.minor, amount.currency)


def compare_money(compare: Callable[[int, int], bool]) -> Callable[[Money, Money], bool | Missing]:
    """Make a comparison of amounts of one currency out of one of integers."""

    def run(left: Money, right: Money) -> bool | Missing:
        if left.currency != right.currency:
            return _other_currency(left, right)
        return compare(left.minor, right.minor)

    return run
