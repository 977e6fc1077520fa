"""Wallets, their balances and statements, as their owners see them."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import TransferId, WalletId
from ledgerlink_contracts.wallet.models import (
    BalanceView,
    Standing,
    StatementLine,
    StatementView,
    WalletBalanceView,
    WalletPage,
    WalletView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account, WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of, balance_of
from ledgerlink_wallet.queries.cursors import moment_in, uuid_in, version_in
from ledgerlink_wallet.queries.moments import NEWEST, NOW, Moments, balance_at

_ONE: Final = text("SELECT id, owner, currency, label, opened_at FROM wallets WHERE id = :id")
_PAGE: Final = text(
    "SELECT id, owner, currency, label, opened_at FROM wallets WHERE owner = :owner "
    "AND (CAST(:after_at AS timestamptz) IS NULL OR (opened_at, id) > (:after_at, CAST(:after_id AS uuid))) "
    "ORDER BY opened_at, id LIMIT :limit"
)
_ACCOUNTS: Final = text(
    f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.wallet_id = ANY(:ids) ORDER BY a.opened_at, a.currency"  # noqa: S608 - our own names
)
_LINES: Final = text(
    "SELECT e.version, e.side, e.amount_minor, e.debits_posted, e.credits_posted, e.effective_at, e.recorded_at, "
    "t.id AS transfer_id, t.kind, t.reference, t.postings FROM entries e JOIN transfers t ON t.id = e.transfer_id "
    "WHERE e.account_id = :account AND e.version < :before AND e.layer = 'posted' "
    "ORDER BY e.version DESC LIMIT :limit"
)
_CODES: Final = text("SELECT id, code FROM accounts WHERE id = ANY(:ids)")
_POSTED: Final = text(
    "SELECT credits_posted - debits_posted FROM entries WHERE account_id = :account AND version < :before "
    "ORDER BY version DESC LIMIT 1"
)


def _not_found(wallet: WalletId) -> Refused:
    code = RefusalCode.WALLET_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no wallet {wallet}.", party=str(wallet))


async def wallet(view: AsyncConnection, wallet_id: WalletId, owner: str | None) -> WalletView:
    """Give a wallet with its balances; with ``owner``, only theirs. Raises `Refused` (`wallet-not-found`)."""
    row = (await view.execute(_ONE, {"id": wallet_id.uuid})).one_or_none()
    if row is None or (owner is not None and row.owner != owner):
        raise _not_found(wallet_id)
    return (await _with_accounts(view, [row]))[0]


async def wallets(view: AsyncConnection, owner: str, *, cursor: str | None, limit: int) -> WalletPage:
    """Give a page of the wallets of ``owner``, the oldest first."""
    after = decode_cursor(cursor, "at", "id") if cursor else None
    values = {
        "owner": owner,
        "after_at": moment_in(after["at"]) if after else None,
        "after_id": uuid_in(after["id"]) if after else None,
        "limit": limit + 1,
    }
    found = list((await view.execute(_PAGE, values)).all())
    items = await _with_accounts(view, found[:limit])
    last = items[-1] if len(found) > limit else None
    return WalletPage(
        items=items,
        next_cursor=encode_cursor({"at": last.opened_at.isoformat(), "id": str(last.id.uuid)}) if last else None,
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


async def statement(
    view: AsyncConnection,
    wallet_id: WalletId,
    owner: str | None,
    *,
    currency: str | None,
    cursor: str | None,
    limit: int,
) -> StatementView:
    """Give a page of a wallet's statement in ``currency`` (or its first one), newest first. Raises `Refused`."""
    found = await wallet(view, wallet_id, owner)
    asked = currency or found.currency
    account = wallet_facts(WalletKey(wallet_id.uuid), asked).id
    before = version_in(decode_cursor(cursor, "version")["version"]) if cursor else NEWEST
    rows = list((await view.execute(_LINES, {"account": account, "before": before, "limit": limit + 1})).all())
    shown = rows[:limit]
    lines = await _lines(view, account, shown)
    if lines:
        closing, opening = lines[0].posted_minor, lines[-1].posted_minor - lines[-1].change_minor
    else:
        opening = closing = await view.scalar(_POSTED, {"account": account, "before": before}) or 0
    return StatementView(
        wallet=wallet_id,
        currency=asked,
        opening_minor=opening,
        closing_minor=closing,
        lines=lines,
        next_cursor=encode_cursor({"version": shown[-1].version}) if len(rows) > limit else None,
    )


async def _lines(view: AsyncConnection, account: UUID, rows: list[Row[Any]]) -> list[StatementLine]:
    others = [_other_side(row.postings, account, row.version) for row in rows]
    codes = {row.id: row.code for row in await view.execute(_CODES, {"ids": list(set(others))})}
    return [
        StatementLine(
            version=row.version,
            transfer=TransferId(row.transfer_id),
            kind=row.kind,
            reference=row.reference,
            counterparty=codes[other].removeprefix("wallet:"),
            change_minor=row.amount_minor if row.side == "credit" else -row.amount_minor,
            posted_minor=row.credits_posted - row.debits_posted,
            effective_at=row.effective_at,
            recorded_at=row.recorded_at,
        )
        for row, other in zip(rows, others, strict=True)
    ]


def _other_side(postings: list[list[Any]], account: UUID, version: int) -> UUID:
    """Find the account on the other side of the posting that gave ``account`` this version."""
    mine = str(account)
    for debit, debit_version, credit, credit_version, *_ in postings:
        if (debit, debit_version) == (mine, version):
            return UUID(credit)
        if (credit, credit_version) == (mine, version):
            return UUID(debit)
    raise AssertionError(f"account {mine} has no posting at version {version}")
