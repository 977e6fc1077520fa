"""SQL for what is kept beside a wallet, in the committer's transaction: its standing as a whole.

Rows of `wallet_profiles` are locked after all accounts, in the order of the wallets' ids.
"""

from collections.abc import Collection, Mapping
from typing import Final

from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_wallet.domain.books import AccountKey, WalletKey
from ledgerlink_wallet.store import Tx, Writes

_ACCOUNTS_OF: Final = "SELECT id FROM accounts WHERE wallet_id = ANY($1::uuid[])"
# Only what stands can be locked, so the row is made if it is missing; the update changes nothing and locks the row.
_LOCK_STANDINGS: Final = """
INSERT INTO wallet_profiles (wallet_id, standing)
SELECT w.id, 'open' FROM wallets w WHERE w.id = ANY($1::uuid[]) ORDER BY w.id
ON CONFLICT (wallet_id) DO UPDATE SET standing = wallet_profiles.standing
RETURNING wallet_id, standing
"""
_SAVE_STANDINGS: Final = """
UPDATE wallet_profiles SET standing = t.standing FROM unnest($1::uuid[], $2::text[]) AS t(wallet_id, standing)
WHERE wallet_profiles.wallet_id = t.wallet_id
"""


async def accounts_of(tx: Tx, wallets: Collection[WalletKey]) -> list[AccountKey]:
    """Give the accounts that the wallets have."""
    return [row[0] for row in await tx.fetch(_ACCOUNTS_OF, list(wallets))]


async def lock_standings(tx: Tx, wallets: Collection[WalletKey]) -> dict[WalletKey, Standing]:
    """Lock the standings of the wallets that exist, and give them."""
    rows = await tx.fetch(_LOCK_STANDINGS, sorted(wallets))
    return {row[0]: Standing(row[1]) for row in rows}


def save_standings(writes: Writes, standings: Mapping[WalletKey, Standing]) -> None:
    """Write the standings that changed; their rows stand and are locked."""
    writes.change(_SAVE_STANDINGS, list(standings.items()))
