"""What was asked, told apart by field: two requests are equal when no field differs."""

import json
from typing import Any, cast

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Transfer
from ledgerlink_wallet.domain.orders import Content, Outcome, Refusal, Remembered, RememberedCommand, Replayed


def content_of(fields: bytes) -> Content:
    """Make the content of JSON ``fields`` (absent fields left out)."""
    return Content(lambda: fields)


def content_of_plain(transfer: Transfer) -> Content:
    """Tell what was asked when the plain order (`PostTransfer.plain`) of a posted transfer was given."""

    def write() -> bytes:
        fields: dict[str, Any] = {
            "operation": "transfer",
            "kind": transfer.kind,
            "postings": [
                {
                    "debit": made.debit.party,
                    "credit": made.credit.party,
                    "amount_minor": made.amount_minor,
                    "currency": made.currency,
                }
                for made in transfer.movements
            ],
            "metadata": transfer.metadata,
        }
        optional = {"on_behalf_of": transfer.on_behalf_of, "reference": transfer.reference}
        fields |= {name: value for name, value in optional.items() if value is not None}
        return json.dumps(fields).encode()

    return Content(write)


def differences(before: bytes, now: bytes) -> list[str]:
    """Name the fields that differ between two contents, as dotted paths in order: ``postings.0.amount_minor``."""
    if before == now:
        return []
    return sorted(_paths(json.loads(before), json.loads(now), ""))


def _paths(before: Any, now: Any, path: str) -> list[str]:
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        left, right = cast("dict[str, Any]", before), cast("dict[str, Any]", now)
        return [
            found
            for name in left.keys() | right.keys()
            for found in _paths(left.get(name), right.get(name), f"{path}.{name}" if path else name)
        ]
    if isinstance(before, list) and isinstance(now, list):
        ours, theirs = cast("list[Any]", before), cast("list[Any]", now)
        if len(ours) == len(theirs):
            pairs = zip(ours, theirs, strict=True)
            return [found for i, (a, b) in enumerate(pairs) for found in _paths(a, b, f"{path}.{i}")]
    return [path]


def recall(before: Remembered, command: RememberedCommand) -> Outcome:
    """Answer a known id: what it had ``before``, or a refusal that names what differs now."""
    differs = differences(before.content.fields, command.content.fields)
    if not differs:
        return Replayed(before)
    return Refusal(
        RefusalCode.ID_REUSED,
        "The id (or the Idempotency-Key that makes it) was used before for something else.",
        {"differs": differs},
    )
