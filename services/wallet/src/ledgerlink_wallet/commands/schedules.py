"""What a person does with scheduled transfers: create one, pause it, resume it, cancel it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, insert, text

from ledgerlink_contracts.ids import ScheduleId, WalletId
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_contracts.wallet.schedules import (
    SCHEDULES_MAX,
    START_PAST_S_MAX,
    ScheduleOrder,
    ScheduleState,
    ScheduleView,
)
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply, json_reply, run_once
from ledgerlink_kit.telemetry import span
from ledgerlink_kit.zones import zone
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.commands.occurrences import Turn, count, next_transfer, posted_of, write
from ledgerlink_wallet.commands.wallets import check_own, owner_of
from ledgerlink_wallet.domain import schedules as domain
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.domain.schedules import Course, Plan, Recurrence, Step
from ledgerlink_wallet.queries.schedules import course_of, plan_of, schedule, schedule_not_found
from ledgerlink_wallet.runtime import Runtime
from ledgerlink_wallet.tables import scheduled_transfers

_CREATED: Final = 201
_START_PAST: Final = timedelta(seconds=START_PAST_S_MAX)

# Two orders for one wallet count one after the other.
_ONE_ORDER: Final = text("SELECT pg_advisory_xact_lock(hashtext('schedules'), hashtext(:wallet))")
_STANDING: Final = text(
    "SELECT count(*) FROM scheduled_transfers WHERE wallet_id = :wallet AND state IN ('active', 'paused')"
)
_LOCK: Final = text("SELECT * FROM scheduled_transfers WHERE id = :id FOR UPDATE")
_LOCK_ACCOUNT: Final = text("SELECT FROM accounts WHERE id = :account FOR SHARE")
_FORBID: Final = text(
    "INSERT INTO outcomes (id, fields, status, body, recorded_at) "
    "VALUES (:id, convert_to(:said, 'UTF8'), 409, convert_to(:said, 'UTF8'), :now) ON CONFLICT DO NOTHING"
)
_STOPPED: Final = '{"code":"schedule-stopped"}'

_Turning = Callable[[Row[Any], Course, datetime], Step]


async def create_schedule(
    runtime: Runtime, mandate: Mandate, once: Once, wallet: WalletId, order: ScheduleOrder
) -> Reply:
    """Schedule transfers out of ``wallet``, whose owner spends when they are carried out. Raises `Refused`."""
    owner = await check_own(runtime, mandate, wallet)
    await owner_of(runtime, order.to)
    id_ = once.derive(ScheduleId)

    async def work(tx: Tx) -> ScheduleView:
        now = runtime.clock.now()
        _check(wallet, order, now)
        await tx.execute(_ONE_ORDER, {"wallet": str(wallet)})
        if (await tx.scalar(_STANDING, {"wallet": wallet.uuid}) or 0) >= SCHEDULES_MAX:
            raise Refused(
                Kind.CONFLICT,
                "schedules-max",
                f"A wallet has at most {SCHEDULES_MAX} scheduled transfers that go on; cancel one first.",
            )
        await tx.execute(insert(scheduled_transfers).values(**_row(id_, wallet, owner, once.caller, order, now)))
        return await schedule(tx, id_, None)

    with span("create_schedule"):
        return await run_once(runtime.db, once, work, lambda made: json_reply(_CREATED, made))


def _check(wallet: WalletId, order: ScheduleOrder, now: datetime) -> None:
    if order.to == wallet:
        code = RefusalCode.SAME_ACCOUNT
        raise Refused(KINDS[code], code.value, "A scheduled transfer goes to another wallet.", party=str(wallet))
    if order.starts_at < now - _START_PAST:
        raise Refused(
            Kind.UNPROCESSABLE,
            "schedule-starts-in-the-past",
            f"`starts_at` may lie {START_PAST_S_MAX} s back at the most; name a moment to come.",
        )


def _row(
    id_: ScheduleId, wallet: WalletId, owner: str, caller: str, order: ScheduleOrder, now: datetime
) -> dict[str, Any]:
    asked = order.recurrence
    plan = Plan(
        order.starts_at,
        None if asked is None else Recurrence(asked.every, asked.unit, zone(asked.time_zone)),
        order.ends_at,
        order.count,
    )
    course = domain.begun(plan)
    return {
        "id": id_.uuid,
        "wallet_id": wallet.uuid,
        "to_wallet_id": order.to.uuid,
        "owner": owner,
        **order.model_dump(include={"amount_minor", "currency", "reference", "metadata", "starts_at", "ends_at"}),
        "total": order.count,
        **({} if asked is None else asked.model_dump(mode="json")),
        "created_by": caller,
        "created_at": now,
        "state": course.state.value,
        "next_number": course.number,
        "next_due_at": course.due_at,
        "try_at": course.try_at,
        "tries": course.tries,
        "changed_at": now,
    }


async def pause_schedule(runtime: Runtime, mandate: Mandate, id_: ScheduleId) -> ScheduleView:
    """Carry out nothing until it is resumed; a paused one stays so. Raises `Refused` (not found, ended)."""
    with span("pause_schedule"):
        return await _change(
            runtime, mandate, id_, ScheduleState.PAUSED, lambda _row, course, _now: domain.paused(course)
        )


async def resume_schedule(runtime: Runtime, mandate: Mandate, id_: ScheduleId) -> ScheduleView:
    """Go on with what is still to come; an active one goes on as it does. Raises `Refused` (not found, ended)."""
    with span("resume_schedule"):
        return await _change(runtime, mandate, id_, ScheduleState.ACTIVE, _resumed)


def _resumed(row: Row[Any], course: Course, now: datetime) -> Step:
    return domain.resumed(plan_of(row), course, now)


async def cancel_schedule(runtime: Runtime, mandate: Mandate, id_: ScheduleId) -> ScheduleView:
    """End it for good: once this is answered nothing more is carried out. Raises `Refused` (not found, ended)."""
    with span("cancel_schedule"):
        return await _change(
            runtime, mandate, id_, ScheduleState.CANCELED, lambda _row, course, _now: domain.canceled(course)
        )


async def _change(
    runtime: Runtime, mandate: Mandate, id_: ScheduleId, wanted: ScheduleState, turning: _Turning
) -> ScheduleView:
    """Bring a schedule to the state ``wanted``; one that stands so stays so."""
    turns: list[Turn] = []

    async def body(tx: Tx) -> ScheduleView:
        turns.clear()
        row = await _locked(tx, mandate, id_)
        now = runtime.clock.now()
        if row.state == ScheduleState.ACTIVE.value and wanted is not ScheduleState.ACTIVE:
            turns.extend(await _settling(tx, row, now, for_good=wanted is ScheduleState.CANCELED))
            if turns:
                await write(tx, turns, now)
                row = await _locked(tx, mandate, id_)
        if row.state == wanted.value:
            return await schedule(tx, id_, None)
        course = course_of(row)
        if course.due_at is None:
            raise Refused(
                Kind.CONFLICT,
                "schedule-ended",
                f"The scheduled transfer is {course.state.value} and stays so; create another.",
                state=course.state.value,
            )
        turns.append(Turn(row, turning(row, course, now)))
        await write(tx, turns[-1:], now)
        return await schedule(tx, id_, None)

    changed = await runtime.db.retrying(body)
    count(turns)
    return changed


async def _locked(tx: Tx, mandate: Mandate, id_: ScheduleId) -> Row[Any]:
    """Lock a schedule: nobody carries it out from now on. Raises `Refused` when it is not the caller's to change."""
    row = (await tx.execute(_LOCK, {"id": id_.uuid})).one_or_none()
    if row is None or (not mandate.trusted and row.owner != mandate.subject):
        raise schedule_not_found(id_)
    return row


async def _settling(tx: Tx, row: Row[Any], now: datetime, *, for_good: bool) -> list[Turn]:
    """Tell what is to be recorded first: an occurrence that a worker had posted, or is having posted, when it died.

    A commit that is under way without its worker holds the payer's account: whoever has locked that sees how it ended.
    A worker that lost its lock may still send what is due, so the id that it would use is used up here.
    """
    account = wallet_facts(WalletKey(row.wallet_id), row.currency).id
    await tx.execute(_LOCK_ACCOUNT, {"account": account})
    posted = await posted_of(tx, [row])
    if posted:
        return [Turn(row, domain.executed(plan_of(row), course_of(row)), posted[row.id])]
    if for_good or row.try_at <= now:
        await tx.execute(_FORBID, {"id": next_transfer(row).uuid, "said": _STOPPED, "now": now})
    return []
