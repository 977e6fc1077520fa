"""The books as plain-text accounting writes them: hledger and beancount, line by line, so that no export needs memory.

Pure text. Amounts are written as debits positive, credits negative; account codes become names of beancount's form,
which hledger reads as well: a class, then the code's parts, each starting in upper case.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from ledgerlink_kit.money import format_minor

CLASSES: Final[Mapping[str, str]] = {
    "bank": "Assets",
    "clearing": "Assets",
    "expense": "Expenses",
    "revenue": "Income",
    "world": "Equity",
    "fx": "Equity",
}
"""Root of the chart to its class; every other root is a liability."""

OPENING: Final = "Equity:Opening"
"""Where a journal that begins in the midst of an account's life takes its opening balance from."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One side: an account's *name*, signed minor units (debits positive), and what it should stand at then."""

    account: str
    amount_minor: int
    currency: str
    stands_at_minor: int | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One transaction of a journal; its lines add up to zero in each currency."""

    day: date
    id: str
    kind: str
    reference: str
    lines: Sequence[JournalLine]


def account_name(code: str) -> str:
    """Give the name of an account code: a class, then the code's parts, each starting in upper case."""
    parts = code.split(":")
    root = CLASSES.get(parts[0], "Liabilities")
    words = [re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts]
    return ":".join([root, *(word[:1].upper() + word[1:] for word in words)])


def beancount_entry(entry: JournalEntry) -> str:
    """Write a transaction for beancount; an account must have been opened, or a plugin opens them all."""
    note = f"{entry.id} {entry.reference}".rstrip()
    lines = [f"  {line.account}  {_amount(line)}\n" for line in entry.lines]
    return f'{entry.day} * "{_quoted(entry.kind)}" "{_quoted(note)}"\n{"".join(lines)}\n'


def hledger_entry(entry: JournalEntry) -> str:
    """Write a transaction for hledger, with a balance assertion on each line that knows what it should stand at."""
    lines = [f"  {line.account}  {_amount(line)}{_assertion(line)}\n" for line in entry.lines]
    # A semicolon would begin a comment.
    description = _CONTROL.sub(" ", f"{entry.kind} {entry.reference}").replace(";", ",").rstrip()
    return f"{entry.day} * ({entry.id}) {description}\n{''.join(lines)}\n"


def _amount(line: JournalLine) -> str:
    return f"{format_minor(line.amount_minor, line.currency)} {line.currency}"


def _assertion(line: JournalLine) -> str:
    stands_at = line.stands_at_minor
    return "" if stands_at is None else f" = {format_minor(stands_at, line.currency)} {line.currency}"


def _quoted(text: str) -> str:
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
