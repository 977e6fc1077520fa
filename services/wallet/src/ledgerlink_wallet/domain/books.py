"""The nouns of the ledger: accounts, entries, transfers and holds, as immutable values.

The values that are made once or more per posting are named tuples: they are as frozen as a frozen dataclass and are
made five times faster, which is what a batch of a thousand transfers spends its time on.
"""

from datetime import datetime
from typing import NamedTuple, NewType
from uuid import UUID

from ledgerlink_contracts.wallet.chart import WALLET_ROOT, Side
from ledgerlink_contracts.wallet.models import HoldState, Layer, Standing

AccountKey = NewType("AccountKey", UUID)
TransferKey = NewType("TransferKey", UUID)
HoldKey = NewType("HoldKey", UUID)
WalletKey = NewType("WalletKey", UUID)


class AccountFacts(NamedTuple):
    """What never changes about an account. ``wallet`` is set when it is one of a wallet's accounts.

    ``floor_minor`` is the least that may be available; None means zero, or no floor where the account may overdraw.
    ``ceiling_minor`` is the most that may be posted; None means no ceiling. Both lie on the normal side.
    """

    id: AccountKey
    code: str
    currency: str
    normal_side: Side
    may_overdraw: bool
    wallet: WalletKey | None
    floor_minor: int | None = None
    ceiling_minor: int | None = None

    @property
    def party(self) -> str:
        """How the wire names the account: its wallet (`wal_…`) or its code."""
        return self.code if self.wallet is None else self.code[len(WALLET_ROOT) + 1 :]


class Account(NamedTuple):
    """An account at one version: four columns of minor units, none ever below zero."""

    facts: AccountFacts
    standing: Standing
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    version: int

    @property
    def posted_minor(self) -> int:
        """What the books say, on the normal side; below zero only for accounts that may overdraw."""
        if self.facts.normal_side is Side.CREDIT:
            return self.credits_posted - self.debits_posted
        return self.debits_posted - self.credits_posted

    @property
    def pending_minor(self) -> int:
        """What holds reserve: the pending column of the side that lowers the balance."""
        return self.debits_pending if self.facts.normal_side is Side.CREDIT else self.credits_pending

    @property
    def available_minor(self) -> int:
        """What may still be spent."""
        return self.posted_minor - self.pending_minor


def unopened(facts: AccountFacts) -> Account:
    """Give the account as it is before its first entry: open, empty, version 0."""
    return Account(facts, Standing.OPEN, 0, 0, 0, 0, 0)


class Party(NamedTuple):
    """An account as an order names it.

    ``account`` is None when the name is no code of the chart. ``opens`` holds the facts of an account that opens on
    first use, and is None when the order names an existing account by id.
    """

    asked: str
    account: AccountKey | None
    opens: AccountFacts | None


class Posting(NamedTuple):
    """One amount from a debit account to a credit account, as ordered."""

    debit: Party
    credit: Party
    amount_minor: int
    currency: str


class Entry(NamedTuple):
    """One side of a posting (or a step of a hold) on one account; ``after`` is the account that results."""

    side: Side
    layer: Layer
    amount_minor: int
    after: Account


class Movement(NamedTuple):
    """A posting that was made: its two accounts with the versions it gave them.

    ``reverses_posting`` is the number of the posting that this one reverses, in the transfer that the whole reverses.
    """

    debit: AccountFacts
    debit_version: int
    credit: AccountFacts
    credit_version: int
    amount_minor: int
    currency: str
    reverses_posting: int | None


def ordered(metadata: dict[str, str]) -> dict[str, str]:
    """Put metadata in the order of its keys: the one in which it is always told, however it was stored."""
    return dict(sorted(metadata.items())) if metadata else metadata


class Transfer(NamedTuple):
    """An immutable, atomic movement of money; ``metadata`` is `ordered`."""

    id: TransferKey
    kind: str
    movements: tuple[Movement, ...]
    on_behalf_of: str | None
    reference: str | None
    metadata: dict[str, str]
    reverses: TransferKey | None
    hold: HoldKey | None
    effective_at: datetime
    recorded_at: datetime


class Original(NamedTuple):
    """A posted transfer as its reversal needs it; ``reversed_minor`` says how much of each posting is undone."""

    id: TransferKey
    reverses: TransferKey | None
    movements: tuple[Movement, ...]
    reversed_minor: tuple[int, ...]


class Hold(NamedTuple):
    """Funds reserved in a wallet's account: placed amount, what has been captured of it, and what still waits."""

    id: HoldKey
    account: AccountFacts
    state: HoldState
    amount_minor: int
    captured_minor: int
    remaining_minor: int
    expires_at: datetime | None
    on_behalf_of: str | None
    reference: str | None
    recorded_at: datetime
