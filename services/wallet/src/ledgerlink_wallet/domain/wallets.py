"""What may become of a wallet as a whole: frozen, thawed, closed, in all its currencies at once."""

from collections.abc import Sequence

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Account
from ledgerlink_wallet.domain.orders import ChangeWalletStanding, Refusal


def restood_wallet(
    command: ChangeWalletStanding, standing: Standing, accounts: Sequence[Account]
) -> list[Account] | Refusal:
    """Give the accounts of a wallet as they stand after ``command``; ``accounts`` are all that the wallet has.

    Thawing a wallet thaws what was frozen one by one as well; what is closed stays closed.
    """
    party = str(WalletId(command.wallet))
    if standing is Standing.CLOSED and command.standing is not Standing.CLOSED:
        return Refusal(RefusalCode.ACCOUNT_CLOSED, "A closed wallet stays closed.", {"party": party})
    if command.standing is Standing.CLOSED:
        for account in accounts:
            if account.posted_minor or account.pending_minor:
                return Refusal(
                    RefusalCode.ACCOUNT_NOT_EMPTY,
                    f"Only a wallet whose balances are zero can be closed; look at {account.facts.currency}.",
                    {
                        "party": party,
                        "currency": account.facts.currency,
                        "posted_minor": account.posted_minor,
                        "pending_minor": account.pending_minor,
                    },
                )
    return [
        account._replace(standing=command.standing) for account in accounts if account.standing is not Standing.CLOSED
    ]
