"""The Merkle tree: every leaf hashed again from what is stored, blocks and checkpoints computed again from these.

Most of an audit's time goes here. Leaves come a range at a time, each with its fact by key, so that no join is ever
larger than a range; and while one range is hashed, PostgreSQL looks up the next.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import TransferId, WalletId
from ledgerlink_kit.invariants import DIFFERENCES_MAX
from ledgerlink_kit.merkle import Frontier, leaf_hash
from ledgerlink_kit.notes import InvalidNote, TreeHead, VerifierKey, open_checkpoint
from ledgerlink_wallet.domain.leaves import (
    PromiseRow,
    TransferRow,
    WalletRow,
    checkpoint_text,
    promise_leaf,
    transfer_leaf,
    wallet_leaf,
)
from ledgerlink_wallet.queries.auditing.looking import Check, Looked, Notes, Tick
from ledgerlink_wallet.tables import checkpoints

RANGE_LEAVES: Final = 2_048
"""Leaves that are in memory at a time, with their transfers; a second such range is on its way. A transfer is 40 KB at
the most, so this is 160 MB at the worst, and 2 MB for transfers of one posting."""

# `OFFSET 0` keeps the planner from ever joining the whole tables instead.
_LEAVES: Final = text(
    "SELECT l.leaf_index, l.hash, l.transfer_id, l.wallet_id, l.promise_id, t.* "  # noqa: S608 - our own number
    f"FROM (SELECT * FROM leaves WHERE leaf_index >= :first ORDER BY leaf_index LIMIT {RANGE_LEAVES}) l "
    "LEFT JOIN LATERAL (SELECT id, kind, postings::text, on_behalf_of, reference, metadata::text, reverses, hold_id, "
    "effective_at, recorded_at FROM transfers WHERE id = l.transfer_id OFFSET 0) t ON true ORDER BY l.leaf_index"
)
_FACTS: Final = 5
"""The column of `_LEAVES` from which on it gives the transfer."""
_WALLETS: Final = text("SELECT id, owner, currency, label, opened_at FROM wallets WHERE id = ANY(:ids)")
_PROMISES: Final = text("SELECT id, kind, subject, step, says::text, recorded_at FROM promises WHERE id = ANY(:ids)")
_BLOCKS: Final = text(
    "SELECT level, position, hash FROM blocks WHERE (level, position) IN "
    "(SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:positions AS bigint[])))"
)
_HEADS: Final = text("SELECT * FROM checkpoints WHERE size > :after AND size <= :until ORDER BY size")
_UNSEALED: Final = {
    "transfer": (
        text("SELECT (SELECT count(*) FROM transfers), (SELECT coalesce(sum(transfers), 0) FROM unsealed)"),
        text(
            "SELECT t.id FROM transfers t WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.transfer_id = t.id) "
            "AND NOT EXISTS (SELECT FROM unsealed u WHERE u.transfers > 0 AND u.recorded_at = t.recorded_at) "
            "LIMIT :most"
        ),
    ),
    "wallet": (
        text("SELECT (SELECT count(*) FROM wallets), (SELECT count(wallet_id) FROM unsealed)"),
        text(
            "SELECT w.id FROM wallets w WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.wallet_id = w.id) "
            "AND NOT EXISTS (SELECT FROM unsealed u WHERE u.wallet_id = w.id) LIMIT :most"
        ),
    ),
    "promise": (
        text("SELECT (SELECT count(*) FROM promises), (SELECT coalesce(sum(promises), 0) FROM unsealed)"),
        text(
            "SELECT p.id FROM promises p WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.promise_id = p.id) "
            "AND NOT EXISTS (SELECT FROM unsealed u WHERE u.promises > 0 AND u.recorded_at = p.recorded_at) LIMIT :most"
        ),
    ),
}
_NAMES: Final[Mapping[str, Callable[[Any], object]]] = {
    "transfer": TransferId,
    "wallet": WalletId,
    "promise": "promise {}".format,
}


class _Range(NamedTuple):
    """Leaves: rows of `_LEAVES`, hashes of the wallets and promises among them, checkpoints that end in the range."""

    rows: Sequence[Any]
    others: Mapping[Any, bytes]
    heads: Sequence[Row[Any]]


async def _range(view: AsyncConnection, first: int, size: int) -> _Range:
    """Read the range of leaves from ``first`` on, which are to be added to ``size`` others."""
    rows = (await view.execute(_LEAVES, {"first": first})).all()
    wallets = [row.wallet_id for row in rows if row[2] is None and row.wallet_id is not None]
    promises = [row.promise_id for row in rows if row[2] is None and row.promise_id is not None]
    others: dict[Any, bytes] = {}
    if wallets:
        found = await view.execute(_WALLETS, {"ids": wallets})
        others |= {row[0]: leaf_hash(wallet_leaf(WalletRow(*row))) for row in found}
    if promises:
        found = await view.execute(_PROMISES, {"ids": promises})
        others |= {row[0]: leaf_hash(promise_leaf(PromiseRow(*row))) for row in found}
    heads = (await view.execute(_HEADS, {"after": size, "until": size + len(rows)})).all() if rows else ()
    return _Range(rows, others, heads)


class _Tree:
    """The tree as it is computed again, beside what is stored of it."""

    def __init__(self, view: AsyncConnection, notes: Notes, key: VerifierKey | None) -> None:
        self._view = view
        self._notes = notes
        self._key = key
        self.frontier = Frontier()
        self.sealed = dict.fromkeys(_UNSEALED, 0)
        self._missing = 0
        self._blocks: dict[tuple[int, int], bytes] = {}

    def add(self, leaves: _Range) -> None:
        """Go on by a range of leaves. Pure computation: what it needs has been read."""
        rows, size = leaves.rows, self.frontier.size
        for place, row in enumerate(rows, size):
            if row[0] - place != self._missing:
                # Told once: what comes after a gap is shifted by it.
                self._missing = row[0] - place
                self._notes.add(f"leaf {row[0]} follows {place} leaves")
            if row[1] != self._hash(row, leaves.others):
                self._misfit(row, leaves.others)
        for head in leaves.heads:
            self._grow(rows[self.frontier.size - size : head.size - size])
            self._match(head, self.frontier.root())
        self._grow(rows[self.frontier.size - size :])

    def _hash(self, row: Any, others: Mapping[Any, bytes]) -> bytes | None:
        """Hash what ``row`` is the leaf of; None when it is gone."""
        if row[2] is not None:
            if row[_FACTS] is None:
                return None
            self.sealed["transfer"] += 1
            return leaf_hash(transfer_leaf(TransferRow(*row[_FACTS:])))
        ours = others.get(row.wallet_id or row.promise_id)
        if ours is not None:
            self.sealed["promise" if row.wallet_id is None else "wallet"] += 1
        return ours

    def _misfit(self, row: Any, others: Mapping[Any, bytes]) -> None:
        noun = next(noun for noun in _NAMES if getattr(row, f"{noun}_id") is not None)
        there = row[_FACTS] is not None or getattr(row, f"{noun}_id") in others
        what = "is not what was sealed" if there else "is gone"
        self._notes.add(f"{_NAMES[noun](getattr(row, f'{noun}_id'))} {what} (leaf {row[0]})")

    def _grow(self, rows: Sequence[Any]) -> None:
        # The stored hash goes on, so that one wrong fact is told once and the tree above it is judged for itself.
        for run, hash_ in self.frontier.extend([row[1] for row in rows]):
            self._blocks[run.level, run.first] = hash_

    def _match(self, row: Row[Any], root: bytes) -> None:
        name = f"checkpoint {row.size}"
        if row.root != root:
            self._notes.add(f"{name}: the stored leaves do not lead to its root")
        origin = row.note.partition("\n")[0]
        if not row.note.startswith(f"{checkpoint_text(TreeHead(origin, row.size, row.root), row.signed_at)}\n"):
            self._notes.add(f"{name}: its note does not say what its row says")
        if self._key is not None:
            try:
                open_checkpoint(row.note, self._key)
            except InvalidNote as reason:
                self._notes.add(f"{name}: {reason}")

    async def check_blocks(self) -> None:
        """Compare the blocks that were computed since the last time with those that are stored."""
        if not self._blocks:
            return
        levels, positions = zip(*self._blocks, strict=True)
        values = {"levels": list(levels), "positions": list(positions)}
        stored = {(row.level, row.position): row.hash for row in await self._view.execute(_BLOCKS, values)}
        for place, hash_ in self._blocks.items():
            if stored.get(place) != hash_:
                self._notes.add(f"block {place[1]} of level {place[0]} is not the root over its leaves")
        self._blocks.clear()

    async def rest(self) -> None:
        """Look for checkpoints beyond the last leaf, and for facts that neither are sealed nor wait to be."""
        sizes = select(checkpoints.c.size).where(checkpoints.c.size > self.frontier.size).limit(DIFFERENCES_MAX)
        for row in await self._view.execute(sizes):
            self._notes.add(f"checkpoint {row.size}: there are only {self.frontier.size} leaves")
        last = await self._view.scalar(text("SELECT max(size) FROM checkpoints")) or 0
        if last < self.frontier.size:
            self._notes.add(f"leaf {last} and those after it are under no checkpoint")
        for noun, (counts, find) in _UNSEALED.items():
            there, waiting = (await self._view.execute(counts)).one()
            if there - self.sealed[noun] != waiting:
                found = (await self._view.execute(find, {"most": DIFFERENCES_MAX})).scalars().all()
                for id_ in found:
                    self._notes.add(f"{_NAMES[noun](id_)} is neither sealed nor waiting to be")


def tree_check(key: VerifierKey | None) -> Check:
    """Make the check of the whole tree; with the ledger's ``key`` signatures are verified too."""

    async def look(view: AsyncConnection, tick: Tick) -> Looked:
        notes = Notes()
        tree = _Tree(view, notes, key)
        leaves = await _range(view, 0, 0)
        while leaves.rows:
            after, size = leaves.rows[-1].leaf_index + 1, tree.frontier.size + len(leaves.rows)
            coming = asyncio.create_task(_range(view, after, size))
            try:
                await asyncio.sleep(0)  # the question is sent; PostgreSQL works on it while we hash
                tree.add(leaves)
            finally:
                leaves = await coming
            await tree.check_blocks()
            tick(tree.frontier.size)
        await tree.rest()
        return Looked(tree.frontier.size, notes.differences)

    return Check(
        "tree_matches_what_is_stored",
        "Every sealed fact is what was sealed, and leaves, blocks and checkpoints fit each other",
        look,
    )
