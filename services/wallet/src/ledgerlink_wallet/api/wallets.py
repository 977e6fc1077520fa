"""Wallets: open, list, credit, debit, transfer, balance."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import (
    AmountOrder,
    Standing,
    WalletBalanceView,
    WalletMovementView,
    WalletOrder,
    WalletPage,
    WalletTransferOrder,
    WalletView,
)
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import OnceHeader
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor, PageLimit
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    AnyReader,
    EffectiveAt,
    GivenRuntime,
    IdempotencyKey,
    LedgerWriter,
    RecordedAt,
    WalletOpener,
    WalletWriter,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import ledger
from ledgerlink_wallet.commands import wallets as commands
from ledgerlink_wallet.queries import wallets as queries
from ledgerlink_wallet.queries.moments import Moments
from ledgerlink_wallet.runtime import Runtime

Owner = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:\-]+$")]

router = APIRouter(prefix="/wallets", tags=["wallets"])


@router.post("", name="create_wallet", status_code=201, response_model=WalletView, responses=responses(409))
async def create_wallet(order: WalletOrder, _caller: WalletOpener, once: OnceHeader, runtime: GivenRuntime) -> Response:
    """Open a wallet for the caller."""
    return (await commands.open_wallet(runtime, once, order)).to_response()


@router.get("", name="list_wallets")
async def list_wallets(
    caller: AnyReader,
    runtime: GivenRuntime,
    owner: Annotated[Owner | None, Query(description="Another's, with ledger:read; one's own unless told")] = None,
    currency: Annotated[CurrencyCode | None, Query(description="With this first currency")] = None,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> WalletPage:
    """List the caller's (or another owner's) wallets with their balances, the oldest first."""
    if owner is not None and owner_filter(caller) not in {None, owner}:
        raise Refused(Kind.FORBIDDEN, "ledger-read-needed", "Other owners' wallets need ledger:read.")
    async with runtime.db.reading() as view:
        return await queries.wallets(view, owner or caller.subject, currency, cursor=cursor, limit=limit)


@router.get("/{wallet}", name="get_wallet", responses=responses(404))
async def get_wallet(wallet: WalletId, caller: AnyReader, runtime: GivenRuntime) -> WalletView:
    """Give a wallet with its balances."""
    async with runtime.db.reading() as view:
        return await queries.wallet(view, wallet, owner_filter(caller))


@router.get("/{wallet}/balance", name="get_wallet_balance", responses=responses(404))
async def get_balance(
    wallet: WalletId,
    caller: AnyReader,
    runtime: GivenRuntime,
    currency: Annotated[CurrencyCode | None, Query()] = None,
    effective_at: EffectiveAt = None,
    recorded_at: RecordedAt = None,
) -> WalletBalanceView:
    """Give a wallet's balances: in the asked (or its first) currency, and in all; now, or at any past moment."""
    async with runtime.db.reading() as view:
        moments = Moments(effective_at, recorded_at)
        return await queries.balance(view, wallet, owner_filter(caller), currency, moments)


@router.post(
    "/{wallet}/credit",
    name="credit_wallet",
    status_code=201,
    response_model=WalletMovementView,
    responses=responses(404, 409),
)
async def credit_wallet(
    wallet: WalletId,
    order: AmountOrder,
    caller: WalletWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Credit a wallet from `world`, where owners may (see the setting SELF_FUNDING) or with ledger:write."""
    return respond(await commands.credit(runtime, mandate_of(caller, idempotency_key), wallet, order))


@router.post(
    "/{wallet}/debit",
    name="debit_wallet",
    status_code=201,
    response_model=WalletMovementView,
    responses=responses(404, 409),
)
async def debit_wallet(
    wallet: WalletId,
    order: AmountOrder,
    caller: WalletWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Debit a wallet to `world`, where owners may (see the setting SELF_FUNDING) or with ledger:write."""
    return respond(await commands.debit(runtime, mandate_of(caller, idempotency_key), wallet, order))


@router.post(
    "/{wallet}/transfer",
    name="transfer_from_wallet",
    status_code=201,
    response_model=WalletMovementView,
    responses=responses(404, 409),
)
async def transfer_from_wallet(
    wallet: WalletId,
    order: WalletTransferOrder,
    caller: WalletWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Move money to another wallet."""
    return respond(await commands.transfer(runtime, mandate_of(caller, idempotency_key), wallet, order))


async def _change(runtime: Runtime, caller: LedgerWriter, wallet: WalletId, standing: Standing) -> Response:
    answer = await ledger.change_wallet(runtime, mandate_of(caller, None), wallet, standing)
    if answer.refusal is not None:
        return respond(answer)
    async with runtime.db.reading() as view:
        body = (await queries.wallet(view, wallet, None)).model_dump_json().encode()
    return respond(answer.telling(body))


@router.post("/{wallet}/freeze", name="freeze_wallet", response_model=WalletView, responses=responses(404, 409))
async def freeze_wallet(wallet: WalletId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Let no account of the wallet take postings for now, in any currency. Needs no key: what is frozen stays so."""
    return await _change(runtime, caller, wallet, Standing.FROZEN)


@router.post("/{wallet}/unfreeze", name="unfreeze_wallet", response_model=WalletView, responses=responses(404, 409))
async def unfreeze_wallet(wallet: WalletId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Let all accounts of the wallet take postings again, also those that were frozen one by one."""
    return await _change(runtime, caller, wallet, Standing.OPEN)


@router.post("/{wallet}/close", name="close_wallet", response_model=WalletView, responses=responses(404, 409))
async def close_wallet(wallet: WalletId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Close a wallet whose balances are zero in all currencies, for good."""
    return await _change(runtime, caller, wallet, Standing.CLOSED)
