"""Reads: rows to Stripe's shapes, only what the caller may see, in pages by keyset, newest first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import EventId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_kit.ids import InvalidId, TypedId
from ledgerlink_payments import tables
from ledgerlink_payments.domain import objects, postings, refusals
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.objects import Thing
from ledgerlink_payments.runtime import Runtime
from ledgerlink_payments.store import rows

LIMIT_DEFAULT: Final = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing that can be retrieved and listed."""

    noun: str
    id: type[TypedId]
    table: sa.Table
    show: Callable[[sa.Row[Any]], Thing]
    visible: Callable[[Actor], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Window:
    """Which page of a list: at most ``limit`` items behind ``starting_after``, or before ``ending_before``."""

    limit: int = LIMIT_DEFAULT
    starting_after: str | None = None
    ending_before: str | None = None


def _merchants_of(actor: Actor) -> sa.Select[tuple[UUID]]:
    return sa.select(tables.merchants.c.id).where(tables.merchants.c.owner == actor.subject)


def _paid_or_received(table: sa.Table, actor: Actor) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.owner == actor.subject, table.c.merchant_id.in_(_merchants_of(actor)))


def _of_visible_intent(actor: Actor) -> sa.ColumnElement[bool]:
    intents = sa.select(tables.intents.c.id).where(_paid_or_received(tables.intents, actor))
    return tables.refunds.c.intent_id.in_(intents)


def _event(row: sa.Row[Any]) -> Thing:
    return objects.event(str(EventId(row.id)), row.type, row.object, row.created_at)


INTENTS: Final = Kind(
    "payment_intent",
    IntentId,
    tables.intents,
    lambda row: objects.payment_intent(rows.intent(row)),
    lambda actor: _paid_or_received(tables.intents, actor),
)
REFUNDS: Final = Kind(
    "refund", RefundId, tables.refunds, lambda row: objects.refund(rows.refund(row)), _of_visible_intent
)
PAYOUTS: Final = Kind(
    "payout",
    PayoutId,
    tables.payouts,
    lambda row: objects.payout(rows.payout(row)),
    lambda actor: tables.payouts.c.merchant_id.in_(_merchants_of(actor)),
)
ACCOUNTS: Final = Kind(
    "account",
    MerchantId,
    tables.merchants,
    lambda row: objects.account(rows.merchant(row)),
    lambda actor: tables.merchants.c.owner == actor.subject,
)
EVENTS: Final = Kind("event", EventId, tables.events, _event, lambda actor: _paid_or_received(tables.events, actor))


def _identifier(kind: Kind, text: str, param: str) -> UUID:
    try:
        return kind.id.parse(text).uuid
    except InvalidId:
        raise refusals.missing(kind.noun, text[:80], param) from None


def _seen(kind: Kind, actor: Actor) -> sa.Select[Any]:
    query = sa.select(kind.table)
    return query if actor.sees_all else query.where(kind.visible(actor))


async def retrieve(rt: Runtime, kind: Kind, actor: Actor, text: str) -> Thing:
    """Give one thing. Refuses `resource-missing` for what is not there and for what is not the caller's, alike."""
    identifier = _identifier(kind, text, "id")
    async with rt.db.reading() as view:
        row = (await view.execute(_seen(kind, actor).where(kind.table.c.id == identifier))).one_or_none()
    if row is None:
        raise refusals.missing(kind.noun, text)
    return kind.show(row)


async def listing(rt: Runtime, kind: Kind, actor: Actor, window: Window, filters: Mapping[str, Any], url: str) -> Thing:
    """Give one page, newest first; ``filters`` are columns and their values. Refuses a cursor of another list."""
    table = kind.table
    query = _seen(kind, actor).where(*(table.c[name] == value for name, value in filters.items()))
    place = sa.tuple_(table.c.created_at, table.c.id)
    backwards = window.ending_before is not None
    async with rt.db.reading() as view:
        if window.ending_before is not None:
            query = query.where(place > await _position(view, kind, actor, window.ending_before, "ending_before"))
        if window.starting_after is not None:
            query = query.where(place < await _position(view, kind, actor, window.starting_after, "starting_after"))
        order = (
            (table.c.created_at.asc(), table.c.id.asc())
            if backwards
            else (
                table.c.created_at.desc(),
                table.c.id.desc(),
            )
        )
        found = (await view.execute(query.order_by(*order).limit(window.limit + 1))).all()
    page = found[: window.limit]
    things = [kind.show(row) for row in (reversed(page) if backwards else page)]
    return objects.listing(url, things, has_more=len(found) > window.limit)


async def _position(view: AsyncConnection, kind: Kind, actor: Actor, text: str, param: str) -> Any:
    identifier = _identifier(kind, text, param)
    row = (await view.execute(_seen(kind, actor).where(kind.table.c.id == identifier))).one_or_none()
    if row is None:
        raise refusals.missing(kind.noun, text, param)
    return sa.tuple_(sa.literal(row.created_at), sa.literal(row.id))


async def balance(rt: Runtime, actor: Actor, account: str) -> Thing:
    """Give a merchant's balance from the ledger, one entry per currency, as Stripe's `balance`."""
    merchant = await retrieve(rt, ACCOUNTS, actor, account)
    accounts = await rt.wallet.accounts(postings.payee(merchant["id"]))
    available = [{"amount": held.available_minor, "currency": held.currency.lower()} for held in accounts]
    return {"object": "balance", "available": available, "pending": [], "livemode": False}
