"""The postings of a command on their way into the books, all or none."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer
from ledgerlink_wallet.domain.books import Account, AccountFacts, AccountKey, Entry, Movement
from ledgerlink_wallet.domain.bounds import cannot_move, posted
from ledgerlink_wallet.domain.orders import Refusal


class Leg(NamedTuple):
    """A posting whose parties have been found; ``reverses_posting`` as in `Movement`."""

    debit: AccountFacts
    credit: AccountFacts
    amount_minor: int
    reverses_posting: int | None


def post(
    legs: Sequence[Leg], account: Callable[[AccountFacts], Account], at_hand: dict[AccountKey, Account]
) -> tuple[list[Entry], list[Movement]] | Refusal:
    """Post ``legs`` in order into ``at_hand``, which holds accounts that the command has already changed.

    ``account`` gives the others. When a leg is refused, what is at hand is of no use any more.
    """
    entries: list[Entry] = []
    movements: list[Movement] = []
    for leg in legs:
        amount = leg.amount_minor
        debit = at_hand.get(leg.debit.id) or account(leg.debit)
        credit = at_hand.get(leg.credit.id) or account(leg.credit)
        refusal = cannot_move(debit, Side.DEBIT, amount) or cannot_move(credit, Side.CREDIT, amount)
        if refusal is not None:
            return refusal
        debit = posted(debit, Side.DEBIT, amount)
        credit = posted(credit, Side.CREDIT, amount)
        at_hand[leg.debit.id], at_hand[leg.credit.id] = debit, credit
        entries.append(Entry(Side.DEBIT, Layer.POSTED, amount, debit))
        entries.append(Entry(Side.CREDIT, Layer.POSTED, amount, credit))
        movements.append(
            Movement(
                leg.debit, debit.version, leg.credit, credit.version, amount, leg.debit.currency, leg.reverses_posting
            )
        )
    return entries, movements


def spent(legs: Sequence[Leg]) -> dict[AccountFacts, int]:
    """Sum what ``legs`` take from each wallet's account."""
    total: dict[AccountFacts, int] = {}
    for leg in legs:
        if leg.debit.wallet is not None:
            total[leg.debit] = total.get(leg.debit, 0) + leg.amount_minor
    return total
