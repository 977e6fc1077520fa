"""Proves that each refusal carries its code, its kind and the numbers or names that help whoever gets it."""

from datetime import UTC, datetime

import pytest

from ledgerlink_contracts.ids import MerchantId
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.merchants import Merchant


@pytest.mark.parametrize(
    ("refusal", "kind", "code", "members"),
    [
        (refusals.missing("refund", "re_x"), Kind.NOT_FOUND, "resource-missing", {"param": "id"}),
        (
            refusals.unexpected_state("payment_intent", "canceled", "confirmed"),
            Kind.INVALID,
            "payment-intent-unexpected-state",
            {"status_of_object": "canceled"},
        ),
        (refusals.invalid("amount", "No."), Kind.INVALID, "parameter-invalid", {"param": "amount"}),
        (refusals.absent("amount"), Kind.INVALID, "parameter-missing", {"param": "amount"}),
        (
            refusals.amount_too_large(2, 1, "captured"),
            Kind.INVALID,
            "amount-too-large",
            {"param": "amount", "most_minor": 1},
        ),
        (refusals.already_refunded(), Kind.INVALID, "charge-already-refunded", {}),
        (refusals.not_allowed("a:b", "It"), Kind.FORBIDDEN, "scope-missing", {"missing": ["a:b"]}),
        (
            refusals.balance_insufficient(5, "GBP"),
            Kind.INVALID,
            "balance-insufficient",
            {"param": "amount", "available_minor": 5, "currency": "GBP"},
        ),
    ],
)
def test_each_refusal_says_what_it_is_about(
    refusal: Refused, kind: Kind, code: str, members: dict[str, object]
) -> None:
    assert (refusal.kind, refusal.code, refusal.members) == (kind, code, members)


def test_a_merchant_is_shown_as_stripes_account() -> None:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    shown = objects.account(Merchant(MerchantId.derive("test"), "usr_x", "GB", "GBP", "ba_main", now, "The Shop"))
    assert (shown["object"], shown["default_currency"], shown["business_profile"]) == (
        "account",
        "gbp",
        {"name": "The Shop"},
    )
