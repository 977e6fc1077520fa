"""The balance as the sum of its history: what the audit recomputes, independently of `apply`."""

from typing import NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer


class Columns(NamedTuple):
    """The four columns of an account."""

    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


EMPTY = Columns(0, 0, 0, 0)


def fold(before: Columns, side: Side, layer: Layer, amount_minor: int) -> Columns:
    """Give the columns after an entry: posted and pending entries add to their side, released ones take from it."""
    if layer is Layer.POSTED:
        if side is Side.DEBIT:
            return before._replace(debits_posted=before.debits_posted + amount_minor)
        return before._replace(credits_posted=before.credits_posted + amount_minor)
    change = amount_minor if layer is Layer.PENDING else -amount_minor
    if side is Side.DEBIT:
        return before._replace(debits_pending=before.debits_pending + change)
    return before._replace(credits_pending=before.credits_pending + change)
