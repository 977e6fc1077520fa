"""When scheduled transfers are due, and what an occurrence's outcome means for those that follow.

A schedule's *course* says which occurrence comes next; every other one has *ended*, once. All moments are UTC.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from ledgerlink_contracts.ids import ScheduleId, TransferId
from ledgerlink_contracts.wallet.models import YEAR_MAX
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_contracts.wallet.schedules import (
    LATE_S_MAX,
    RETRIES_S,
    SKIPPED_OVERDUE,
    SKIPPED_PAUSED,
    OccurrenceState,
    Period,
    ScheduleState,
)

KIND: Final = "wallet.scheduled"
"""The kind of a transfer that carries out an occurrence."""

LATE_MAX: Final = timedelta(seconds=LATE_S_MAX)

_LAST_DAY: Final = date(YEAR_MAX, 12, 31).toordinal()
_MONTHS: Final = 12
_WEEK: Final = 7
_OVERDUE: Final = f"It was due more than {LATE_MAX.days} days before it could be carried out."
_PAUSED: Final = "The schedule was paused when it was due."


class Recurrence(NamedTuple):
    """Every so many periods, at one time of day by the clocks of ``zone``."""

    every: int
    unit: Period
    zone: tzinfo


class Plan(NamedTuple):
    """Which occurrences there are: one, or those of a recurrence up to a moment or a number."""

    starts_at: datetime
    recurrence: Recurrence | None = None
    ends_at: datetime | None = None
    total: int | None = None


class Course(NamedTuple):
    """Where a schedule stands: which occurrence comes next, when it is due, and when it is tried (again).

    ``due_at`` and ``try_at`` are None once the schedule has ended. ``tries`` counts the refusals of this occurrence, of
    which the latest is told by ``code`` and ``detail``.
    """

    state: ScheduleState
    number: int
    due_at: datetime | None
    try_at: datetime | None
    tries: int = 0
    code: str | None = None
    detail: str | None = None


class Ended(NamedTuple):
    """What became of an occurrence, or of the skipped ones from ``number`` to ``last_number``."""

    number: int
    last_number: int
    due_at: datetime
    state: OccurrenceState
    tries: int
    code: str | None = None
    detail: str | None = None


class Step(NamedTuple):
    """A schedule's course from now on, and the occurrences that ended."""

    course: Course
    ended: tuple[Ended, ...] = ()


def due_at(plan: Plan, number: int) -> datetime | None:
    """Give when the occurrence ``number`` is due, or None when there is none.

    Each is counted from the start, so that a short month does not move those after it. A time that clocks leave out is
    read by the offset before the gap, so it comes as much later; of a time that comes twice the first is meant (RFC
    5545, section 3.3.5). The first occurrence is the start itself, whichever of two equal times it names.
    """
    if number == 0:
        return plan.starts_at
    if plan.recurrence is None or (plan.total is not None and number >= plan.total):
        return None
    every, unit, zone = plan.recurrence
    start = plan.starts_at.astimezone(zone)
    day = (
        _months_on(start.date(), every * number)
        if unit is Period.MONTH
        else _days_on(start.date(), every * number, unit)
    )
    if day is None:
        return None
    moment = datetime.combine(day, start.time().replace(fold=0), zone).astimezone(UTC)
    return None if plan.ends_at is not None and moment > plan.ends_at else moment


def _days_on(start: date, periods: int, unit: Period) -> date | None:
    ordinal = start.toordinal() + periods * (_WEEK if unit is Period.WEEK else 1)
    return date.fromordinal(ordinal) if ordinal <= _LAST_DAY else None


def _months_on(start: date, months: int) -> date | None:
    year, month = divmod(start.year * _MONTHS + start.month - 1 + months, _MONTHS)
    if year > YEAR_MAX:
        return None
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def first_from(plan: Plan, number: int, moment: datetime) -> int:
    """Give the first occurrence from ``number`` on that is due at ``moment`` or later.

    When none is, that is the number after the last. It takes O(log n) looks, however long nobody looked.
    """

    def is_ahead(one: int) -> bool:
        due = due_at(plan, one)
        return due is None or due >= moment

    if is_ahead(number):
        return number
    low, step = number, 1
    while not is_ahead(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_ahead(middle) else (middle, high)
    return high


def transfer_of(schedule: ScheduleId, number: int, tries: int) -> TransferId:
    """Give the id of the transfer that carries out an occurrence that was refused ``tries`` times before.

    Whoever carries it out, and however often, asks for this one. A refused id stays refused, so each try has its own.
    """
    return TransferId.derive("schedule", str(schedule), str(number), str(tries))


def begun(plan: Plan) -> Course:
    """Begin with the first occurrence."""
    return Course(ScheduleState.ACTIVE, 0, plan.starts_at, plan.starts_at)


def _after(plan: Plan, course: Course, last_number: int) -> Course:
    """Go on after ``last_number``; a schedule with nothing left is completed."""
    due = due_at(plan, last_number + 1)
    return Course(ScheduleState.COMPLETED if due is None else course.state, last_number + 1, due, due)


def _ended(course: Course, state: OccurrenceState, tries: int, code: str | None, detail: str | None) -> Ended:
    assert course.due_at is not None, "an occurrence that comes next is due at some time"
    return Ended(course.number, course.number, course.due_at, state, tries, code, detail)


def executed(plan: Plan, course: Course) -> Step:
    """Go on after the transfer was posted."""
    ended = _ended(course, OccurrenceState.EXECUTED, course.tries + 1, None, None)
    return Step(_after(plan, course, course.number), (ended,))


def refused(plan: Plan, course: Course, code: str, detail: str, now: datetime) -> Step:
    """Go on after the ledger refused: try again where funds may come, give it up, or stop for good.

    Only a lack of funds is tried again, and never once the next occurrence is due: an order that waits for money must
    not meet the one after it. A closed account stays closed, so its schedule ends.
    """
    tries = course.tries + 1
    if code == RefusalCode.INSUFFICIENT_FUNDS and tries <= len(RETRIES_S):
        again = now + timedelta(seconds=RETRIES_S[tries - 1])
        following = due_at(plan, course.number + 1)
        if following is None or again < following:
            return Step(course._replace(try_at=again, tries=tries, code=code, detail=detail))
    ended = (_ended(course, OccurrenceState.FAILED, tries, code, detail),)
    if code == RefusalCode.ACCOUNT_CLOSED:
        return Step(Course(ScheduleState.STOPPED, course.number + 1, None, None), ended)
    return Step(_after(plan, course, course.number), ended)


def overdue(plan: Plan, course: Course, now: datetime) -> Step | None:
    """Pass over what was due longer ago than is carried out late; None when the next occurrence is not."""
    assert course.due_at is not None, "only a schedule that goes on is looked at"
    if course.due_at >= now - LATE_MAX:
        return None
    return _skipped(plan, course, now - LATE_MAX, SKIPPED_OVERDUE, _OVERDUE)


def _skipped(plan: Plan, course: Course, until: datetime, code: str, detail: str) -> Step:
    """Pass over the occurrences that are due before ``until``; one that has been tried has failed."""
    ended: tuple[Ended, ...] = ()
    if course.tries:
        ended = (_ended(course, OccurrenceState.FAILED, course.tries, course.code, course.detail),)
        course = _after(plan, course, course.number)
    if course.due_at is not None and course.due_at < until:
        last = first_from(plan, course.number, until) - 1
        ended += (Ended(course.number, last, course.due_at, OccurrenceState.SKIPPED, 0, code, detail),)
        course = _after(plan, course, last)
    return Step(course, ended)


def paused(course: Course) -> Step:
    """Carry out nothing for now."""
    return Step(course._replace(state=ScheduleState.PAUSED))


def resumed(plan: Plan, course: Course, now: datetime) -> Step:
    """Go on with the first occurrence that is still to come; what was due in the pause is skipped, not made up for."""
    return _skipped(plan, course._replace(state=ScheduleState.ACTIVE), now, SKIPPED_PAUSED, _PAUSED)


def canceled(course: Course) -> Step:
    """End for good; an occurrence that has been tried has failed."""
    number, ended = course.number, ()
    if course.tries:
        ended = (_ended(course, OccurrenceState.FAILED, course.tries, course.code, course.detail),)
        number += 1
    return Step(Course(ScheduleState.CANCELED, number, None, None), ended)
