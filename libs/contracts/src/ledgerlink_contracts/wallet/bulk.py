"""Bulk orders on the wire: many transfers in one request, each for itself."""

from typing import Annotated, Any, Final

from pydantic import Field

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.models import TransferOrder, TransferView
from ledgerlink_kit.wire import RequestModel, ResponseModel

BULK_TRANSFERS_MAX: Final = 1_000
"""Most transfers of one bulk order: what one commit carries."""


class BulkOrder(RequestModel):
    """Post 1 to 1,000 transfers, each for itself: one refused does not touch its neighbors.

    A transfer without ``id`` gets one from the Idempotency-Key and its place.
    """

    transfers: Annotated[list[TransferOrder], Field(min_length=1, max_length=BULK_TRANSFERS_MAX)]


class BulkItemView(ResponseModel):
    """What became of one transfer: ``status`` is what it would have been answered with alone.

    Posted: ``transfer`` (``id`` alone where the caller prefers a minimal answer). Refused: ``problem`` (RFC 9457).
    """

    status: int
    id: TransferId | None = None
    transfer: TransferView | None = None
    problem: dict[str, Any] | None = None


class BulkView(ResponseModel):
    """What became of each transfer, in order."""

    posted: int
    refused: int
    items: list[BulkItemView]
