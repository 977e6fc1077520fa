"""Imports: files of transfers of any size, sent in as many requests as it takes."""

import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect

from ledgerlink_contracts.ids import ImportId
from ledgerlink_contracts.wallet.imports import (
    LINES_MAX,
    NDJSON,
    ImportOrder,
    ImportPage,
    ImportProblemPage,
    ImportState,
    ImportView,
    LineOutcome,
)
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.http_app import StreamedRoute
from ledgerlink_kit.idempotency import OnceHeader
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import GivenRuntime, LedgerLimit, LedgerWriter
from ledgerlink_wallet.commands import imports as commands
from ledgerlink_wallet.queries import imports as queries

router = APIRouter(prefix="/imports", tags=["imports"])

LINES: Final = StreamedRoute("POST", re.compile(r"/imports/[^/]+/lines"), NDJSON)
"""The one route whose body has no limit: its command keeps a bounded window of it."""

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "One `TransferOrder` a line (JSON of at most 64 KiB), blank lines are passed over",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


@router.post("", name="open_import", status_code=201, response_model=ImportView, responses=responses(409))
async def open_import(order: ImportOrder, _caller: LedgerWriter, runtime: GivenRuntime, once: OnceHeader) -> Response:
    """Open an import, and then send its lines; what was posted stands, whatever becomes of the rest."""
    return (await commands.open_import(runtime, once, order)).to_response()


@router.post(
    "/{import_id}/lines",
    name="send_import_lines",
    responses=responses(404, 409),
    openapi_extra=_BODY,
)
async def send_import_lines(
    import_id: ImportId,
    _caller: LedgerWriter,
    runtime: GivenRuntime,
    request: Request,
    from_line: Annotated[int, Query(ge=0, le=LINES_MAX, description="Number of the body's first line, from 0")],
) -> ImportView:
    """Carry out lines as they come, each for itself, and answer when all are durable.

    A line without an `id` gets one from the import and its number, so a line sent twice is one transfer. Lines before
    `next_line` are passed over, a gap is refused (`import-gap`). Whatever cuts the upload, go on from `next_line`.
    A line that is malformed or refused stands in the import's problems and stops nothing. One upload at a time goes on
    (`import-busy`).
    """
    return await commands.take_lines(runtime, import_id, from_line, _pieces(request), request.app.state.stopping)


async def _pieces(request: Request) -> AsyncGenerator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        # Nobody hears this; it ends the upload without taking half a line for a whole one.
        raise Refused(Kind.INVALID, "upload-cut", "The connection broke; go on from `next_line`.") from None


@router.get("", name="list_imports")
async def list_imports(
    _caller: LedgerWriter,
    runtime: GivenRuntime,
    state: ImportState | None = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> ImportPage:
    """List imports, newest first."""
    async with runtime.db.reading() as view:
        return await queries.page(view, state, cursor=cursor, limit=limit)


@router.get("/{import_id}", name="get_import", responses=responses(404))
async def get_import(import_id: ImportId, _caller: LedgerWriter, runtime: GivenRuntime) -> ImportView:
    """Say how far an import has come, also while lines are coming."""
    async with runtime.db.reading() as view:
        return await queries.find(view, import_id)


@router.get("/{import_id}/problems", name="list_import_problems", responses=responses(404))
async def list_import_problems(
    import_id: ImportId,
    _caller: LedgerWriter,
    runtime: GivenRuntime,
    outcome: LineOutcome | None = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> ImportProblemPage:
    """List the lines that were not posted, by their numbers, each with the problem that it would be answered alone."""
    async with runtime.db.reading() as view:
        return await queries.problems(view, import_id, outcome, cursor=cursor, limit=limit)


@router.post("/{import_id}/close", name="close_import", responses=responses(404, 409))
async def close_import(import_id: ImportId, _caller: LedgerWriter, runtime: GivenRuntime) -> ImportView:
    """Let an import take no more lines. Needs no key: a closed import stays closed."""
    return await commands.close_import(runtime, import_id)
