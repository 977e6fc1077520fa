"""Proves that every event's lines balance in each currency and move what the table of the books says."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_payments.domain import postings
from ledgerlink_payments.domain.postings import Exchange, Line

SHOP, WALLET = "acct_1", "wal_1"
AT_SHOP = "merchant:acct_1:available"


def _moved(lines: tuple[Line, ...]) -> dict[tuple[str, str], int]:
    """Give each account's change, credits positive, without those that come to nothing."""
    change: dict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        assert line.amount_minor > 0
        change[line.debit, line.currency] -= line.amount_minor
        change[line.credit, line.currency] += line.amount_minor
    return {account: amount for account, amount in change.items() if amount}


CASES: list[tuple[Any, dict[Any, int]]] = [
    (postings.captured(WALLET, SHOP, 100, "GBP", 0, None), {(WALLET, "GBP"): -100, (AT_SHOP, "GBP"): 100}),
    (
        postings.captured("clearing:sandbox", SHOP, 100, "GBP", 3, None),
        {("clearing:sandbox", "GBP"): -100, (AT_SHOP, "GBP"): 97, ("revenue:fees", "GBP"): 3},
    ),
    (
        postings.captured(WALLET, SHOP, 100, "EUR", 3, Exchange("GBP", 88)),
        {
            (WALLET, "GBP"): -88,
            ("fx:position", "GBP"): 88,
            ("fx:position", "EUR"): -100,
            (AT_SHOP, "EUR"): 97,
            ("revenue:fees", "EUR"): 3,
        },
    ),
    (postings.refunded_to_wallet(WALLET, SHOP, 40, "GBP", None), {(AT_SHOP, "GBP"): -40, (WALLET, "GBP"): 40}),
    (
        postings.refunded_to_wallet(WALLET, SHOP, 40, "EUR", Exchange("GBP", 35)),
        {(AT_SHOP, "EUR"): -40, ("fx:position", "EUR"): 40, ("fx:position", "GBP"): -35, (WALLET, "GBP"): 35},
    ),
    (
        postings.refunded_to_wallet(WALLET, SHOP, 1, "JPY", Exchange("GBP", 0)),
        {(AT_SHOP, "JPY"): -1, ("fx:position", "JPY"): 1},
    ),
    (postings.refund_created(SHOP, 40, "GBP"), {(AT_SHOP, "GBP"): -40, ("refunds_in_flight", "GBP"): 40}),
    (
        postings.refund_succeeded("sandbox", 40, "GBP"),
        {("refunds_in_flight", "GBP"): -40, ("clearing:sandbox", "GBP"): 40},
    ),
    (postings.refund_failed(WALLET, 40, "GBP"), {("refunds_in_flight", "GBP"): -40, (WALLET, "GBP"): 40}),
    (
        postings.refund_failed_late("sandbox", SHOP, 40, "GBP"),
        {("clearing:sandbox", "GBP"): -40, (AT_SHOP, "GBP"): 40},
    ),
    (postings.payout_created(SHOP, 40, "GBP"), {(AT_SHOP, "GBP"): -40, ("payouts_in_transit", "GBP"): 40}),
    (postings.payout_paid(40, "GBP"), {("payouts_in_transit", "GBP"): -40, ("bank", "GBP"): 40}),
    (postings.payout_failed(SHOP, 40, "GBP"), {("payouts_in_transit", "GBP"): -40, (AT_SHOP, "GBP"): 40}),
    (postings.payout_returned(SHOP, 40, "GBP"), {("bank", "GBP"): -40, (AT_SHOP, "GBP"): 40}),
]


@pytest.mark.parametrize(("lines", "moved"), CASES)
def test_each_event_moves_what_the_table_says(lines: tuple[Line, ...], moved: dict[Any, int]) -> None:
    assert _moved(lines) == moved


def test_a_capture_begins_with_what_is_taken_from_the_payer() -> None:
    first = postings.captured(WALLET, SHOP, 100, "EUR", 3, Exchange("GBP", 88))[0]
    assert (first.debit, first.amount_minor, first.currency) == (WALLET, 88, "GBP")


def test_only_merchants_pay_a_fee_rounded_down() -> None:
    assert postings.fee(1999, 150, SHOP) == 29
    assert postings.fee(1999, 150, WALLET) == 0


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), st.integers(1, 10**12))
def test_shares_of_a_whole_add_up_to_the_whole(parts: list[int], exchanged: int) -> None:
    whole, so_far, given_back = sum(parts), 0, 0
    for part in parts:
        so_far += part
        due = postings.share(so_far, whole, exchanged) - given_back
        assert due >= 0
        given_back += due
    assert given_back == exchanged


@pytest.mark.parametrize(("part", "share"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2)])
def test_a_half_is_rounded_to_the_even_side(part: int, share: int) -> None:
    assert postings.share(part, 2, 1) == share
