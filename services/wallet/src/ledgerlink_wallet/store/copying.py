"""Rows of facts in COPY's binary format (PostgreSQL manual, COPY, Binary Format), packed a row at a time.

A driver asks each value for its type, every time; a batch of a thousand transfers has fifty thousand values whose types
we know. Numbers are in network order; a field is its length and its bytes, minus one is NULL.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, Final
from uuid import UUID

Row = tuple[Any, ...]

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_UUID_LENGTH: Final = b"\x00\x00\x00\x10"
_LENGTH: Final = Struct(">i")
_SMALLINT: Final = Struct(">ih")
_MOMENT: Final = Struct(">iq")
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def table_of(rows: Iterable[Row], pack: Callable[[Row], bytes], last: bytes) -> bytes:
    """Give the whole input of a COPY, in which every row ends with the field ``last``."""
    return HEADER + last.join([*map(pack, rows), TRAILER])


def uuid_field(value: UUID | None) -> bytes:
    """Write a uuid."""
    return NULL if value is None else _UUID_LENGTH + value.bytes


def text_field(value: str | None) -> bytes:
    """Write a text, or JSON."""
    if value is None:
        return NULL
    raw = value.encode()
    return _LENGTH.pack(len(raw)) + raw


def bytes_field(value: bytes | None) -> bytes:
    """Write a bytea."""
    return NULL if value is None else _LENGTH.pack(len(value)) + value


@lru_cache(1_024)
def word_field(value: str) -> bytes:
    """Write one of a few texts that come again and again."""
    return text_field(value)


def jsonb_field(value: str) -> bytes:
    """Write a jsonb: version 1 of its form is text."""
    raw = value.encode()
    return _LENGTH.pack(len(raw) + 1) + b"\x01" + raw


def smallint_field(value: int) -> bytes:
    """Write a smallint."""
    return _SMALLINT.pack(2, value)


@lru_cache(64)
def moment_field(value: datetime) -> bytes:
    """Write a timestamptz: microseconds since 2000; remembered, because a batch has one moment."""
    return _MOMENT.pack(8, (value - _EPOCH) // _MICROSECOND)
