"""The ledger written as a beancount and an hledger journal, and recomputed by beancount, an independent engine.

Beancount is a development dependency: it judges our books, no service uses it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

from ledgerlink_contracts.wallet.journals import (
    JournalEntry,
    JournalLine,
    account_name,
    beancount_entry,
    hledger_entry,
)
from ledgerlink_kit.money import format_minor, parse_amount

Balances = dict[tuple[str, str], int]
"""Account code and currency to debits less credits, in minor units."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One amount from the account ``debit`` to the account ``credit``."""

    debit: str
    credit: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A posted transfer as the journal shows it."""

    id: str
    day: date
    kind: str
    reference: str
    postings: tuple[Posting, ...]


class Journals:
    """Writes both journals as the entries come, so that a ledger of any size needs little memory."""

    def __init__(self, beancount: TextIO, hledger: TextIO) -> None:
        """Write to two open files."""
        self._beancount = beancount
        self._hledger = hledger
        self._opened: set[str] = set()
        beancount.write('option "title" "LedgerLink"\n')

    def write(self, entry: Entry) -> None:
        """Write one transfer, opening the accounts that it is the first to touch."""
        codes = {code for posting in entry.postings for code in (posting.debit, posting.credit)}
        for code in sorted(codes - self._opened):
            # The day of opening is before any entry: the order of recording is not that of effective days.
            self._beancount.write(f"1970-01-01 open {account_name(code)}\n")
        self._opened |= codes
        written = JournalEntry(
            entry.day,
            entry.id,
            entry.kind,
            entry.reference,
            [
                JournalLine(account_name(code), sign * posting.amount_minor, posting.currency)
                for posting in entry.postings
                for code, sign in ((posting.debit, 1), (posting.credit, -1))
            ],
        )
        self._beancount.write(beancount_entry(written))
        self._hledger.write(hledger_entry(written))


def recompute(journal: Path) -> tuple[Balances, list[str]]:
    """Let beancount load ``journal``; gives its balances by account *name*, and its complaints."""
    from beancount import loader  # noqa: PLC0415 - a development dependency, needed by the demo alone
    from beancount.core import data  # noqa: PLC0415

    entries, errors, _options = loader.load_file(str(journal))
    balances: Balances = defaultdict(int)
    for entry in entries:
        if isinstance(entry, data.Transaction):
            for posting in entry.postings:
                units: Any = posting.units
                minor = parse_amount(format(units.number, "f"), units.currency)
                balances[posting.account, units.currency] += minor
    return dict(balances), [str(getattr(error, "message", error)) for error in errors]


def compare(ours: Iterable[tuple[str, str, int]], theirs: Mapping[tuple[str, str], int]) -> list[str]:
    """List where our ``(code, currency, debits less credits)`` and beancount's balances differ."""
    named: Balances = defaultdict(int)
    for code, currency, minor in ours:
        named[account_name(code), currency] += minor
    differences: list[str] = []
    for account, currency in sorted(named.keys() | theirs.keys()):
        mine, other = named.get((account, currency), 0), theirs.get((account, currency), 0)
        if mine != other:
            differences.append(
                f"{account}: {format_minor(mine, currency)} {currency} here, "
                f"{format_minor(other, currency)} {currency} by beancount"
            )
    return differences


def entry_of(transfer: Mapping[str, Any]) -> Entry:
    """Read a transfer as the wallet service writes it on the wire."""
    postings: Sequence[Mapping[str, Any]] = transfer["postings"]
    return Entry(
        id=transfer["id"],
        day=date.fromisoformat(transfer["effective_at"][:10]),
        kind=transfer["kind"],
        reference=transfer["reference"] or "",
        postings=tuple(
            Posting(posting["debit"], posting["credit"], posting["amount_minor"], posting["currency"])
            for posting in postings
        ),
    )
