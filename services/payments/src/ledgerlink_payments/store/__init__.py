"""SQL for commands: plain functions that take the transaction first, and nothing decided here.

Locks are taken in one order: an intent before its attempt or refund.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert

from ledgerlink_contracts.ids import AttemptId, EventId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_kit.db import Tx
from ledgerlink_kit.telemetry import recorded_traceparent
from ledgerlink_payments import tables
from ledgerlink_payments.domain.attempts import Attempt, Payout, Refund, Work
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import AttemptState
from ledgerlink_payments.domain.merchants import Merchant
from ledgerlink_payments.store import rows

Workable = sa.Table
"""A table whose rows carry their own work: attempts, refunds, payouts."""

SWEEP_BATCH: Final = 20
"""How many rows of one kind a sweep claims at a time."""


def _find(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id == sa.bindparam("row_id"))


def _add(table: sa.Table) -> Insert:
    return insert(table).on_conflict_do_nothing()


def _save(table: Workable) -> sa.Update:
    held = table.c.lease_token.is_not_distinct_from(sa.bindparam("held_token", type_=sa.Uuid))
    return sa.update(table).where(table.c.id == sa.bindparam("row_id"), held)


# The statements of the hot path are made once: building one anew costs as much as running it.
_MERCHANT: Final = _find(tables.merchants)
_MERCHANT_LOCKED: Final = _MERCHANT.with_for_update(key_share=True)
_ADD_MERCHANT: Final = _add(tables.merchants)
_INTENT: Final = _find(tables.intents)
_INTENT_LOCKED: Final = _INTENT.with_for_update()
_ADD_INTENT: Final = _add(tables.intents)
_SAVE_INTENT: Final = sa.update(tables.intents).where(tables.intents.c.id == sa.bindparam("row_id"))
_ATTEMPT: Final = _find(tables.attempts)
_ATTEMPT_LOCKED: Final = _ATTEMPT.with_for_update()
_ADD_ATTEMPT: Final = sa.insert(tables.attempts)
_SAVE_ATTEMPT: Final = _save(tables.attempts)
_REFUND_LOCKED: Final = _find(tables.refunds).with_for_update()
_ADD_REFUND: Final = _add(tables.refunds)
_SAVE_REFUND: Final = _save(tables.refunds)
_PAYOUT_LOCKED: Final = _find(tables.payouts).with_for_update()
_ADD_PAYOUT: Final = _add(tables.payouts)
_SAVE_PAYOUT: Final = _save(tables.payouts)
_ADD_EVENTS: Final = sa.insert(tables.events)


def _traced(values: rows.Values) -> rows.Values:
    """Add the trace that a new row belongs to."""
    return {**values, "traceparent": recorded_traceparent()}


async def merchant(tx: Tx, merchant_id: MerchantId, *, lock: bool = False) -> Merchant | None:
    """Give a merchant; with ``lock`` others that want to change or pay them out wait."""
    query = _MERCHANT_LOCKED if lock else _MERCHANT
    row = (await tx.execute(query, {"row_id": merchant_id.uuid})).one_or_none()
    return rows.merchant(row) if row else None


async def add_merchant(tx: Tx, new: Merchant) -> bool:
    """Write a merchant; false when the id is there already."""
    return (await tx.execute(_ADD_MERCHANT, rows.of_merchant(new))).rowcount == 1


async def intent(tx: Tx, intent_id: IntentId) -> Intent | None:
    """Give an intent and lock it."""
    row = (await tx.execute(_INTENT_LOCKED, {"row_id": intent_id.uuid})).one_or_none()
    return rows.intent(row) if row else None


async def add_intent(tx: Tx, new: Intent) -> bool:
    """Write an intent; false when the id is there already: the same request came before."""
    return (await tx.execute(_ADD_INTENT, rows.of_intent(new))).rowcount == 1


async def save_intent(tx: Tx, changed: Intent) -> None:
    """Write what can change of an intent."""
    await tx.execute(_SAVE_INTENT, {"row_id": changed.id.uuid, **rows.changes_of_intent(changed)})


async def attempt(tx: Tx, attempt_id: AttemptId) -> Attempt | None:
    """Give an attempt and lock it; its intent is locked before it."""
    row = (await tx.execute(_ATTEMPT_LOCKED, {"row_id": attempt_id.uuid})).one_or_none()
    return rows.attempt(row) if row else None


async def pair(view: Tx, attempt_id: AttemptId) -> tuple[Intent, Attempt] | None:
    """Give an attempt with its intent, unlocked."""
    row = (await view.execute(_ATTEMPT, {"row_id": attempt_id.uuid})).one_or_none()
    if row is None:
        return None
    owner = (await view.execute(_INTENT, {"row_id": row.intent_id})).one()
    return rows.intent(owner), rows.attempt(row)


async def add_attempt(tx: Tx, new: Attempt) -> None:
    """Write an attempt."""
    await tx.execute(_ADD_ATTEMPT, _traced(rows.of_attempt(new)))


async def save_attempt(tx: Tx, changed: Attempt, token: UUID | None) -> bool:
    """Write what can change of an attempt, unless somebody else has taken it over; says whether it was written."""
    held = {"row_id": changed.id.uuid, "held_token": token}
    return (await tx.execute(_SAVE_ATTEMPT, {**held, **rows.changes_of_attempt(changed)})).rowcount == 1


async def refund(tx: Tx, refund_id: RefundId) -> Refund | None:
    """Give a refund and lock it; its intent is locked before it."""
    row = (await tx.execute(_REFUND_LOCKED, {"row_id": refund_id.uuid})).one_or_none()
    return rows.refund(row) if row else None


async def add_refund(tx: Tx, new: Refund) -> bool:
    """Write a refund; false when the id is there already: the same request came before."""
    return (await tx.execute(_ADD_REFUND, _traced(rows.of_refund(new)))).rowcount == 1


async def save_refund(tx: Tx, changed: Refund, token: UUID | None) -> bool:
    """Write what can change of a refund, unless somebody else has taken the work over; says whether it was written."""
    held = {"row_id": changed.id.uuid, "held_token": token}
    return (await tx.execute(_SAVE_REFUND, {**held, **rows.changes_of_refund(changed)})).rowcount == 1


async def payout(tx: Tx, payout_id: PayoutId) -> Payout | None:
    """Give a payout and lock it."""
    row = (await tx.execute(_PAYOUT_LOCKED, {"row_id": payout_id.uuid})).one_or_none()
    return rows.payout(row) if row else None


async def add_payout(tx: Tx, new: Payout) -> bool:
    """Write a payout; false when the id is there already, or another one is setting money aside right now."""
    return (await tx.execute(_ADD_PAYOUT, _traced(rows.of_payout(new)))).rowcount == 1


async def save_payout(tx: Tx, changed: Payout, token: UUID | None) -> bool:
    """Write what can change of a payout, unless somebody else has taken the work over; says whether it was written."""
    held = {"row_id": changed.id.uuid, "held_token": token}
    return (await tx.execute(_SAVE_PAYOUT, {**held, **rows.changes_of_payout(changed)})).rowcount == 1


async def claim_due(
    tx: Tx, table: Workable, token: UUID, now: datetime, lease: timedelta, only: UUID | None = None
) -> list[tuple[UUID, str | None]]:
    """Lease what is due in ``table`` and in nobody's hands; rows that others are claiming are passed over.

    Gives their ids, each with the `traceparent` of the request that made it, if its trace is recorded.
    """
    due = (
        sa.select(table.c.id)
        .where(table.c.next_action_at <= now, sa.or_(table.c.lease_until.is_(None), table.c.lease_until <= now))
        .order_by(table.c.next_action_at)
        .limit(SWEEP_BATCH)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        due = due.where(table.c.id == only)
    query = (
        sa.update(table)
        .where(table.c.id.in_(due.scalar_subquery()))
        .values(lease_token=token, lease_until=now + lease, tries=table.c.tries + 1)
        .returning(table.c.id, table.c.traceparent)
    )
    return [(row.id, row.traceparent) for row in await tx.execute(query)]


async def unfinished(view: Tx, table: Workable) -> tuple[int, datetime | None]:
    """Count the rows of ``table`` that still have work to do, and give when the first of them is or was due.

    A row that somebody works on is due when its lease ends.
    """
    due_at = sa.func.min(sa.func.greatest(table.c.next_action_at, table.c.lease_until))
    query = sa.select(sa.func.count(), due_at).where(table.c.next_action_at.is_not(None)).select_from(table)
    rows, first = (await view.execute(query)).one()
    return int(rows), first


async def unknown_attempts(view: Tx) -> tuple[int, datetime | None]:
    """Count the attempts that ended nobody knows how, and give when the oldest of them was made."""
    attempts = tables.attempts
    query = sa.select(sa.func.count(), sa.func.min(attempts.c.created_at)).where(
        attempts.c.state == AttemptState.UNKNOWN.value, attempts.c.next_action_at.is_not(None)
    )
    rows, oldest = (await view.execute(query)).one()
    return int(rows), oldest


async def wake(tx: Tx, table: Workable, row_id: UUID, final: Sequence[str], now: datetime) -> str:
    """Make a row due now because its provider has news; gives `woke`, `final` (nothing can change), or `unmatched`."""
    query = (
        sa.update(table)
        .where(table.c.id == row_id, table.c.state.not_in(final))
        .values(next_action_at=sa.func.least(sa.func.coalesce(table.c.next_action_at, now), now))
    )
    if (await tx.execute(query)).rowcount:
        return "woke"
    known = (await tx.execute(sa.select(table.c.id).where(table.c.id == row_id))).first()
    return "final" if known else "unmatched"


async def admit_provider_event(tx: Tx, values: dict[str, Any]) -> bool:
    """Write a provider's event (a row of `provider_events`); false when it came before."""
    query = insert(tables.provider_events).values(values).on_conflict_do_nothing()
    return (await tx.execute(query)).rowcount == 1


async def add_events(tx: Tx, told: Sequence[tuple[str, dict[str, Any], str, MerchantId | None]], now: datetime) -> None:
    """Write what merchants and payers are told: ``(type, object, owner, merchant)``, in their order."""
    values = [
        {
            "id": EventId.new(now).uuid,
            "type": kind,
            "object_id": thing["id"],
            "object": thing,
            "owner": owner,
            "merchant_id": merchant_id.uuid if merchant_id else None,
            "created_at": now,
            "traceparent": recorded_traceparent(),
        }
        for kind, thing, owner, merchant_id in told
    ]
    await tx.execute(_ADD_EVENTS, values)


def leased(now: datetime, lease: timedelta, token: UUID) -> Work:
    """Give the work of a row that is made by whoever will work on it at once; after the lease a worker takes over."""
    return Work(due_at=now, lease_until=now + lease, lease_token=token)
