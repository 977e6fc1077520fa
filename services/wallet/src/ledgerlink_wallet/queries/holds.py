"""Holds as they stand."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, HoldId, WalletId
from ledgerlink_contracts.wallet.models import HoldPage, HoldState, HoldView
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of, balance_of
from ledgerlink_wallet.queries.cursors import cursor_at, place_in

_COLUMNS: Final = (
    "h.id AS hold_id, h.state, h.amount_minor, h.captured_minor, h.remaining_minor, h.expires_at, h.on_behalf_of, "
    f"h.reference, h.recorded_at, {ACCOUNT_COLUMNS}"
)
_HOLD: Final = text(f"SELECT {_COLUMNS} FROM holds h JOIN accounts a ON a.id = h.account_id WHERE h.id = :id")  # noqa: S608 - our own names
# Each shape walks one index from its end: by account, state and time; by state and time; by expiry.
_OF_WALLET: Final = (
    f"SELECT {_COLUMNS} FROM accounts a CROSS JOIN LATERAL (SELECT * FROM holds h WHERE h.account_id = a.id "  # noqa: S608 - our own names
    "{filters} ORDER BY h.recorded_at DESC, h.id DESC LIMIT :limit) h WHERE a.wallet_id = :wallet "
    "ORDER BY h.recorded_at DESC, h.id DESC LIMIT :limit"
)
_OF_STATE: Final = (
    f"SELECT {_COLUMNS} FROM (SELECT * FROM holds h WHERE true {{filters}} "  # noqa: S608 - our own names
    "ORDER BY {order} LIMIT :limit) h JOIN accounts a ON a.id = h.account_id ORDER BY {order}"
)
_NEWEST_FIRST: Final = "h.recorded_at DESC, h.id DESC"
_NEXT_TO_EXPIRE: Final = "h.expires_at, h.id"


def hold_not_found(hold: HoldId) -> Refused:
    """Refuse a hold that does not exist, or that the caller may not see."""
    code = RefusalCode.HOLD_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no hold {hold}.")


def _view(row: Row[Any]) -> HoldView:
    return HoldView(
        id=HoldId(row.hold_id),
        wallet=WalletId(row.wallet_id),
        account=AccountId(row.id),
        state=HoldState(row.state),
        amount_minor=row.amount_minor,
        captured_minor=row.captured_minor,
        remaining_minor=row.remaining_minor,
        currency=row.currency,
        expires_at=row.expires_at,
        on_behalf_of=row.on_behalf_of,
        reference=row.reference,
        recorded_at=row.recorded_at,
        balance=balance_of(account_of(row)),
    )


async def hold(view: AsyncConnection, hold_id: HoldId) -> HoldView:
    """Give a hold with its wallet's balances now. Raises `Refused` (`hold-not-found`)."""
    row = (await view.execute(_HOLD, {"id": hold_id.uuid})).one_or_none()
    if row is None:
        raise hold_not_found(hold_id)
    return _view(row)


class HoldFilter(NamedTuple):
    """Which holds: in one state, of one wallet, placed ones that expire before a moment."""

    state: HoldState
    wallet: WalletId | None = None
    expires_before: datetime | None = None

    @property
    def by_expiry(self) -> bool:
        """Whether the page is in the order in which the holds expire."""
        return self.wallet is None and self.expires_before is not None


async def holds(view: AsyncConnection, wanted: HoldFilter, *, cursor: str | None, limit: int) -> HoldPage:
    """Give a page of holds, newest first; all wallets' that expire before a moment: the next to expire first."""
    values: dict[str, Any] = {"limit": limit + 1}
    # Written out, one of four words, so that the planner sees the partial index of what is placed.
    filters = f"AND h.state = '{wanted.state.value}'"
    if wanted.expires_before is not None:
        filters += " AND h.expires_at < :expires_before"
        values["expires_before"] = wanted.expires_before
    if cursor:
        values |= place_in(cursor)._asdict()
        filters += (
            " AND h.expires_at >= :at AND (h.expires_at, h.id) > (:at, CAST(:id AS uuid))"
            if wanted.by_expiry
            else " AND (h.recorded_at, h.id) < (:at, CAST(:id AS uuid))"
        )
    order = _NEXT_TO_EXPIRE if wanted.by_expiry else _NEWEST_FIRST
    if wanted.wallet is not None:
        values["wallet"] = wanted.wallet.uuid
    statement = (_OF_STATE if wanted.wallet is None else _OF_WALLET).format(filters=filters, order=order)
    found = (await view.execute(text(statement), values)).all()
    items = [_view(row) for row in found[:limit]]
    next_cursor = None
    if len(found) > limit:
        moment = items[-1].expires_at if wanted.by_expiry else items[-1].recorded_at
        assert moment is not None
        next_cursor = cursor_at(moment, items[-1].id.uuid)
    return HoldPage(items=items, next_cursor=next_cursor)
