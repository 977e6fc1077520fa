"""What the rows of a file mean as money movements: a pure plan, the same for the same rows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledgerlink_stack.demo.rows import Row

TOP_UP_MAX_MINOR: Final = 2_500_000
"""Largest single card top-up, in pence; what a department needs beyond it is topped up in parts."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """A department puts ``amount_minor`` pence on a cardholder's wallet, part ``part`` of its month."""

    month: str
    department: str
    card: str
    part: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """A cardholder pays a merchant."""

    row: Row


@dataclass(frozen=True, slots=True)
class Refund:
    """A merchant gives back all or part of the earlier purchase ``of``."""

    row: Row
    of: Row


@dataclass(frozen=True, slots=True)
class Credit:
    """A merchant credits a cardholder for no purchase that the file knows."""

    row: Row


Step = Purchase | Refund | Credit


@dataclass(frozen=True, slots=True)
class Payout:
    """What a merchant has earned in one currency by the end of a month leaves for its bank."""

    month: str
    merchant: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Month:
    """One month: first the top-ups, then the steps of each card in their order, then the payouts."""

    name: str
    top_ups: tuple[TopUp, ...]
    steps: tuple[Step, ...]
    payouts: tuple[Payout, ...]


def schedule(rows: Sequence[Row]) -> list[Month]:
    """Plan the replay of ``rows``, which stand in the order of their days."""
    months: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        months[row.month].append(row)
    refundable = _Refundable()
    earned: dict[tuple[str, str], int] = defaultdict(int)
    planned: list[Month] = []
    for name in sorted(months):
        steps = tuple(refundable.step(row) for row in months[name])
        for row in months[name]:
            earned[row.merchant, row.currency] += row.amount_minor
        planned.append(Month(name, _top_ups(name, months[name]), steps, _payouts(name, earned)))
    return planned


class _Refundable:
    """What is left to be refunded of each purchase."""

    def __init__(self) -> None:
        self._purchases: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        self._left: dict[str, int] = {}

    def step(self, row: Row) -> Step:
        """Give what ``row`` means, and remember it.

        A negative row refunds an earlier purchase of its card and merchant: the latest of just its amount, else the
        latest that still has room; without one it is a credit.
        """
        purchases = self._purchases[row.card, row.merchant, row.currency]
        if row.amount_minor > 0:
            purchases.append(row)
            self._left[row.key] = row.amount_minor
            return Purchase(row)
        back = -row.amount_minor
        room = [purchase for purchase in reversed(purchases) if self._left[purchase.key] >= back]
        exact = [purchase for purchase in room if purchase.amount_minor == back]
        if not room:
            return Credit(row)
        of = (exact or room)[0]
        self._left[of.key] -= back
        return Refund(row, of)


def _top_ups(month: str, rows: Sequence[Row]) -> tuple[TopUp, ...]:
    """Cover every purchase of the month, department by department, in parts of at most `TOP_UP_MAX_MINOR`."""
    needed: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        needed[row.department, row.card] += max(row.billed_minor, 0)
    parts: list[TopUp] = []
    for (department, card), total in needed.items():
        for part, start in enumerate(range(0, total, TOP_UP_MAX_MINOR)):
            parts.append(TopUp(month, department, card, part, min(TOP_UP_MAX_MINOR, total - start)))
    return tuple(parts)


def _payouts(month: str, earned: dict[tuple[str, str], int]) -> tuple[Payout, ...]:
    """Pay out what is positive, and start the next month with what is owed."""
    payouts: list[Payout] = []
    for (merchant, currency), amount in sorted(earned.items()):
        if amount > 0:
            payouts.append(Payout(month, merchant, currency, amount))
            earned[merchant, currency] = 0
    return tuple(payouts)
