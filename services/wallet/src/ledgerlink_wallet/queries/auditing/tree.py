"""The Merkle tree: every leaf hashed again from what is stored, blocks and checkpoints computed again from these."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

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
from ledgerlink_wallet.queries.auditing.looking import STREAM_ROWS, Check, Looked, Notes, Tick
from ledgerlink_wallet.tables import checkpoints

# A range of leaves at a time, each with its fact by key: no join is ever larger than the range.
_LEAVES: Final = text(
    "SELECT l.leaf_index, l.transfer_id, l.wallet_id, l.hash, t.id, t.kind, t.postings::text, t.on_behalf_of, "
    "t.reference, t.metadata::text, t.reverses, t.hold_id, t.effective_at, t.recorded_at, "
    "w.id AS found_wallet, w.owner, w.currency, w.label, w.opened_at, "
    "l.promise_id, p.id AS found_promise, p.kind, p.subject, p.step, p.says::text, p.recorded_at "
    "FROM leaves l LEFT JOIN transfers t ON t.id = l.transfer_id LEFT JOIN wallets w ON w.id = l.wallet_id "
    "LEFT JOIN promises p ON p.id = l.promise_id "
    "WHERE l.leaf_index >= :first ORDER BY l.leaf_index LIMIT :rows"
)
_BLOCKS: Final = text(
    "SELECT level, position, hash FROM blocks WHERE (level, position) IN "
    "(SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:positions AS bigint[])))"
)
_HEADS: Final = select(checkpoints).order_by(checkpoints.c.size)
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


class _Tree:
    """The tree as it is computed again, beside what is stored of it."""

    def __init__(self, view: AsyncConnection, notes: Notes, key: VerifierKey | None) -> None:
        self._view = view
        self._notes = notes
        self._key = key
        self.frontier = Frontier()
        self.sealed = dict.fromkeys(_UNSEALED, 0)
        self._heads: list[Row[Any]] = []
        self._next_head = 0
        self._missing = 0
        self._blocks: dict[tuple[int, int], bytes] = {}

    async def add(self, rows: Sequence[Row[Any]]) -> None:
        """Go on by the leaves ``rows``."""
        for row in rows:
            if row.leaf_index - self.frontier.size != self._missing:
                # Told once: what comes after a gap is shifted by it.
                self._missing = row.leaf_index - self.frontier.size
                self._notes.add(f"leaf {row.leaf_index} follows {self.frontier.size} leaves")
            self._check(row)
            # The stored hash goes on, so that one wrong fact is told once and the tree above it is judged for itself.
            for run, hash_ in self.frontier.append(row.hash):
                self._blocks[run.level, run.first] = hash_
            await self._check_head()
        await self._check_blocks()

    def _check(self, row: Row[Any]) -> None:
        if row.transfer_id is not None:
            self.sealed["transfer"] += row.id is not None
            ours = None if row.id is None else leaf_hash(transfer_leaf(TransferRow(*tuple(row)[4:14])))
        elif row.wallet_id is not None:
            self.sealed["wallet"] += row.found_wallet is not None
            ours = None if row.found_wallet is None else leaf_hash(wallet_leaf(WalletRow(*tuple(row)[14:19])))
        else:
            self.sealed["promise"] += row.found_promise is not None
            ours = None if row.found_promise is None else leaf_hash(promise_leaf(PromiseRow(*tuple(row)[20:])))
        if ours != row.hash:
            name = next(_NAMES[noun](id_) for noun in _NAMES if (id_ := getattr(row, f"{noun}_id")) is not None)
            what = "is gone" if ours is None else "is not what was sealed"
            self._notes.add(f"{name} {what} (leaf {row.leaf_index})")

    async def _check_head(self) -> None:
        if self._next_head == len(self._heads):
            if self.frontier.size > 1 and not self._heads:
                return
            before = self.frontier.size - 1
            wanted = _HEADS.where(checkpoints.c.size > before).limit(STREAM_ROWS)
            self._heads, self._next_head = list((await self._view.execute(wanted)).all()), 0
        if self._next_head < len(self._heads) and self._heads[self._next_head].size == self.frontier.size:
            self._match(self._heads[self._next_head], self.frontier.root())
            self._next_head += 1

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

    async def _check_blocks(self) -> None:
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
        first = 0
        while rows := (await view.execute(_LEAVES, {"first": first, "rows": STREAM_ROWS})).all():
            await tree.add(rows)
            first = rows[-1].leaf_index + 1
            tick(tree.frontier.size)
        await tree.rest()
        return Looked(tree.frontier.size, notes.differences)

    return Check(
        "tree_matches_what_is_stored",
        "Every sealed fact is what was sealed, and leaves, blocks and checkpoints fit each other",
        look,
    )
