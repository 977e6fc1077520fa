"""What is moved in a benchmark: transfers between 10,000 accounts, chosen uniformly, by Zipf's law, or against one."""

import itertools
import random
from bisect import bisect
from collections.abc import Callable
from typing import Final, Literal
from uuid import UUID

from ledgerlink_contracts.ids import TransferId

ACCOUNTS: Final = 10_000
Spread = Literal["uniform", "zipf", "hot"]
SPREADS: Final[tuple[Spread, ...]] = ("uniform", "zipf", "hot")
_ZIPF_EXPONENT: Final = 1.0


def code(number: int) -> str:
    """Name account ``number``; merchants may overdraw, so no transfer is refused for want of funds."""
    return f"merchant:m{number}"


def chooser(spread: Spread, seed: int) -> Callable[[], tuple[int, int]]:
    """Give what draws the next pair of accounts (debit, credit), never the same twice in a pair."""
    dice = random.Random(seed)
    weights = list(itertools.accumulate(1 / (rank + 1) ** _ZIPF_EXPONENT for rank in range(ACCOUNTS)))

    def one() -> int:
        if spread == "zipf":
            return bisect(weights, dice.random() * weights[-1])
        return dice.randrange(ACCOUNTS)

    def pair() -> tuple[int, int]:
        debit = 0 if spread == "hot" else one()
        credit = one()
        while credit == debit:
            credit = dice.randrange(ACCOUNTS)
        return debit, credit

    return pair


def order_texts(spread: Spread, seed: int) -> Callable[[], str]:
    """Give what writes the next transfer order as JSON, each with an id of its own."""
    pair = chooser(spread, seed)
    dice = random.Random(seed + 1)

    def order() -> str:
        debit, credit = pair()
        id_ = UUID(int=dice.getrandbits(128) & ~(0xF << 76) | 4 << 76)
        return (
            f'{{"id":"{TransferId(id_)}","kind":"bench.transfer","postings":[{{"debit":"{code(debit)}",'
            f'"credit":"{code(credit)}","amount_minor":100,"currency":"GBP"}}]}}'
        )

    return order
