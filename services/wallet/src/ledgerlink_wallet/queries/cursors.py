"""Values out of a cursor, checked: a cursor comes back from a caller, who may have changed it."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ledgerlink_contracts.wallet.models import YEAR_MAX, YEAR_MIN
from ledgerlink_kit.pagination import InvalidCursor, decode_cursor, encode_cursor


def uuid_in(value: Any) -> UUID:
    """Read a UUID. Raises `InvalidCursor`."""
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise InvalidCursor from None


def moment_in(value: Any) -> datetime:
    """Read a moment with its offset. Raises `InvalidCursor`."""
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        raise InvalidCursor from None
    if moment.tzinfo is None or not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise InvalidCursor
    return moment


def version_in(value: Any) -> int:
    """Read an account version. Raises `InvalidCursor`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise InvalidCursor
    return value


def text_in(value: Any) -> str:
    """Read a text that PostgreSQL can compare: no NUL. Raises `InvalidCursor`."""
    if not isinstance(value, str) or "\x00" in value:
        raise InvalidCursor
    return value


class Place(NamedTuple):
    """Where a page ended in a list that is in the order of a moment and an id."""

    at: datetime
    id: UUID


def place_in(cursor: str) -> Place:
    """Read where the page before ended. Raises `InvalidCursor`."""
    position = decode_cursor(cursor, "at", "id")
    return Place(moment_in(position["at"]), uuid_in(position["id"]))


def cursor_at(moment: datetime, id_: UUID) -> str:
    """Write where a page ends."""
    return encode_cursor({"at": moment.isoformat(), "id": str(id_)})
