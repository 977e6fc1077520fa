"""Limits: how much owners may spend, by transfer, day and month."""

from fastapi import APIRouter

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.allowances import RoleLimitsOrder, RoleLimitsView, WalletLimitsOrder, WalletLimitsView
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, LedgerReader, LedgerWriter, owner_filter
from ledgerlink_wallet.commands import allowances as commands
from ledgerlink_wallet.queries import allowances as queries
from ledgerlink_wallet.queries import wallets

router = APIRouter(tags=["limits"])


@router.get("/limits", name="get_limits")
async def get_limits(_caller: LedgerReader, runtime: GivenRuntime) -> RoleLimitsView:
    """Give the limits of everybody and of roles."""
    async with runtime.db.reading() as view:
        return await queries.limits_of_roles(view)


@router.put("/limits", name="set_limits")
async def set_limits(order: RoleLimitsOrder, _caller: LedgerWriter, runtime: GivenRuntime) -> RoleLimitsView:
    """Set the limits of everybody and of roles, in place of all there were. They hold from the next commit on."""
    return await commands.set_limits_of_roles(runtime, order)


@router.get("/wallets/{wallet}/limits", name="get_wallet_limits", responses=responses(404))
async def get_wallet_limits(wallet: WalletId, caller: AnyReader, runtime: GivenRuntime) -> WalletLimitsView:
    """Give the limits that hold for a wallet, and what is left of them."""
    async with runtime.db.reading() as view:
        await wallets.wallet(view, wallet, owner_filter(caller))
        return await queries.limits_of_wallet(view, wallet, runtime.clock.now())


@router.put("/wallets/{wallet}/limits", name="set_wallet_limits", responses=responses(404))
async def set_wallet_limits(
    wallet: WalletId, order: WalletLimitsOrder, _caller: LedgerWriter, runtime: GivenRuntime
) -> WalletLimitsView:
    """Give a wallet its role and its own limits, in place of those it had."""
    return await commands.set_limits_of_wallet(runtime, wallet, order)
