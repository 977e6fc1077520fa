"""Proves when occurrences are due, against a model that looks at calendars and clocks the slow way: never moving away
from the start's day and time, never twice in a period, whatever clocks do; and that each ends once, whatever happens.
"""

from datetime import UTC, date, datetime, time, timedelta
from itertools import count, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerlink_contracts.ids import ScheduleId
from ledgerlink_contracts.wallet.models import YEAR_MAX
from ledgerlink_contracts.wallet.schedules import LATE_S_MAX, RETRIES_S, OccurrenceState, Period, ScheduleState
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.zones import names, zone
from ledgerlink_wallet.domain.schedules import (
    Course,
    Ended,
    Plan,
    Recurrence,
    Step,
    begun,
    canceled,
    due_at,
    executed,
    first_from,
    overdue,
    paused,
    refused,
    resumed,
    transfer_of,
)

LONDON = zone("Europe/London")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FUNDS = ("insufficient-funds", "5 are there.")


def plan(start: str, every: int = 1, unit: Period = Period.DAY, place: str = "Europe/London", **ends: Any) -> Plan:
    """Recur from ``start``, a local time."""
    moment = datetime.fromisoformat(start).replace(tzinfo=zone(place)).astimezone(UTC)
    return Plan(moment, Recurrence(every, unit, zone(place)))._replace(**ends)


def local(made: Plan, numbers: int) -> list[str]:
    """Give the first moments by the clocks of the plan's zone."""
    assert made.recurrence is not None
    dues = [due_at(made, number) for number in range(numbers)]
    return [due.astimezone(made.recurrence.zone).strftime("%Y-%m-%d %H:%M") for due in dues if due is not None]


@pytest.mark.parametrize(
    ("made", "days"),
    [
        (plan("2026-01-31T09:00", 1, Period.MONTH), "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31"),
        (plan("2027-11-30T09:00", 1, Period.MONTH), "2027-11-30 2027-12-30 2028-01-30 2028-02-29 2028-03-30"),
        (plan("2028-02-29T09:00", 12, Period.MONTH), "2028-02-29 2029-02-28 2030-02-28 2031-02-28 2032-02-29"),
        (plan("2026-12-31T09:00", 2, Period.MONTH), "2026-12-31 2027-02-28 2027-04-30 2027-06-30 2027-08-31"),
        (plan("2026-03-28T09:00", 1, Period.DAY), "2026-03-28 2026-03-29 2026-03-30 2026-03-31 2026-04-01"),
        (plan("2026-03-15T09:00", 2, Period.WEEK), "2026-03-15 2026-03-29 2026-04-12 2026-04-26 2026-05-10"),
    ],
)
def test_it_comes_on_the_same_day_at_the_same_time_and_short_months_move_nothing(made: Plan, days: str) -> None:
    assert local(made, 5) == [f"{day} 09:00" for day in days.split()]


def test_a_time_that_clocks_leave_out_comes_as_much_later_and_of_two_equal_times_the_first() -> None:
    # In London clocks went from 01:00 to 02:00 on 29 March 2026, and go from 02:00 to 01:00 on 25 October.
    spring, autumn = plan("2026-03-28T01:30"), plan("2026-10-24T01:30")

    assert local(spring, 3) == ["2026-03-28 01:30", "2026-03-29 02:30", "2026-03-30 01:30"]
    assert due_at(autumn, 1) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert due_at(autumn, 2) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_a_start_in_the_second_of_two_equal_times_is_that_one_and_those_after_it_are_the_first() -> None:
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    made = Plan(second, Recurrence(1, Period.DAY, LONDON))

    assert due_at(made, 0) == second
    assert due_at(made, 1) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert due_at(Plan(second, Recurrence(22, Period.WEEK, LONDON)), 1) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


def test_where_a_whole_day_was_left_out_its_occurrence_comes_with_the_next_days() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    made = plan("2011-12-29T09:00", place="Pacific/Apia")

    assert local(made, 4) == ["2011-12-29 09:00", "2011-12-31 09:00", "2011-12-31 09:00", "2012-01-01 09:00"]


def test_a_schedule_ends_at_its_moment_its_number_or_the_last_year() -> None:
    once = Plan(datetime(2026, 5, 1, tzinfo=UTC))
    until = plan("2026-05-01T09:00", ends_at=datetime(2026, 5, 3, 8, tzinfo=UTC))
    thrice = plan("2026-05-01T09:00", total=3)
    for unit in Period:
        last = plan(f"{YEAR_MAX}-12-31T09:00", 366, unit, "UTC")
        assert [due_at(last, number) is None for number in (0, 1, 2**31)] == [False, True, True]

    assert [due_at(once, number) for number in range(2)] == [once.starts_at, None]
    assert len(local(until, 9)) == len(local(thrice, 9)) == 3
    assert due_at(until._replace(ends_at=datetime(2026, 5, 3, 7, 59, tzinfo=UTC)), 2) is None


def slow_day(start: date, periods: int, unit: Period) -> date:
    """Count by the calendar, one period at a time; a month's day is looked for from the start's downwards."""
    if unit is not Period.MONTH:
        for _ in range(periods * (7 if unit is Period.WEEK else 1)):
            start += DAY
        return start
    first = start.replace(day=1)
    for _ in range(periods):
        first = (first + 31 * DAY).replace(day=1)
    for day in range(start.day, 27, -1):
        try:
            return first.replace(day=day)
        except ValueError:
            continue
    return first.replace(day=start.day)


def slow_moment(day: date, at: time, place: str) -> datetime:
    """Try every offset that the zone has in these days; without one that fits, take the one before the gap."""
    wall = datetime.combine(day, at)
    around = [wall.replace(tzinfo=UTC) + hours * HOUR for hours in range(-60, 61)]
    offsets = [moment.astimezone(zone(place)).utcoffset() or timedelta() for moment in around]
    fits = {
        wall.replace(tzinfo=UTC) - offset
        for offset in offsets
        if (wall.replace(tzinfo=UTC) - offset).astimezone(zone(place)).replace(tzinfo=None) == wall
    }
    return min(fits) if fits else wall.replace(tzinfo=UTC) - offsets[0]


def recurring(start: datetime, every: int, unit: Period, place: str) -> Plan:
    return Plan(start, Recurrence(every, unit, zone(place)))


STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2090, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
PLANS = st.builds(
    recurring,
    STARTS,
    st.integers(1, 40),
    st.sampled_from(Period),
    st.sampled_from(sorted(names())),
)


@settings(deadline=None)
@given(made=PLANS, number=st.integers(1, 60))
def test_an_occurrence_is_where_the_slow_way_finds_it(made: Plan, number: int) -> None:
    assert made.recurrence is not None
    every, unit, place = made.recurrence
    start = made.starts_at.astimezone(place)
    day = slow_day(start.date(), every * number, unit)

    assert due_at(made, number) == slow_moment(day, start.time(), str(place))


@settings(deadline=None)
@given(made=PLANS, total=st.integers(1, 50))
def test_occurrences_follow_each_other_one_in_each_period_as_many_as_were_asked_for(made: Plan, total: int) -> None:
    assert made.recurrence is not None
    every, unit, place = made.recurrence
    dues = [due for number in range(60) if (due := due_at(made._replace(total=total), number)) is not None]
    days = [due.astimezone(place).date() for due in dues]

    assert len(dues) == total
    assert dues == sorted(set(dues))
    if unit is Period.MONTH:
        months = [day.year * 12 + day.month for day in days]
        # A gap at midnight may move one into the next day, which after a month's last is the next month's.
        assert all(
            abs(later - first - every * number) <= 1 for first in months[:1] for number, later in enumerate(months)
        )
        assert len(set(days)) == total
    else:
        step = every * (7 if unit is Period.WEEK else 1)
        assert all(abs((day - days[0]).days - step * number) <= 1 for number, day in enumerate(days))


@settings(deadline=None)
@given(
    made=PLANS,
    number=st.integers(0, 20),
    further=st.integers(-10, 60),
    total=st.integers(1, 40),
    shift=st.integers(-1, 1),
)
def test_the_first_from_a_moment_is_the_one_that_counting_finds(
    made: Plan, number: int, further: int, total: int, shift: int
) -> None:
    bounded = made._replace(total=total)
    moment = (due_at(made, max(0, number + further)) or made.starts_at) + timedelta(microseconds=shift)

    def is_behind(one: int) -> bool:
        due = due_at(bounded, one)
        return due is not None and due < moment

    assert first_from(bounded, number, moment) == number + len(list(takewhile(is_behind, count(number))))


def after(step: Step) -> Course:
    return step.course


def test_each_try_has_a_transfer_of_its_own_and_the_same_try_always_the_same() -> None:
    one, other = ScheduleId(uuid8("a")), ScheduleId(uuid8("b"))
    ids = {transfer_of(id_, number, tries) for id_ in (one, other) for number in range(3) for tries in range(4)}

    assert len(ids) == 24
    assert transfer_of(one, 2, 1) in ids


def test_a_lack_of_funds_is_tried_again_after_one_three_and_eight_hours_and_then_it_has_failed() -> None:
    made = plan("2026-05-01T09:00", 1, Period.WEEK)
    course, now = begun(made), made.starts_at
    for tries, pause in enumerate(RETRIES_S, 1):
        step = refused(made, course, *FUNDS, now)
        course = after(step)
        assert (step.ended, course.tries, course.due_at, course.number) == ((), tries, made.starts_at, 0)
        assert course.try_at == now + timedelta(seconds=pause)
        assert (course.code, course.detail) == FUNDS
        now += timedelta(seconds=pause)
    last = refused(made, course, *FUNDS, now)

    assert last.ended == (Ended(0, 0, made.starts_at, OccurrenceState.FAILED, 4, *FUNDS),)
    assert last.course == Course(ScheduleState.ACTIVE, 1, due_at(made, 1), due_at(made, 1))


def test_nothing_is_tried_again_once_the_next_one_is_due_and_the_last_one_always_may_be() -> None:
    daily = plan("2026-05-01T09:00")
    missed = refused(daily, begun(daily), *FUNDS, daily.starts_at + DAY - HOUR)
    close = refused(daily, begun(daily), *FUNDS, daily.starts_at + DAY - HOUR - timedelta(microseconds=1))
    once = refused(Plan(daily.starts_at), begun(Plan(daily.starts_at)), *FUNDS, daily.starts_at + 9 * DAY)

    assert [one.state for one in missed.ended] == [OccurrenceState.FAILED]
    assert (close.ended, close.course.tries) == ((), 1)
    assert (once.ended, once.course.tries) == ((), 1)


def test_other_refusals_fail_at_once_and_a_closed_account_stops_the_schedule() -> None:
    made = plan("2026-05-01T09:00")
    frozen = refused(made, begun(made), "account-frozen", "It is frozen.", made.starts_at)
    closed = refused(made, begun(made), "account-closed", "It is closed.", made.starts_at)

    assert (frozen.course.state, frozen.course.number, len(frozen.ended)) == (ScheduleState.ACTIVE, 1, 1)
    assert closed.course == Course(ScheduleState.STOPPED, 1, None, None)
    assert closed.ended[0].code == "account-closed"


def test_what_is_later_than_the_bound_is_skipped_together_and_the_rest_is_still_to_be_carried_out() -> None:
    made = plan("2026-05-01T09:00", place="UTC")
    bound = timedelta(seconds=LATE_S_MAX)
    on_time = overdue(made, begun(made), made.starts_at + bound)
    step = overdue(made, begun(made), made.starts_at + bound + 5 * DAY + HOUR)
    tried = begun(made)._replace(tries=2, code="insufficient-funds", detail="none")
    given_up = overdue(made, tried, made.starts_at + bound + HOUR)
    over = overdue(plan("2026-05-01T09:00", place="UTC", total=3), begun(made), made.starts_at + 2 * bound)
    assert step is not None
    assert given_up is not None
    assert over is not None

    assert on_time is None
    assert step.ended == (
        Ended(0, 5, made.starts_at, OccurrenceState.SKIPPED, 0, "schedule-overdue", step.ended[0].detail),
    )
    assert (step.course.number, step.course.due_at) == (6, made.starts_at + 6 * DAY)
    assert [(one.state, one.number, one.tries) for one in given_up.ended] == [(OccurrenceState.FAILED, 0, 2)]
    assert (over.course.state, over.course.number, over.ended[0].last_number) == (ScheduleState.COMPLETED, 3, 2)


def test_a_pause_skips_what_was_due_in_it_and_ends_a_schedule_that_has_nothing_left() -> None:
    made = plan("2026-05-01T09:00", place="UTC", total=4)
    asleep = paused(begun(made)).course
    soon = resumed(made, asleep, made.starts_at)
    later = resumed(made, asleep, made.starts_at + 2 * DAY + HOUR)
    never = resumed(made, asleep, made.starts_at + 9 * DAY)
    tried = asleep._replace(tries=1, code="insufficient-funds", detail="none")
    retried = resumed(made, tried, made.starts_at + HOUR)

    assert asleep.state is ScheduleState.PAUSED
    assert soon == Step(begun(made))
    assert [(one.state, one.number, one.last_number) for one in later.ended] == [(OccurrenceState.SKIPPED, 0, 2)]
    assert (later.course.state, later.course.number) == (ScheduleState.ACTIVE, 3)
    assert (never.course.state, never.ended[0].last_number) == (ScheduleState.COMPLETED, 3)
    assert [(one.state, one.number) for one in retried.ended] == [(OccurrenceState.FAILED, 0)]
    assert (retried.course.state, retried.course.number, retried.course.tries) == (ScheduleState.ACTIVE, 1, 0)


def test_a_canceled_schedule_ends_and_what_was_tried_has_failed() -> None:
    made = plan("2026-05-01T09:00")
    tried = begun(made)._replace(tries=1, code="insufficient-funds", detail="none")

    assert canceled(begun(made)) == Step(Course(ScheduleState.CANCELED, 0, None, None))
    assert canceled(tried).course == Course(ScheduleState.CANCELED, 1, None, None)
    assert [(one.state, one.tries) for one in canceled(tried).ended] == [(OccurrenceState.FAILED, 1)]


@settings(deadline=None)
@given(made=PLANS, total=st.integers(1, 12), data=st.data())
def test_whatever_happens_each_occurrence_ends_once_and_in_order(made: Plan, total: int, data: st.DataObject) -> None:
    bounded = made._replace(total=total)
    course, now = begun(bounded), made.starts_at
    ended: list[Ended] = []
    for _ in range(40):
        if course.due_at is None or course.try_at is None:
            break
        now = max(now, course.try_at) + data.draw(st.sampled_from([timedelta(), HOUR, 40 * DAY]))
        late = overdue(bounded, course, now)
        choice = data.draw(st.sampled_from(["post", "funds", "frozen", "closed", "pause", "cancel"]))
        if late is not None:
            step = late
        elif choice == "post":
            step = executed(bounded, course)
        elif choice == "pause":
            step = resumed(bounded, paused(course).course, now)
        elif choice == "cancel":
            step = canceled(course)
        else:
            code = {"funds": "insufficient-funds", "frozen": "account-frozen", "closed": "account-closed"}[choice]
            step = refused(bounded, course, code, "so", now)
        course = step.course
        ended += step.ended
        # Nothing goes on that has no moment, and a try has its refusal.
        assert (course.due_at is None) == (course.state not in {ScheduleState.ACTIVE, ScheduleState.PAUSED})
        assert (course.due_at is None) == (course.try_at is None)
        assert (course.tries > 0) == (course.code is not None)

    told = [number for one in ended for number in range(one.number, one.last_number + 1)]
    assert told == list(range(course.number))
    assert course.number <= total
    assert (course.state is ScheduleState.COMPLETED) <= (course.number == total)
    assert all(one.due_at == due_at(bounded, one.number) for one in ended)
