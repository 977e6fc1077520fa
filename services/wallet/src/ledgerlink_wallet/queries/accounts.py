"""Accounts, their entries, and the trial balance."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.chart import CHART, Side
from ledgerlink_contracts.wallet.models import (
    AccountBalanceView,
    AccountPage,
    AccountView,
    BalanceView,
    CurrencyTotal,
    EntryPage,
    EntryRecord,
    RootBalance,
    Standing,
    TrialBalanceView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account, AccountFacts, AccountKey
from ledgerlink_wallet.queries.cursors import text_in, uuid_in, version_in
from ledgerlink_wallet.queries.moments import Moments, balance_at

ACCOUNT_COLUMNS: Final = (
    "a.id, a.code, a.currency, a.normal_side, a.may_overdraw, a.wallet_id, a.standing, a.debits_posted, "
    "a.credits_posted, a.debits_pending, a.credits_pending, a.version, a.opened_at"
)

_PAGE: Final = text(
    f"SELECT {ACCOUNT_COLUMNS} FROM accounts a "  # noqa: S608 - our own names
    "WHERE (CAST(:code AS text) IS NULL OR a.code = :code OR a.code LIKE :below) "
    "AND (CAST(:currency AS text) IS NULL OR a.currency = :currency) "
    'AND (CAST(:after_code AS text) IS NULL OR (a.code, a.id) > (:after_code COLLATE "C", CAST(:after_id AS uuid))) '
    'ORDER BY a.code COLLATE "C", a.id LIMIT :limit'
)
_ONE: Final = text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.id = :id")  # noqa: S608 - our own names
_ENTRIES: Final = text(
    "SELECT * FROM entries WHERE account_id = :account AND version > :after ORDER BY version LIMIT :limit"
)
_TRIAL: Final = text(
    "SELECT split_part(code, ':', 1) AS root, currency, count(*) AS accounts, sum(debits_posted)::numeric AS debits, "
    "sum(credits_posted)::numeric AS credits FROM accounts GROUP BY 1, 2 ORDER BY 1, 2"
)


def account_of(row: Row[Any]) -> Account:
    """Read a row of `ACCOUNT_COLUMNS`."""
    facts = AccountFacts(
        AccountKey(row.id), row.code, row.currency, Side(row.normal_side), row.may_overdraw, row.wallet_id
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


async def balance(view: AsyncConnection, account_id: AccountId, moments: Moments) -> AccountBalanceView:
    """Give an account's balances at ``moments``. Raises `Refused` (`account-not-found`)."""
    found = await balance_at(view, await account_row(view, account_id), *moments)
    return AccountBalanceView(
        account=account_id,
        version=found.version,
        effective_at=moments.effective_at,
        recorded_at=moments.recorded_at,
        debits_posted_minor=found.debits_posted,
        credits_posted_minor=found.credits_posted,
        debits_pending_minor=found.debits_pending,
        credits_pending_minor=found.credits_pending,
        **balance_of(found).model_dump(),
    )


async def accounts(
    view: AsyncConnection, *, code: str | None, currency: str | None, cursor: str | None, limit: int
) -> AccountPage:
    """Give a page of accounts by code: all, or ``code`` and those below it."""
    after = decode_cursor(cursor, "code", "id") if cursor else {"code": None, "id": None}
    found = (
        await view.execute(
            _PAGE,
            {
                "code": code,
                "below": None if code is None else _like(code) + ":%",
                "currency": currency,
                "after_code": text_in(after["code"]) if cursor else None,
                "after_id": uuid_in(after["id"]) if cursor else None,
                "limit": limit + 1,
            },
        )
    ).all()
    items = [account_view(row) for row in found[:limit]]
    more = len(found) > limit
    last = items[-1] if more else None
    return AccountPage(
        items=items, next_cursor=encode_cursor({"code": last.code, "id": str(last.id.uuid)}) if last else None
    )


def _like(text_: str) -> str:
    """Quote what LIKE would read as a pattern."""
    return text_.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def entries(view: AsyncConnection, account_id: AccountId, *, cursor: str | None, limit: int) -> EntryPage:
    """Give a page of an account's entries in the order of their versions. Raises `Refused` (`account-not-found`)."""
    row = (await view.execute(_ONE, {"id": account_id.uuid})).one_or_none()
    if row is None:
        raise account_not_found(account_id)
    after = version_in(decode_cursor(cursor, "version")["version"]) if cursor else 0
    facts = account_of(row).facts
    found = (await view.execute(_ENTRIES, {"account": account_id.uuid, "after": after, "limit": limit + 1})).all()
    items = [_entry_view(facts, entry) for entry in found[:limit]]
    return EntryPage(
        items=items, next_cursor=encode_cursor({"version": items[-1].version}) if len(found) > limit else None
    )


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


async def trial_balance(view: AsyncConnection, now: datetime) -> TrialBalanceView:
    """Sum all accounts by root of the chart and currency; debits equal credits in each currency."""
    roots: list[RootBalance] = []
    totals: dict[str, list[int]] = {}
    for row in await view.execute(_TRIAL):
        debits, credits_ = int(row.debits), int(row.credits)
        normal = CHART[row.root].normal_side
        total = totals.setdefault(row.currency, [0, 0])
        total[0] += debits
        total[1] += credits_
        roots.append(
            RootBalance(
                root=row.root,
                currency=row.currency,
                normal_side=normal,
                accounts=row.accounts,
                debits_posted_minor=debits,
                credits_posted_minor=credits_,
                posted_minor=debits - credits_ if normal is Side.DEBIT else credits_ - debits,
            )
        )
    sums = [
        CurrencyTotal(currency=code, debits_posted_minor=d, credits_posted_minor=c, balanced=d == c)
        for code, (d, c) in sorted(totals.items())
    ]
    return TrialBalanceView(as_of=now, balanced=all(one.balanced for one in sums), totals=sums, roots=roots)
