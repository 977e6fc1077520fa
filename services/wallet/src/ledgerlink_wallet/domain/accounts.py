"""What may become of an account itself: opened with its bounds, frozen, thawed, closed when it is empty."""

from collections.abc import Mapping

from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Account, AccountFacts, WalletKey
from ledgerlink_wallet.domain.finding import first_use
from ledgerlink_wallet.domain.orders import AccountOpened, ChangeStanding, OpenAccount, Refusal, StandingChanged


def opened(
    command: OpenAccount, facts: AccountFacts, account: Account | None, standings: Mapping[WalletKey, Standing]
) -> AccountOpened | Refusal:
    """Open the account of ``facts``; ``account`` is as it stands already, if it does; ``standings`` are wallets'."""
    if facts.wallet is not None and command.floor_minor is not None and command.floor_minor < 0:
        return Refusal(RefusalCode.WALLET_FLOOR, "A wallet never goes below zero.", {"party": facts.party})
    if account is None:
        bounded = facts._replace(floor_minor=command.floor_minor, ceiling_minor=command.ceiling_minor)
        fresh = first_use(bounded, standings)
        if fresh.standing is Standing.CLOSED:
            return Refusal(RefusalCode.ACCOUNT_CLOSED, "A closed wallet opens no accounts.", {"party": facts.party})
        return AccountOpened(fresh, fresh=True)
    facts = account.facts
    if (facts.floor_minor, facts.ceiling_minor) == (command.floor_minor, command.ceiling_minor):
        return AccountOpened(account, fresh=False)
    return Refusal(
        RefusalCode.ACCOUNT_EXISTS,
        "The account is open already, with another floor or ceiling.",
        {"party": facts.party, "floor_minor": facts.floor_minor, "ceiling_minor": facts.ceiling_minor},
    )


def restood(
    command: ChangeStanding, account: Account | None, standings: Mapping[WalletKey, Standing]
) -> StandingChanged | Refusal:
    """Give ``account`` the standing that ``command`` asks for; None when there is no such account.

    An account of a frozen wallet thaws with its wallet only.
    """
    if account is None:
        return Refusal(RefusalCode.ACCOUNT_NOT_FOUND, "There is no such account.")
    if account.standing is Standing.CLOSED and command.standing is not Standing.CLOSED:
        return Refusal(RefusalCode.ACCOUNT_CLOSED, "A closed account stays closed.")
    wallet = account.facts.wallet
    if command.standing is Standing.OPEN and wallet is not None and standings.get(wallet) is Standing.FROZEN:
        return Refusal(
            RefusalCode.ACCOUNT_FROZEN, "The whole wallet is frozen; unfreeze that.", {"party": account.facts.party}
        )
    if command.standing is Standing.CLOSED and (account.posted_minor or account.pending_minor):
        return Refusal(
            RefusalCode.ACCOUNT_NOT_EMPTY,
            "Only an account whose balances are zero can be closed.",
            {"posted_minor": account.posted_minor, "pending_minor": account.pending_minor},
        )
    return StandingChanged(account._replace(standing=command.standing))
