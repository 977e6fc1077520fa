"""Keyset pages: a cursor names the last row seen, so that a page costs the same wherever it lies."""

import base64
import binascii
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import Field

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.limits import CURSOR_CHARS_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from ledgerlink_kit.wire import ResponseModel

Item = TypeVar("Item")


class InvalidCursor(Refused):
    """The cursor was not made by us, or for another list."""

    def __init__(self) -> None:
        super().__init__(Kind.INVALID, "invalid-cursor", "Give the cursor exactly as `next_cursor` gave it.")


def encode_cursor(position: dict[str, Any]) -> str:
    """Write a position (JSON-able values) as an opaque, URL-safe cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *names: str) -> dict[str, Any]:
    """Read a cursor that holds exactly ``names``. Raises `InvalidCursor`."""
    if len(cursor) > CURSOR_CHARS_MAX:
        raise InvalidCursor
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        position = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise InvalidCursor from None
    if not isinstance(position, dict) or set(position) != set(names):  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidCursor
    return position  # pyright: ignore[reportUnknownVariableType]


class Page(ResponseModel, Generic[Item]):
    """One page of a list; ``next_cursor`` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


PageLimit = Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX, description="Items per page")]
PageCursor = Annotated[
    str | None, Query(max_length=CURSOR_CHARS_MAX, description="`next_cursor` of the page before"), Field()
]
PAGE_DEFAULT = PAGE_ITEMS_DEFAULT
