"""Lists that rules read: what an entry is, and why one is refused."""

from typing import Annotated

from pydantic import AwareDatetime, StringConstraints

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.wire import RequestModel, ResponseModel

ListName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Note = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class EntryOrder(RequestModel):
    """Why a value stands on a list, and until when; without an end it stays until it is removed."""

    note: Note
    expires_at: AwareDatetime | None = None


class Entry(ResponseModel):
    """A value that stands on a list."""

    list: str
    value: str
    note: str
    added_by: str
    added_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class UnknownList(Refused):
    """No rule in force reads such a list, so that an entry on it would do nothing; member `lists` names those read."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(Kind.NOT_FOUND, "unknown-list", f"No rule in force reads a list {name!r}.", lists=known)


class UnknownEntry(Refused):
    """The value does not stand on the list."""

    def __init__(self) -> None:
        super().__init__(Kind.NOT_FOUND, "unknown-entry", "This value does not stand on the list.")


class ExpiresInThePast(Refused):
    """An entry that has expired already would do nothing."""

    def __init__(self) -> None:
        super().__init__(Kind.UNPROCESSABLE, "expires-in-the-past", "An entry expires in the future, or never.")
