"""Receipts and checkpoints of the ledger: how they look on the wire, and how anyone verifies them, offline.

A receipt holds the leaf of a transfer (its canonical bytes, as text), where it stands in the ledger's Merkle tree, the
proof of that (RFC 6962 section 2.1.1) and a signed checkpoint (c2sp.org/tlog-checkpoint) that names the tree's root.
Pure: the command line verifies with nothing but this file's functions, without network or stack.

The leaf of a transfer is JSON in the canonical form of RFC 8785: keys sorted, no spaces, UTF-8. Moments are UTC with
six digits of a second; what is absent is null; a posting names both accounts with the versions that it gave them:

    {"effective_at": "2026-01-31T12:00:00.000000Z", "form": "ledgerlink.transfer.v1", "hold": null, "id": "tr_…",
     "kind": "…", "metadata": {}, "on_behalf_of": null, "postings": [{"amount_minor": 100, "credit": "acc_…",
     "credit_version": 1, "currency": "GBP", "debit": "acc_…", "debit_version": 7, "reverses_posting": null}],
     "recorded_at": "2026-01-31T12:00:00.000000Z", "reference": null, "reverses": null}

The opening of a wallet is a leaf as well: currency, form ("ledgerlink.wallet.v1"), id, label, opened_at, owner.
So is what an account, a wallet or a scope of limits is held to: form ("ledgerlink.promise.v1"), id, kind, recorded_at,
says (an object, its keys sorted), step, subject.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AwareDatetime, Field

from ledgerlink_contracts.ids import TransferId
from ledgerlink_kit.merkle import HASH_BYTES, SIZE_MAX, is_consistent, leaf_hash, root_from_inclusion
from ledgerlink_kit.notes import NOTE_CHARS_MAX, InvalidNote, TreeHead, VerifierKey, open_checkpoint
from ledgerlink_kit.pagination import Page
from ledgerlink_kit.wire import ResponseModel

TRANSFER_FORM: Final = "ledgerlink.transfer.v1"
WALLET_FORM: Final = "ledgerlink.wallet.v1"
PROMISE_FORM: Final = "ledgerlink.promise.v1"
PROOF_HASHES_MAX: Final = 128
"""No tree that fits a checkpoint needs a longer proof."""
LEAF_CHARS_MAX: Final = 262_144

TreeSize = Annotated[int, Field(ge=1, le=SIZE_MAX, description="Leaves of the tree")]
Note = Annotated[str, Field(max_length=NOTE_CHARS_MAX, description="A signed note, c2sp.org/tlog-checkpoint")]
Proof = Annotated[
    list[Annotated[str, Field(min_length=44, max_length=44)]],
    Field(max_length=PROOF_HASHES_MAX, description="SHA-256 hashes in base64, in the order of RFC 6962"),
]
Key = Annotated[str, Field(max_length=400, description="A verifier key, c2sp.org/signed-note: name+hash+key")]


class CheckpointView(ResponseModel):
    """A signed state of the ledger's Merkle tree."""

    size: TreeSize
    root: Annotated[str, Field(description="SHA-256 in base64")]
    note: Note
    signed_at: AwareDatetime


CheckpointPage = Page[CheckpointView]


class CheckpointKeyView(ResponseModel):
    """The key that verifies this ledger's checkpoints, and the log's origin, which is the key's name."""

    origin: str
    key: Key


class ReceiptView(ResponseModel):
    """Proof that a transfer stands in the ledger, for anyone who has the ledger's verifier key."""

    form: Literal["ledgerlink.receipt.v1"] = "ledgerlink.receipt.v1"
    transfer: TransferId
    leaf: Annotated[str, Field(max_length=LEAF_CHARS_MAX, description="The transfer in canonical JSON (RFC 8785)")]
    leaf_index: Annotated[int, Field(ge=0, lt=SIZE_MAX)]
    tree_size: TreeSize
    proof: Proof
    checkpoint: Note
    key: Key


class ConsistencyView(ResponseModel):
    """Proof that the newer checkpoint's tree begins with the older one's: nothing was changed, removed or reordered."""

    form: Literal["ledgerlink.consistency.v1"] = "ledgerlink.consistency.v1"
    older: Note
    newer: Note
    proof: Proof
    key: Key


class Unproven(Exception):
    """What a receipt or a consistency proof claims does not follow from it; the message says where it breaks."""


def verify_receipt(receipt: ReceiptView, key: VerifierKey) -> TreeHead:
    """Give the checkpoint that the receipt's transfer is proven to stand in. Raises `Unproven`."""
    head = _opened(receipt.checkpoint, key, "checkpoint")
    if head.size != receipt.tree_size:
        raise Unproven(f"The receipt speaks of {receipt.tree_size} leaves, its checkpoint of {head.size}.")
    leaf = leaf_of(receipt)
    if leaf.get("form") != TRANSFER_FORM or leaf.get("id") != str(receipt.transfer):
        raise Unproven(f"The leaf is not that of {receipt.transfer}.")
    hashed = leaf_hash(receipt.leaf.encode())
    if root_from_inclusion(receipt.leaf_index, head.size, hashed, hashes(receipt.proof)) != head.root:
        raise Unproven(
            f"The proof does not lead from this transfer, as leaf {receipt.leaf_index}, to the checkpoint's root: "
            "the transfer, its place or the proof was changed."
        )
    return head


def verify_consistency(view: ConsistencyView, key: VerifierKey) -> tuple[TreeHead, TreeHead]:
    """Give both checkpoints once the newer is proven to go on from the older. Raises `Unproven`."""
    older, newer = _opened(view.older, key, "older checkpoint"), _opened(view.newer, key, "newer checkpoint")
    if not is_consistent(older.size, newer.size, older.root, newer.root, hashes(view.proof)):
        raise Unproven(
            f"The proof does not show that the tree of {newer.size} leaves begins with the one of {older.size}: "
            "the history was changed, or the proof was."
        )
    return older, newer


def leaf_of(receipt: ReceiptView) -> dict[str, Any]:
    """Give the receipt's leaf as values. Raises `Unproven` when it is no JSON object."""
    try:
        found: Any = json.loads(receipt.leaf)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unproven("The leaf is no JSON object.")
    return cast("dict[str, Any]", found)


def hashes(proof: Sequence[str]) -> list[bytes]:
    """Read the proof's hashes. Raises `Unproven`."""
    try:
        found = [base64.b64decode(one.encode("ascii"), validate=True) for one in proof]
    except (UnicodeEncodeError, binascii.Error):
        found = [b""]
    if any(len(one) != HASH_BYTES for one in found):
        raise Unproven("The proof holds something that is no SHA-256 hash in base64.")
    return found


def _opened(note: str, key: VerifierKey, what: str) -> TreeHead:
    try:
        return open_checkpoint(note, key)
    except InvalidNote as reason:
        raise Unproven(f"The {what}: {reason}") from None
