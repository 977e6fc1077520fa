"""Linked groups: several orders in one commit, all or none."""

from hashlib import sha256
from typing import Any, Final

import orjson

from ledgerlink_contracts.ids import HoldId, TransferId
from ledgerlink_contracts.wallet.groups import GroupItem, GroupOrder
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.ledger import (
    Mandate,
    capture_from,
    hold_from,
    reversal_from,
    submit,
    transfer_from,
)
from ledgerlink_wallet.domain.orders import LinkedGroup, RememberedCommand
from ledgerlink_wallet.runtime import Answer, Runtime

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


async def post_group(runtime: Runtime, mandate: Mandate, order: GroupOrder, *, dry_run: bool = False) -> Answer:
    """Carry out all items of ``order`` in order, or none.

    Each item's content says which group it was part of and where, so an id stands for its place in this group alone.
    """
    whole = orjson.dumps(order.model_dump(mode="json", exclude_none=True), option=_OPTIONS)
    group = sha256(whole).hexdigest()
    commands = tuple(
        _command(mandate, item, number, {"group": {"sha256": group, "item": number}})
        for number, item in enumerate(order.items)
    )
    with span("post_group"):
        derived = all(item.order().id is None for item in order.items)
        return await submit(runtime, mandate, LinkedGroup(commands), derived=derived, dry_run=dry_run)


def _command(mandate: Mandate, item: GroupItem, number: int, linked: dict[str, Any]) -> RememberedCommand:
    kind = HoldId if item.hold is not None else TransferId
    id_ = mandate.named(item.order().id, kind, f"group item {number}")
    if item.transfer is not None:
        owner = None if item.transfer.on_behalf_of is None else str(item.transfer.on_behalf_of)
        return transfer_from(item.transfer, id_, owner, **linked)
    if item.hold is not None:
        return hold_from(item.hold, id_, **linked)
    if item.capture is not None:
        return capture_from(item.capture.hold, item.capture, id_, **linked)
    assert item.reversal is not None
    return reversal_from(item.reversal.transfer, item.reversal, id_, **linked)
