"""Accounts, their entries, and the trial balance."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import (
    AccountBalanceView,
    AccountPage,
    AccountView,
    BalanceView,
    EntryPage,
    EntryRecord,
    Layer,
    Standing,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account, AccountFacts, AccountKey
from ledgerlink_wallet.queries.cursors import text_in, uuid_in, version_in
from ledgerlink_wallet.queries.moments import MICROSECOND, NEWEST, Moments, balance_at, version_at

ACCOUNT_COLUMNS: Final = (
    "a.id, a.code, a.currency, a.normal_side, a.may_overdraw, a.wallet_id, a.floor_minor, a.ceiling_minor, a.standing, "
    "a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending, a.version, a.opened_at"
)

_PAGE: Final = f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE true {{filters}} ORDER BY a.code, a.id LIMIT :limit"  # noqa: S608 - our own names
_FILTERS: Final = {
    # One range of the index: in the order of bytes ";" follows ":", so what lies below a code ends before it.
    "code": "AND a.code >= :code AND a.code < :beyond AND (a.code = :code OR starts_with(a.code, :below))",
    "currency": "AND a.currency = :currency",
    "wallet": "AND a.wallet_id = :wallet",
    "after_code": "AND (a.code, a.id) > (:after_code, CAST(:after_id AS uuid))",
}
_ONE: Final = text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.id = :id")  # noqa: S608 - our own names
_ENTRIES: Final = (
    "SELECT * FROM entries WHERE account_id = :account AND version > :after AND version <= :until {filters} "
    "ORDER BY version LIMIT :limit"
)
ENTRIES_SPAN: Final = 5_000
"""Versions that a page of filtered entries looks at."""


def account_of(row: Row[Any]) -> Account:
    """Read a row of `ACCOUNT_COLUMNS`."""
    facts = AccountFacts(
        AccountKey(row.id),
        row.code,
        row.currency,
        Side(row.normal_side),
        row.may_overdraw,
        row.wallet_id,
        row.floor_minor,
        row.ceiling_minor,
    )
    columns = (row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
    return Account(facts, Standing(row.standing), *columns, row.version)


def balance_of(account: Account) -> BalanceView:
    """Give an account's balances on its normal side."""
    return BalanceView(
        currency=account.facts.currency,
        posted_minor=account.posted_minor,
        pending_minor=account.pending_minor,
        available_minor=account.available_minor,
    )


def account_view(row: Row[Any]) -> AccountView:
    """Read a row of `ACCOUNT_COLUMNS` as the wire shows it."""
    account = account_of(row)
    return AccountView(
        id=AccountId(row.id),
        code=row.code,
        wallet=None if row.wallet_id is None else WalletId(row.wallet_id),
        normal_side=account.facts.normal_side,
        may_overdraw=row.may_overdraw,
        floor_minor=row.floor_minor,
        ceiling_minor=row.ceiling_minor,
        state=account.standing,
        currency=row.currency,
        posted_minor=account.posted_minor,
        pending_minor=account.pending_minor,
        available_minor=account.available_minor,
        debits_posted_minor=row.debits_posted,
        credits_posted_minor=row.credits_posted,
        debits_pending_minor=row.debits_pending,
        credits_pending_minor=row.credits_pending,
        version=row.version,
        opened_at=row.opened_at,
    )


def account_not_found(account: AccountId) -> Refused:
    """Refuse an account that does not exist."""
    code = RefusalCode.ACCOUNT_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no account {account}.")


async def account(view: AsyncConnection, account_id: AccountId) -> AccountView:
    """Give one account. Raises `Refused` (`account-not-found`)."""
    row = (await view.execute(_ONE, {"id": account_id.uuid})).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    return account_view(row)


async def account_row(view: AsyncConnection, account_id: AccountId) -> Account:
    """Give one account as the domain has it. Raises `Refused` (`account-not-found`)."""
    row = (await view.execute(_ONE, {"id": account_id.uuid})).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    return account_of(row)


async def balance(view: AsyncConnection, account: Account, moments: Moments) -> AccountBalanceView:
    """Give an account's balances at ``moments``."""
    found = await balance_at(view, account, *moments)
    return AccountBalanceView(
        account=AccountId(account.facts.id),
        version=found.version,
        effective_at=moments.effective_at,
        recorded_at=moments.recorded_at,
        debits_posted_minor=found.debits_posted,
        credits_posted_minor=found.credits_posted,
        debits_pending_minor=found.debits_pending,
        credits_pending_minor=found.credits_pending,
        **balance_of(found).model_dump(),
    )


class AccountFilter(NamedTuple):
    """Which accounts: ``code`` and those below it, and what else is told."""

    code: str | None = None
    currency: str | None = None
    state: Standing | None = None
    wallet: WalletId | None = None


async def accounts(view: AsyncConnection, wanted: AccountFilter, *, cursor: str | None, limit: int) -> AccountPage:
    """Give a page of accounts by code."""
    values: dict[str, Any] = {"limit": limit + 1}
    filters: list[str] = []
    if wanted.code is not None:
        filters.append(_FILTERS["code"])
        values |= {"code": wanted.code, "below": f"{wanted.code}:", "beyond": f"{wanted.code};"}
    if wanted.currency is not None:
        filters.append(_FILTERS["currency"])
        values["currency"] = wanted.currency
    if wanted.state is not None:
        # Written out, one of three words, so that the planner sees the partial index that leaves out what is open.
        filters.append(f"AND a.standing = '{wanted.state.value}'")
    if wanted.wallet is not None:
        filters.append(_FILTERS["wallet"])
        values["wallet"] = wanted.wallet.uuid
    if cursor:
        after = decode_cursor(cursor, "code", "id")
        filters.append(_FILTERS["after_code"])
        values |= {"after_code": text_in(after["code"]), "after_id": uuid_in(after["id"])}
    found = (await view.execute(text(_PAGE.format(filters=" ".join(filters))), values)).all()
    items = [account_view(row) for row in found[:limit]]
    last = items[-1] if len(found) > limit else None
    return AccountPage(
        items=items, next_cursor=encode_cursor({"code": last.code, "id": str(last.id.uuid)}) if last else None
    )


class EntryFilter(NamedTuple):
    """Which entries: by layer, side, and a period of recorded time (from on, before)."""

    layer: Layer | None = None
    side: Side | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None


async def entries(
    view: AsyncConnection, account: Account, wanted: EntryFilter, *, cursor: str | None, limit: int
) -> EntryPage:
    """Give a page of an account's entries in the order of their versions.

    A filtered page looks at `ENTRIES_SPAN` versions at the most: it can hold few entries and yet not be the last.
    """
    after, until = 0, account.version
    if wanted.recorded_from is not None:
        after = await version_at(view, account, wanted.recorded_from - MICROSECOND)
    if wanted.recorded_to is not None:
        until = await version_at(view, account, wanted.recorded_to - MICROSECOND)
    if cursor:
        after = max(after, version_in(decode_cursor(cursor, "version")["version"]))
    high = min(until, after + ENTRIES_SPAN)
    values: dict[str, Any] = {"account": account.facts.id, "after": after, "until": high, "limit": limit + 1}
    filters: list[str] = []
    for name, value in (("layer", wanted.layer), ("side", wanted.side)):
        if value is not None:
            filters.append(f"AND {name} = :{name}")
            values[name] = value.value
    found = (await view.execute(text(_ENTRIES.format(filters=" ".join(filters))), values)).all()
    items = [_entry_view(account.facts, entry) for entry in found[:limit]]
    rest = items[-1].version if len(found) > limit else high if high < until else None
    return EntryPage(items=items, next_cursor=None if rest is None else encode_cursor({"version": rest}))


async def entries_after(view: AsyncConnection, facts: AccountFacts, after: int, limit: int) -> list[EntryRecord]:
    """Give up to ``limit`` entries after a version, in order and without a gap: versions become visible in order."""
    values = {"account": facts.id, "after": after, "until": NEWEST, "limit": limit}
    return [_entry_view(facts, row) for row in await view.execute(text(_ENTRIES.format(filters="")), values)]


def _entry_view(facts: AccountFacts, row: Row[Any]) -> EntryRecord:
    columns = (row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
    after = Account(facts, Standing.OPEN, *columns, row.version)
    return EntryRecord(
        account=AccountId(facts.id),
        party=facts.party,
        side=row.side,
        layer=row.layer,
        amount_minor=row.amount_minor,
        version=row.version,
        transfer=None if row.transfer_id is None else TransferId(row.transfer_id),
        hold=None if row.hold_id is None else HoldId(row.hold_id),
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        **balance_of(after).model_dump(),
    )
