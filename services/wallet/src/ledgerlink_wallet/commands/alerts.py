"""Setting balance alerts, and telling when one is crossed: from the account's versions, off the write path."""

from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.alerts import AlertsOrder, AlertsView, CrossingView
from ledgerlink_contracts.wallet.events import BalanceCrossed
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.outbox import record_all
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.commands.wallets import check_own
from ledgerlink_wallet.domain.alerts import Seen, Watch, follow, placed
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.queries.alerts import alerts
from ledgerlink_wallet.runtime import Runtime
from ledgerlink_wallet.tables import accounts, balance_alerts

ENTRIES_LOOKED_AT: Final = 1_000
"""Entries of one account that one step follows; the next step goes on."""

_ONE_ORDER: Final = text("SELECT pg_advisory_xact_lock(hashtext('balance-alerts'), hashtext(:wallet))")
_DUE: Final = text(
    "SELECT b.* FROM balance_alerts b JOIN accounts a ON a.id = b.account_id AND a.version > b.seen_version "
    "ORDER BY b.account_id LIMIT :limit FOR UPDATE OF b SKIP LOCKED"
)
# A wallet's accounts are credit-normal: what is available is credits less debits, posted and pending.
_ENTRIES: Final = text(
    "SELECT version, credits_posted - debits_posted - debits_pending AS available_minor, recorded_at FROM entries "
    "WHERE account_id = :account AND version > :version ORDER BY version LIMIT :limit"
)
_SAVE: Final = text(
    "UPDATE balance_alerts SET seen_version = :version, is_below = :is_below, is_above = :is_above "
    "WHERE wallet_id = :wallet AND currency = :currency"
)


async def set_alerts(runtime: Runtime, mandate: Mandate, wallet: WalletId, order: AlertsOrder) -> AlertsView:
    """Put ``order`` in the place of a wallet's alerts; what is beyond a threshold already is not told."""
    await check_own(runtime, mandate, wallet)

    async def body(tx: Tx) -> AlertsView:
        # Two orders for one wallet, one after the other: neither meets the other's new rows.
        await tx.execute(_ONE_ORDER, {"wallet": str(wallet)})
        await tx.execute(delete(balance_alerts).where(balance_alerts.c.wallet_id == wallet.uuid))
        table = accounts.c
        available = (table.credits_posted - table.debits_posted - table.debits_pending).label("available")
        found = select(table.id, table.version, available).where(table.wallet_id == wallet.uuid)
        standing = {row.id: (row.version, row.available) for row in await tx.execute(found)}
        rows: list[dict[str, Any]] = []
        for item in order.items:
            account = wallet_facts(WalletKey(wallet.uuid), item.currency).id
            version, now_available = standing.get(account, (0, 0))
            watch = placed(item.below_minor, item.above_minor, now_available)
            rows.append(
                {
                    "wallet_id": wallet.uuid,
                    "currency": item.currency,
                    "account_id": account,
                    "seen_version": version,
                    **watch._asdict(),
                }
            )
        await tx.execute(insert(balance_alerts), rows)
        return await alerts(tx, wallet)

    with span("set_alerts"):
        return await runtime.db.retrying(body)


async def remove_alerts(runtime: Runtime, mandate: Mandate, wallet: WalletId) -> None:
    """Remove all alerts of a wallet, if it has any."""
    await check_own(runtime, mandate, wallet)

    async def body(tx: Tx) -> None:
        await tx.execute(delete(balance_alerts).where(balance_alerts.c.wallet_id == wallet.uuid))

    with span("remove_alerts"):
        await runtime.db.retrying(body)


async def tell_crossings(db: Database, clock: Clock, limit: int) -> int:
    """Follow up to ``limit`` watched accounts that have moved, and tell their crossings; gives how many had.

    Where each account was looked at last is written with the events, so each crossing is told once; workers beside each
    other skip what another has in hand.
    """

    async def body(tx: Tx) -> int:
        due = (await tx.execute(_DUE, {"limit": limit})).all()
        events: list[tuple[BalanceCrossed, str]] = []
        for row in due:
            events += await _follow(tx, row)
        if events:
            await record_all(tx, events, now=clock.now())
        return len(due)

    return await db.retrying(body)


async def _follow(tx: Tx, row: Row[Any]) -> list[tuple[BalanceCrossed, str]]:
    values = {"account": row.account_id, "version": row.seen_version, "limit": ENTRIES_LOOKED_AT}
    entries = [Seen(*entry) for entry in await tx.execute(_ENTRIES, values)]
    watch, crossed = follow(Watch(row.below_minor, row.above_minor, row.is_below, row.is_above), entries)
    wallet = WalletId(row.wallet_id)
    saved = {"is_below": watch.is_below, "is_above": watch.is_above, "wallet": row.wallet_id, "currency": row.currency}
    await tx.execute(_SAVE, {**saved, "version": entries[-1].version if entries else row.seen_version})
    return [
        (
            BalanceCrossed(
                alert=CrossingView(
                    wallet=wallet,
                    currency=row.currency,
                    crossing=one.crossing,
                    threshold_minor=one.threshold_minor,
                    available_minor=one.seen.available_minor,
                    version=one.seen.version,
                    recorded_at=one.seen.recorded_at,
                )
            ),
            str(wallet),
        )
        for one in crossed
    ]
