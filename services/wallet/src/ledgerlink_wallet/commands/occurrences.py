"""Carrying out scheduled transfers that are due: each occurrence once, in order, whoever works and whatever breaks.

A schedule's row lock is the claim: it is held while the committer commits, and ends with its holder. The transfer's id
is made from the schedule, the occurrence and the try, so one that was posted and not recorded, because its worker died
between the two commits, is found by the next one and recorded. The committer never waits for a schedule's row, so what
waits here waits for no circle.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
import structlog
from sqlalchemy import Row, insert, text

from ledgerlink_contracts.ids import ScheduleId, TransferId, WalletId
from ledgerlink_contracts.wallet.events import ScheduleExecuted, ScheduleFailed
from ledgerlink_contracts.wallet.models import PostingOrder, TransferOrder
from ledgerlink_contracts.wallet.schedules import (
    SKIPPED_PAUSED,
    OccurrenceState,
    ScheduledReport,
)
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import LedgerLinkError, Unavailable
from ledgerlink_kit.outbox import record_all
from ledgerlink_kit.telemetry import span
from ledgerlink_kit.zones import UnknownZone
from ledgerlink_wallet import metrics
from ledgerlink_wallet.commands.ledger import transfer_from
from ledgerlink_wallet.domain import schedules as domain
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.schedules import KIND, Course, Ended, Step, transfer_of
from ledgerlink_wallet.queries.schedules import course_of, plan_of
from ledgerlink_wallet.runtime import Answer, Ledger
from ledgerlink_wallet.tables import occurrences

BROKEN_PAUSE: Final = timedelta(minutes=1)
"""When an occurrence that meets a defect of ours is tried again: it is owed, and stops no other."""

_FIRST_ERROR: Final = 400

_CLAIM: Final = text(
    "SELECT * FROM scheduled_transfers WHERE state = 'active' AND try_at <= :now "
    "ORDER BY try_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
_POSTED: Final = text("SELECT id, recorded_at FROM transfers WHERE id = ANY(:ids)")
_SAVE: Final = text(
    "UPDATE scheduled_transfers SET state = :state, next_number = :number, next_due_at = :due_at, try_at = :try_at, "
    "tries = :tries, code = :code, detail = :detail, changed_at = :now WHERE id = :id"
)


class Posted(NamedTuple):
    """The transfer that carried an occurrence out, and its moment in the books."""

    transfer: TransferId
    recorded_at: datetime


class Turn(NamedTuple):
    """What is to be written of one schedule."""

    row: Row[Any]
    step: Step
    posted: Posted | None = None


async def carry_out_due(db: Database, ledger: Ledger, clock: Clock, limit: int) -> int:
    """Carry out the next occurrence of up to ``limit`` schedules where it is due; gives how many went on.

    Workers beside each other skip what another has in hand. Raises `Unavailable` when the ledger or database is.
    """

    async def body(tx: Tx) -> list[Turn]:
        now = clock.now()
        rows = (await tx.execute(_CLAIM, {"now": now, "limit": limit})).all()
        turns, due = await _looked_at(tx, rows, now)
        told = await ledger.submit_all([_command(row) for row in due]) if due else ()
        turns += await _turned(tx, list(zip(due, told, strict=True)), now)
        await write(tx, turns, now)
        return turns

    with span("carry_out_schedules"):
        turns = await db.retrying(body)
    count(turns)
    return len(turns)


async def _looked_at(tx: Tx, rows: Sequence[Row[Any]], now: datetime) -> tuple[list[Turn], list[Row[Any]]]:
    """Tell apart the occurrences that are passed over, because they are overdue, and those to be carried out."""
    turns: list[Turn] = []
    passed: list[Turn] = []
    due: list[Row[Any]] = []
    for row in rows:
        try:
            step = domain.overdue(plan_of(row), course_of(row), now)
        except UnknownZone as error:  # a name that this release's rules do not have any more
            turns.append(_put_off(row, error.detail, now))
            continue
        if step is None:
            due.append(row)
        else:
            passed.append(Turn(row, step))
    if passed:
        # What was posted before an outage, and not recorded, was not missed.
        posted = await posted_of(tx, [turn.row for turn in passed])
        turns += [_found(turn.row, posted[turn.row.id]) if turn.row.id in posted else turn for turn in passed]
    return turns, due


def _found(row: Row[Any], posted: Posted) -> Turn:
    return Turn(row, domain.executed(plan_of(row), course_of(row)), posted)


def _put_off(row: Row[Any], reason: str, now: datetime) -> Turn:
    """Leave an occurrence owed for a while that a defect of ours keeps from being carried out."""
    structlog.get_logger().error("schedule_broke", schedule=str(ScheduleId(row.id)), reason=reason)
    return Turn(row, Step(course_of(row)._replace(try_at=now + BROKEN_PAUSE)))


async def posted_of(tx: Tx, rows: Sequence[Row[Any]]) -> dict[Any, Posted]:
    """Give, by schedule, the transfers that stand already for the next occurrences of ``rows``."""
    ids = {next_transfer(row).uuid: row.id for row in rows}
    found = await tx.execute(_POSTED, {"ids": list(ids)})
    return {ids[one.id]: Posted(TransferId(one.id), one.recorded_at) for one in found}


def next_transfer(row: Row[Any]) -> TransferId:
    """Give the id of the transfer that carries out the next occurrence of ``row``, or its next try."""
    return transfer_of(ScheduleId(row.id), row.next_number, row.tries)


def _command(row: Row[Any]) -> PostTransfer:
    """Make the transfer of the next occurrence: the owner's own spending, at the moment that it is carried out."""
    posting = PostingOrder(
        debit=str(WalletId(row.wallet_id)),
        credit=str(WalletId(row.to_wallet_id)),
        amount_minor=row.amount_minor,
        currency=row.currency,
    )
    order = TransferOrder(kind=KIND, postings=[posting], reference=row.reference, metadata=row.metadata)
    return transfer_from(order, next_transfer(row), row.owner)


async def _turned(tx: Tx, told: Sequence[tuple[Row[Any], Answer | LedgerLinkError]], now: datetime) -> list[Turn]:
    """Say how the schedules go on after what the ledger told; of those that it has not decided, nothing."""
    # The books are the truth: a transfer that stands was carried out, whatever is remembered of its order.
    refused = [row for row, one in told if isinstance(one, Answer) and one.status >= _FIRST_ERROR]
    posted = await posted_of(tx, refused) if refused else {}
    turns: list[Turn] = []
    for row, one in told:
        if isinstance(one, Answer):
            body = orjson.loads(one.body)
            if one.status < _FIRST_ERROR:
                posted[row.id] = Posted(next_transfer(row), datetime.fromisoformat(body["recorded_at"]))
            if row.id in posted:
                turns.append(_found(row, posted[row.id]))
            else:
                refusal = (body["code"], body["detail"])
                turns.append(Turn(row, domain.refused(plan_of(row), course_of(row), *refusal, now)))
        elif not isinstance(one, Unavailable):
            turns.append(_put_off(row, one.detail, now))
    return turns


async def write(tx: Tx, turns: Sequence[Turn], now: datetime) -> None:
    """Write how schedules go on, the occurrences that ended, and the events of both, in the caller's transaction."""
    if not turns:
        return
    await tx.execute(_SAVE, [{**turn.step.course._asdict(), "now": now, "id": turn.row.id} for turn in turns])
    ended = [_row_of(turn, one, now) for turn in turns for one in turn.step.ended]
    if ended:
        await tx.execute(insert(occurrences), ended)
    events = [(event, str(event.occurrence.schedule)) for turn in turns for event in _events(turn, now)]
    if events:
        await record_all(tx, events, now=now)


def count(turns: Sequence[Turn]) -> None:
    """Count what became of occurrences, once that is committed."""
    for turn in turns:
        for one in turn.step.ended:
            metrics.scheduled_occurrences.labels(one.state.value).inc(one.last_number - one.number + 1)
        if _is_retried(turn):
            metrics.scheduled_occurrences.labels("retried").inc()


def _row_of(turn: Turn, ended: Ended, now: datetime) -> dict[str, Any]:
    posted = turn.posted if ended.state is OccurrenceState.EXECUTED else None
    return {
        **ended._asdict(),
        "schedule_id": turn.row.id,
        "transfer_id": None if posted is None else posted.transfer.uuid,
        "recorded_at": now if posted is None else posted.recorded_at,
    }


def _is_retried(turn: Turn) -> bool:
    return turn.step.course.tries > turn.row.tries


def _events(turn: Turn, now: datetime) -> list[ScheduleExecuted | ScheduleFailed]:
    events: list[ScheduleExecuted | ScheduleFailed] = []
    for one in turn.step.ended:
        if one.state is OccurrenceState.EXECUTED:
            events.append(ScheduleExecuted(occurrence=_report(turn, one, None, now)))
        elif one.code != SKIPPED_PAUSED:  # its owner wanted that, and need not be told
            events.append(ScheduleFailed(occurrence=_report(turn, one, None, now)))
    if _is_retried(turn):
        events.append(ScheduleFailed(occurrence=_report(turn, turn.step.course, turn.step.course.try_at, now)))
    return events


def _report(turn: Turn, of: Ended | Course, try_at: datetime | None, now: datetime) -> ScheduledReport:
    row = turn.row
    posted = turn.posted if isinstance(of, Ended) and of.state is OccurrenceState.EXECUTED else None
    assert of.due_at is not None, "an occurrence is due at some time"
    return ScheduledReport(
        schedule=ScheduleId(row.id),
        wallet=WalletId(row.wallet_id),
        to=WalletId(row.to_wallet_id),
        amount_minor=row.amount_minor,
        currency=row.currency,
        reference=row.reference,
        number=of.number,
        last_number=of.last_number if isinstance(of, Ended) else of.number,
        due_at=of.due_at,
        tries=of.tries,
        transfer=None if posted is None else posted.transfer,
        code=of.code,
        detail=of.detail,
        try_at=try_at,
        recorded_at=now if posted is None else posted.recorded_at,
    )
