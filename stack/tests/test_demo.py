"""Proves the demo's pure parts: rows read exactly, a plan that covers them, and books that beancount recomputes."""

from collections import Counter
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_contracts.wallet.journals import account_name
from ledgerlink_stack.demo.books import Entry, Journals, Posting, compare, recompute
from ledgerlink_stack.demo.gateway import Timings, brackets, password_of
from ledgerlink_stack.demo.options import JANUARY
from ledgerlink_stack.demo.rows import Row, read_rows, totals_of_file
from ledgerlink_stack.demo.schedule import TOP_UP_MAX_MINOR, Credit, Purchase, Refund, schedule
from ledgerlink_stack.trouble import Trouble

HEADER = "date,card,merchant,amount,currency,billed,department,category\n"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "rows.csv"
    path.write_text(header + "".join(f"{line}\n" for line in lines))
    return path


def rows_of(folder: Path, *lines: str) -> list[Row]:
    return read_rows(write(folder, *lines))


def test_the_shipped_month_has_the_totals_of_its_source() -> None:
    rows, totals = read_rows(JANUARY), totals_of_file(JANUARY)
    assert (len(rows), totals.rows, totals.billed) == (4689, 4689, Decimal("476208.57"))
    assert sum(row.billed_minor for row in rows) == 47_620_857
    assert set(totals.by_currency) == {"GBP", "USD", "EUR", "SEK", "DKK", "QAR"}
    assert len({row.key for row in rows}) == 4689


def test_currencies_with_no_and_three_decimals_are_read_exactly(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        "2017-01-01,1,hotel,15000,JPY,105.50,d,c",
        "2017-01-01,1,souk,12.345,KWD,32.10,d,c",
    )
    assert [(row.amount_minor, row.billed_minor) for row in rows] == [(15000, 10550), (12345, 3210)]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("2017-01-01,1,m,1.234,GBP,1.23,d,c", "line 2"),
        ("2017-01-01,1,m,x,GBP,1.23,d,c", "line 2"),
        ("2017-13-01,1,m,1,GBP,1,d,c", "line 2"),
        ("2017-01-01,1,m,1,XXX,1,d,c", "line 2"),
        ("2017-01-01,1,m,1,GBP,-1,d,c", "one sign"),
        ("2017-01-01,1,m,0,GBP,0,d,c", "other than zero"),
        ("2017-01-01,1", "line 2"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, part: str) -> None:
    with pytest.raises(Trouble, match=part):
        rows_of(tmp_path, line)


def test_a_file_of_something_else_is_refused_with_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="date,card"):
        read_rows(write(tmp_path, header="a,b\n"))
    with pytest.raises(Trouble, match="no rows"):
        read_rows(write(tmp_path))
    with pytest.raises(Trouble, match="cannot be read"):
        read_rows(tmp_path / "absent.csv")


def test_equal_rows_are_two_payments_and_stay_so_when_replayed(tmp_path: Path) -> None:
    line = "2017-01-01,1,m,1.00,GBP,1.00,d,c"
    first, again = rows_of(tmp_path, line, line), rows_of(tmp_path, line, line)
    assert first[0].key != first[1].key
    assert [row.key for row in first] == [row.key for row in again]


def test_a_negative_row_refunds_the_purchase_of_just_its_amount_else_one_with_room_else_is_a_credit(
    tmp_path: Path,
) -> None:
    rows = rows_of(
        tmp_path,
        "2017-01-01,1,m,10.00,GBP,10.00,d,c",
        "2017-01-02,1,m,30.00,GBP,30.00,d,c",
        "2017-01-03,1,m,-10.00,GBP,-10.00,d,c",
        "2017-01-04,1,m,-25.00,GBP,-25.00,d,c",
        "2017-01-05,1,m,-25.00,GBP,-25.00,d,c",
        "2017-01-06,2,m,-1.00,GBP,-1.00,d,c",
    )
    (month,) = schedule(rows)
    assert month.steps == (
        Purchase(rows[0]),
        Purchase(rows[1]),
        Refund(rows[2], rows[0]),
        Refund(rows[3], rows[1]),
        Credit(rows[4]),
        Credit(rows[5]),
    )


def test_the_plan_of_the_shipped_month_covers_every_row_and_every_penny() -> None:
    rows = read_rows(JANUARY)
    (month,) = schedule(rows)
    assert [step.row for step in month.steps] == rows
    spent, put = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows:
        spent[row.department, row.card] += max(0, row.billed_minor)
    for item in month.top_ups:
        put[item.department, item.card] += item.amount_minor
        assert 0 < item.amount_minor <= TOP_UP_MAX_MINOR
    assert +spent == +put


def test_what_a_merchant_owes_at_a_months_end_is_taken_from_its_next_payout(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        "2017-01-01,1,m,-5.00,GBP,-5.00,d,c",
        "2017-02-01,1,m,20.00,GBP,20.00,d,c",
    )
    january, february = schedule(rows)
    assert january.payouts == ()
    assert [payout.amount_minor for payout in february.payouts] == [1500]


@given(st.lists(st.integers(-50_00, 50_00).filter(bool), min_size=1, max_size=40))
def test_no_plan_refunds_more_than_was_paid_or_pays_out_more_than_was_earned(amounts: list[int]) -> None:
    rows = [
        Row(str(n), read_rows(JANUARY, 1)[0].day, "1", "m", amount, "GBP", amount, "d")
        for n, amount in enumerate(amounts)
    ]
    (month,) = schedule(rows)
    refunded = Counter[str]()
    for step in month.steps:
        if isinstance(step, Refund):
            refunded[step.of.key] -= step.row.amount_minor
    assert all(refunded[row.key] <= row.amount_minor for row in rows if row.amount_minor > 0)
    assert sum(payout.amount_minor for payout in month.payouts) == max(0, sum(amounts))


ENTRY = Entry(
    "tr_1",
    read_rows(JANUARY, 1)[0].day,
    "payment.capture",
    "pi_1",
    (
        Posting("wal_1", "fx:position", 1234, "GBP"),
        Posting("fx:position", "merchant:acct_1:available", 15000, "JPY"),
        Posting("fx:position", "merchant:acct_1:available", 12345, "KWD"),
    ),
)
BALANCES = [
    ("wal_1", "GBP", 1234),
    ("fx:position", "GBP", -1234),
    ("fx:position", "JPY", 15000),
    ("fx:position", "KWD", 12345),
    ("merchant:acct_1:available", "JPY", -15000),
    ("merchant:acct_1:available", "KWD", -12345),
]


def books(folder: Path) -> Path:
    path = folder / "books.beancount"
    with path.open("w") as beancount:
        Journals(beancount, StringIO()).write(ENTRY)
    return path


def test_beancount_recomputes_the_books_in_currencies_of_no_two_and_three_decimals(tmp_path: Path) -> None:
    theirs, complaints = recompute(books(tmp_path))
    assert complaints == []
    assert compare(BALANCES, theirs) == []


def test_a_single_minor_unit_of_difference_is_found_and_named(tmp_path: Path) -> None:
    theirs, _ = recompute(books(tmp_path))
    (difference,) = compare([*BALANCES[:-1], ("merchant:acct_1:available", "KWD", -12344)], theirs)
    assert difference == "Liabilities:Merchant:Acct-1:Available: -12.344 KWD here, -12.345 KWD by beancount"
    assert len(compare(BALANCES[1:], theirs)) == 1


def test_a_broken_journal_makes_beancount_complain(tmp_path: Path) -> None:
    path = books(tmp_path)
    path.write_text(path.read_text().replace("12.345 KWD", "12.344 KWD", 1))
    assert recompute(path)[1] != []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("world", "Equity:World"),
        ("clearing:sandbox", "Assets:Clearing:Sandbox"),
        ("merchant:acct_0a:available", "Liabilities:Merchant:Acct-0a:Available"),
        ("payouts_in_transit", "Liabilities:Payouts-in-transit"),
    ],
)
def test_an_account_code_becomes_a_name_that_beancount_takes(code: str, name: str) -> None:
    assert account_name(code) == name


def test_nested_content_is_written_in_brackets_as_stripe_reads_it() -> None:
    fields = brackets({"amount": 5, "confirm": True, "transfer_data": {"destination": "acct_1"}})
    assert fields == [("amount", "5"), ("confirm", "true"), ("transfer_data[destination]", "acct_1")]


def test_quantiles_are_those_of_the_measured_seconds() -> None:
    timings = Timings()
    timings.seconds["purchase"] = [n / 100 for n in range(100)]
    assert (timings.quantile("purchase", 0.5), timings.quantile("purchase", 0.99)) == (0.5, 0.99)
    assert timings.quantile("refund", 0.5) == 0


def test_a_demo_persons_password_is_the_same_again_and_nobody_elses() -> None:
    assert password_of("s", "a@b") == password_of("s", "a@b")
    assert len({password_of("s", "a@b"), password_of("s", "c@b"), password_of("t", "a@b")}) == 3
