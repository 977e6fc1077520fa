"""Balance alerts of a wallet."""

from fastapi import APIRouter

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.alerts import AlertsOrder, AlertsView
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, WalletWriter, mandate_of, owner_filter
from ledgerlink_wallet.commands import alerts as commands
from ledgerlink_wallet.queries import alerts as queries
from ledgerlink_wallet.queries import wallets

router = APIRouter(prefix="/wallets/{wallet}/alerts", tags=["alerts"])


@router.get("", name="get_alerts", responses=responses(404))
async def get_alerts(wallet: WalletId, caller: AnyReader, runtime: GivenRuntime) -> AlertsView:
    """Give a wallet's alerts."""
    async with runtime.db.reading() as view:
        await wallets.wallet(view, wallet, owner_filter(caller))
        return await queries.alerts(view, wallet)


@router.put("", name="set_alerts", responses=responses(404))
async def set_alerts(wallet: WalletId, order: AlertsOrder, caller: WalletWriter, runtime: GivenRuntime) -> AlertsView:
    """Set a wallet's alerts, in place of those it had. A crossing is told as `wallet.balance.crossed`."""
    return await commands.set_alerts(runtime, mandate_of(caller, None), wallet, order)


@router.delete("", name="remove_alerts", status_code=204, responses=responses(404))
async def remove_alerts(wallet: WalletId, caller: WalletWriter, runtime: GivenRuntime) -> None:
    """Remove all alerts of a wallet."""
    await commands.remove_alerts(runtime, mandate_of(caller, None), wallet)
