"""Linked groups on the wire: several orders that are carried out together or not at all."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from ledgerlink_contracts.ids import HoldId, TransferId
from ledgerlink_contracts.wallet.models import (
    CaptureOrder,
    CaptureView,
    HoldOrder,
    HoldView,
    ReversalOrder,
    TransferOrder,
    TransferView,
)
from ledgerlink_kit.wire import RequestModel, ResponseModel

GROUP_ITEMS_MAX: Final = 100
"""Most items of one group."""


class GroupCapture(CaptureOrder):
    """Capture ``hold``, which an earlier item of the group may have placed."""

    hold: HoldId


class GroupReversal(ReversalOrder):
    """Reverse ``transfer``, which an earlier item of the group may have posted."""

    transfer: TransferId


class GroupItem(RequestModel):
    """One order of a group: exactly one of the four."""

    transfer: TransferOrder | None = None
    hold: HoldOrder | None = None
    capture: GroupCapture | None = None
    reversal: GroupReversal | None = None

    @model_validator(mode="after")
    def _is_one_order(self) -> Self:
        if len(self._given()) != 1:
            raise ValueError("Give exactly one of transfer, hold, capture, reversal.")
        return self

    def _given(self) -> list[TransferOrder | HoldOrder | CaptureOrder | ReversalOrder]:
        orders = (self.transfer, self.hold, self.capture, self.reversal)
        return [order for order in orders if order is not None]

    def order(self) -> TransferOrder | HoldOrder | CaptureOrder | ReversalOrder:
        """Give the one order."""
        return self._given()[0]


class GroupOrder(RequestModel):
    """Carry out 1 to 100 orders in turn, all or none: when one is refused, all are.

    An item without ``id`` gets one from the Idempotency-Key and its place.
    """

    items: Annotated[list[GroupItem], Field(min_length=1, max_length=GROUP_ITEMS_MAX)]


class GroupItemView(ResponseModel):
    """What an item did, under the noun that it was ordered by."""

    transfer: TransferView | None = None
    hold: HoldView | None = None
    capture: CaptureView | None = None
    reversal: TransferView | None = None


class GroupView(ResponseModel):
    """What a group did: its items in order."""

    items: list[GroupItemView]
