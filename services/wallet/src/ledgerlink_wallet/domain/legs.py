"""The postings of a command on their way into the books, all or none."""

from collections.abc import Sequence
from typing import NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer
from ledgerlink_wallet.domain.books import Account, AccountFacts, AccountKey, Entry, Movement
from ledgerlink_wallet.domain.bounds import cannot_move, posted
from ledgerlink_wallet.domain.orders import Refusal


class Leg(NamedTuple):
    """A posting whose accounts have been found as the command finds them; ``reverses_posting`` as in `Movement`."""

    debit: Account
    credit: Account
    amount_minor: int
    reverses_posting: int | None


def post(legs: Sequence[Leg], at_hand: dict[AccountKey, Account]) -> tuple[list[Entry], list[Movement]] | Refusal:
    """Post ``legs`` in order into ``at_hand``, which holds accounts that the command has already changed.

    When a leg is refused, what is at hand is of no use any more.
    """
    entries: list[Entry] = []
    movements: list[Movement] = []
    for debited, credited, amount, reverses in legs:
        debit_facts, credit_facts = debited.facts, credited.facts
        before, opposite = at_hand.get(debit_facts.id, debited), at_hand.get(credit_facts.id, credited)
        refusal = cannot_move(before, Side.DEBIT, amount) or cannot_move(opposite, Side.CREDIT, amount)
        if refusal is not None:
            return refusal
        debit = posted(before, Side.DEBIT, amount)
        credit = posted(opposite, Side.CREDIT, amount)
        at_hand[debit_facts.id], at_hand[credit_facts.id] = debit, credit
        entries.append(Entry(Side.DEBIT, Layer.POSTED, amount, debit))
        entries.append(Entry(Side.CREDIT, Layer.POSTED, amount, credit))
        movements.append(
            Movement(debit_facts, debit.version, credit_facts, credit.version, amount, debit_facts.currency, reverses)
        )
    return entries, movements


def spent(legs: Sequence[Leg]) -> dict[AccountFacts, int]:
    """Sum what ``legs`` take from each wallet's account."""
    total: dict[AccountFacts, int] = {}
    for leg in legs:
        facts = leg.debit.facts
        if facts.wallet is not None:
            total[facts] = total.get(facts, 0) + leg.amount_minor
    return total
