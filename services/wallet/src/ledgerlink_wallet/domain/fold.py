"""The balance as the sum of its history: what the audit recomputes, independently of `apply`."""

from typing import Final, NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer


class Columns(NamedTuple):
    """The four columns of an account."""

    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


EMPTY = Columns(0, 0, 0, 0)


_EFFECTS: Final = {
    (Side.DEBIT, Layer.POSTED): (0, 1),
    (Side.CREDIT, Layer.POSTED): (1, 1),
    (Side.DEBIT, Layer.PENDING): (2, 1),
    (Side.CREDIT, Layer.PENDING): (3, 1),
    (Side.DEBIT, Layer.RELEASED): (2, -1),
    (Side.CREDIT, Layer.RELEASED): (3, -1),
}
"""Side and layer of an entry to the column that it moves, and the direction."""


def fold(before: Columns, side: Side, layer: Layer, amount_minor: int) -> Columns:
    """Give the columns after an entry: posted and pending entries add to their side, released ones take from it."""
    place, direction = _EFFECTS[side, layer]
    columns = list(before)
    columns[place] += direction * amount_minor
    return Columns(*columns)
