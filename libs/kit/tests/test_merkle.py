"""Proves the Merkle trees against the recursive definitions of RFC 6962 section 2.1 and its known test vectors."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_kit.merkle import (
    BLOCK,
    EMPTY_ROOT,
    Frontier,
    Run,
    Span,
    consistency_spans,
    hash_of_span,
    inclusion_spans,
    is_consistent,
    leaf_hash,
    node_hash,
    perfect_hashes,
    reads,
    root_from_inclusion,
)

# The eight leaves and the roots over the first n of them that the tests of Certificate Transparency use.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]), to the letter; ``leaves`` are hashed already."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]), to the letter."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b), to the letter; PROOF(m, D[n]) is SUBPROOF(m, D[n], true)."""
    n = len(leaves)
    if m == n:
        return [] if whole else [mth(leaves)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


class Kept:
    """A tree with what a log stores of it: leaf hashes and the hashes of full blocks."""

    def __init__(self, size: int) -> None:
        self.leaves = [leaf_hash(str(number).encode()) for number in range(size)]
        self.frontier = Frontier()
        self.stored: dict[tuple[int, int], bytes] = {}
        for number, leaf in enumerate(self.leaves):
            self.stored[0, number] = leaf
            for run, made in self.frontier.append(leaf):
                self.stored[run.level, run.first] = made

    def read(self, span: Span) -> Mapping[Run, Sequence[bytes]]:
        return {
            run: [self.stored[run.level, place] for place in range(run.first, run.first + run.length)]
            for run in reads(span)
        }

    def proof(self, spans: Sequence[Span]) -> list[bytes]:
        return [hash_of_span(span, self.read(span)) for span in spans]


BIG = Kept(2 * BLOCK + 77)
sizes = st.integers(1, len(BIG.leaves))


def test_the_roots_are_those_of_the_known_vectors() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == sha256(b"").digest()
    for data, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(data))
        assert frontier.root().hex() == root


def test_the_proofs_are_those_of_the_known_vectors() -> None:
    hashes = [leaf_hash(data) for data in LEAVES]
    assert [one.hex()[:8] for one in path(5, hashes)] == ["bc1a0643", "ca854ea1", "d37ee418"]
    assert [one.hex()[:8] for one in subproof(6, hashes, True)] == ["0ebc5d34", "ca854ea1", "d37ee418"]


@given(sizes)
def test_a_growing_tree_has_the_root_of_the_recursive_definition(size: int) -> None:
    frontier = Frontier()
    for leaf in BIG.leaves[:size]:
        frontier.append(leaf)
    whole = Span(0, size)

    assert frontier.root() == mth(BIG.leaves[:size]) == hash_of_span(whole, BIG.read(whole))


@given(st.lists(st.integers(0, BLOCK + 9), max_size=6))
def test_leaves_added_by_the_lot_complete_the_same_blocks_and_lead_to_the_same_root(lots: list[int]) -> None:
    together, one_by_one, place = Frontier(), Frontier(), 0
    for lot in lots:
        leaves = [leaf_hash(b"%d" % number) for number in range(place, place + lot)]
        place += lot
        assert together.extend(leaves) == [done for leaf in leaves for done in one_by_one.append(leaf)]
        assert (together.size, together.hashes) == (one_by_one.size, one_by_one.hashes)


def test_a_lot_completes_blocks_of_blocks_too() -> None:
    together, one_by_one = Frontier(), Frontier()
    leaves = [leaf_hash(b"%d" % number) for number in range(BLOCK**2 + 1)]

    assert together.extend(leaves) == [done for leaf in leaves for done in one_by_one.append(leaf)]
    assert together.root() == one_by_one.root()


@given(sizes, sizes)
def test_a_tree_goes_on_from_what_is_stored_as_if_it_had_never_stopped(first: int, second: int) -> None:
    size, end = sorted((first, second))
    whole = Span(0, size)
    frontier = Frontier(size, perfect_hashes(whole, BIG.read(whole)))
    for leaf in BIG.leaves[size:end]:
        frontier.append(leaf)

    assert frontier.root() == mth(BIG.leaves[:end])


@given(sizes, st.data())
def test_inclusion_proofs_are_the_definitions_and_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = BIG.proof(inclusion_spans(index, size))

    assert proof == path(index, BIG.leaves[:size])
    assert root_from_inclusion(index, size, BIG.leaves[index], proof) == mth(BIG.leaves[:size])


@given(sizes, sizes)
def test_consistency_proofs_are_the_definitions_and_verify(first: int, second: int) -> None:
    old, new = sorted((first, second))
    proof = BIG.proof(consistency_spans(old, new))

    assert proof == subproof(old, BIG.leaves[:new], True)
    assert is_consistent(old, new, mth(BIG.leaves[:old]), mth(BIG.leaves[:new]), proof)


@given(sizes, st.data())
def test_no_other_leaf_place_size_or_proof_leads_to_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    root, leaf = mth(BIG.leaves[:size]), BIG.leaves[index]
    proof = path(index, BIG.leaves[:size])
    other = data.draw(st.integers(0, size - 1).filter(lambda place: place != index) if size > 1 else st.just(size))

    assert root_from_inclusion(index, size, node_hash(leaf, leaf), proof) != root
    assert root_from_inclusion(other, size, leaf, proof) != root
    assert root_from_inclusion(index, size, leaf, [*proof, root]) is None
    assert root_from_inclusion(-1, size, leaf, proof) is None
    if proof:
        assert root_from_inclusion(index, size, leaf, proof[:-1]) is None


@given(sizes, sizes, st.data())
def test_no_changed_history_is_consistent(first: int, second: int, data: st.DataObject) -> None:
    old, new = sorted((first, second))
    proof = subproof(old, BIG.leaves[:new], True)
    before, after = mth(BIG.leaves[:old]), mth(BIG.leaves[:new])

    assert not is_consistent(old, new, leaf_hash(before), after, proof)
    assert not is_consistent(old, new, before, leaf_hash(after), proof)
    assert not is_consistent(old, new, before, after, [*proof, before])
    assert not is_consistent(new + 1, new, before, after, proof)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [leaf_hash(one) if number == place else one for number, one in enumerate(proof)]
        assert not is_consistent(old, new, before, after, changed)
        assert not is_consistent(old, new, before, after, proof[:-1])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="perfect subtrees"):
        Frontier(3, [b"x"])
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_spans(3, 3)
    with pytest.raises(ValueError, match="no proof"):
        consistency_spans(0, 3)
    with pytest.raises(ValueError, match="should hold"):
        hash_of_span(Span(0, 2), {Run(0, 0, 2): [b"one"]})
