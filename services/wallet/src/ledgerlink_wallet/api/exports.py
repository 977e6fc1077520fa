"""A statement written for other programs and for paper: CSV, print-ready HTML, hledger and beancount, line by line.

Pure text: each writer gives a head, some text per line, and a foot, so that a statement of any length needs no memory.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from html import escape
from io import StringIO
from typing import Final, NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.journals import (
    OPENING,
    JournalEntry,
    JournalLine,
    account_name,
    beancount_entry,
    hledger_entry,
)
from ledgerlink_contracts.wallet.models import StatementBasis, StatementLine
from ledgerlink_kit.money import format_minor
from ledgerlink_wallet.domain.books import Account


class Sheet(NamedTuple):
    """What a statement says of itself: its account, its period, and the balances at both ends of it."""

    account: Account
    by: StatementBasis
    since: datetime | None
    until: datetime | None
    opening_minor: int
    closing_minor: int
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a statement: its media type, the ending of its file's name, and its three writers."""

    media_type: str
    ending: str
    head: Callable[[Sheet], str]
    lines: Callable[[Sheet, Sequence[StatementLine]], str]
    foot: Callable[[Sheet], str]


def _money(sheet: Sheet, minor: int) -> str:
    return format_minor(minor, sheet.account.facts.currency)


# CSV.

_COLUMNS: Final = (
    "effective_at",
    "recorded_at",
    "version",
    "transfer",
    "kind",
    "reference",
    "counterparty",
    "change",
    "balance",
    "currency",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def safe_cell(text: str) -> str:
    """Give ``text`` so that no spreadsheet takes it for a formula: an apostrophe before what could begin one.

    OWASP, *CSV Injection*. Amounts are written as they are: a number with a minus is a number.
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[object]]) -> str:
    """Write rows as RFC 4180 has them: CRLF after each, quotes where needed and doubled inside."""
    out = StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def _csv_end(sheet: Sheet, name: str, moment: datetime | None, minor: int) -> Sequence[object]:
    at = "" if moment is None else _moment(moment)
    blank = [at, ""] if sheet.by is StatementBasis.EFFECTIVE else ["", at]
    return [*blank, "", "", name, "", "", "", _money(sheet, minor), sheet.account.facts.currency]


def _csv_head(sheet: Sheet) -> str:
    return _csv([_COLUMNS, _csv_end(sheet, "opening", sheet.since, sheet.opening_minor)])


def _csv_lines(sheet: Sheet, lines: Sequence[StatementLine]) -> str:
    return _csv(
        [
            _moment(line.effective_at),
            _moment(line.recorded_at),
            line.version,
            line.transfer,
            safe_cell(line.kind),
            safe_cell(line.reference or ""),
            safe_cell(line.counterparty),
            _money(sheet, line.change_minor),
            _money(sheet, line.posted_minor),
            sheet.account.facts.currency,
        ]
        for line in lines
    )


def _csv_foot(sheet: Sheet) -> str:
    return _csv([_csv_end(sheet, "closing", sheet.until, sheet.closing_minor)])


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


# HTML, ready for paper.

_STYLE: Final = """
@page { size: A4; margin: 18mm 14mm; @bottom-right { content: counter(page) " / " counter(pages); } }
body { font: 10pt/1.4 system-ui, sans-serif; color: #111; margin: 2rem auto; max-width: 60rem; }
h1 { font-size: 14pt; margin: 0 0 .5rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; margin: 0 0 1rem; }
dd { margin: 0; }
table { border-collapse: collapse; width: 100%; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .4rem; text-align: left; overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media print { body { margin: 0; max-width: none; } }
"""
HTML_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The Content-Security-Policy of the page: its own style, and nothing else, runs or loads."""


def _html_head(sheet: Sheet) -> str:
    facts = sheet.account.facts
    ends = [_moment(at) if at else open_ for at, open_ in ((sheet.since, "the beginning"), (sheet.until, "now"))]
    said = (
        ("Account", facts.party),
        ("Currency", facts.currency),
        ("Period", f"{ends[0]} to {ends[1]}, by {sheet.by} time"),
        ("Opening balance", _money(sheet, sheet.opening_minor)),
        ("Closing balance", _money(sheet, sheet.closing_minor)),
        ("Made", _moment(sheet.made_at)),
    )
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in said)
    title = escape(f"Statement of {facts.party} in {facts.currency}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{HTML_POLICY}">'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1><dl>{terms}</dl>\n"
        '<table><thead><tr><th scope="col">Effective</th><th scope="col">Recorded</th><th scope="col">What</th>'
        '<th scope="col">Counterparty</th><th scope="col" class="n">Change</th>'
        '<th scope="col" class="n">Balance</th></tr></thead>\n<tbody>\n'
        + _html_end("Opening balance", sheet, sheet.opening_minor)
    )


def _html_end(name: str, sheet: Sheet, minor: int) -> str:
    return f'<tr><td colspan="5">{name}</td><td class="n">{_money(sheet, minor)}</td></tr>\n'


def _html_lines(sheet: Sheet, lines: Sequence[StatementLine]) -> str:
    return "".join(
        f"<tr><td>{_moment(line.effective_at)}</td><td>{_moment(line.recorded_at)}</td>"
        f"<td>{escape(line.kind)} {escape(line.reference or '')}<br><small>{line.transfer}</small></td>"
        f'<td>{escape(line.counterparty)}</td><td class="n">{_money(sheet, line.change_minor)}</td>'
        f'<td class="n">{_money(sheet, line.posted_minor)}</td></tr>\n'
        for line in lines
    )


def _html_foot(sheet: Sheet) -> str:
    return f"{_html_end('Closing balance', sheet, sheet.closing_minor)}</tbody></table></body></html>\n"


# Journals.


def _debits(sheet: Sheet, minor: int) -> int:
    """Give an amount on the account's normal side with debits positive, as journals count."""
    return minor if sheet.account.facts.normal_side is Side.DEBIT else -minor


def _day(sheet: Sheet, line: StatementLine) -> date:
    return (line.effective_at if sheet.by is StatementBasis.EFFECTIVE else line.recorded_at).date()


def _entries(sheet: Sheet, lines: Sequence[StatementLine]) -> Iterable[JournalEntry]:
    mine, currency = account_name(sheet.account.facts.code), sheet.account.facts.currency
    for line in lines:
        change = _debits(sheet, line.change_minor)
        stands_at = _debits(sheet, line.posted_minor)
        party = line.counterparty
        other = account_name(f"wallet:{party}" if party.startswith("wal_") else party)
        # The same account never stands on both sides: the ledger refuses that.
        sides = [JournalLine(mine, change, currency, stands_at), JournalLine(other, -change, currency)]
        yield JournalEntry(_day(sheet, line), str(line.transfer), line.kind, line.reference or "", sides)


def _opening(sheet: Sheet) -> Sequence[JournalEntry]:
    if not sheet.opening_minor or sheet.since is None:
        return []
    mine, currency = account_name(sheet.account.facts.code), sheet.account.facts.currency
    opening = _debits(sheet, sheet.opening_minor)
    sides = [JournalLine(mine, opening, currency, opening), JournalLine(OPENING, -opening, currency)]
    return [JournalEntry(sheet.since.date(), "opening", "opening", "balance brought forward", sides)]


def _beancount_head(sheet: Sheet) -> str:
    # The plugin opens accounts as they come: to list them first, all lines would have to be read first.
    head = 'option "title" "LedgerLink"\nplugin "beancount.plugins.auto_accounts"\n\n'
    return head + "".join(map(beancount_entry, _opening(sheet)))


def _hledger_head(sheet: Sheet) -> str:
    return "; LedgerLink\n\n" + "".join(map(hledger_entry, _opening(sheet)))


def _nothing(_sheet: Sheet) -> str:
    return ""


CSV: Final = Format("text/csv", "csv", _csv_head, _csv_lines, _csv_foot)
HTML: Final = Format("text/html", "html", _html_head, _html_lines, _html_foot)
HLEDGER: Final = Format(
    "text/x-hledger",
    "journal",
    _hledger_head,
    lambda sheet, lines: "".join(map(hledger_entry, _entries(sheet, lines))),
    _nothing,
)
BEANCOUNT: Final = Format(
    "text/x-beancount",
    "beancount",
    _beancount_head,
    lambda sheet, lines: "".join(map(beancount_entry, _entries(sheet, lines))),
    _nothing,
)
