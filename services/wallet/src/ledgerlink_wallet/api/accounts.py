"""Accounts, their entries, the trial balance and the audit: the books for those who keep and check them."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import (
    AccountBalanceView,
    AccountOrder,
    AccountPage,
    AccountView,
    EntryPage,
    Layer,
    Party,
    Standing,
)
from ledgerlink_contracts.wallet.reports import AuditView, LedgersView, LedgerView, TrialBalanceView
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    AnyReader,
    Auditor,
    EffectiveAt,
    GivenRuntime,
    LedgerLimit,
    LedgerReader,
    LedgerWriter,
    RecordedAt,
    RecordedFrom,
    RecordedTo,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.queries import accounts as queries
from ledgerlink_wallet.queries import audit, ledgers, visibility
from ledgerlink_wallet.queries.moments import Moments
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(tags=["ledger"])


@router.get("/accounts", name="list_accounts")
async def list_accounts(
    _caller: LedgerReader,
    runtime: GivenRuntime,
    code: Annotated[Party | None, Query(description="This code and all below it")] = None,
    currency: Annotated[CurrencyCode | None, Query()] = None,
    state: Standing | None = None,
    wallet: WalletId | None = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> AccountPage:
    """List accounts with their balances, by code."""
    async with runtime.db.reading() as view:
        wanted = queries.AccountFilter(code, currency, state, wallet)
        return await queries.accounts(view, wanted, cursor=cursor, limit=limit)


@router.post(
    "/accounts",
    name="open_account",
    status_code=201,
    response_model=AccountView,
    responses={200: {"description": "It stands so already", "model": AccountView}, **responses(404, 409)},
)
async def open_account(order: AccountOrder, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Open an account of the chart with its floor and ceiling; accounts without bounds open on first use as well.

    Needs no key: the same again answers 200 with the account, other bounds are refused (`account-exists`).
    """
    answer = await commands.open_account(runtime, mandate_of(caller, None), order)
    if answer.refusal is not None:
        return respond(answer)
    account = AccountId.parse(orjson.loads(answer.body)["id"])
    async with runtime.db.reading() as view:
        body = (await queries.account(view, account)).model_dump_json().encode()
    return respond(answer.telling(body))


@router.get("/accounts/{account}", name="get_account", responses=responses(404))
async def get_account(account: AccountId, _caller: LedgerReader, runtime: GivenRuntime) -> AccountView:
    """Give an account with its balances."""
    async with runtime.db.reading() as view:
        return await queries.account(view, account)


@router.get("/accounts/{account}/balance", name="get_account_balance", responses=responses(404))
async def get_account_balance(
    account: AccountId,
    caller: AnyReader,
    runtime: GivenRuntime,
    effective_at: EffectiveAt = None,
    recorded_at: RecordedAt = None,
) -> AccountBalanceView:
    """Give an account's balances now, or as effective at one moment as known at another."""
    async with runtime.db.reading() as view:
        found = await visibility.visible_account(view, account, owner_filter(caller))
        return await queries.balance(view, found, Moments(effective_at, recorded_at))


@router.get("/accounts/{account}/entries", name="list_entries", responses=responses(404))
async def list_entries(
    account: AccountId,
    _caller: LedgerReader,
    runtime: GivenRuntime,
    layer: Layer | None = None,
    side: Side | None = None,
    recorded_from: RecordedFrom = None,
    recorded_to: RecordedTo = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> EntryPage:
    """List an account's entries in the order of their versions, each with the balances that resulted.

    With a filter a page looks at 5,000 versions at the most: it can hold few entries and yet have a `next_cursor`.
    """
    async with runtime.db.reading() as view:
        found = await queries.account_row(view, account)
        wanted = queries.EntryFilter(layer, side, recorded_from, recorded_to)
        return await queries.entries(view, found, wanted, cursor=cursor, limit=limit)


async def _change(runtime: Runtime, caller: LedgerWriter, account: AccountId, standing: Standing) -> Response:
    answer = await commands.change_standing(runtime, mandate_of(caller, None), account, standing)
    if answer.refusal is not None:
        return respond(answer)
    async with runtime.db.reading() as view:
        body = (await queries.account(view, account)).model_dump_json().encode()
    return respond(answer.telling(body))


@router.post(
    "/accounts/{account}/freeze", name="freeze_account", response_model=AccountView, responses=responses(404, 409)
)
async def freeze_account(account: AccountId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Let the account take no postings for now. Needs no key: a frozen account stays frozen."""
    return await _change(runtime, caller, account, Standing.FROZEN)


@router.post(
    "/accounts/{account}/unfreeze", name="unfreeze_account", response_model=AccountView, responses=responses(404, 409)
)
async def unfreeze_account(account: AccountId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Let a frozen account take postings again."""
    return await _change(runtime, caller, account, Standing.OPEN)


@router.post(
    "/accounts/{account}/close", name="close_account", response_model=AccountView, responses=responses(404, 409)
)
async def close_account(account: AccountId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Close an account whose balances are zero, for good."""
    return await _change(runtime, caller, account, Standing.CLOSED)


@router.get("/trial-balance", name="get_trial_balance")
async def get_trial_balance(
    _caller: LedgerReader, runtime: GivenRuntime, effective_at: EffectiveAt = None, recorded_at: RecordedAt = None
) -> TrialBalanceView:
    """Sum the books by root of the chart and currency, now or at any past moments: debits equal credits."""
    async with runtime.db.reading() as view:
        return await ledgers.trial_balance(view, runtime.clock.now(), Moments(effective_at, recorded_at))


@router.get("/ledgers", name="list_ledgers")
async def list_ledgers(_caller: LedgerReader, runtime: GivenRuntime) -> LedgersView:
    """List the ledgers: there is one, `main`."""
    async with runtime.db.reading() as view:
        return LedgersView(items=[await ledgers.ledger(view, runtime.clock.now())])


@router.get("/ledgers/main", name="get_ledger")
async def get_ledger(_caller: LedgerReader, runtime: GivenRuntime) -> LedgerView:
    """Say what the ledger holds: its currencies, and how many accounts and entries."""
    async with runtime.db.reading() as view:
        return await ledgers.ledger(view, runtime.clock.now())


@router.get("/audit", name="audit_ledger")
async def audit_ledger(_caller: Auditor, runtime: GivenRuntime) -> AuditView:
    """Read all entries and show that the books are whole, or where they are not."""
    return await audit.audit(runtime.db, runtime.clock, audit.checks_for(runtime.checkpoint_key))
