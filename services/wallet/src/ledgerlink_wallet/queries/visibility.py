"""What somebody without ledger:read may see: their own wallets' side of things, and nothing of the others'."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.models import TransferView
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_wallet.domain.books import Account
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries.accounts import account_not_found, account_row
from ledgerlink_wallet.queries.transfers import transfer_not_found
from ledgerlink_wallet.tables import accounts, wallets


async def account_for(view: AsyncConnection, asked: str, currency: str | None, owner: str | None) -> UUID:
    """Find the account that ``asked`` (a wallet, an id, a code) names; with ``owner``, one of theirs.

    Raises `Refused`: unknown, somebody else's, or named without the currency that it needs.
    """
    if currency is None and not asked.startswith("acc_"):
        raise Refused(Kind.INVALID, "currency-needed", "Give `currency`: a wallet or code has an account in each.")
    party = party_of(asked, currency or "XXX")
    found = None
    if party.account is not None:
        row = select(accounts.c.id, wallets.c.owner).outerjoin(wallets, wallets.c.id == accounts.c.wallet_id)
        found = (await view.execute(row.where(accounts.c.id == party.account))).one_or_none()
    if found is None or (owner is not None and found.owner != owner):
        code = RefusalCode.ACCOUNT_NOT_FOUND
        raise Refused(KINDS[code], code.value, f"There is no account {asked} that you may see.")
    return found.id


async def visible_account(view: AsyncConnection, account: AccountId, owner: str | None) -> Account:
    """Give an account; with ``owner``, one of their wallets'. Raises `Refused` (`account-not-found`)."""
    found = await account_row(view, account)
    if owner is not None:
        wallet = found.facts.wallet
        mine = select(wallets.c.id).where(wallets.c.id == wallet, wallets.c.owner == owner)
        if wallet is None or (await view.execute(mine)).one_or_none() is None:
            raise account_not_found(account)
    return found


async def own_side(view: AsyncConnection, transfer: TransferView, owner: str) -> TransferView:
    """Give ``transfer`` with the entries of ``owner``'s wallets alone. Raises `Refused` when it touches none."""
    named = {entry.party for entry in transfer.entries if entry.party.startswith("wal_")}
    ids = {WalletId.parse(party).uuid: party for party in named}
    rows = await view.execute(select(wallets.c.id).where(wallets.c.id.in_(list(ids)), wallets.c.owner == owner))
    own = {ids[row.id] for row in rows}
    if not own:
        raise transfer_not_found(transfer.id)
    return transfer.model_copy(update={"entries": [entry for entry in transfer.entries if entry.party in own]})
