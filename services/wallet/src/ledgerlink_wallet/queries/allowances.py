"""Limits as they are set, and what is left of them."""

from datetime import datetime
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.permissions import Role
from ledgerlink_contracts.wallet.allowances import (
    CurrencyLimitsView,
    LimitSource,
    LimitView,
    RoleLimitsView,
    RoleLimitView,
    WalletLimitsView,
)
from ledgerlink_wallet.domain.allowances import current, left
from ledgerlink_wallet.domain.orders import Allowance
from ledgerlink_wallet.tables import spending_limits, wallet_profiles

EVERYBODY: Final = "everybody"
SCOPES_OF_ROLES: Final = (EVERYBODY, *(role.value for role in Role))
"""All scopes of limits but the wallets' own."""

_OF_WALLET: Final = text("""
SELECT DISTINCT ON (l.currency) l.currency, l.scope, l.transfer_minor, l.day_minor, l.month_minor,
       coalesce(u.day, '1900-01-01') AS day, coalesce(u.day_minor, 0) AS day_used,
       coalesce(u.month, '1900-01-01') AS month, coalesce(u.month_minor, 0) AS month_used
FROM spending_limits l
LEFT JOIN accounts a ON a.wallet_id = CAST(:wallet AS uuid) AND a.currency = l.currency
LEFT JOIN spending u ON u.account_id = a.id
WHERE l.scope IN (CAST(:own AS text), CAST(:role AS text), 'everybody')
ORDER BY l.currency, CASE l.scope WHEN CAST(:own AS text) THEN 0 WHEN 'everybody' THEN 2 ELSE 1 END
""")


async def limits_of_roles(view: AsyncConnection) -> RoleLimitsView:
    """Give all limits that are not a wallet's own, everybody's first."""
    table = spending_limits
    found = select(table).where(table.c.scope.in_(SCOPES_OF_ROLES)).order_by(table.c.scope, table.c.currency)
    rows = sorted(await view.execute(found), key=lambda row: row.scope != EVERYBODY)
    return RoleLimitsView(
        items=[
            RoleLimitView(
                role=None if row.scope == EVERYBODY else Role(row.scope),
                currency=row.currency,
                transfer_minor=row.transfer_minor,
                day_minor=row.day_minor,
                month_minor=row.month_minor,
            )
            for row in rows
        ]
    )


async def limits_of_wallet(view: AsyncConnection, wallet: WalletId, now: datetime) -> WalletLimitsView:
    """Give the limits that hold for a wallet, and what is left of them at ``now``; the wallet must exist."""
    role = await view.scalar(select(wallet_profiles.c.role).where(wallet_profiles.c.wallet_id == wallet.uuid))
    role = Role(role or Role.CUSTOMER)
    own = str(wallet.uuid)
    items: list[CurrencyLimitsView] = []
    for row in await view.execute(_OF_WALLET, {"wallet": wallet.uuid, "own": own, "role": role.value}):
        known = Allowance(
            row.transfer_minor, row.day_minor, row.month_minor, row.day, row.day_used, row.month, row.month_used
        )
        source = {own: LimitSource.WALLET, EVERYBODY: LimitSource.EVERYBODY}.get(row.scope, LimitSource.ROLE)
        views = [LimitView(**one._asdict()) for one in left(current(known, now))]
        items.append(CurrencyLimitsView(currency=row.currency, source=source, limits=views))
    return WalletLimitsView(wallet=wallet, role=role, items=items)
