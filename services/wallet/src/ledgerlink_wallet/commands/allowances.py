"""Setting limits: those of everybody and of roles, and a wallet's own. They hold from the next batch on."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, delete, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.allowances import (
    LimitOrder,
    RoleLimitsOrder,
    RoleLimitsView,
    WalletLimitsOrder,
    WalletLimitsView,
)
from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_kit.db import Tx
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.wallets import owner_of
from ledgerlink_wallet.queries.allowances import EVERYBODY, SCOPES_OF_ROLES, limits_of_roles, limits_of_wallet
from ledgerlink_wallet.runtime import Runtime
from ledgerlink_wallet.store import promises
from ledgerlink_wallet.tables import spending_limits, unsealed, wallet_profiles


def _rows(scoped: Iterable[tuple[str, LimitOrder]]) -> list[dict[str, Any]]:
    return [{"scope": scope, **order.model_dump(exclude={"role"})} for scope, order in scoped]


async def _replace(tx: Tx, scopes: Iterable[str], rows: list[dict[str, Any]]) -> None:
    await tx.execute(delete(spending_limits).where(spending_limits.c.scope.in_(list(scopes))))
    if rows:
        await tx.execute(insert(spending_limits), rows)


async def _promise(tx: Tx, statement: TextClause, now: datetime, **values: Any) -> None:
    """Write the promises that ``statement`` makes, and queue them for the sealer."""
    made = (await tx.execute(statement, {"now": now, **values})).rowcount
    if made:
        await tx.execute(insert(unsealed).values(recorded_at=now, transfers=0, promises=made))


async def set_limits_of_roles(runtime: Runtime, order: RoleLimitsOrder) -> RoleLimitsView:
    """Put ``order`` in the place of all limits that are not a wallet's own."""

    async def body(tx: Tx) -> RoleLimitsView:
        # Two orders one after the other: neither meets the other's new rows. Readers go on.
        await tx.execute(text("LOCK TABLE spending_limits IN SHARE ROW EXCLUSIVE MODE"))
        rows = _rows((EVERYBODY if item.role is None else item.role.value, item) for item in order.items)
        await _replace(tx, SCOPES_OF_ROLES, rows)
        await _promise(tx, promises.LIMITS, runtime.clock.now(), scopes=list(SCOPES_OF_ROLES))
        return await limits_of_roles(tx)

    with span("set_limits_of_roles"):
        return await runtime.db.retrying(body)


async def set_limits_of_wallet(runtime: Runtime, wallet: WalletId, order: WalletLimitsOrder) -> WalletLimitsView:
    """Give a wallet its role and its own limits. Raises `Refused` (`wallet-not-found`)."""
    await owner_of(runtime, wallet)

    async def body(tx: Tx) -> WalletLimitsView:
        profile = upsert(wallet_profiles).values(wallet_id=wallet.uuid, standing=Standing.OPEN, role=order.role)
        # First, so that two orders for one wallet wait for each other here.
        await tx.execute(profile.on_conflict_do_update(index_elements=["wallet_id"], set_={"role": order.role}))
        scope = str(wallet.uuid)
        await _replace(tx, [scope], _rows((scope, item) for item in order.items))
        now = runtime.clock.now()
        await _promise(tx, promises.WALLET_ROLE, now, wallet=scope, role=order.role.value)
        await _promise(tx, promises.LIMITS, now, scopes=[scope])
        return await limits_of_wallet(tx, wallet, now)

    with span("set_limits_of_wallet"):
        return await runtime.db.retrying(body)
