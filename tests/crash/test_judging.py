"""Proves that the crash runs' judge sees what a crash could do: a thing lost, done twice, changed, or by nobody."""

from typing import Any

import pytest

from tests.crash.judging import differences
from tests.crash.orders import Trace

MEANT = [
    Trace("tr_1", "wallet.credit", (("world", "wal_a", 500, "GBP"),)),
    Trace("pi_1", "payment.capture", (("wal_a", "merchant:acct_1:available", 300, "GBP"),)),
    Trace("run-line-7", "crash.import", (("wal_a", "wal_b", 20, "GBP"),)),
]


def stored() -> list[dict[str, Any]]:
    """The ledger's side of what was meant, as `GET /transfers` shows it."""
    rows = zip(MEANT, ("tr_1", "tr_2", "tr_3"), (None, "pi_1", "run-line-7"), strict=True)
    return [
        {
            "id": id_,
            "kind": trace.kind,
            "reference": reference,
            "postings": [
                {"debit": debit, "credit": credit, "amount_minor": amount, "currency": currency}
                for debit, credit, amount, currency in trace.postings
            ],
        }
        for trace, id_, reference in rows
    ]


def test_what_was_meant_and_done_once_differs_in_nothing() -> None:
    assert differences(MEANT, stored()) == ([], [])


@pytest.mark.parametrize("number", range(3))
def test_what_is_lost_is_named(number: int) -> None:
    left = [one for at, one in enumerate(stored()) if at != number]
    assert differences(MEANT, left) == ([MEANT[number]], [])


@pytest.mark.parametrize("number", range(3))
def test_what_was_done_twice_is_named(number: int) -> None:
    again = {**stored()[number], "id": stored()[number]["id"] if number == 0 else "tr_9"}
    assert differences(MEANT, [*stored(), again]) == ([], [MEANT[number]])


def test_what_was_done_with_another_amount_is_lost_and_extra() -> None:
    rows = stored()
    rows[2]["postings"][0]["amount_minor"] = 21
    lost, extra = differences(MEANT, rows)
    assert (lost, [trace.postings[0][2] for trace in extra]) == ([MEANT[2]], [21])


def test_what_nobody_asked_for_is_named() -> None:
    rows = [*stored(), {**stored()[1], "id": "tr_8", "reference": None}]
    lost, extra = differences(MEANT, rows)
    assert (lost, [trace.name for trace in extra]) == ([], ["tr_8"])
