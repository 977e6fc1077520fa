"""What the ledger tells the others; stream `events:wallet`.

The aggregate is the wallet, the transfer, the hold or the schedule.
"""

from typing import ClassVar

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.alerts import CrossingView
from ledgerlink_contracts.wallet.models import HoldView, TransferRecord, WalletView
from ledgerlink_contracts.wallet.schedules import ScheduledReport
from ledgerlink_kit.outbox import Event


class WalletCreated(Event):
    """A wallet was opened."""

    event_type: ClassVar[str] = "wallet.wallet.created"
    wallet: WalletView


class TransferPosted(Event):
    """A transfer was posted: by an order, a capture or a reversal. Its balances stand in its accounts' entries."""

    event_type: ClassVar[str] = "wallet.transfer.posted"
    data_version: ClassVar[int] = 2
    transfer: TransferRecord


class HoldPlaced(Event):
    """Funds were reserved."""

    event_type: ClassVar[str] = "wallet.hold.placed"
    hold: HoldView


class HoldCaptured(Event):
    """A hold was captured, whole or in part; `hold.state` is `placed` while a rest still waits."""

    event_type: ClassVar[str] = "wallet.hold.captured"
    hold: HoldView
    transfer: TransferId


class HoldReleased(Event):
    """What was left of a hold was given back."""

    event_type: ClassVar[str] = "wallet.hold.released"
    hold: HoldView


class HoldExpired(Event):
    """A hold's time came, and what was left of it was given back."""

    event_type: ClassVar[str] = "wallet.hold.expired"
    hold: HoldView


class BalanceCrossed(Event):
    """A wallet's available balance crossed a threshold of an alert."""

    event_type: ClassVar[str] = "wallet.balance.crossed"
    alert: CrossingView


class ScheduleExecuted(Event):
    """An occurrence of a scheduled transfer was carried out by `occurrence.transfer`."""

    event_type: ClassVar[str] = "wallet.schedule.executed"
    occurrence: ScheduledReport


class ScheduleFailed(Event):
    """An occurrence was refused, or skipped because it was overdue; `try_at` is set when it will be tried again."""

    event_type: ClassVar[str] = "wallet.schedule.failed"
    occurrence: ScheduledReport
