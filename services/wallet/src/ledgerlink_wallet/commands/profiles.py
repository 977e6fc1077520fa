"""SQL for what is kept beside a wallet, in the committer's transaction: its standing as a whole, and what its owner has
spent of what they may.

Rows of `wallet_profiles` are locked after all accounts, in the order of the wallets' ids.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_wallet.domain.books import AccountFacts, AccountKey, WalletKey
from ledgerlink_wallet.domain.orders import Allowance
from ledgerlink_wallet.store import Tx, promises
from ledgerlink_wallet.store.writing import Writes

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
# The nearest limit holds, whole: the wallet's own, else its role's, else everybody's.
_ALLOWANCES: Final = """
SELECT a.id, l.transfer_minor, l.day_minor, l.month_minor, coalesce(u.day, '1900-01-01'), coalesce(u.day_minor, 0),
       coalesce(u.month, '1900-01-01'), coalesce(u.month_minor, 0)
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS a(id, wallet_id, currency)
LEFT JOIN wallet_profiles p ON p.wallet_id = a.wallet_id
CROSS JOIN LATERAL (
    SELECT * FROM spending_limits
    WHERE scope IN (a.wallet_id::text, coalesce(p.role, 'customer'), 'everybody') AND currency = a.currency
    ORDER BY CASE scope WHEN a.wallet_id::text THEN 0 WHEN 'everybody' THEN 2 ELSE 1 END LIMIT 1
) l
LEFT JOIN spending u ON u.account_id = a.id
"""
_SAVE_ALLOWANCES: Final = """
INSERT INTO spending (account_id, day, day_minor, month, month_minor)
SELECT * FROM unnest($1::uuid[], $2::date[], $3::bigint[], $4::date[], $5::bigint[])
ON CONFLICT (account_id) DO UPDATE SET day = excluded.day, day_minor = excluded.day_minor, month = excluded.month,
                                       month_minor = excluded.month_minor
"""


async def accounts_of(tx: Tx, wallets: Collection[WalletKey]) -> list[AccountKey]:
    """Give the accounts that the wallets have."""
    return [row[0] for row in await tx.fetch(_ACCOUNTS_OF, list(wallets))]


async def lock_standings(tx: Tx, wallets: Collection[WalletKey]) -> dict[WalletKey, Standing]:
    """Lock the standings of the wallets that exist, and give them."""
    rows = await tx.fetch(_LOCK_STANDINGS, sorted(wallets))
    return {row[0]: Standing(row[1]) for row in rows}


def save_standings(
    writes: Writes, standings: Mapping[WalletKey, Standing], known: Mapping[WalletKey, Standing], now: datetime
) -> int:
    """Write the standings that are others than ``known``, whose rows stand and are locked; gives how many."""
    changed = [(wallet, standing) for wallet, standing in standings.items() if standing is not known[wallet]]
    writes.change(_SAVE_STANDINGS, changed)
    writes.change(promises.WALLETS_RESTOOD, changed, now)
    return len(changed)


async def load_allowances(tx: Tx, accounts: Sequence[AccountFacts]) -> dict[AccountKey, Allowance]:
    """Give what owners may spend from those ``accounts`` that are limited; the accounts' locks keep it still."""
    asked = [list(column) for column in zip(*((one.id, one.wallet, one.currency) for one in accounts), strict=True)]
    return {row[0]: Allowance(*row[1:]) for row in map(tuple, await tx.fetch(_ALLOWANCES, *asked))}


def save_allowances(writes: Writes, allowances: Mapping[AccountKey, Allowance]) -> None:
    """Write what has been spent."""
    writes.change(_SAVE_ALLOWANCES, [(account, *allowance[3:]) for account, allowance in allowances.items()])
