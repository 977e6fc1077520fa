"""Proves the leaves' canonical form: what RFC 8785's own writer makes of them, every field pinned, none left out."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, WalletId
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_kit.notes import TreeHead
from ledgerlink_wallet.domain.leaves import (
    PromiseRow,
    TransferRow,
    WalletRow,
    checkpoint_text,
    promise_leaf,
    transfer_leaf,
    wallet_leaf,
)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
versions = st.integers(1, MAX_MINOR)
postings = st.lists(
    st.tuples(
        st.uuids().map(str),
        versions,
        st.uuids().map(str),
        versions,
        versions,
        st.sampled_from(["GBP", "JPY"]),
        st.none() | st.integers(0, 99),
    ),
    min_size=1,
    max_size=5,
)
rows = st.builds(
    TransferRow,
    st.uuids(),
    words,
    postings.map(lambda made: orjson.dumps(made).decode()),
    st.none() | words,
    st.none() | words,
    st.dictionaries(words, words, max_size=6).map(lambda made: orjson.dumps(made).decode()),
    st.none() | st.uuids(),
    st.none() | st.uuids(),
    moments,
    moments,
)
ROW = TransferRow(
    UUID(int=1),
    "rent",
    f'[["{UUID(int=2)}", 7, "{UUID(int=3)}", 1, 1250, "GBP", null]]',
    None,
    None,
    "{}",
    None,
    None,
    datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
)


@given(rows)
def test_every_leaf_is_what_the_stock_writer_of_canonical_json_makes_of_it(row: TransferRow) -> None:
    leaf = transfer_leaf(row)
    read = json.loads(leaf)

    assert rfc8785.dumps(read) == leaf
    assert read["metadata"] == json.loads(row.metadata)
    assert len(read["postings"]) == len(json.loads(row.postings))
    assert read["hold"] == (None if row.hold_id is None else str(HoldId(row.hold_id)))
    assert read["reverses"] == (None if row.reverses is None else str(TransferId(row.reverses)))


def test_a_leaf_reads_as_it_is_documented() -> None:
    assert json.loads(transfer_leaf(ROW)) == {
        "effective_at": "2026-01-31T12:00:00.000000Z",
        "form": "ledgerlink.transfer.v1",
        "hold": None,
        "id": str(TransferId(UUID(int=1))),
        "kind": "rent",
        "metadata": {},
        "on_behalf_of": None,
        "postings": [
            {
                "amount_minor": 1250,
                "credit": str(AccountId(UUID(int=3))),
                "credit_version": 1,
                "currency": "GBP",
                "debit": str(AccountId(UUID(int=2))),
                "debit_version": 7,
                "reverses_posting": None,
            }
        ],
        "recorded_at": "2026-01-31T12:00:00.000005Z",
        "reference": None,
        "reverses": None,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"id": UUID(int=9)},
        {"kind": "rents"},
        {"postings": ROW.postings.replace("1250", "1251")},
        {"postings": ROW.postings.replace("7,", "8,")},
        {"on_behalf_of": "usr_x"},
        {"reference": "R"},
        {"metadata": '{"a": "b"}'},
        {"reverses": UUID(int=9)},
        {"hold_id": UUID(int=9)},
        {"effective_at": ROW.recorded_at},
        {"recorded_at": ROW.effective_at},
    ],
)
def test_no_column_can_change_without_the_leaf(change: dict[str, Any]) -> None:
    assert transfer_leaf(ROW._replace(**change)) != transfer_leaf(ROW)


def test_the_opening_of_a_wallet_is_a_leaf_too() -> None:
    row = WalletRow(UUID(int=4), "usr_x", "GBP", None, ROW.recorded_at)
    leaf = wallet_leaf(row)

    assert rfc8785.dumps(json.loads(leaf)) == leaf
    assert json.loads(leaf)["id"] == str(WalletId(UUID(int=4)))
    for change in ({"id": UUID(int=5)}, {"owner": "usr_y"}, {"currency": "JPY"}, {"label": "x"}):
        assert wallet_leaf(row._replace(**change)) != leaf


PROMISE = PromiseRow(UUID(int=6), "limits", "everybody", 2, '{"GBP": {"day_minor": 5, "a": null}}', ROW.recorded_at)


@given(
    st.builds(
        PromiseRow,
        st.uuids(),
        st.sampled_from(["account", "wallet", "limits"]),
        words,
        versions,
        st.dictionaries(
            st.text("ABCabc_", min_size=1),
            st.none() | versions | st.booleans() | words | st.dictionaries(st.text("XYZ"), versions | st.none()),
        ).map(lambda made: orjson.dumps(made).decode()),
        moments,
    )
)
def test_a_promises_leaf_is_what_rfc_8785_says(row: PromiseRow) -> None:
    assert rfc8785.dumps(json.loads(promise_leaf(row))) == promise_leaf(row)


@pytest.mark.parametrize(
    "change",
    [
        {"id": UUID(int=9)},
        {"kind": "wallet"},
        {"subject": "merchant"},
        {"step": 3},
        {"says": PROMISE.says.replace("5", "6")},
        {"says": PROMISE.says.replace("null", "0")},
        {"recorded_at": ROW.effective_at},
    ],
)
def test_no_column_of_a_promise_can_change_without_the_leaf(change: dict[str, Any]) -> None:
    assert promise_leaf(PROMISE._replace(**change)) != promise_leaf(PROMISE)


def test_a_checkpoints_text_carries_its_moment_as_a_line_of_its_own() -> None:
    head = TreeHead("ledger.example", 3, bytes(32))

    assert checkpoint_text(head, ROW.recorded_at) == f"{head}signed-at 2026-01-31T12:00:00.000005Z\n"
    assert TreeHead.parse(checkpoint_text(head, ROW.recorded_at)) == head
