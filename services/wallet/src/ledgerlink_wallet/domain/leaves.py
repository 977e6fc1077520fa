"""The canonical bytes of what the Merkle tree holds: transfers, the openings of wallets, and promises.

The form stands in `ledgerlink_contracts.wallet.receipts`: JSON as RFC 8785 writes it. Every number in it is an integer
that JSON carries safely, so keys in order and the serializer's plain strings are all that the RFC asks for.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from ledgerlink_contracts.ids import HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.receipts import PROMISE_FORM, TRANSFER_FORM, WALLET_FORM
from ledgerlink_kit.notes import TreeHead
from ledgerlink_wallet.domain.parties import account_wire

_ACCOUNTS_MAX: Final = 65_536


class TransferRow(NamedTuple):
    """A transfer as stored; ``postings`` and ``metadata`` are JSON text."""

    id: UUID
    kind: str
    postings: str
    on_behalf_of: str | None
    reference: str | None
    metadata: str
    reverses: UUID | None
    hold_id: UUID | None
    effective_at: datetime
    recorded_at: datetime


class WalletRow(NamedTuple):
    """A wallet as stored."""

    id: UUID
    owner: str
    currency: str
    label: str | None
    opened_at: datetime


class PromiseRow(NamedTuple):
    """A promise as stored; ``says`` is JSON text."""

    id: UUID
    kind: str
    subject: str
    step: int
    says: str
    recorded_at: datetime


def transfer_leaf(row: TransferRow) -> bytes:
    """Write a transfer's leaf."""
    return orjson.dumps(
        {
            "effective_at": _moment(row.effective_at),
            "form": TRANSFER_FORM,
            "hold": None if row.hold_id is None else str(HoldId(row.hold_id)),
            "id": str(TransferId(row.id)),
            "kind": row.kind,
            "metadata": {} if row.metadata == "{}" else _sorted(orjson.loads(row.metadata)),
            "on_behalf_of": row.on_behalf_of,
            "postings": [
                {
                    "amount_minor": amount,
                    "credit": _account(credit),
                    "credit_version": credit_version,
                    "currency": currency,
                    "debit": _account(debit),
                    "debit_version": debit_version,
                    "reverses_posting": undoes,
                }
                for debit, debit_version, credit, credit_version, amount, currency, undoes in orjson.loads(row.postings)
            ],
            "recorded_at": _moment(row.recorded_at),
            "reference": row.reference,
            "reverses": None if row.reverses is None else str(TransferId(row.reverses)),
        }
    )


def wallet_leaf(row: WalletRow) -> bytes:
    """Write the leaf of a wallet's opening."""
    return orjson.dumps(
        {
            "currency": row.currency,
            "form": WALLET_FORM,
            "id": str(WalletId(row.id)),
            "label": row.label,
            "opened_at": _moment(row.opened_at),
            "owner": row.owner,
        }
    )


def promise_leaf(row: PromiseRow) -> bytes:
    """Write a promise's leaf."""
    return orjson.dumps(
        {
            "form": PROMISE_FORM,
            "id": str(row.id),
            "kind": row.kind,
            "recorded_at": _moment(row.recorded_at),
            "says": orjson.loads(row.says),
            "step": row.step,
            "subject": row.subject,
        },
        # All keys are ASCII, so that bytes have the order that RFC 8785 asks for.
        option=orjson.OPT_SORT_KEYS,
    )


def checkpoint_text(head: TreeHead, signed_at: datetime) -> str:
    """Write what is signed: the tree's head, and the moment as a line of our own, which other readers pass over."""
    return f"{head}signed-at {_moment(signed_at)}\n"


@lru_cache(4_096)
def _moment(moment: datetime) -> str:
    """Write a moment; remembered, because all transfers of a commit share one."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _sorted(metadata: dict[str, Any]) -> dict[str, Any]:
    """Order keys as RFC 8785 section 3.2.3 does: by their UTF-16 code units."""
    return dict(sorted(metadata.items(), key=lambda pair: pair[0].encode("utf-16-be")))


@lru_cache(_ACCOUNTS_MAX)
def _account(stored: str) -> str:
    """Write an account's id for the wire from the text that postings hold."""
    return account_wire(UUID(stored))
