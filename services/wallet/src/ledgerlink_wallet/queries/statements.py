"""Statements: an account's posted entries of a period, by recorded or effective time, with the balance after each.

A page looks at no more than `SPAN` versions and as many dated entries as it may hold, and takes its opening balance
from `moments`: so it costs the same at the beginning, in the middle and at the end of a history of any length.

By effective time two streams are merged: the ordinary entries, whose order by effective time is that of their versions,
and the dated ones from their partial index.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, TransferId, WalletId
from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import StatementBasis, StatementLine, StatementView
from ledgerlink_kit.db import Database
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account
from ledgerlink_wallet.domain.stretches import EPOCH
from ledgerlink_wallet.queries.cursors import moment_in, version_in
from ledgerlink_wallet.queries.moments import MICROSECOND, Position, columns_at, columns_at_version, version_at

SPAN: Final = 5_000
"""Versions that one page looks at: steps of holds, and entries dated elsewhere, are passed over."""

STREAM_LINES: Final = 500
"""Lines that a stream reads at a time."""

_END: Final = datetime(3000, 1, 1, tzinfo=EPOCH.tzinfo)
_COLUMNS: Final = (
    "e.version, e.side, e.amount_minor, e.effective_at, e.recorded_at, t.id AS transfer_id, t.kind, t.reference, "
    "t.postings"
)
# The order is the index's own, forwards or backwards; the limit stands inside, so that a transfer is read per line.
_BY_VERSION: Final = (
    f"SELECT {_COLUMNS} FROM (SELECT * FROM entries WHERE account_id = :account AND version > :low "  # noqa: S608 - our own names
    "AND version <= :high AND layer = 'posted' {ordinary} ORDER BY version {order} LIMIT :limit) e "
    "JOIN transfers t ON t.id = e.transfer_id ORDER BY e.version {order}"
)
_DATED: Final = (
    f"SELECT {_COLUMNS} FROM (SELECT * FROM entries WHERE account_id = :account "  # noqa: S608 - our own names
    "AND (effective_at, version) > (:low_at, CAST(:low AS bigint)) "
    "AND (effective_at, version) <= (:high_at, CAST(:high AS bigint)) "
    "AND version <= :known AND layer = 'posted' AND effective_at <> recorded_at "
    "ORDER BY effective_at {order}, version {order} LIMIT :limit) e "
    "JOIN transfers t ON t.id = e.transfer_id ORDER BY e.effective_at {order}, e.version {order}"
)
_RECORDED_AT: Final = text("SELECT recorded_at FROM entries WHERE account_id = :account AND version = :version")
_CODES: Final = text("SELECT id, code FROM accounts WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Period:
    """What a statement is about: entries after ``first`` up to ``last``, of those up to version ``known``.

    By recorded time a position is its version; its moment says nothing.
    """

    account: Account
    by: StatementBasis
    since: datetime | None
    until: datetime | None
    first: Position
    last: Position
    known: int

    @property
    def by_version(self) -> bool:
        """Whether the order is that of versions."""
        return self.by is StatementBasis.RECORDED


async def period_of(
    view: AsyncConnection, account: Account, by: StatementBasis, since: datetime | None, until: datetime | None
) -> Period:
    """Give the period from ``since`` on and before ``until``, of what is known now."""
    first, last = Position(EPOCH - MICROSECOND, 0), Position(_END)
    if since is not None:
        first = Position(since - MICROSECOND)
    if until is not None:
        last = Position(until - MICROSECOND)
    if by is StatementBasis.RECORDED:
        first = first._replace(version=0 if since is None else await version_at(view, account, first.at))
        last = last._replace(version=account.version if until is None else await version_at(view, account, last.at))
        last = last._replace(version=max(first.version, last.version))
    elif last < first:
        last = first
    return Period(account, by, since, until, first, last, account.version)


async def posted_at(view: AsyncConnection, period: Period, position: Position) -> int:
    """Give the posted balance at ``position``, in minor units on the normal side."""
    account = period.account
    if period.by_version:
        columns = await columns_at_version(view, account.facts.id, position.version)
    else:
        columns = await columns_at(view, account, position, period.known)
    return account._replace(**columns._asdict()).posted_minor


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows in order, and where to go on: after (or, backwards, before) ``rest``; None when that was all."""

    rows: list[Row[Any]]
    rest: Position | None


def _position(row: Row[Any]) -> Position:
    return Position(row.effective_at, row.version)


async def _rows(
    view: AsyncConnection, period: Period, low: Position, high: Position, limit: int, span: int, *, backwards: bool
) -> _Found:
    """Give up to ``limit`` rows after ``low`` up to ``high``, from one end or the other, out of ``span`` versions."""
    account = period.account
    first, last = low.version, high.version
    if not period.by_version:
        first = min(period.known, await version_at(view, account, *low))
        last = min(period.known, await version_at(view, account, *high))
    rest: Position | None = None
    if last - first > span:
        edge = last - span + 1 if backwards else first + span
        moment = await view.scalar(_RECORDED_AT, {"account": account.facts.id, "version": edge})
        assert isinstance(moment, datetime)
        rest = Position(moment, edge)
        first, last = (edge - 1, last) if backwards else (first, edge)
    values: dict[str, Any] = {"account": account.facts.id, "low": first, "high": last, "limit": limit + 1}
    order = "DESC" if backwards else "ASC"
    ordinary = "" if period.by_version else "AND effective_at = recorded_at"
    rows = list((await view.execute(text(_BY_VERSION.format(order=order, ordinary=ordinary)), values)).all())
    if not period.by_version:
        # A position is after its version: the row of the edge itself belongs to the page when it runs backwards.
        bottom = rest._replace(version=rest.version - 1) if rest and backwards else low
        top = rest if rest and not backwards else high
        values |= {"low_at": bottom.at, "low": bottom.version, "high_at": top.at, "high": top.version}
        values["known"] = period.known
        rows += (await view.execute(text(_DATED.format(order=order)), values)).all()
        rows.sort(key=_position, reverse=backwards)
    if len(rows) > limit:
        return _Found(rows[:limit], _position(rows[limit - 1]))
    return _Found(rows, rest)


async def statement(
    view: AsyncConnection, period: Period, *, cursor: str | None, limit: int, span: int = SPAN
) -> StatementView:
    """Give a page of the statement, newest first, of up to ``limit`` lines out of ``span`` versions."""
    top = period.last
    if cursor:
        top = _before(period, cursor)
    found = await _rows(view, period, period.first, top, limit, span, backwards=True)
    closing = await posted_at(view, period, top)
    lines: list[StatementLine] = []
    balance = closing
    codes = await _other_codes(view, period.account.facts.id, found.rows)
    for row, code in zip(found.rows, codes, strict=True):
        lines.append(_line(period.account, row, code, balance))
        balance -= lines[-1].change_minor
    account = period.account.facts
    return StatementView(
        account=AccountId(account.id),
        wallet=None if account.wallet is None else WalletId(account.wallet),
        currency=account.currency,
        by=period.by,
        period_from=period.since,
        period_to=period.until,
        period_opening_minor=await posted_at(view, period, period.first),
        period_closing_minor=await posted_at(view, period, period.last),
        opening_minor=balance,
        closing_minor=closing,
        lines=lines,
        next_cursor=None if found.rest is None else _cursor(period, found.rest),
    )


def _cursor(period: Period, rest: Position) -> str:
    if period.by_version:
        return encode_cursor({"version": rest.version})
    return encode_cursor({"at": rest.at.isoformat(), "version": rest.version})


def _before(period: Period, cursor: str) -> Position:
    """Read the cursor: the page goes up to, and not including, its position. Raises `InvalidCursor`."""
    if period.by_version:
        version = version_in(decode_cursor(cursor, "version")["version"])
        before = Position(period.last.at, max(version - 1, 0))
        return period.first if before.version < period.first.version else min(before, period.last)
    position = decode_cursor(cursor, "at", "version")
    before = Position(moment_in(position["at"]), max(version_in(position["version"]) - 1, 0))
    return max(period.first, min(before, period.last))


async def lines_of(
    db: Database, period: Period, *, limit: int = STREAM_LINES, span: int = SPAN
) -> AsyncGenerator[list[StatementLine]]:
    """Stream all lines of the period, the oldest first, some hundreds at a time, each lot from a view of its own.

    What is read never changes and the period ends at a known version, so the lots agree although time passes between.
    """
    low: Position | None = period.first
    async with db.reading() as view:
        balance = await posted_at(view, period, period.first)
    while low is not None:
        async with db.reading() as view:
            found = await _rows(view, period, low, period.last, limit, span, backwards=False)
            codes = await _other_codes(view, period.account.facts.id, found.rows)
        lines: list[StatementLine] = []
        for row, code in zip(found.rows, codes, strict=True):
            balance += _change(period.account, row)
            lines.append(_line(period.account, row, code, balance))
        if lines:
            yield lines
        low = found.rest


def _change(account: Account, row: Row[Any]) -> int:
    return row.amount_minor if Side(row.side) is account.facts.normal_side else -row.amount_minor


def _line(account: Account, row: Row[Any], code: str, balance: int) -> StatementLine:
    return StatementLine(
        version=row.version,
        transfer=TransferId(row.transfer_id),
        kind=row.kind,
        reference=row.reference,
        counterparty=code.removeprefix("wallet:"),
        change_minor=_change(account, row),
        posted_minor=balance,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
    )


async def _other_codes(view: AsyncConnection, account: UUID, rows: list[Row[Any]]) -> list[str]:
    """Give the code of the account on the other side of each row's posting."""
    others = [_other_side(row.postings, account, row.version) for row in rows]
    codes = {row.id: row.code for row in await view.execute(_CODES, {"ids": list(set(others))})}
    return [codes[other] for other in others]


def _other_side(postings: list[list[Any]], account: UUID, version: int) -> UUID:
    """Find the account on the other side of the posting that gave ``account`` this version."""
    mine = str(account)
    for debit, debit_version, credit, credit_version, *_ in postings:
        if (debit, debit_version) == (mine, version):
            return UUID(credit)
        if (credit, credit_version) == (mine, version):
            return UUID(debit)
    raise AssertionError(f"account {mine} has no posting at version {version}")
