"""The provider's SQL: rows to values of the domain and back. Plain functions that take the transaction first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from ledgerlink_kit.db import Tx
from ledgerlink_kit.ids import TypedId
from ledgerlink_kit.telemetry import recorded_traceparent
from ledgerlink_sandbox.domain.authorizations import Authorization, AuthorizationRequest, AuthorizationStatus
from ledgerlink_sandbox.domain.cards import DeclineCode, PayoutFailure
from ledgerlink_sandbox.domain.deliveries import copies, held_back
from ledgerlink_sandbox.domain.faults import Delivery
from ledgerlink_sandbox.domain.movements import (
    Capture,
    CaptureRequest,
    Payout,
    PayoutRequest,
    PayoutStatus,
    Refund,
    RefundFailure,
    RefundRequest,
    RefundStatus,
)
from ledgerlink_sandbox.domain.notices import Notice
from ledgerlink_sandbox.tables import authorizations, captures, events, payouts, refunds


class NoticeId(TypedId, prefix="sbevt"):
    """Names one event that the provider sends; the same on every try."""


def _authorization(row: RowMapping) -> Authorization:
    request = AuthorizationRequest(
        row["key"], row["amount"], row["currency"], row["payment_method"], row["capture"], row["metadata"]
    )
    return Authorization(
        request,
        AuthorizationStatus(row["status"]),
        row["created_at"],
        None if row["decline"] is None else DeclineCode(row["decline"]),
        row["captured"],
        row["released"],
        row["refunded"],
        row["version"],
    )


# Statements on the path of every purchase are built once; building them costs more than the database takes to run them.
_INSERT_AUTHORIZATION: Final = insert(authorizations).on_conflict_do_nothing()


async def insert_authorization(tx: Tx, authorization: Authorization) -> bool:
    """Store a new authorization; False when its key is taken."""
    request, decline = authorization.request, authorization.decline
    row = {
        "key": request.key,
        "amount": request.amount_minor,
        "currency": request.currency,
        "payment_method": request.payment_method,
        "capture": request.capture,
        "metadata": request.metadata,
        "status": authorization.status.value,
        "decline": None if decline is None else decline.value,
        "captured": authorization.captured_minor,
        "released": authorization.released_minor,
        "refunded": authorization.refunded_minor,
        "version": authorization.version,
        "created_at": authorization.created_at,
    }
    return (await tx.execute(_INSERT_AUTHORIZATION, row)).rowcount == 1


async def find_authorization(tx: Tx, key: str, *, lock: bool = False) -> Authorization | None:
    """Load an authorization; with ``lock`` it stays ours until the transaction ends."""
    statement = select(authorizations).where(authorizations.c.key == key)
    row = (await tx.execute(statement.with_for_update() if lock else statement)).mappings().one_or_none()
    return None if row is None else _authorization(row)


async def save_authorization(tx: Tx, authorization: Authorization) -> None:
    """Write what may change of an authorization."""
    await tx.execute(
        update(authorizations)
        .where(authorizations.c.key == authorization.key)
        .values(
            status=authorization.status.value,
            captured=authorization.captured_minor,
            released=authorization.released_minor,
            refunded=authorization.refunded_minor,
            version=authorization.version,
        )
    )


def _capture(row: RowMapping) -> Capture:
    request = CaptureRequest(row["key"], row["authorization_key"], row["amount"], row["final"])
    return Capture(request, row["currency"], row["created_at"])


async def insert_capture(tx: Tx, capture: Capture) -> bool:
    """Store a new capture; False when its key is taken."""
    request = capture.request
    statement = (
        insert(captures)
        .values(
            key=request.key,
            authorization_key=request.authorization,
            amount=request.amount_minor,
            currency=capture.currency,
            final=request.final,
            created_at=capture.created_at,
        )
        .on_conflict_do_nothing()
    )
    return (await tx.execute(statement)).rowcount == 1


async def find_capture(tx: Tx, key: str) -> Capture | None:
    """Load a capture."""
    row = (await tx.execute(select(captures).where(captures.c.key == key))).mappings().one_or_none()
    return None if row is None else _capture(row)


def _refund(row: RowMapping) -> Refund:
    request = RefundRequest(row["key"], row["authorization_key"], row["amount"], row["metadata"])
    failure = None if row["failure"] is None else RefundFailure(row["failure"])
    return Refund(
        request, row["currency"], RefundStatus(row["status"]), row["created_at"], row["due_at"], failure, row["version"]
    )


async def insert_refund(tx: Tx, refund: Refund) -> bool:
    """Store a new refund; False when its key is taken."""
    request = refund.request
    statement = (
        insert(refunds)
        .values(
            key=request.key,
            authorization_key=request.authorization,
            amount=request.amount_minor,
            currency=refund.currency,
            metadata=request.metadata,
            created_at=refund.created_at,
            **_course_of(refund),
        )
        .on_conflict_do_nothing()
    )
    return (await tx.execute(statement)).rowcount == 1


async def find_refund(tx: Tx, key: str) -> Refund | None:
    """Load a refund."""
    row = (await tx.execute(select(refunds).where(refunds.c.key == key))).mappings().one_or_none()
    return None if row is None else _refund(row)


async def save_refund(tx: Tx, refund: Refund) -> None:
    """Write what may change of a refund."""
    await tx.execute(update(refunds).where(refunds.c.key == refund.request.key).values(**_course_of(refund)))


async def claim_due_refunds(tx: Tx, now: datetime, limit: int) -> list[Refund]:
    """Lock refunds whose end has come; those that another holds are left to it."""
    due: ColumnElement[bool] = refunds.c.due_at <= now
    statement = select(refunds).where(due).order_by(refunds.c.due_at).limit(limit).with_for_update(skip_locked=True)
    return [_refund(row) for row in (await tx.execute(statement)).mappings()]


def _payout(row: RowMapping) -> Payout:
    request = PayoutRequest(row["key"], row["amount"], row["currency"], row["destination"], row["metadata"])
    failure = None if row["failure"] is None else PayoutFailure(row["failure"])
    return Payout(request, PayoutStatus(row["status"]), row["created_at"], row["due_at"], failure, row["version"])


async def insert_payout(tx: Tx, payout: Payout) -> bool:
    """Store a new payout; False when its key is taken."""
    request = payout.request
    statement = (
        insert(payouts)
        .values(
            key=request.key,
            amount=request.amount_minor,
            currency=request.currency,
            destination=request.destination,
            metadata=request.metadata,
            created_at=payout.created_at,
            **_course_of(payout),
        )
        .on_conflict_do_nothing()
    )
    return (await tx.execute(statement)).rowcount == 1


async def find_payout(tx: Tx, key: str) -> Payout | None:
    """Load a payout."""
    row = (await tx.execute(select(payouts).where(payouts.c.key == key))).mappings().one_or_none()
    return None if row is None else _payout(row)


async def save_payout(tx: Tx, payout: Payout) -> None:
    """Write what may change of a payout."""
    await tx.execute(update(payouts).where(payouts.c.key == payout.request.key).values(**_course_of(payout)))


async def claim_due_payouts(tx: Tx, now: datetime, limit: int) -> list[Payout]:
    """Lock payouts whose end has come; those that another holds are left to it."""
    due: ColumnElement[bool] = payouts.c.due_at <= now
    statement = select(payouts).where(due).order_by(payouts.c.due_at).limit(limit).with_for_update(skip_locked=True)
    return [_payout(row) for row in (await tx.execute(statement)).mappings()]


def _course_of(movement: Refund | Payout) -> dict[str, Any]:
    """Give the columns of a movement that change as it runs."""
    return {
        "status": movement.status.value,
        "failure": None if movement.failure is None else movement.failure.value,
        "due_at": movement.due_at,
        "version": movement.version,
    }


@dataclass(frozen=True, slots=True)
class Letter:
    """One event on its way: the row, the wire's id, the exact bytes, and how often it was tried, this time included.

    ``traceparent`` is the trace of the request that it tells of, if that is recorded.
    """

    id: UUID
    message_id: str
    body: bytes
    tries: int
    traceparent: str | None = None


_INSERT_EVENT: Final = insert(events)


async def record_notice(tx: Tx, notice: Notice, delivery: Delivery, now: datetime) -> None:
    """Keep an event to be sent, in the transaction of what it tells of."""
    message_id = str(NoticeId.new(now))
    body = orjson.dumps(notice.envelope(message_id))
    rows = [
        {
            "id": uuid4(),
            "message_id": message_id,
            "body": body,
            "next_at": now + held_back(delivery),
            "tries": 0,
            "created_at": now,
            "traceparent": recorded_traceparent(),
        }
        for _ in range(copies(delivery))
    ]
    if rows:
        await tx.execute(_INSERT_EVENT, rows if len(rows) > 1 else rows[0])


_DUE: Final = (
    select(events.c.id)
    .where(events.c.ended_at.is_(None), events.c.next_at <= bindparam("now"))
    .order_by(events.c.next_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_CLAIM: Final = (
    update(events)
    .where(events.c.id.in_(_DUE))
    .values(next_at=bindparam("lease_end"), lease_token=bindparam("token"), tries=events.c.tries + 1)
    .returning(events.c.id, events.c.message_id, events.c.body, events.c.tries, events.c.traceparent)
)


async def claim_letters(tx: Tx, now: datetime, lease: timedelta, token: UUID, limit: int) -> list[Letter]:
    """Take what is due under a lease: if nobody reports back before its end, it is due again."""
    row = {"now": now, "most": limit, "lease_end": now + lease, "token": token}
    letters = [Letter(*row) for row in (await tx.execute(_CLAIM, row)).all()]
    # Ids grow with time, and UPDATE answers in any order: send in the order of what happened, as far as that goes.
    return sorted(letters, key=lambda letter: letter.message_id)


_END: Final = text(
    "UPDATE events SET ended_at = :now, ended_how = :how, lease_token = NULL "
    "WHERE id = ANY(CAST(:ids AS uuid[])) AND lease_token = :token"
)


async def end_letters(tx: Tx, ids: Sequence[UUID], token: UUID, now: datetime, how: str) -> None:
    """Note that letters were ``delivered`` or ``given_up``, unless their lease went to another."""
    if ids:
        await tx.execute(_END, {"ids": list(ids), "token": token, "now": now, "how": how})


async def postpone_letter(tx: Tx, letter: Letter, token: UUID, until: datetime) -> None:
    """Set the next try of a letter that did not arrive, unless its lease went to another."""
    held = (events.c.id == letter.id) & (events.c.lease_token == token)
    await tx.execute(update(events).where(held).values(next_at=until, lease_token=None))


async def forget_letters(tx: Tx, before: datetime, limit: int) -> int:
    """Delete letters that ended ``before``, at most ``limit``; say how many."""
    old = select(events.c.id).where(events.c.ended_at < before).limit(limit).scalar_subquery()
    return (await tx.execute(delete(events).where(events.c.id.in_(old)))).rowcount
