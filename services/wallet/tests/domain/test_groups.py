"""Proves that a linked group is carried out whole or not at all, and that a dry run changes nothing."""

from dataclasses import replace

import pytest
from services.wallet.tests.domain.test_refusals import (
    FUNDED,
    NOW,
    A,
    B,
    account,
    books,
    bounded,
    capture,
    place,
    posting,
    reverse,
    transfer,
)

from ledgerlink_contracts.wallet.models import HoldState, Predicate
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.books import HoldKey, TransferKey, WalletKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import (
    Books,
    Captured,
    Command,
    Condition,
    DryRun,
    GroupDecided,
    HoldChanged,
    LinkedGroup,
    Outcome,
    Posted,
    Refusal,
    Remembered,
    RememberedCommand,
    Replayed,
    Tried,
)
from ledgerlink_wallet.domain.parties import party_of

PLACED = replace(place(300), id=HoldKey(uuid8("h")))
MOVED = replace(transfer(posting(A, B, 100), posting(B, "merchant:m", 40)), id=TransferKey(uuid8("o")))


def of(group: str, *commands: RememberedCommand) -> LinkedGroup:
    return LinkedGroup(
        tuple(replace(one, content=content_of(f'["{group}",{i}]'.encode())) for i, one in enumerate(commands))
    )


def decide(given: Books, *commands: Command) -> list[Outcome]:
    return apply(given, commands, NOW).outcomes


def parts(outcome: Outcome) -> tuple[Outcome, ...]:
    assert isinstance(outcome, GroupDecided)
    return outcome.outcomes


def codes(outcome: Outcome) -> list[RefusalCode | None]:
    return [part.code if isinstance(part, Refusal) else None for part in parts(outcome)]


def test_items_see_what_earlier_items_did_holds_to_capture_and_transfers_to_reverse_included() -> None:
    group = of("g", PLACED, capture(100, final=False), MOVED, reverse((1, 40)), reverse_capture())

    decided = apply(books(FUNDED), [group], NOW)

    kinds = [type(part) for part in parts(decided.outcomes[0])]
    assert kinds == [HoldChanged, Captured, Posted, Posted, Posted]
    assert decided.accounts[FUNDED.facts.id].posted_minor == 900
    assert decided.accounts[FUNDED.facts.id].pending_minor == 200
    assert decided.holds[PLACED.id].state is HoldState.PLACED
    assert decided.originals[MOVED.id].reversed_minor == (0, 40)


def reverse_capture() -> RememberedCommand:
    return replace(reverse(), id=TransferKey(uuid8("r2")), transfer=TransferKey(uuid8("c")))


def test_when_one_item_is_refused_nothing_is_left_of_the_group_and_the_first_is_named() -> None:
    group = of("g", PLACED, MOVED, transfer(posting(A, B, 601), id_="too much"), transfer(posting(A, B, 1), id_="last"))

    decided = apply(books(FUNDED), [group], NOW)

    linked = RefusalCode.LINKED_REFUSED
    assert codes(decided.outcomes[0]) == [linked, linked, RefusalCode.INSUFFICIENT_FUNDS, linked]
    assert (decided.accounts, decided.holds, decided.originals) == ({}, {}, {})
    first = parts(decided.outcomes[0])[0]
    assert isinstance(first, Refusal)
    assert first.members == {"item": 2}


@pytest.mark.parametrize("amount", [1, 5_000])
def test_the_same_group_again_is_answered_from_memory_item_by_item(amount: int) -> None:
    group = of("g", MOVED, transfer(posting(A, B, amount)))

    first, again = decide(books(FUNDED), group, group)

    for before, part in zip(parts(first), parts(again), strict=True):
        assert isinstance(part, Replayed)
        assert part.remembered.answer == before


def test_an_id_that_was_used_outside_of_the_group_refuses_all_of_it_and_stays_what_it_was() -> None:
    alone, fresh = MOVED, transfer(posting(A, B, 1))
    group = of("g", fresh, alone)

    decided = apply(books(FUNDED), [alone, group, alone, fresh], NOW)

    _, refused, again, lone = decided.outcomes
    assert codes(refused) == [RefusalCode.LINKED_REFUSED, RefusalCode.ID_REUSED]
    assert isinstance(again, Replayed)
    # The id of an item is spent: alone it is another order.
    assert isinstance(lone, Refusal)
    assert lone.code is RefusalCode.ID_REUSED


def test_one_id_twice_in_a_group_refuses_it() -> None:
    (outcome,) = decide(books(FUNDED), of("g", MOVED, MOVED))

    assert codes(outcome) == [RefusalCode.LINKED_REFUSED, RefusalCode.ID_REUSED]


def test_a_group_of_which_a_part_is_forgotten_is_not_done_twice() -> None:
    group = of("g", MOVED, transfer(posting(A, B, 1)))
    known = {MOVED.id: Remembered(group.commands[0].content, b"{}")}

    decided = apply(replace(books(FUNDED), remembered=known), [group], NOW)

    first, second = parts(decided.outcomes[0])
    assert isinstance(first, Replayed)
    assert isinstance(second, Refusal)
    assert second.code is RefusalCode.LINKED_REFUSED
    assert decided.accounts == {}


def test_a_transfer_that_is_stored_is_never_taken_for_one_posted_a_moment_ago() -> None:
    stored = {MOVED.id: Remembered(content_of(b"{}"), b"{}")}

    (outcome,) = decide(replace(books(FUNDED), remembered=stored), reverse())

    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.TRANSFER_NOT_FOUND


@pytest.mark.parametrize("amount", [100, 5_000])
def test_a_dry_run_decides_as_the_real_one_and_leaves_books_and_ids_alone(amount: int) -> None:
    order = transfer(posting(A, B, amount))

    tried, real = decide(books(FUNDED), DryRun(order), order)

    assert isinstance(tried, Tried)
    assert tried.outcome == real
    assert apply(books(FUNDED), [DryRun(order)], NOW).accounts == {}


def test_a_dry_run_of_a_group_sees_the_batch_before_it_and_leaves_no_trace() -> None:
    before, group = transfer(posting(A, B, 700)), of("g", PLACED, capture())

    decided = apply(books(FUNDED), [before, DryRun(group), DryRun(of("h", MOVED, PLACED))], NOW)

    _, fits, fails = decided.outcomes
    assert isinstance(fits, Tried)
    assert [type(part) for part in parts(fits.outcome)] == [HoldChanged, Captured]
    assert isinstance(fails, Tried)
    assert codes(fails.outcome) == [RefusalCode.LINKED_REFUSED, RefusalCode.INSUFFICIENT_FUNDS]
    assert decided.holds == {}
    assert decided.accounts[FUNDED.facts.id].posted_minor == 300


def test_a_dry_run_of_a_known_id_gives_what_it_had() -> None:
    order = transfer(posting(A, B))

    _, tried = decide(books(FUNDED), order, DryRun(order))

    assert isinstance(tried, Tried)
    assert isinstance(tried.outcome, Replayed)


def test_conditions_of_a_group_look_at_the_books_as_each_item_finds_them() -> None:
    emptied = Condition(party_of(A, "GBP"), "GBP", Predicate.AVAILABLE_AT_MOST, 0)
    untouched = Condition(party_of("merchant:m", "GBP"), "GBP", Predicate.VERSION, 0)
    spend, then = transfer(posting(A, B, 1_000), id_="1"), transfer(posting(B, A, 1), id_="2")
    given = books(FUNDED, account(WalletKey(uuid8("bob")), 0), bounded("merchant:m", 0))

    (outcome,) = decide(given, of("g", spend, replace(then, conditions=(emptied, untouched))))

    assert codes(outcome) == [None, None]
