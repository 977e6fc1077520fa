"""Wallets, their balances and statements, as their owners see them."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import (
    BalanceView,
    Standing,
    WalletBalanceView,
    WalletPage,
    WalletView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_wallet.domain.books import Account, WalletKey, unopened
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of, balance_of
from ledgerlink_wallet.queries.cursors import cursor_at, place_in
from ledgerlink_wallet.queries.moments import NOW, Moments, balance_at

_ONE: Final = text("SELECT id, owner, currency, label, opened_at FROM wallets WHERE id = :id")
_PAGE: Final = text(
    "SELECT id, owner, currency, label, opened_at FROM wallets WHERE owner = :owner "
    "AND (CAST(:currency AS text) IS NULL OR currency = :currency) "
    "AND (CAST(:after_at AS timestamptz) IS NULL OR (opened_at, id) > (:after_at, CAST(:after_id AS uuid))) "
    "ORDER BY opened_at, id LIMIT :limit"
)
_ACCOUNTS: Final = text(
    f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.wallet_id = ANY(:ids) ORDER BY a.opened_at, a.currency"  # noqa: S608 - our own names
)
_ACCOUNT: Final = text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.id = :id")  # noqa: S608 - our own names


def _not_found(wallet: WalletId) -> Refused:
    code = RefusalCode.WALLET_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no wallet {wallet}.", party=str(wallet))


async def wallet(view: AsyncConnection, wallet_id: WalletId, owner: str | None) -> WalletView:
    """Give a wallet with its balances; with ``owner``, only theirs. Raises `Refused` (`wallet-not-found`)."""
    row = (await view.execute(_ONE, {"id": wallet_id.uuid})).one_or_none()
    if row is None or (owner is not None and row.owner != owner):
        raise _not_found(wallet_id)
    return (await _with_accounts(view, [row]))[0]


async def wallets(
    view: AsyncConnection, owner: str, currency: str | None, *, cursor: str | None, limit: int
) -> WalletPage:
    """Give a page of the wallets of ``owner`` (with this first currency, if told), the oldest first."""
    after = place_in(cursor) if cursor else None
    values = {
        "owner": owner,
        "currency": currency,
        "after_at": after.at if after else None,
        "after_id": after.id if after else None,
        "limit": limit + 1,
    }
    found = list((await view.execute(_PAGE, values)).all())
    items = await _with_accounts(view, found[:limit])
    last = items[-1] if len(found) > limit else None
    return WalletPage(
        items=items,
        next_cursor=cursor_at(last.opened_at, last.id.uuid) if last else None,
    )


async def _with_accounts(view: AsyncConnection, rows: list[Row[Any]]) -> list[WalletView]:
    held: dict[UUID, list[Account]] = {row.id: [] for row in rows}
    for row in await view.execute(_ACCOUNTS, {"ids": list(held)}):
        held[row.wallet_id].append(account_of(row))
    return [
        WalletView(
            id=WalletId(row.id),
            owner=row.owner,
            currency=row.currency,
            label=row.label,
            state=_standing(held[row.id]),
            balances=[balance_of(account) for account in held[row.id]],
            opened_at=row.opened_at,
        )
        for row in rows
    ]


def _standing(accounts: list[Account]) -> Standing:
    """Give what may be done with a wallet: it is as open as its most open account."""
    standings = {account.standing for account in accounts}
    return next(one for one in (Standing.OPEN, Standing.FROZEN, Standing.CLOSED) if one in standings)


async def balance(
    view: AsyncConnection, wallet_id: WalletId, owner: str | None, currency: str | None, moments: Moments = NOW
) -> WalletBalanceView:
    """Give a wallet's balances at ``moments``: in ``currency`` or its first one, and in all. Raises `Refused`."""
    found = await wallet(view, wallet_id, owner)
    balances = found.balances
    if moments != NOW:
        rows = (await view.execute(_ACCOUNTS, {"ids": [wallet_id.uuid]})).all()
        balances = [balance_of(await balance_at(view, account_of(row), *moments)) for row in rows]
    asked = currency or found.currency
    empty = BalanceView(currency=asked, posted_minor=0, pending_minor=0, available_minor=0)
    one = next((one for one in balances if one.currency == asked), empty)
    return WalletBalanceView(wallet=wallet_id, balances=balances, **one.model_dump())


async def wallet_account(
    view: AsyncConnection, wallet_id: WalletId, owner: str | None, currency: str | None
) -> Account:
    """Give the account of a wallet in ``currency`` (or its first one), open or not yet. Raises `Refused`."""
    found = await wallet(view, wallet_id, owner)
    facts = wallet_facts(WalletKey(wallet_id.uuid), currency or found.currency)
    row = (await view.execute(_ACCOUNT, {"id": facts.id})).one_or_none()
    return unopened(facts) if row is None else account_of(row)
