"""Accounts, their entries, the trial balance and the audit: the books for those who keep and check them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ledgerlink_contracts.ids import AccountId
from ledgerlink_contracts.wallet.models import (
    AccountPage,
    AccountView,
    AuditView,
    EntryPage,
    Party,
    Standing,
    TrialBalanceView,
)
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    Auditor,
    GivenRuntime,
    LedgerLimit,
    LedgerReader,
    LedgerWriter,
    mandate_of,
    respond,
)
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.queries import accounts as queries
from ledgerlink_wallet.queries import audit
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(tags=["ledger"])


@router.get("/accounts", name="list_accounts")
async def list_accounts(
    _caller: LedgerReader,
    runtime: GivenRuntime,
    code: Annotated[Party | None, Query(description="This code and all below it")] = None,
    currency: Annotated[CurrencyCode | None, Query()] = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> AccountPage:
    """List accounts with their balances, by code."""
    async with runtime.db.reading() as view:
        return await queries.accounts(view, code=code, currency=currency, cursor=cursor, limit=limit)


@router.get("/accounts/{account}", name="get_account", responses=responses(404))
async def get_account(account: AccountId, _caller: LedgerReader, runtime: GivenRuntime) -> AccountView:
    """Give an account with its balances."""
    async with runtime.db.reading() as view:
        return await queries.account(view, account)


@router.get("/accounts/{account}/entries", name="list_entries", responses=responses(404))
async def list_entries(
    account: AccountId,
    _caller: LedgerReader,
    runtime: GivenRuntime,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> EntryPage:
    """List an account's entries in the order of their versions, each with the balances that resulted."""
    async with runtime.db.reading() as view:
        return await queries.entries(view, account, cursor=cursor, limit=limit)


async def _change(runtime: Runtime, caller: LedgerWriter, account: AccountId, standing: Standing) -> Response:
    answer = await commands.change_standing(runtime, mandate_of(caller, None), account, standing)
    if answer.refusal is not None:
        return respond(answer)
    async with runtime.db.reading() as view:
        body = (await queries.account(view, account)).model_dump_json().encode()
    return respond(answer._replace(body=body))


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
async def get_trial_balance(_caller: LedgerReader, runtime: GivenRuntime) -> TrialBalanceView:
    """Sum the books by root of the chart and currency: debits equal credits in each currency."""
    async with runtime.db.reading() as view:
        return await queries.trial_balance(view, runtime.clock.now())


@router.get("/audit", name="audit_ledger")
async def audit_ledger(_caller: Auditor, runtime: GivenRuntime) -> AuditView:
    """Read all entries and show that the books are whole, or where they are not."""
    return await audit.audit(runtime.db, runtime.clock, audit.checks_for(runtime.checkpoint_key))
