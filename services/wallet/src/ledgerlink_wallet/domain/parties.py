"""From the name of a party on the wire to the account that it stands for."""

from functools import lru_cache
from typing import Final
from uuid import UUID

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.chart import WALLET_ROOT, root_of
from ledgerlink_kit.ids import InvalidId
from ledgerlink_wallet.domain.books import AccountFacts, AccountKey, Party, WalletKey

LEDGER: Final = "main"
"""The one ledger that is kept for now; account ids derive from its name, so that another can be added beside it."""

_KNOWN_MAX: Final = 100_000


def account_key(code: str, currency: str) -> AccountKey:
    """Derive the id of the account with ``code`` in ``currency``: the same everywhere, always."""
    return AccountKey(AccountId.derive(LEDGER, code, currency).uuid)


def wallet_facts(wallet: WalletKey, currency: str) -> AccountFacts:
    """Give the facts of a wallet's account in ``currency``."""
    code = f"{WALLET_ROOT}:{WalletId(wallet)}"
    root = root_of(code)
    assert root is not None
    return AccountFacts(account_key(code, currency), code, currency, root.normal_side, root.may_overdraw, wallet)


@lru_cache(_KNOWN_MAX)
def party_of(asked: str, currency: str) -> Party:
    """Read a party as an order names it (`wal_…`, `acc_…` or a code) for an amount in ``currency``."""
    try:
        if asked.startswith("acc_"):
            return Party(asked, AccountKey(AccountId.parse(asked).uuid), None)
        if asked.startswith("wal_"):
            facts = wallet_facts(WalletKey(WalletId.parse(asked).uuid), currency)
            return Party(asked, facts.id, facts)
    except InvalidId:
        return Party(asked, None, None)
    root = root_of(asked)
    if root is None or root.code == WALLET_ROOT:
        # A wallet's account is reached by the wallet's id alone: its owner is checked there.
        return Party(asked, None, None)
    facts = AccountFacts(account_key(asked, currency), asked, currency, root.normal_side, root.may_overdraw, None)
    return Party(asked, facts.id, facts)


@lru_cache(_KNOWN_MAX)
def account_wire(account: UUID) -> str:
    """Write an account's id for the wire; remembered, because every entry carries one."""
    return str(AccountId(account))
