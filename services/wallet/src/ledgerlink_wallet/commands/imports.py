"""Imports: transfers of a file of any size, line by line, in bounded memory, safe to cut and to send again.

Lines are gathered into lots; a lot goes to the committer, and when it is durable the import's cursor steps past it in
one transaction with the reports of its lines that were not posted. Nothing is read meanwhile, so a sender is slowed to
the ledger's pace. Between a lot's commit and the cursor's step a crash loses nothing: each line has an id, its own or
one made of the import and its number, so the lot sent again finds its outcomes; and since lines are counted by the
cursor's step alone, each is counted once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy import insert, text

from ledgerlink_contracts.ids import ImportId, TransferId
from ledgerlink_contracts.wallet.imports import (
    LINE_BYTES_MAX,
    LINES_MAX,
    PROBLEMS_MAX,
    ImportOrder,
    ImportState,
    ImportView,
    LineOutcome,
)
from ledgerlink_contracts.wallet.models import TransferOrder
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, LedgerLinkError, Refused, Unavailable
from ledgerlink_kit.idempotency import Once, Reply, json_reply, run_once
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.ndjson import LineSplitter, LineTooLong
from ledgerlink_kit.problem import problem_body, validation_refusal
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet import metrics
from ledgerlink_wallet.commands.committer import POSTINGS_PER_BATCH_MAX
from ledgerlink_wallet.commands.ledger import transfer_from
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.queries.imports import COLUMNS, find, import_not_found, view_of
from ledgerlink_wallet.runtime import Answer, Runtime
from ledgerlink_wallet.tables import import_problems, imports

LOT_LINES_MAX: Final = 1_000
LOT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Lines and bytes that one lot holds; with a piece of the body that is all that an upload keeps in memory."""

LINGER_S: Final = 1.0
"""A lot that nothing more comes for is carried out after so long, so that a slow sender sees progress."""

SILENCE_S: Final = 15.0
"""How long an upload may send nothing."""

LEASE_S: Final = 30
"""For how long an upload that died without a word keeps others out; each lot renews it."""

PATIENCE_S: Final = 10.0
"""How long a lot is offered to a ledger that is busy or away before the upload ends."""

_PAUSE_S: Final = 0.1
_FIRST_ERROR: Final = 400
_CREATED: Final = 201
_ERRORS_SHOWN_MAX: Final = 20
_NAME_CHARS_SHOWN_MAX: Final = 80

_BEGIN: Final = text(
    "UPDATE imports SET upload = :upload, upload_until = now() + make_interval(secs => :lease_s) "
    "WHERE id = :id AND state = 'open' AND coalesce(upload_until, '-infinity') < now() "
    "RETURNING next_line, refused + malformed AS problems"
)
_STEP: Final = text(
    "UPDATE imports SET next_line = next_line + :lines, posted = posted + :posted, replayed = replayed + :replayed, "
    "refused = refused + :refused, malformed = malformed + :malformed, blank = blank + :blank, "
    "busy_ms = busy_ms + :ms, progressed_at = :now, upload_until = now() + make_interval(secs => :lease_s) "
    "WHERE id = :id AND upload = :upload AND next_line = :start RETURNING next_line"
)
_END: Final = text("UPDATE imports SET upload = NULL, upload_until = NULL WHERE id = :id AND upload = :upload")
_CLOSE: Final = text(
    "UPDATE imports SET state = 'closed', closed_at = :now, upload = NULL, upload_until = NULL "  # noqa: S608 - ours
    "WHERE id = :id AND state = 'open' AND coalesce(upload_until, '-infinity') < now() "
    f"RETURNING {COLUMNS}"
)
_WHY: Final = text(
    "SELECT state, ceil(extract(epoch FROM upload_until - now()))::int AS wait_s FROM imports WHERE id = :id"
)


async def open_import(runtime: Runtime, once: Once, order: ImportOrder) -> Reply:
    """Open an import for the caller of ``once``."""
    id_ = once.derive(ImportId)
    now = runtime.clock.now()

    async def work(tx: Tx) -> ImportView:
        nothing = dict.fromkeys(("next_line", "posted", "replayed", "refused", "malformed", "blank", "busy_ms"), 0)
        row = {"id": id_.uuid, "opened_by": once.caller, "label": order.label, "total_lines": order.total_lines}
        await tx.execute(insert(imports).values(**row, **nothing, state=ImportState.OPEN.value, opened_at=now))
        return await find(tx, id_)

    with span("open_import"):
        return await run_once(runtime.db, once, work, lambda opened: json_reply(_CREATED, opened))


async def close_import(runtime: Runtime, id_: ImportId) -> ImportView:
    """Let an import take no more lines; a closed one stays as it is. Raises `Refused` (not found, busy)."""

    async def work(tx: Tx) -> ImportView:
        row = (await tx.execute(_CLOSE, {"id": id_.uuid, "now": runtime.clock.now()})).one_or_none()
        if row is not None:
            return view_of(row)
        refusal = await _why_not(tx, id_)
        if refusal.code != "import-closed":
            raise refusal
        return await find(tx, id_)

    with span("close_import"):
        return await runtime.db.retrying(work)


async def take_lines(
    runtime: Runtime, id_: ImportId, from_line: int, pieces: AsyncIterator[bytes], stopping: asyncio.Event
) -> ImportView:
    """Carry out the lines in ``pieces``, of which the first is number ``from_line``; those done before are passed over.

    Raises `Refused` when the import is not there, closed, being uploaded to, short of lines before ``from_line``, full,
    or hears nothing for `SILENCE_S`; `Unavailable` when the ledger is or the service is ``stopping``. Whatever ends an
    upload, the import stands at its `next_line`.
    """
    upload = uuid7(runtime.clock.now())
    async with runtime.db.transaction() as tx:
        begun = (await tx.execute(_BEGIN, {"id": id_.uuid, "upload": upload, "lease_s": LEASE_S})).one_or_none()
        if begun is None:
            raise await _why_not(tx, id_)
    try:
        if from_line > begun.next_line:
            raise Refused(
                Kind.CONFLICT,
                "import-gap",
                f"Line {begun.next_line} comes next; none may be left out.",
                next_line=begun.next_line,
            )
        with span("import_lines"):
            await _Upload(runtime, id_, upload, from_line, begun.next_line, begun.problems).take(pieces, stopping)
    finally:
        # The lease ends by itself where the database is away now.
        with suppress(LedgerLinkError):
            async with runtime.db.transaction() as tx:
                await tx.execute(_END, {"id": id_.uuid, "upload": upload})
    async with runtime.db.reading() as view:
        return await find(view, id_)


async def _why_not(tx: Tx, id_: ImportId) -> Refused:
    """Say why an import takes no lines now."""
    row = (await tx.execute(_WHY, {"id": id_.uuid})).one_or_none()
    if row is None:
        return import_not_found(id_)
    if row.state == ImportState.CLOSED.value:
        return Refused(Kind.CONFLICT, "import-closed", "The import is closed; open another one.")
    return _busy(row.wait_s)


def _busy(wait_s: int | None) -> Refused:
    return Refused(
        Kind.CONFLICT,
        "import-busy",
        "Another request is sending lines to this import; let it end, then go on from `next_line`.",
        retry_after_s=max(1, wait_s or 1),
    )


class _Problem(NamedTuple):
    """A line that was not posted."""

    line: int
    outcome: LineOutcome
    body: dict[str, Any]


class _Lot:
    """Lines that go to the committer together, and what is known of them already."""

    def __init__(self, start: int, now_s: float) -> None:
        self.start = start
        self.since_s = now_s
        self.lines = 0
        self.bytes = 0
        self.blank = 0
        self.postings = 0
        self.commands: list[PostTransfer] = []
        self.numbers: list[int] = []
        self.malformed: list[_Problem] = []


class _Upload:
    """One request's way through an import."""

    def __init__(self, runtime: Runtime, id_: ImportId, upload: UUID, first: int, cursor: int, problems: int) -> None:
        self._runtime = runtime
        self._id = id_
        self._upload = upload
        self._number = first
        self._problems = problems
        self._splitter = LineSplitter(LINE_BYTES_MAX)
        settings = runtime.settings
        self._lot_lines_max = min(LOT_LINES_MAX, settings.batch_max, settings.queue_max)
        self._stepped_s = runtime.clock.monotonic()
        self._lot = _Lot(cursor, self._stepped_s)

    async def take(self, pieces: AsyncIterator[bytes], stopping: asyncio.Event) -> None:
        clock = self._runtime.clock
        self._refuse_too_many()
        heard_s = clock.monotonic()
        reading: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                # A future of its own, so that waiting for a while does not cut the body's reading.
                reading = reading or asyncio.ensure_future(anext(pieces, None))
                await asyncio.wait({reading}, timeout=LINGER_S)
                if stopping.is_set():
                    raise Unavailable(
                        "service-stopping", "The service is stopping; go on from `next_line` in a moment."
                    )
                if reading.done():
                    piece, reading = reading.result(), None
                    if piece is None:
                        break
                    for line in self._splitter.feed(piece):
                        await self._line(line)
                    heard_s = clock.monotonic()
                if self._lot.lines and clock.monotonic() - self._lot.since_s >= LINGER_S:
                    await self._carry_out()
                if reading is not None and clock.monotonic() - heard_s >= SILENCE_S:
                    raise Refused(
                        Kind.INVALID, "import-silent", f"No line came for {SILENCE_S:g} s; go on from `next_line`."
                    )
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        for line in self._splitter.end():
            await self._line(line)
        await self._carry_out()

    async def _line(self, line: bytes | LineTooLong) -> None:
        """Put a line into the lot; a full lot is carried out before more is read."""
        number = self._number
        self._number += 1
        if number < self._lot.start:
            return
        if number >= LINES_MAX:
            await self._carry_out()
            raise Refused(Kind.UNPROCESSABLE, "import-full", f"An import has at most {LINES_MAX} lines; open another.")
        made = None if isinstance(line, bytes) and not line.strip() else self._command(number, line)
        if isinstance(made, PostTransfer) and self._lot.postings + len(made.postings) > POSTINGS_PER_BATCH_MAX:
            await self._carry_out()
        lot = self._lot
        if not lot.lines:
            lot.since_s = self._runtime.clock.monotonic()
        lot.lines += 1
        if made is None:
            lot.blank += 1
        elif isinstance(made, PostTransfer):
            lot.postings += len(made.postings)
            lot.commands.append(made)
            lot.numbers.append(number)
        else:
            lot.malformed.append(_Problem(number, LineOutcome.MALFORMED, problem_body(made)))
        lot.bytes += len(line) if isinstance(line, bytes) else 0
        if lot.lines >= self._lot_lines_max or lot.bytes >= LOT_BYTES_MAX:
            await self._carry_out()

    def _command(self, number: int, line: bytes | LineTooLong) -> PostTransfer | Refused:
        """Read a line as the transfer that it orders, or say what is wrong with it."""
        if isinstance(line, LineTooLong):
            return Refused(Kind.TOO_LARGE, "line-too-long", f"A line has at most {LINE_BYTES_MAX} bytes.")
        try:
            order = TransferOrder.model_validate_json(line)
        except ValidationError as error:
            return _malformed(error)
        id_ = order.id or TransferId.derive("import", str(self._id), str(number))
        return transfer_from(order, id_, None if order.on_behalf_of is None else str(order.on_behalf_of))

    async def _carry_out(self) -> None:
        """Have the lot committed, then let the cursor step past it."""
        lot = self._lot
        if not lot.lines:
            return
        await self._step(lot, await self._commit(lot.commands) if lot.commands else ())
        self._lot = _Lot(lot.start + lot.lines, self._stepped_s)
        self._refuse_too_many()

    async def _commit(self, commands: Sequence[PostTransfer]) -> Sequence[Answer | LedgerLinkError]:
        """Offer ``commands`` to the ledger until it has taken them all, or patience ends. Raises `Unavailable`."""
        clock = self._runtime.clock
        deadline = clock.monotonic() + PATIENCE_S
        while True:
            try:
                told = await self._runtime.ledger.submit_all(commands)
                away = next((one for one in told if isinstance(one, Unavailable)), None)
                if away is None:
                    return told
            except Unavailable as error:
                away = error
            if clock.monotonic() >= deadline:
                raise away
            # Whatever was carried out of them is found by its id the next time.
            await asyncio.sleep(_PAUSE_S)

    async def _step(self, lot: _Lot, told: Sequence[Answer | LedgerLinkError]) -> None:
        """Record what became of the lot and move the cursor, all or nothing, if it still stands where it did."""
        posted = [one for one in told if isinstance(one, Answer) and one.status < _FIRST_ERROR]
        refused = [
            _Problem(number, LineOutcome.REFUSED, _body_of(one))
            for number, one in zip(lot.numbers, told, strict=True)
            if not isinstance(one, Answer) or one.status >= _FIRST_ERROR
        ]
        now_s = self._runtime.clock.monotonic()
        step = {
            "lines": lot.lines,
            "posted": len(posted),
            "replayed": sum(one.replayed for one in posted),
            "refused": len(refused),
            "malformed": len(lot.malformed),
            "blank": lot.blank,
            "ms": round((now_s - self._stepped_s) * 1000),
            "now": self._runtime.clock.now(),
            "lease_s": LEASE_S,
            "start": lot.start,
        }
        rows = [
            {"import_id": self._id.uuid, "line": line, "outcome": outcome.value, "code": body["code"], "problem": body}
            for line, outcome, body in (*lot.malformed, *refused)
        ]
        async with self._runtime.db.transaction() as tx:
            moved = await tx.execute(_STEP, {**step, "id": self._id.uuid, "upload": self._upload})
            if moved.one_or_none() is None:
                raise _busy(None)  # this upload was taken for dead, and another one goes on
            if rows:
                await tx.execute(insert(import_problems), rows)
        self._stepped_s = now_s
        self._problems += len(rows)
        metrics.import_lines.labels("posted").inc(len(posted))
        metrics.import_lines.labels("refused").inc(len(refused))
        metrics.import_lines.labels("malformed").inc(len(lot.malformed))

    def _refuse_too_many(self) -> None:
        if self._problems >= PROBLEMS_MAX:
            raise Refused(
                Kind.CONFLICT,
                "import-problems-max",
                f"{self._problems} lines were not posted; this seems to be the wrong file. Mend it and open another.",
            )


def _body_of(told: Answer | LedgerLinkError) -> dict[str, Any]:
    return problem_body(told) if isinstance(told, LedgerLinkError) else orjson.loads(told.body)


def _malformed(error: ValidationError) -> Refused:
    """Say what is wrong with a line, in a bounded report that PostgreSQL can keep whatever the line's names are."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return Refused(
            Kind.INVALID,
            "malformed-line",
            f"The line is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')[:200]}.",
        )
    shown = [{**one, "loc": [_shown(part) for part in one["loc"]]} for one in errors[:_ERRORS_SHOWN_MAX]]
    refusal = validation_refusal(shown)
    refusal.code = "invalid-line"
    refusal.members["errors_total"] = len(errors)
    return refusal


def _shown(part: int | str) -> str:
    return str(part)[:_NAME_CHARS_SHOWN_MAX].replace("\x00", "\\u0000")
