"""Merkle trees as RFC 6962, section 2.1, has them, over SHA-256: roots, proofs, and what must be stored to make them.

Pure: hashes in, hashes out. Nothing here ever hashes a whole history again. A tree grows through its `Frontier`, the
roots of the perfect subtrees that its leaves make up, one for each one bit of its size. Proofs are made of spans: a
span ``[begin, end)`` of leaves stands for the hash of the subtree over them. Whoever stores a tree keeps the leaf
hashes, and for each full block of 256 of them one hash, for each 256 of those one more, and so on (as the tiles of
c2sp.org/tlog-tiles do); `reads` says which runs of these a span needs, `hash_of_span` makes its hash from them.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
BLOCK_BITS: Final = 8
BLOCK: Final = 1 << BLOCK_BITS
"""How many hashes of one stored level make one of the next."""
SIZE_MAX: Final = 2**53 - 1
"""Leaves of a tree at the most, so that every index is a safe integer in JSON."""

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf's bytes: SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """Give the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


class Span(NamedTuple):
    """The leaves from ``begin`` on, before ``end``."""

    begin: int
    end: int


class Run(NamedTuple):
    """Stored hashes: ``length`` of them from ``first`` on, at ``level`` (0 leaves, 1 blocks of 256, 2 of 65,536, …)."""

    level: int
    first: int
    length: int


class Frontier:
    """A tree that grows: its size, and the roots of its perfect subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Begin empty, or go on from stored ``hashes``: one for each one bit of ``size``."""
        if size.bit_count() != len(hashes):
            raise ValueError(f"A tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(hashes)}.")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> list[tuple[Run, bytes]]:
        """Add the hash of a leaf; gives the blocks that it completed, each a run of one with its hash."""
        return self._add(leaf, 0)

    def _add(self, node: bytes, height: int) -> list[tuple[Run, bytes]]:
        """Add the root of a perfect subtree of ``2 ** height`` leaves, of which the size is a multiple."""
        completed: list[tuple[Run, bytes]] = []
        leaves = 1 << height
        if height:
            completed.append((Run(height // BLOCK_BITS, self.size >> height, 1), node))
        while self.size >> height & 1:
            node = node_hash(self.hashes.pop(), node)
            height += 1
            if height % BLOCK_BITS == 0:
                completed.append((Run(height // BLOCK_BITS, self.size >> height, 1), node))
        self.hashes.append(node)
        self.size += leaves
        return completed

    def extend(self, leaves: Sequence[bytes]) -> list[tuple[Run, bytes]]:
        """Add the hashes of leaves, as many calls of `append` would; a full block at once costs a third of that."""
        completed: list[tuple[Run, bytes]] = []
        place = 0
        while place < len(leaves):
            if self.size % BLOCK or len(leaves) - place < BLOCK:
                completed += self.append(leaves[place])
                place += 1
            else:
                completed += self._add(_perfect(leaves[place : place + BLOCK], Run(0, self.size, BLOCK)), BLOCK_BITS)
                place += BLOCK
        return completed

    def root(self) -> bytes:
        """Give the root of the tree as it is now."""
        return _fold(self.hashes) if self.hashes else EMPTY_ROOT


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Give the root over perfect subtrees, the largest first."""
    node = hashes[-1]
    for left in reversed(hashes[:-1]):
        node = node_hash(left, node)
    return node


def perfect_spans(span: Span) -> list[Span]:
    """Cut a span that a subtree can have into perfect subtrees, the largest first."""
    pieces: list[Span] = []
    begin = span.begin
    while begin < span.end:
        length = 1 << ((span.end - begin).bit_length() - 1)
        pieces.append(Span(begin, begin + length))
        begin += length
    return pieces


def reads(span: Span) -> list[Run]:
    """Give the runs of stored hashes that make up the span's perfect subtrees, in their order."""
    runs: list[Run] = []
    for piece in perfect_spans(span):
        height = (piece.end - piece.begin).bit_length() - 1
        level = height // BLOCK_BITS
        runs.append(Run(level, piece.begin >> level * BLOCK_BITS, 1 << height - level * BLOCK_BITS))
    return runs


def hash_of_span(span: Span, stored: Mapping[Run, Sequence[bytes]]) -> bytes:
    """Make the hash of ``span`` from the runs that `reads` names."""
    return _fold(perfect_hashes(span, stored))


def perfect_hashes(span: Span, stored: Mapping[Run, Sequence[bytes]]) -> list[bytes]:
    """Make the hashes of the span's perfect subtrees, the largest first, from the runs that `reads` names."""
    return [_perfect(stored[run], run) for run in reads(span)]


def _perfect(hashes: Sequence[bytes], run: Run) -> bytes:
    if len(hashes) != run.length:
        raise ValueError(f"{run} should hold {run.length} hashes and holds {len(hashes)}.")
    while len(hashes) > 1:
        hashes = [node_hash(hashes[number], hashes[number + 1]) for number in range(0, len(hashes), 2)]
    return hashes[0]


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Give the subtrees that prove leaf ``index`` in a tree of ``size`` leaves: PATH(m, D[n]), RFC 6962 section 2.1.1.

    The hash nearest to the leaf comes first.
    """
    if not 0 <= index < size:
        raise ValueError(f"A tree of {size} leaves has no leaf {index}.")
    spans: list[Span] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(begin, middle))
            begin = middle
    return spans[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """Give the subtrees that prove that ``old`` leaves begin a tree of ``new``: PROOF(m, D[n]), section 2.1.2.

    Empty when both are the same tree.
    """
    if not 0 < old <= new:
        raise ValueError(f"There is no proof from {old} leaves to {new}.")
    spans: list[Span] = []
    begin, end, whole = 0, new, True
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            spans.append(Span(middle, end))
            end = middle
        else:
            spans.append(Span(begin, middle))
            begin, whole = middle, False
    if not whole:
        spans.append(Span(begin, end))
    return spans[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Give the root that ``proof`` leads to from a leaf's hash, RFC 9162 section 2.1.3.2; none when it cannot fit."""
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether ``proof`` shows that the ``new`` leaves begin with the ``old`` ones, RFC 9162 section 2.1.4.2."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    path: Iterator[bytes] = iter(proof)
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # An old tree that is perfect is itself the first node of the path.
    first = old_root if old & (old - 1) == 0 else next(path, None)
    if first is None:
        return False
    before = after = first
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root
