"""What a hold allows: only a placed one is captured or released, and never more than is left of it."""

from datetime import datetime

from ledgerlink_contracts.wallet.models import HoldState
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Hold
from ledgerlink_wallet.domain.orders import Refusal


def not_placed(hold: Hold, now: datetime | None) -> Refusal | None:
    """Refuse when ``hold`` has ended; one past its time counts as expired when ``now`` is given."""
    state = hold.state
    if state is HoldState.PLACED and now is not None and hold.expires_at is not None and hold.expires_at <= now:
        state = HoldState.EXPIRED
    if state is HoldState.PLACED:
        return None
    return Refusal(RefusalCode.HOLD_NOT_PLACED, f"The hold is {state}.", {"state": state.value})


def exceeds(hold: Hold, amount: int) -> Refusal | None:
    """Refuse when ``amount`` is above what is left of ``hold``."""
    if amount <= hold.remaining_minor:
        return None
    return Refusal(
        RefusalCode.HOLD_EXCEEDED,
        f"{hold.remaining_minor} minor units are left of the hold, less than {amount}.",
        {"remaining_minor": hold.remaining_minor, "currency": hold.account.currency},
    )
