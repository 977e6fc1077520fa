"""The rows of a purchase-card file, read exactly, and the totals computed straight from its text."""

import csv
import gzip
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from ledgerlink_kit.errors import Refused
from ledgerlink_kit.money import parse_amount, parse_currency
from ledgerlink_stack.trouble import Trouble

COLUMNS: Final = ("date", "card", "merchant", "amount", "currency", "billed", "department", "category")
BILLING: Final = "GBP"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a purchase when its amount is positive, a refund or a credit when negative.

    ``amount_minor`` in minor units of ``currency`` as charged, ``billed_minor`` in pence; both have the same sign.
    ``key`` names the row's content, so that the same row is the same payment whenever it is replayed.
    """

    key: str
    day: date
    card: str
    merchant: str
    amount_minor: int
    currency: str
    billed_minor: int
    department: str

    @property
    def month(self) -> str:
        """The month it belongs to, as ``2017-01``."""
        return f"{self.day:%Y-%m}"

    @property
    def foreign(self) -> bool:
        """Whether it was charged in another currency than it was billed in."""
        return self.currency != BILLING


@dataclass
class Totals:
    """Sums of signed amounts as decimals of whole units, the form in which the file states them."""

    rows: int = 0
    billed: Decimal = Decimal(0)
    by_currency: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    by_department: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    by_merchant: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, merchant: str, department: str, currency: str, amount: Decimal, billed: Decimal) -> None:
        """Count one row."""
        self.rows += 1
        self.billed += billed
        self.by_currency[currency] += amount
        self.by_department[department] += billed
        self.by_merchant[merchant, currency] += amount


def _lines(path: Path, limit: int | None) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each line of a CSV file, plain or gzipped, with its number."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise Trouble(f"{path} is no file of card purchases.", f"Its first line must be: {','.join(COLUMNS)}")
            for number, line in enumerate(reader, 2):
                if limit is not None and number > limit + 1:
                    return
                yield number, line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Trouble(f"{path} cannot be read: {error}.", "Give a CSV file, plain or gzipped.") from error


def department_of(text: str) -> str:
    """Name a row's department; some rows of the source have none."""
    return text or "(none)"


def read_rows(path: Path, limit: int | None = None) -> list[Row]:
    """Read ``path`` (the first ``limit`` rows of it). Raises `Trouble` that names the line that cannot be read."""
    seen: Counter[str] = Counter()
    rows: list[Row] = []
    for number, line in _lines(path, limit):
        try:
            currency = parse_currency(line["currency"])
            amount, billed = parse_amount(line["amount"], currency), parse_amount(line["billed"], BILLING)
            day = date.fromisoformat(line["date"])
        except (Refused, ValueError, TypeError) as error:
            raise Trouble(f"{path}, line {number}: {error}", "Mend the line, or leave it out.") from error
        if not amount or not billed or (amount < 0) != (billed < 0):
            sentence = f"{path}, line {number}: amount and billed must be other than zero and of one sign."
            raise Trouble(sentence, "Mend the line, or leave it out.")
        content = "\x1f".join(line[column] for column in COLUMNS)
        seen[content] += 1
        key = hashlib.sha256(f"{content}\x1f{seen[content]}".encode()).hexdigest()[:20]
        department = department_of(line["department"])
        rows.append(Row(key, day, line["card"], line["merchant"], amount, currency, billed, department))
    if not rows:
        raise Trouble(f"{path} holds no rows.", "Give a file with at least one.")
    return rows


def totals_of_file(path: Path, limit: int | None = None) -> Totals:
    """Add up ``path`` straight from its text, by nothing that the replay uses."""
    totals = Totals()
    for _, line in _lines(path, limit):
        totals.add(
            line["merchant"],
            department_of(line["department"]),
            line["currency"],
            Decimal(line["amount"]),
            Decimal(line["billed"]),
        )
    return totals
