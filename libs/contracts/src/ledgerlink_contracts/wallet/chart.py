"""The chart of accounts: which codes exist, on which side they stand, and which of them may go below zero.

An account's code is a root from this table, or a root and a path below it: ``clearing:sandbox``,
``merchant:acct_01jc…:pending``. Accounts open on first use. A wallet's account has the code ``wallet:wal_…``; on the
wire it is named by the wallet (``wal_…``) and can be reached in no other way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

CODE_CHARS_MAX: Final = 128
"""Longest account code."""

CODE_PATTERN: Final = r"[a-z][a-z_]{0,31}(?::[A-Za-z0-9_.\-]{1,64}){0,3}"
"""A root in lower case, then at most three parts after colons."""

WALLET_ROOT: Final = "wallet"

_CODE: Final = re.compile(CODE_PATTERN)


class Side(StrEnum):
    """The two sides of double entry."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Root:
    """One line of the chart: accounts below this root stand on ``normal_side``.

    ``may_overdraw`` says whether the normal side's balance may fall below zero.
    """

    code: str
    normal_side: Side
    may_overdraw: bool
    description: str


_ROOTS: Final = (
    Root("wallet", Side.CREDIT, False, "What we owe the owner of a wallet. Never below zero."),
    Root("merchant", Side.CREDIT, True, "What we owe a merchant; refunds and credits may take it below zero."),
    Root("world", Side.DEBIT, True, "The outside of the books: where money comes from and goes to in development."),
    Root("clearing", Side.DEBIT, True, "What a provider owes us for captures that it has not settled yet."),
    Root("bank", Side.DEBIT, True, "Our money at a bank."),
    Root("bank_in_transit", Side.DEBIT, True, "Money that a provider says it has sent to our bank."),
    Root("payouts_in_transit", Side.CREDIT, True, "Payouts created and not yet confirmed by the bank."),
    Root("refunds_in_flight", Side.CREDIT, True, "Refunds asked of a provider and not yet confirmed."),
    Root("dispute_receivable", Side.DEBIT, True, "Disputed amounts that the payer's bank has taken for now."),
    Root("fx", Side.DEBIT, True, "Our positions between currencies, one account per currency."),
    Root("revenue", Side.CREDIT, True, "Fees we have earned; giving one back may take it below zero."),
    Root("expense", Side.DEBIT, True, "What we have paid others, such as a provider's fees."),
    Root("suspense", Side.DEBIT, True, "Differences that nobody has explained yet; must age to zero."),
)

CHART: Final[Mapping[str, Root]] = MappingProxyType({root.code: root for root in _ROOTS})
"""Root code to its line."""


def root_of(code: str) -> Root | None:
    """Give the line of the chart that ``code`` stands under, or None when the code is malformed or has no such root."""
    if len(code) > CODE_CHARS_MAX or _CODE.fullmatch(code) is None:
        return None
    return CHART.get(code.partition(":")[0])
