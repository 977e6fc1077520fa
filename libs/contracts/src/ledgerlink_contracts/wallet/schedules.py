"""Scheduled transfers on the wire: money that goes from a wallet to another at a moment to come, or again and again.

Occurrences are counted from 0. Each is carried out once, by the ledger's ordinary transfer on the owner's behalf.
"""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, Field, model_validator

from ledgerlink_contracts.ids import ScheduleId, TransferId, WalletId
from ledgerlink_contracts.wallet.models import Moment
from ledgerlink_kit.money import AmountMinor, CurrencyCode
from ledgerlink_kit.pagination import Page
from ledgerlink_kit.wire import Metadata, RequestModel, ResponseModel, Text
from ledgerlink_kit.zones import ZoneName

SCHEDULES_MAX: Final = 100
"""Schedules of one wallet that are active or paused."""

EVERY_MAX: Final = 366
"""Most days, weeks or months from one occurrence to the next."""

COUNT_MAX: Final = 10_000
"""Most occurrences that a `count` names; without one there is no such end."""

START_PAST_S_MAX: Final = 300
"""How far back a start may lie, for clocks that differ and requests that are sent again."""

RETRIES_S: Final = (3_600, 10_800, 28_800)
"""Seconds from each try that lacked funds to the next: one hour, three hours, eight hours. Then it has failed."""

LATE_S_MAX: Final = 31 * 24 * 3_600
"""How late an occurrence is still carried out after an outage; what is older is skipped."""


class Period(StrEnum):
    """What an interval is counted in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class RecurrenceOrder(RequestModel):
    """Every so many days, weeks or months, at the start's time of day in ``time_zone``.

    By months: on the start's day of the month, or the month's last where it has no such day (31 January, 28 February,
    31 March). Where clocks go forward, a time that is left out comes as much later; where they go back, of two equal
    times the first is meant.
    """

    every: Annotated[int, Field(strict=True, ge=1, le=EVERY_MAX)] = 1
    unit: Period
    time_zone: ZoneName = "UTC"


class ScheduleOrder(RequestModel):
    """Transfer ``amount_minor`` to the wallet ``to`` at ``starts_at``, and again by ``recurrence``.

    A recurrence may end: ``ends_at`` is the last moment at which an occurrence can be due, ``count`` says how many
    there are, skipped ones too.
    """

    to: WalletId
    amount_minor: AmountMinor
    currency: CurrencyCode
    reference: Text | None = None
    metadata: Metadata = Field(default_factory=dict)
    starts_at: Moment
    recurrence: RecurrenceOrder | None = None
    ends_at: Moment | None = None
    count: Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX)] | None = None

    @model_validator(mode="after")
    def _ends_once(self) -> Self:
        if self.ends_at is not None and self.count is not None:
            raise ValueError("Give one of ends_at and count.")
        if self.recurrence is None and (self.ends_at is not None or self.count is not None):
            raise ValueError("Only a recurrence has ends_at or count; without one there is one occurrence.")
        if self.ends_at is not None and self.ends_at < self.starts_at:
            raise ValueError("ends_at lies before starts_at.")
        return self


class ScheduleState(StrEnum):
    """Where a schedule stands; all but active and paused are final."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    """No occurrence is left."""
    CANCELED = "canceled"
    STOPPED = "stopped"
    """The ledger refused for good: one of the wallets is closed."""


class OccurrenceState(StrEnum):
    """What became of an occurrence. Final: one that will be tried again is still the schedule's next."""

    EXECUTED = "executed"
    FAILED = "failed"
    """The ledger refused it, and it is not tried again; `code` and `detail` say why."""
    SKIPPED = "skipped"
    """It was not tried: due while the schedule was paused, or too long ago after an outage; `code` says which."""


SKIPPED_PAUSED: Final = "schedule-paused"
SKIPPED_OVERDUE: Final = "schedule-overdue"


class RecurrenceView(ResponseModel):
    """A recurrence as it was ordered."""

    every: int
    unit: Period
    time_zone: str


class NextView(ResponseModel):
    """The occurrence that comes next.

    ``tries`` counts how often it was refused for lack of funds, ``code`` and ``detail`` tell the latest refusal, and
    ``try_at`` is when it is tried (again); ``due_at`` stays.
    """

    number: int
    due_at: AwareDatetime
    try_at: AwareDatetime
    tries: int
    code: str | None
    detail: str | None


class ScheduleView(ResponseModel):
    """A schedule. ``next`` is null when it has ended."""

    id: ScheduleId
    wallet: WalletId
    to: WalletId
    owner: str
    state: ScheduleState
    amount_minor: int
    currency: str
    reference: str | None
    metadata: dict[str, str]
    starts_at: AwareDatetime
    recurrence: RecurrenceView | None
    ends_at: AwareDatetime | None
    count: int | None
    next: NextView | None
    created_by: str
    created_at: AwareDatetime
    changed_at: AwareDatetime


class OccurrenceView(ResponseModel):
    """What became of an occurrence: its transfer, or why there is none.

    Skipped ones that follow each other are told together, from ``number`` to ``last_number``; else both are one.
    ``recorded_at`` is when it was carried out, failed or was skipped, and for an executed one the transfer's moment in
    the books.
    """

    number: int
    last_number: int
    due_at: AwareDatetime
    state: OccurrenceState
    tries: int
    transfer: TransferId | None
    code: str | None
    detail: str | None
    recorded_at: AwareDatetime


class ScheduledReport(ResponseModel):
    """What is told of an occurrence: what was to be moved, and what came of it.

    ``try_at`` is set when a refused one will be tried again.
    """

    schedule: ScheduleId
    wallet: WalletId
    to: WalletId
    amount_minor: int
    currency: str
    reference: str | None
    number: int
    last_number: int
    due_at: AwareDatetime
    tries: int
    transfer: TransferId | None
    code: str | None
    detail: str | None
    try_at: AwareDatetime | None
    recorded_at: AwareDatetime


SchedulePage = Page[ScheduleView]
OccurrencePage = Page[OccurrenceView]
