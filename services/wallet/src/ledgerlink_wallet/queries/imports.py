"""Imports: how far each has come, and which lines were not posted."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import ImportId
from ledgerlink_contracts.wallet.imports import (
    ImportPage,
    ImportProblemPage,
    ImportProblemView,
    ImportState,
    ImportView,
    LineOutcome,
)
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.queries.cursors import cursor_at, place_in, version_in

COLUMNS: Final = (
    "id, state, label, total_lines, next_line, posted, replayed, refused, malformed, blank, busy_ms, opened_by, "
    "opened_at, progressed_at, closed_at, coalesce(upload_until > now(), false) AS uploading"
)
_ONE: Final = text(f"SELECT {COLUMNS} FROM imports WHERE id = :id")  # noqa: S608 - our own names
_PAGE: Final = (
    f"SELECT {COLUMNS} FROM imports WHERE true {{filters}} "  # noqa: S608 - our own names
    "ORDER BY opened_at DESC, id DESC LIMIT :limit"
)
_PROBLEMS: Final = (
    "SELECT line, outcome, code, problem FROM import_problems WHERE import_id = :id AND line > :after {filters}"
    "ORDER BY line LIMIT :limit"
)


def import_not_found(id_: ImportId) -> Refused:
    """Refuse an import that does not exist."""
    return Refused(Kind.NOT_FOUND, "import-not-found", f"There is no import {id_}.")


def view_of(row: Row[Any]) -> ImportView:
    """Give an import from its row (`COLUMNS`)."""
    return ImportView(
        id=ImportId(row.id),
        state=ImportState(row.state),
        label=row.label,
        total_lines=row.total_lines,
        next_line=row.next_line,
        posted=row.posted,
        replayed=row.replayed,
        refused=row.refused,
        malformed=row.malformed,
        blank=row.blank,
        lines_per_s=row.next_line * 1000 // row.busy_ms if row.busy_ms else None,
        uploading=row.uploading,
        opened_by=row.opened_by,
        opened_at=row.opened_at,
        progressed_at=row.progressed_at,
        closed_at=row.closed_at,
    )


async def find(view: AsyncConnection, id_: ImportId) -> ImportView:
    """Give an import. Raises `Refused` (`import-not-found`)."""
    row = (await view.execute(_ONE, {"id": id_.uuid})).one_or_none()
    if row is None:
        raise import_not_found(id_)
    return view_of(row)


async def page(view: AsyncConnection, state: ImportState | None, *, cursor: str | None, limit: int) -> ImportPage:
    """Give a page of imports, newest first."""
    values: dict[str, Any] = {"limit": limit + 1}
    filters = ""
    if state is not None:
        filters += " AND state = :state"
        values["state"] = state.value
    if cursor:
        values |= place_in(cursor)._asdict()
        filters += " AND (opened_at, id) < (:at, CAST(:id AS uuid))"
    found = (await view.execute(text(_PAGE.format(filters=filters)), values)).all()
    items = [view_of(row) for row in found[:limit]]
    next_cursor = cursor_at(items[-1].opened_at, items[-1].id.uuid) if len(found) > limit else None
    return ImportPage(items=items, next_cursor=next_cursor)


async def problems(
    view: AsyncConnection, id_: ImportId, outcome: LineOutcome | None, *, cursor: str | None, limit: int
) -> ImportProblemPage:
    """Give a page of the lines that were not posted, by their numbers. Raises `Refused` (`import-not-found`)."""
    await find(view, id_)
    after = version_in(decode_cursor(cursor, "line")["line"]) if cursor else -1
    values: dict[str, Any] = {"id": id_.uuid, "after": after, "limit": limit + 1}
    filters = ""
    if outcome is not None:
        filters = "AND outcome = :outcome "
        values["outcome"] = outcome.value
    found = (await view.execute(text(_PROBLEMS.format(filters=filters)), values)).all()
    items = [ImportProblemView.model_validate(row) for row in found[:limit]]
    next_cursor = encode_cursor({"line": items[-1].line}) if len(found) > limit else None
    return ImportProblemPage(items=items, next_cursor=next_cursor)
