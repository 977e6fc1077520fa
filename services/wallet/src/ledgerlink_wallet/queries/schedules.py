"""Scheduled transfers as they stand, and what became of their occurrences."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import ScheduleId, TransferId, WalletId
from ledgerlink_contracts.wallet.schedules import (
    NextView,
    OccurrencePage,
    OccurrenceState,
    OccurrenceView,
    Period,
    RecurrenceView,
    SchedulePage,
    ScheduleState,
    ScheduleView,
)
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_kit.zones import zone
from ledgerlink_wallet.domain.schedules import Course, Plan, Recurrence
from ledgerlink_wallet.queries.cursors import cursor_at, place_in, version_in

_ONE: Final = text("SELECT * FROM scheduled_transfers WHERE id = :id")
_PAGE: Final = (
    "SELECT * FROM scheduled_transfers WHERE wallet_id = :wallet {filters} "
    "ORDER BY created_at DESC, id DESC LIMIT :limit"
)
_OCCURRENCES: Final = text(
    "SELECT * FROM occurrences WHERE schedule_id = :id AND number < :before ORDER BY number DESC LIMIT :limit"
)
_NUMBERS: Final = 2**31 - 1


def schedule_not_found(id_: ScheduleId) -> Refused:
    """Refuse somebody else's schedule in the same words as one that does not exist."""
    return Refused(Kind.NOT_FOUND, "schedule-not-found", f"There is no scheduled transfer {id_}.")


def plan_of(row: Row[Any]) -> Plan:
    """Give which occurrences the schedule of ``row`` has."""
    recurrence = None if row.every is None else Recurrence(row.every, Period(row.unit), zone(row.time_zone))
    return Plan(row.starts_at, recurrence, row.ends_at, row.total)


def course_of(row: Row[Any]) -> Course:
    """Give where the schedule of ``row`` stands."""
    state = ScheduleState(row.state)
    return Course(state, row.next_number, row.next_due_at, row.try_at, row.tries, row.code, row.detail)


def view_of(row: Row[Any]) -> ScheduleView:
    """Show a row of `scheduled_transfers`."""
    return ScheduleView(
        id=ScheduleId(row.id),
        wallet=WalletId(row.wallet_id),
        to=WalletId(row.to_wallet_id),
        owner=row.owner,
        state=ScheduleState(row.state),
        amount_minor=row.amount_minor,
        currency=row.currency,
        reference=row.reference,
        metadata=row.metadata,
        starts_at=row.starts_at,
        recurrence=None
        if row.every is None
        else RecurrenceView(every=row.every, unit=Period(row.unit), time_zone=row.time_zone),
        ends_at=row.ends_at,
        count=row.total,
        next=None
        if row.next_due_at is None
        else NextView(
            number=row.next_number,
            due_at=row.next_due_at,
            try_at=row.try_at,
            tries=row.tries,
            code=row.code,
            detail=row.detail,
        ),
        created_by=row.created_by,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


async def schedule(view: AsyncConnection, id_: ScheduleId, owner: str | None) -> ScheduleView:
    """Give a schedule; with ``owner``, only theirs. Raises `Refused` (`schedule-not-found`)."""
    row = (await view.execute(_ONE, {"id": id_.uuid})).one_or_none()
    if row is None or (owner is not None and row.owner != owner):
        raise schedule_not_found(id_)
    return view_of(row)


async def schedules(
    view: AsyncConnection, wallet: WalletId, state: ScheduleState | None, *, cursor: str | None, limit: int
) -> SchedulePage:
    """Give a page of the schedules of ``wallet``, newest first."""
    values: dict[str, Any] = {"wallet": wallet.uuid, "limit": limit + 1}
    filters = ""
    if state is not None:
        filters += " AND state = :state"
        values["state"] = state.value
    if cursor:
        values |= place_in(cursor)._asdict()
        filters += " AND (created_at, id) < (:at, CAST(:id AS uuid))"
    found = (await view.execute(text(_PAGE.format(filters=filters)), values)).all()
    items = [view_of(row) for row in found[:limit]]
    next_cursor = cursor_at(items[-1].created_at, items[-1].id.uuid) if len(found) > limit else None
    return SchedulePage(items=items, next_cursor=next_cursor)


async def occurrences(
    view: AsyncConnection, id_: ScheduleId, owner: str | None, *, cursor: str | None, limit: int
) -> OccurrencePage:
    """Give a page of a schedule's occurrences that have ended, newest first. Raises `Refused` as `schedule` does."""
    await schedule(view, id_, owner)
    before = min(version_in(decode_cursor(cursor, "number")["number"]), _NUMBERS) if cursor else _NUMBERS
    found = (await view.execute(_OCCURRENCES, {"id": id_.uuid, "before": before, "limit": limit + 1})).all()
    items = [
        OccurrenceView(
            number=row.number,
            last_number=row.last_number,
            due_at=row.due_at,
            state=OccurrenceState(row.state),
            tries=row.tries,
            transfer=None if row.transfer_id is None else TransferId(row.transfer_id),
            code=row.code,
            detail=row.detail,
            recorded_at=row.recorded_at,
        )
        for row in found[:limit]
    ]
    next_cursor = encode_cursor({"number": items[-1].number}) if len(found) > limit else None
    return OccurrencePage(items=items, next_cursor=next_cursor)
