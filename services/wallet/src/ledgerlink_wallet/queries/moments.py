"""Balances at any moment: as effective at one, as known at another, each in O(log n) however long the history.

What was known at a moment is a version of the account: entries are recorded in the order of their versions, so it is
found by halving (`version_at`). What was effective by a moment is the ordinary entries recorded by then and the dated
ones effective by then; the former stand in the running columns of one entry, the latter in `dated_sums` (ADR 0059).
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_wallet.domain.books import Account
from ledgerlink_wallet.domain.fold import EMPTY, Columns
from ledgerlink_wallet.domain.stretches import LEVEL_MAX, Stretch, micros_of, stretches_until

NEWEST: Final = 2**63 - 1

# The steps are powers of two, so that the same question looks at the same entries as the account grows.
VERSION_AT: Final = text(
    "WITH RECURSIVE search(step, version) AS ("
    "SELECT CAST(:step AS bigint), CAST(0 AS bigint) UNION ALL "
    "SELECT s.step >> 1, CASE WHEN (SELECT (e.recorded_at, e.version) <= (:at, CAST(:last AS bigint)) FROM entries e "
    "WHERE e.account_id = :account AND e.version = s.version + s.step) THEN s.version + s.step ELSE s.version END "
    "FROM search s WHERE s.step > 0) SELECT version FROM search WHERE step = 0"
)
_COLUMNS: Final = text(
    "SELECT debits_posted, credits_posted, debits_pending, credits_pending FROM entries "
    "WHERE account_id = :account AND version = :version"
)
SUMS: Final = text(
    "SELECT coalesce(sum(s.debits_posted), 0), coalesce(sum(s.credits_posted), 0), coalesce(sum(s.debits_pending), 0), "
    "coalesce(sum(s.credits_pending), 0) "
    "FROM unnest(CAST(:levels AS smallint[]), CAST(:buckets AS bigint[])) AS w(level, bucket) CROSS JOIN LATERAL ("
    "SELECT d.* FROM dated_sums d WHERE d.account_id = :account AND d.level = w.level AND d.bucket = w.bucket "
    "AND d.version <= :version ORDER BY d.version DESC LIMIT 1) s"
)
_WHOLE: Final = (Stretch(LEVEL_MAX, 0),)
MICROSECOND: Final = timedelta(microseconds=1)
"""The finest step of time that the database keeps: a period up to a moment, without it, ends one before."""


class Position(NamedTuple):
    """A place in an account's entries by effective time: after all up to ``version`` of those effective at ``at``."""

    at: datetime
    version: int = NEWEST


class Moments(NamedTuple):
    """What a reader asks about: as effective at one moment, as known at another; None is all there is."""

    effective_at: datetime | None = None
    recorded_at: datetime | None = None


NOW: Final = Moments()


async def version_at(view: AsyncConnection, account: Account, moment: datetime, last: int = NEWEST) -> int:
    """Give the version that ``account`` had at ``moment``, of entries recorded right then none above ``last``.

    It looks at one entry per binary digit of the account's version.
    """
    if account.version == 0:
        return 0
    step = 1 << (account.version.bit_length() - 1)
    values = {"account": account.facts.id, "at": moment, "last": last, "step": step}
    return int(await view.scalar(VERSION_AT, values) or 0)


async def known_version(view: AsyncConnection, account: Account, recorded_at: datetime | None) -> int:
    """Give the version known at ``recorded_at``, or the present one."""
    return account.version if recorded_at is None else await version_at(view, account, recorded_at)


async def columns_at_version(view: AsyncConnection, account: UUID, version: int) -> Columns:
    """Give the four columns after ``version``, in the order of recording."""
    if version == 0:
        return EMPTY
    return Columns(*(await view.execute(_COLUMNS, {"account": account, "version": version})).one())


async def _dated(
    view: AsyncConnection, account: UUID, version: int, stretches: tuple[Stretch, ...] | list[Stretch]
) -> Columns:
    """Add up the dated entries in ``stretches`` up to ``version``."""
    values: dict[str, Any] = {
        "account": account,
        "version": version,
        "levels": [stretch.level for stretch in stretches],
        "buckets": [stretch.bucket for stretch in stretches],
    }
    return Columns(*map(int, (await view.execute(SUMS, values)).one()))


def _sum(one: Columns, other: Columns, sign: int = 1) -> Columns:
    return Columns(*(a + sign * b for a, b in zip(one, other, strict=True)))


async def columns_at(view: AsyncConnection, account: Account, position: Position, known: int) -> Columns:
    """Give the four columns as effective at ``position``, of the entries up to version ``known``.

    A pending column may be below zero when a hold's end was dated before its beginning, and the balance may be where
    the books never let it be: a transfer dated back is bound by the limits of the day that records it.
    """
    key = account.facts.id
    ordinary = min(known, await version_at(view, account, *position))
    sums = await columns_at_version(view, key, ordinary)
    if not await _any_dated(view, key, known):
        return sums
    sums = _sum(sums, await _dated(view, key, ordinary, _WHOLE), -1)
    sums = _sum(sums, await _dated(view, key, known, stretches_until(micros_of(position.at - MICROSECOND))))
    instant = Stretch(0, micros_of(position.at))
    return _sum(sums, await _dated(view, key, min(known, position.version), [instant]))


_ANY: Final = text(
    "SELECT EXISTS (SELECT FROM dated_sums WHERE account_id = :account AND level = :level AND bucket = 0 "
    "AND version <= :version)"
)


async def _any_dated(view: AsyncConnection, account: UUID, version: int) -> bool:
    return bool(await view.scalar(_ANY, {"account": account, "level": LEVEL_MAX, "version": version}))


async def balance_at(
    view: AsyncConnection, account: Account, effective_at: datetime | None, recorded_at: datetime | None
) -> Account:
    """Give ``account`` as effective at ``effective_at``, as known at ``recorded_at``; without a moment, all there is.

    Without ``effective_at`` dated entries count whenever they take effect: that is the balance that the books guard.
    """
    if effective_at is None and recorded_at is None:
        return account
    known = await known_version(view, account, recorded_at)
    if effective_at is None:
        columns = await columns_at_version(view, account.facts.id, known)
    else:
        columns = await columns_at(view, account, Position(effective_at), known)
    return Account(account.facts, account.standing, *columns, known)
