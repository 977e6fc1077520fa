"""The sealer: appends what was committed to the Merkle tree and signs its new state, a batch in one transaction.

Every commit leaves one row in `unsealed`, in its own transaction: a row that the sealer sees is a commit that stands,
so transfers still in flight are never overtaken and never forgotten, whatever moment they carry. One worker seals at a
time (advisory lock); a crash leaves all of a batch or nothing of it.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, insert, select, text

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import Defect
from ledgerlink_kit.merkle import Frontier, Span, leaf_hash, perfect_hashes
from ledgerlink_kit.notes import Signer, TreeHead
from ledgerlink_wallet.domain.leaves import (
    PromiseRow,
    TransferRow,
    WalletRow,
    checkpoint_text,
    promise_leaf,
    transfer_leaf,
    wallet_leaf,
)
from ledgerlink_wallet.queries.tree import read_runs
from ledgerlink_wallet.tables import checkpoints

SEAL_LEAVES_MAX: Final = 10_000
"""Leaves that one checkpoint adds, unless a single commit holds more."""
SEAL_COMMITS_MAX: Final = 2_000
"""Commits that are looked at for one checkpoint."""
_LOCK: Final = 0x6C65_6176_6573  # "leaves"

_TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:key)")
_QUEUE: Final = text(
    "SELECT ctid::text AS place, recorded_at, transfers, promises, wallet_id FROM unsealed "
    "ORDER BY recorded_at LIMIT :most"
)
# A moment may be that of two commits, of which one was sealed before: hence the look at what has a leaf.
_TRANSFERS: Final = text(
    "SELECT t.id, t.kind, t.postings::text, t.on_behalf_of, t.reference, t.metadata::text, t.reverses, t.hold_id, "
    "t.effective_at, t.recorded_at FROM transfers t WHERE t.recorded_at = ANY(:moments) "
    "AND NOT EXISTS (SELECT FROM leaves l WHERE l.transfer_id = t.id) ORDER BY t.recorded_at, t.id"
)
_WALLETS: Final = text(
    "SELECT w.id, w.owner, w.currency, w.label, w.opened_at FROM wallets w WHERE w.id = ANY(:wallets) "
    "AND NOT EXISTS (SELECT FROM leaves l WHERE l.wallet_id = w.id) ORDER BY w.opened_at, w.id"
)
_PROMISES: Final = text(
    "SELECT p.id, p.kind, p.subject, p.step, p.says::text, p.recorded_at FROM promises p "
    "WHERE p.recorded_at = ANY(:moments) AND NOT EXISTS (SELECT FROM leaves l WHERE l.promise_id = p.id) "
    "ORDER BY p.recorded_at, p.kind, p.subject, p.step"
)
_SAVE_LEAVES: Final = text(
    "INSERT INTO leaves (leaf_index, wallet_id, promise_id, transfer_id, hash) "
    "SELECT * FROM unnest(CAST(:indexes AS bigint[]), CAST(:wallets AS uuid[]), CAST(:promises AS uuid[]), "
    "CAST(:transfers AS uuid[]), CAST(:hashes AS bytea[]))"
)
_SAVE_BLOCKS: Final = text(
    "INSERT INTO blocks (level, position, hash) "
    "SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:positions AS bigint[]), CAST(:hashes AS bytea[]))"
)
_DONE: Final = text("DELETE FROM unsealed WHERE ctid = ANY(CAST(CAST(:places AS text[]) AS tid[]))")


class Sealed(NamedTuple):
    """What a pass did: leaves added, size of the tree, and whether commits are left that wait already."""

    added: int
    size: int
    more: bool


class BrokenTree(Defect):
    """The stored leaves do not lead to the last checkpoint's root, so nothing more is signed."""

    def __init__(self, head: TreeHead) -> None:
        super().__init__(
            f"The stored leaves do not lead to the root of checkpoint {head.size}; nothing is sealed until they do. "
            "See docs/runbooks/audit-finds-a-difference.md."
        )


async def seal(db: Database, signer: Signer, clock: Clock, *, most: int = SEAL_LEAVES_MAX) -> Sealed | None:
    """Append the oldest commits that wait, up to ``most`` leaves, and sign; none when another worker is at it.

    Raises `BrokenTree` when the stored tree is not what was signed before.
    """
    async with db.transaction() as tx:
        if not await tx.scalar(_TRY_LOCK, {"key": _LOCK}):
            return None
        waiting = (await tx.execute(_QUEUE, {"most": SEAL_COMMITS_MAX})).all()
        taken = _take(waiting, most)
        frontier = await _frontier(tx, signer)
        if not taken:
            return Sealed(0, frontier.size, more=False)
        added = await _append(tx, frontier, taken)
        await tx.execute(_DONE, {"places": [row.place for row in taken]})
        if added:
            head = TreeHead(signer.key.name, frontier.size, frontier.root())
            now = clock.now()
            note = signer.sign(checkpoint_text(head, now))
            await tx.execute(insert(checkpoints).values(size=head.size, root=head.root, note=note, signed_at=now))
        return Sealed(added, frontier.size, more=len(taken) < len(waiting) or len(waiting) == SEAL_COMMITS_MAX)


def _take(waiting: Sequence[Row[Any]], most: int) -> Sequence[Row[Any]]:
    """Give as many of the oldest commits as hold ``most`` leaves, one at the least."""
    leaves = 0
    for number, row in enumerate(waiting):
        leaves += max(row.transfers + row.promises, 1)
        if leaves > most and number:
            return waiting[:number]
    return waiting


async def _frontier(tx: Tx, signer: Signer) -> Frontier:
    """Give the tree as it was signed last. Raises `BrokenTree`."""
    last = (
        await tx.execute(select(checkpoints.c.size, checkpoints.c.root).order_by(checkpoints.c.size.desc()).limit(1))
    ).one_or_none()
    if last is None:
        return Frontier()
    whole = Span(0, last.size)
    head = TreeHead(signer.key.name, last.size, last.root)
    try:
        frontier = Frontier(last.size, perfect_hashes(whole, await read_runs(tx, [whole])))
    except ValueError:
        raise BrokenTree(head) from None
    if frontier.root() != last.root:
        raise BrokenTree(head)
    return frontier


async def _append(tx: Tx, frontier: Frontier, taken: Sequence[Row[Any]]) -> int:
    """Add the leaves of the commits ``taken`` to the tree; gives how many they were."""
    first = frontier.size
    moments = sorted({row.recorded_at for row in taken if row.transfers})
    promised = sorted({row.recorded_at for row in taken if row.promises})
    opened = [row.wallet_id for row in taken if row.wallet_id is not None]
    made: list[tuple[Any, Any, Any, bytes]] = []
    if opened:
        found = await tx.execute(_WALLETS, {"wallets": opened})
        made += [(row[0], None, None, leaf_hash(wallet_leaf(WalletRow(*row)))) for row in found]
    if promised:
        found = await tx.execute(_PROMISES, {"moments": promised})
        made += [(None, row[0], None, leaf_hash(promise_leaf(PromiseRow(*row)))) for row in found]
    if moments:
        found = await tx.execute(_TRANSFERS, {"moments": moments})
        made += [(None, None, row[0], leaf_hash(transfer_leaf(TransferRow(*row)))) for row in found]
    blocks = frontier.extend([one[-1] for one in made])
    if made:
        names = ("wallets", "promises", "transfers", "hashes")
        columns = {name: list(column) for name, column in zip(names, zip(*made, strict=True), strict=True)}
        await tx.execute(_SAVE_LEAVES, {"indexes": list(range(first, frontier.size)), **columns})
    if blocks:
        levels, positions = [run.level for run, _ in blocks], [run.first for run, _ in blocks]
        await tx.execute(
            _SAVE_BLOCKS, {"levels": levels, "positions": positions, "hashes": [hash_ for _, hash_ in blocks]}
        )
    return len(made)
