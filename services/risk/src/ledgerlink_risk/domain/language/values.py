"""What expressions compute: plain Python values, money, and the third value.

bool, int (64 bits), float, str, datetime (aware), timedelta, `Money`, tuple (a list), dict (a map by text). `Missing`
stands beside them: the answer of every operation on a fact that is not there, or that has no result (division by
zero, money of two currencies). It is data, never an exception.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledgerlink_kit.money import format_minor

SHOWN_CHARS_MAX: Final = 200
"""Longest text of a value in a reason; the rest is cut with an ellipsis."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No value, and why: names of absent facts (`destination`), or what could not be computed (`division by zero`)."""

    names: frozenset[str]

    def __or__(self, other: "Missing") -> "Missing":
        """Unite the causes."""
        return self if other.names <= self.names else Missing(self.names | other.names)


@dataclass(frozen=True, slots=True)
class Money:
    """Signed minor units of an ISO 4217 currency."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return f"{format_minor(self.minor, self.currency)} {self.currency}"


def missing(*names: str) -> Missing:
    """Make the third value with its causes."""
    return Missing(frozenset(names))


def united(values: Iterable[Any]) -> Missing | None:
    """Give the union of all missing values among `values`, or nothing when all are there."""
    causes: Missing | None = None
    for value in values:
        if type(value) is Missing:
            causes = value if causes is None else causes | value
    return causes


def shown(value: Any) -> str:
    """Write a value for a reason: short, stable, and readable by a person."""
    text = _text(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        entries = value.items()  # pyright: ignore[reportUnknownVariableType]
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in entries) + "}"  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def duration_text(value: timedelta) -> str:
    """Write a duration as CEL does: seconds with up to six decimals and an `s`."""
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    fraction = f".{micros % 1_000_000:06d}".rstrip("0").rstrip(".")
    return f"{sign}{micros // 1_000_000}{fraction}s"
