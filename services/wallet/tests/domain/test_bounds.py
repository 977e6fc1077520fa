"""Proves that accounts keep to a floor and a ceiling of their own, and that conditions are looked at before amounts."""

from dataclasses import replace

import pytest
from services.wallet.tests.domain.test_refusals import (
    ALICE,
    FUNDED,
    HELD,
    NOW,
    A,
    B,
    account,
    books,
    bounded,
    capture,
    condition,
    hold,
    one,
    place,
    posting,
    transfer,
)

from ledgerlink_contracts.wallet.models import Predicate
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.orders import AccountOpened, Captured, HoldChanged, OpenAccount, Posted, Refusal
from ledgerlink_wallet.domain.parties import party_of


def opening(code: str, floor: int | None = None, ceiling: int | None = None) -> OpenAccount:
    return OpenAccount(party_of(code, "GBP"), "GBP", floor, ceiling)


def test_an_account_is_opened_once_and_then_stands_so() -> None:
    decided = apply(books(), [opening("merchant:m", -5, 10), opening("merchant:m", -5, 10)], NOW)

    first, again = decided.outcomes
    assert isinstance(first, AccountOpened)
    assert isinstance(again, AccountOpened)
    assert (first.fresh, again.fresh) == (True, False)
    assert again.account == first.account
    assert (first.account.version, first.account.facts.floor_minor, first.account.facts.ceiling_minor) == (0, -5, 10)


def test_an_account_that_was_opened_on_first_use_has_no_bounds() -> None:
    commands = [transfer(posting("world", "merchant:m", 1)), opening("merchant:m"), opening("merchant:m", -5)]

    _, same, other = apply(books(), commands, NOW).outcomes

    assert isinstance(same, AccountOpened)
    assert not same.fresh
    assert isinstance(other, Refusal)
    assert other.members == {"party": "merchant:m", "floor_minor": None, "ceiling_minor": None}


def test_a_wallets_account_is_opened_with_a_ceiling_and_bounds_hold_in_the_same_batch() -> None:
    commands = [opening(A, 0, 50), transfer(posting("world", A, 50), id_="1"), transfer(posting("world", A), id_="2")]

    _, fits, passes = apply(books(), commands, NOW).outcomes

    assert isinstance(fits, Posted)
    assert isinstance(passes, Refusal)
    assert passes.code is RefusalCode.CEILING
    assert passes.members == {"posted_minor": 50, "ceiling_minor": 50, "currency": "GBP", "party": A}


def test_an_account_without_overdraft_is_granted_one_by_its_floor() -> None:
    # No root but the wallets' forbids overdraft today, so such a root is made here.
    granted = bounded("merchant:m", -10)
    granted = granted._replace(facts=granted.facts._replace(may_overdraw=False))
    commands = [transfer(posting("merchant:m", A, 10), id_="1"), transfer(posting("merchant:m", A, 1), id_="2")]

    fits, passes = apply(books(granted), commands, NOW).outcomes

    assert isinstance(fits, Posted)
    assert isinstance(passes, Refusal)
    assert passes.code is RefusalCode.FLOOR
    assert passes.members == {"available_minor": -10, "floor_minor": -10, "currency": "GBP", "party": "merchant:m"}


def test_a_hold_counts_against_the_floor_and_not_against_the_ceiling() -> None:
    merchant = party_of("merchant:m", "GBP")
    given = books(bounded("merchant:m", -10, 0))

    fits, passes = (one(given, replace(place(amount), wallet=merchant, on_behalf_of=None)) for amount in (10, 11))

    assert isinstance(fits, HoldChanged)
    assert isinstance(passes, Refusal)
    assert passes.code is RefusalCode.FLOOR


PREDICATES = [
    (Predicate.VERSION, 1, 2),
    (Predicate.VERSION, 1, 0),
    (Predicate.AVAILABLE_AT_LEAST, 700, 701),
    (Predicate.AVAILABLE_AT_MOST, 700, 699),
    (Predicate.POSTED_AT_LEAST, 1_000, 1_001),
    (Predicate.POSTED_AT_MOST, 1_000, 999),
    (Predicate.PENDING_AT_LEAST, 300, 301),
    (Predicate.PENDING_AT_MOST, 300, 299),
]


@pytest.mark.parametrize(("predicate", "holds", "fails"), PREDICATES)
def test_each_predicate_compares_the_account_as_it_is_found(predicate: Predicate, holds: int, fails: int) -> None:
    order = transfer(posting(A, B))
    met = replace(order, conditions=(condition(A, predicate, holds),))
    unmet = replace(order, conditions=(condition(A, predicate, holds), condition(A, predicate, fails)))

    assert isinstance(one(books(HELD), met), Posted)
    refused = one(books(HELD), unmet)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.CONDITION_FAILED
    assert refused.members == {
        "condition": 1,
        "party": A,
        "currency": "GBP",
        "predicate": predicate.value,
        "expected": fails,
        "actual": holds,
    }


def test_conditions_come_after_parties_and_standing_and_before_amounts() -> None:
    unmet = condition(A, Predicate.VERSION, 9)
    frozen = condition("no_such_root", Predicate.VERSION, 0)

    unknown = one(books(FUNDED), replace(transfer(posting(A, B, 5_000)), conditions=(unmet, frozen)))

    assert isinstance(unknown, Refusal)
    assert unknown.code is RefusalCode.UNKNOWN_ACCOUNT_CODE


@pytest.mark.parametrize(
    "command", [place(), capture(), transfer(posting(B, A), owner="bob")], ids=["hold", "capture", "transfer"]
)
def test_a_condition_on_a_wallet_that_one_may_not_see_finds_none(command: object) -> None:
    theirs = condition("wal_00000000000000000000000000", Predicate.VERSION, 0)
    given = books(HELD, holds=(hold(),))

    refused = one(given, replace(command, conditions=(theirs,)))  # type: ignore[type-var]

    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.WALLET_NOT_FOUND


def test_an_account_that_a_command_relied_on_stands_afterwards_so_that_it_can_be_locked() -> None:
    empty = condition("revenue:fees", Predicate.POSTED_AT_MOST, 0)
    for command in (transfer(posting(A, B)), place(), capture()):
        given = books(HELD, holds=(hold(),))
        decided = apply(given, [replace(command, conditions=(empty, AT_HAND))], NOW)

        assert isinstance(decided.outcomes[0], Posted | HoldChanged | Captured)
        opened = [one for one in decided.accounts.values() if one.facts.code == "revenue:fees"]
        assert [account.version for account in opened] == [0]


AT_HAND = condition(A, Predicate.AVAILABLE_AT_LEAST, 1)


def test_an_account_in_another_currency_is_no_answer_to_a_condition() -> None:
    held = account(ALICE, 50, "JPY")
    named = party_of(f"acc_{'0' * 26}", "GBP")._replace(account=held.facts.id)
    wrong = condition(A, Predicate.VERSION, 1)._replace(account=named)

    refused = one(books(FUNDED, held), replace(transfer(posting(A, B)), conditions=(wrong,)))

    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.CURRENCY_MISMATCH


def test_an_account_that_does_not_exist_is_not_opened_by_its_id() -> None:
    refused = one(books(), opening("acc_00000000000000000000000000"))

    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.ACCOUNT_NOT_FOUND
