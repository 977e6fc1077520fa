"""Imports on the wire: a file of transfers of any size, one `TransferOrder` a line, sent in as many pieces as it takes.

Lines are counted from 0, blank ones too, so that a line's number is its place in the file.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field

from ledgerlink_contracts.ids import ImportId
from ledgerlink_kit.pagination import Page
from ledgerlink_kit.wire import RequestModel, ResponseModel, Text

NDJSON: Final = "application/x-ndjson"

LINE_BYTES_MAX: Final = 64 * 1024
"""Bytes of one line; a longer one is malformed (`line-too-long`) and never kept."""

LINES_MAX: Final = 1_000_000_000
"""Lines of one import."""

PROBLEMS_MAX: Final = 100_000
"""Lines of one import that are reported as not posted; past it the file is the wrong one and no more is taken."""


class ImportState(StrEnum):
    """Whether an import takes lines."""

    OPEN = "open"
    CLOSED = "closed"


class LineOutcome(StrEnum):
    """Why a line was not posted."""

    REFUSED = "refused"
    """It was understood, and the ledger refused it."""
    MALFORMED = "malformed"
    """It is no transfer order."""


class ImportOrder(RequestModel):
    """Open an import. ``total_lines`` is how many lines are expected, for those who watch; it binds to nothing."""

    label: Text | None = None
    total_lines: Annotated[int, Field(strict=True, ge=0, le=LINES_MAX)] | None = None


class ImportView(ResponseModel):
    """How far an import has come. What became of every line before ``next_line`` is durable.

    ``next_line`` is ``posted + refused + malformed + blank``. ``replayed`` says how many of the posted lines stood in
    the ledger already when they were carried out: sent before by another import, or by this one just before it was cut.
    ``lines_per_s`` is the rate while lines were coming.
    """

    id: ImportId
    state: ImportState
    label: str | None
    total_lines: int | None
    next_line: int
    posted: int
    replayed: int
    refused: int
    malformed: int
    blank: int
    lines_per_s: int | None
    uploading: bool
    opened_by: str
    opened_at: AwareDatetime
    progressed_at: AwareDatetime | None
    closed_at: AwareDatetime | None


class ImportProblemView(ResponseModel):
    """A line that was not posted: its number, and the problem (RFC 9457) that it would have been answered alone."""

    line: int
    outcome: LineOutcome
    code: str
    problem: dict[str, Any]


ImportPage = Page[ImportView]
ImportProblemPage = Page[ImportProblemView]
