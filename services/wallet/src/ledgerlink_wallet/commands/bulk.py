"""Bulk: many transfers in one request, each for itself, in one commit where it holds them."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.bulk import BulkOrder
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.problem import problem_body, status_of
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.ledger import Mandate, transfer_from
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.runtime import Answer, Runtime

_FIRST_ERROR = 400


class Posted(NamedTuple):
    """What became of each command of a bulk order."""

    commands: Sequence[PostTransfer]
    told: Sequence[Answer | LedgerLinkError]


async def post_bulk(runtime: Runtime, mandate: Mandate, order: BulkOrder) -> Posted:
    """Post every transfer of ``order`` for itself."""
    commands = [
        transfer_from(
            one,
            mandate.named(one.id, TransferId, f"bulk item {number}"),
            None if one.on_behalf_of is None else str(one.on_behalf_of),
        )
        for number, one in enumerate(order.transfers)
    ]
    with span("post_bulk", transfers=len(commands)):
        return Posted(commands, await runtime.ledger.submit_all(commands))


def write_bulk(posted: Posted, *, minimal: bool) -> bytes:
    """Write the answer as `BulkView` has it; ``minimal`` leaves the transfers' ids of what they are."""
    items: list[bytes] = []
    refused = 0
    for command, told in zip(posted.commands, posted.told, strict=True):
        if isinstance(told, LedgerLinkError):
            items.append(b'{"status":%d,"problem":%b}' % (status_of(told), orjson.dumps(problem_body(told))))
            refused += 1
        elif told.status >= _FIRST_ERROR:
            items.append(b'{"status":%d,"problem":%b}' % (told.status, told.body))
            refused += 1
        elif minimal:
            items.append(b'{"status":%d,"id":"%b"}' % (told.status, str(TransferId(command.id)).encode()))
        else:
            items.append(b'{"status":%d,"transfer":%b}' % (told.status, told.body))
    return b'{"posted":%d,"refused":%d,"items":[%b]}' % (len(items) - refused, refused, b",".join(items))
