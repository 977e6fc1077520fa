"""The Merkle tree as stored: runs of its hashes, checkpoints, and the proofs that are made of them."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.receipts import CheckpointPage, CheckpointView, ConsistencyView, ReceiptView
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.merkle import Run, Span, consistency_spans, hash_of_span, inclusion_spans, reads
from ledgerlink_kit.notes import VerifierKey
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.leaves import TransferRow, transfer_leaf
from ledgerlink_wallet.queries.cursors import version_in
from ledgerlink_wallet.tables import checkpoints

RECEIPT_RETRY_S: Final = 2
"""When to ask again for the receipt of a transfer that is not sealed yet."""

_RUN: Final = (
    text("SELECT hash FROM leaves WHERE leaf_index >= :first AND leaf_index < :end AND :level = 0 ORDER BY leaf_index"),
    text("SELECT hash FROM blocks WHERE level = :level AND position >= :first AND position < :end ORDER BY position"),
)
_TRANSFER: Final = text(
    "SELECT t.id, t.kind, t.postings::text, t.on_behalf_of, t.reference, t.metadata::text, t.reverses, t.hold_id, "
    "t.effective_at, t.recorded_at, l.leaf_index FROM transfers t LEFT JOIN leaves l ON l.transfer_id = t.id "
    "WHERE t.id = :id"
)


async def read_runs(view: AsyncConnection, spans: Sequence[Span]) -> Mapping[Run, Sequence[bytes]]:
    """Read the stored hashes that ``spans`` are made of."""
    found: dict[Run, Sequence[bytes]] = {}
    for run in {run for span in spans for run in reads(span)}:
        bounds = {"level": run.level, "first": run.first, "end": run.first + run.length}
        found[run] = (await view.execute(_RUN[run.level > 0], bounds)).scalars().all()
    return found


async def _proof(view: AsyncConnection, spans: Sequence[Span]) -> list[str]:
    stored = await read_runs(view, spans)
    return [base64.b64encode(hash_of_span(span, stored)).decode() for span in spans]


def _checkpoint(row: Row[Any]) -> CheckpointView:
    return CheckpointView(
        size=row.size, root=base64.b64encode(row.root).decode(), note=row.note, signed_at=row.signed_at
    )


async def checkpoint_page(view: AsyncConnection, *, cursor: str | None, limit: int) -> CheckpointPage:
    """Give a page of checkpoints, newest first: the first item of the first page is the latest."""
    wanted = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(limit + 1)
    if cursor:
        wanted = wanted.where(checkpoints.c.size < version_in(decode_cursor(cursor, "size")["size"]))
    found = (await view.execute(wanted)).all()
    shown = found[:limit]
    return CheckpointPage(
        items=[_checkpoint(row) for row in shown],
        next_cursor=encode_cursor({"size": shown[-1].size}) if len(found) > limit else None,
    )


async def checkpoint(view: AsyncConnection, size: int) -> CheckpointView:
    """Give the checkpoint of ``size`` leaves. Raises `Refused` (`checkpoint-not-found`)."""
    row = (await view.execute(select(checkpoints).where(checkpoints.c.size == size))).one_or_none()
    if row is None:
        raise Refused(Kind.NOT_FOUND, "checkpoint-not-found", f"No checkpoint was signed at {size} leaves.", size=size)
    return _checkpoint(row)


async def consistency(view: AsyncConnection, older: int, newer: int, key: VerifierKey) -> ConsistencyView:
    """Prove that checkpoint ``newer`` goes on from ``older``. Raises `Refused`: unknown, or in the wrong order."""
    if older > newer:
        raise Refused(Kind.UNPROCESSABLE, "checkpoints-reversed", "`from` must be the smaller of the two sizes.")
    first, second = await checkpoint(view, older), await checkpoint(view, newer)
    proof = await _proof(view, consistency_spans(older, newer))
    return ConsistencyView(older=first.note, newer=second.note, proof=proof, key=str(key))


def not_sealed() -> Refused:
    """Refuse a receipt for now: leaf and checkpoint come within seconds of the commit."""
    return Refused(
        Kind.CONFLICT,
        "transfer-not-sealed",
        "The transfer stands; the checkpoint that proves it is signed within seconds. Ask again.",
        retry_after_s=RECEIPT_RETRY_S,
    )


async def receipt(view: AsyncConnection, transfer: TransferId, key: VerifierKey) -> ReceiptView:
    """Prove that a transfer stands in the ledger, by the first checkpoint that covers it: always the same receipt.

    Raises `Refused` (`transfer-not-found`, `transfer-not-sealed`).
    """
    row = (await view.execute(_TRANSFER, {"id": transfer.uuid})).one_or_none()
    if row is None:
        raise Refused(Kind.NOT_FOUND, "transfer-not-found", f"There is no transfer {transfer}.")
    if row.leaf_index is None:
        raise not_sealed()
    index: int = row.leaf_index
    covering = select(checkpoints).where(checkpoints.c.size > index).order_by(checkpoints.c.size).limit(1)
    signed = (await view.execute(covering)).one_or_none()
    if signed is None:
        raise not_sealed()
    return ReceiptView(
        transfer=transfer,
        leaf=transfer_leaf(TransferRow(*row[:10])).decode(),
        leaf_index=index,
        tree_size=signed.size,
        proof=await _proof(view, inclusion_spans(index, signed.size)),
        checkpoint=signed.note,
        key=str(key),
    )
