"""Proves that limits by transfer, day and month are exact to the unit, begin anew in UTC, and bind owners alone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from services.wallet.tests.domain.test_refusals import FUNDED, A, B, books, place, posting, transfer

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.orders import Allowance, Books, Decided, DryRun, LinkedGroup, Posted, Refusal, Tried

NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
NEVER = (date(1900, 1, 1), 0, date(1900, 1, 1), 0)


def limited(transfer_minor: int | None, day: int | None, month: int | None, used: tuple[date, int, date, int]) -> Books:
    return replace(books(FUNDED), allowances={FUNDED.facts.id: Allowance(transfer_minor, day, month, *used)})


def spend(amount: int, period: str, limit: int) -> Decided:
    limits = [limit if period == one else None for one in ("transfer", "day", "month")]
    command = replace(transfer(posting(A, B, amount)), spends=True)
    return apply(limited(*limits, used=NEVER), [command], NEW_YEARS_EVE)


@pytest.mark.parametrize("period", ["transfer", "day", "month"])
def test_the_whole_limit_may_be_spent_and_one_more_is_refused_with_the_numbers(period: str) -> None:
    exact, over = spend(60, period, 60), spend(61, period, 60)

    assert isinstance(exact.outcomes[0], Posted)
    refusal = over.outcomes[0]
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.LIMIT_EXCEEDED
    resets = None if period == "transfer" else "2027-01-01T00:00:00Z"
    numbers = {"limit_minor": 60, "used_minor": 0, "remaining_minor": 60, "resets_at": resets}
    assert refusal.members == {"party": A, "currency": "GBP", "period": period, **numbers}
    assert over.allowances == {}


def test_what_a_batch_spends_counts_at_once_for_transfers_holds_and_each_posting() -> None:
    two = replace(transfer(posting(A, B, 20), posting(A, "merchant:m", 20), id_="1"), spends=True)
    hold = replace(place(20), spends=True)
    more = replace(transfer(posting(A, B, 1), id_="2"), spends=True)
    decided = apply(limited(40, 60, None, NEVER), [two, hold, more], NEW_YEARS_EVE)

    assert isinstance(decided.outcomes[2], Refusal)
    assert decided.outcomes[2].members["remaining_minor"] == 0
    used = decided.allowances[FUNDED.facts.id]
    assert (used.day, used.day_used_minor, used.month, used.month_used_minor) == (
        date(2026, 12, 31),
        60,
        date(2026, 12, 1),
        60,
    )


def test_a_day_and_a_month_begin_anew_at_midnight_utc() -> None:
    used = (date(2026, 12, 30), 50, date(2026, 12, 1), 50)
    command = replace(transfer(posting(A, B, 50)), spends=True)
    same_month = apply(limited(None, 50, 100, used), [command], NEW_YEARS_EVE)
    over = apply(limited(None, 50, 99, used), [command], NEW_YEARS_EVE)
    next_month = apply(limited(None, 50, 50, used), [command], NEW_YEARS_EVE + timedelta(seconds=1))

    assert same_month.allowances[FUNDED.facts.id].month_used_minor == 100
    assert isinstance(over.outcomes[0], Refusal)
    assert over.outcomes[0].members["period"] == "month"
    assert next_month.allowances[FUNDED.facts.id][3:] == (date(2027, 1, 1), 50, date(2027, 1, 1), 50)


def test_a_clock_that_is_behind_allows_nothing_twice() -> None:
    used = (date(2027, 1, 1), 50, date(2027, 1, 1), 50)
    decided = apply(limited(None, 50, None, used), [replace(transfer(posting(A, B, 1)), spends=True)], NEW_YEARS_EVE)

    assert isinstance(decided.outcomes[0], Refusal)


def test_limits_bind_owners_alone_and_are_looked_at_before_the_amounts() -> None:
    trusted = apply(limited(1, 1, 1, NEVER), [transfer(posting(A, B, 50))], NEW_YEARS_EVE)
    both = spend(5_000, "day", 60)

    assert isinstance(trusted.outcomes[0], Posted)
    assert trusted.allowances == {}
    assert isinstance(both.outcomes[0], Refusal)
    assert both.outcomes[0].code is RefusalCode.LIMIT_EXCEEDED


def test_what_leaves_an_account_of_the_chart_in_the_same_transfer_is_nobodys_spending() -> None:
    both = replace(transfer(posting("world", B, 500), posting(A, B, 60)), spends=True)
    decided = apply(limited(60, 60, 60, NEVER), [both], NEW_YEARS_EVE)

    assert isinstance(decided.outcomes[0], Posted)
    assert decided.allowances[FUNDED.facts.id].day_used_minor == 60


def test_a_refused_group_and_a_dry_run_use_nothing_up() -> None:
    first = replace(transfer(posting(A, B, 40), id_="1"), spends=True)
    second = replace(transfer(posting(A, B, 40), id_="2"), spends=True)
    group = apply(limited(None, 60, None, NEVER), [LinkedGroup((first, second))], NEW_YEARS_EVE)
    tried = apply(limited(None, 60, None, NEVER), [DryRun(first), DryRun(second)], NEW_YEARS_EVE)
    poor = apply(limited(None, 6_000, None, NEVER), [replace(first, postings=(posting(A, B, 5_000),))], NEW_YEARS_EVE)

    assert (group.allowances, tried.allowances, poor.allowances) == ({}, {}, {})
    assert all(isinstance(one, Tried) and isinstance(one.outcome, Posted) for one in tried.outcomes)
