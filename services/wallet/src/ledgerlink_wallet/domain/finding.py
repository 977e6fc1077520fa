"""From a party that an order names to the account that it may be used as."""

from collections.abc import Mapping

from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Account, AccountFacts, Party, WalletKey, unopened
from ledgerlink_wallet.domain.orders import Refusal


def find(
    party: Party, known: Account | None, owners: Mapping[WalletKey, str], currency: str, owner: str | None
) -> Account | Refusal:
    """Give the account that ``party`` names, when it may be used for ``currency``.

    ``known`` is that account as it stands, or as its first use would open it. ``owner`` is set where a wallet must
    belong to somebody.
    """
    if party.account is None:
        return Refusal(
            RefusalCode.UNKNOWN_ACCOUNT_CODE,
            f"{party.asked!r} is no wallet, account id or code of the chart of accounts.",
            {"party": party.asked},
        )
    if known is None:
        return Refusal(RefusalCode.ACCOUNT_NOT_FOUND, f"There is no account {party.asked}.", {"party": party.asked})
    facts = known.facts
    if facts.wallet is not None:
        owned_by = owners.get(facts.wallet)
        if owned_by is None or (owner is not None and owned_by != owner):
            return Refusal(RefusalCode.WALLET_NOT_FOUND, f"There is no wallet {party.asked}.", {"party": party.asked})
    if facts.currency != currency:
        return Refusal(
            RefusalCode.CURRENCY_MISMATCH,
            f"The account is in {facts.currency}, the amount in {currency}.",
            {"party": party.asked, "account_currency": facts.currency, "currency": currency},
        )
    return known


def first_use(facts: AccountFacts, standings: Mapping[WalletKey, Standing]) -> Account:
    """Give an account that does not stand yet as it would open: one of a frozen wallet's is frozen."""
    account = unopened(facts)
    if facts.wallet is None or facts.wallet not in standings:
        return account
    return account._replace(standing=standings[facts.wallet])
