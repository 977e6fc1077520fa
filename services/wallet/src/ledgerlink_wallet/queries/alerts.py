"""Alerts as they stand."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.alerts import AlertsView, AlertView
from ledgerlink_wallet.tables import balance_alerts


async def alerts(view: AsyncConnection, wallet: WalletId) -> AlertsView:
    """Give the alerts of a wallet, by currency."""
    table = balance_alerts
    found = select(table).where(table.c.wallet_id == wallet.uuid).order_by(table.c.currency)
    return AlertsView(wallet=wallet, items=[AlertView.model_validate(row) for row in await view.execute(found)])
