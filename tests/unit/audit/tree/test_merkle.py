"""RFC 6962: our own words against the RFC's, against vectors, and against two implementations that others wrote."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.tree import merkle
from pdp.audit.tree.merkle import (
    EMPTY,
    Frontier,
    ProofError,
    check_consistency,
    check_inclusion,
    consistency,
    inclusion,
)

BOUNDARIES = (0, 1, 2, 7, 8, 255, 256, 257)
LARGE = (65_535, 65_536, 65_537)

# What certificate transparency logs test their own trees with: eight leaves and the roots of the first n of them.
LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def mth(data: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not data:
        return sha256().digest()
    if len(data) == 1:
        return sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:])).digest()


def path_of(m: int, data: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word for word."""
    if len(data) == 1:
        return []
    k = 1
    while k * 2 < len(data):
        k *= 2
    if m < k:
        return [*path_of(m, data[:k]), mth(data[k:])]
    return [*path_of(m - k, data[k:]), mth(data[:k])]


def proof_of(m: int, data: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.2, word for word."""

    def subproof(m: int, data: list[bytes], b: bool) -> list[bytes]:
        if m == len(data):
            return [] if b else [mth(data)]
        k = 1
        while k * 2 < len(data):
            k *= 2
        if m <= k:
            return [*subproof(m, data[:k], b), mth(data[k:])]
        return [*subproof(m - k, data[k:], False), mth(data[:k])]

    return subproof(m, data, True)


class Tree:
    """All rows of a tree, for tests: `perfect` as a list of lists."""

    def __init__(self, data: list[bytes]) -> None:
        self.rows = [[merkle.leaf(each) for each in data]]
        while len(self.rows[-1]) > 1:
            row = self.rows[-1]
            self.rows.append([merkle.node(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])

    def perfect(self, height: int, index: int) -> bytes:
        return self.rows[height][index]


def records(number: int) -> list[bytes]:
    return [b"record %d" % each for each in range(number)]


def grown(data: list[bytes]) -> Frontier:
    edge = Frontier()
    for each in data:
        edge.append(merkle.leaf(each))
    return edge


@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_the_usual_eight_leaves(size: int) -> None:
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size] == mth(LEAVES[:size]).hex()


@pytest.mark.parametrize("size", BOUNDARIES)
def test_frontier_and_subtrees_give_the_root_of_the_rfc(size: int) -> None:
    data = records(size)
    assert grown(data).root() == merkle.root(size, Tree(data).perfect) == mth(data)
    assert merkle.frontier(size, Tree(data).perfect).peaks == grown(data).peaks


def test_every_inclusion_proof_is_the_one_of_the_rfc_and_is_accepted() -> None:
    for size in range(1, 34):
        data = records(size)
        tree, root = Tree(data), mth(data)
        for index in range(size):
            path = inclusion(index, size, tree.perfect)
            assert path == path_of(index, data)
            check_inclusion(merkle.leaf(data[index]), index, size, path, root)


def test_every_consistency_proof_is_the_one_of_the_rfc_and_is_accepted() -> None:
    data = records(33)
    tree = Tree(data)
    for new in range(34):
        for old in range(new + 1):
            path = consistency(old, new, tree.perfect)
            assert path == (proof_of(old, data[:new]) if old > 0 else [])
            check_consistency(old, new, mth(data[:old]), mth(data[:new]), path)


@given(st.integers(1, 200), st.data())
def test_a_proof_of_another_leaf_place_size_or_root_is_refused(size: int, data: st.DataObject) -> None:
    leaves = records(size)
    tree, root = Tree(leaves), mth(leaves)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion(index, size, tree.perfect)
    hashed = merkle.leaf(leaves[index])
    wrong = [
        (merkle.leaf(b"another"), index, size, path, root),
        (hashed, index, size, path, merkle.leaf(b"another")),
        (hashed, index, size, [*path, EMPTY], root),
        (hashed, size, size, path, root),
        (hashed, -1, size, path, root),
    ]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        changed = [*path[:at], bytes([path[at][0] ^ 1]) + path[at][1:], *path[at + 1 :]]
        wrong += [(hashed, index, size, changed, root), (hashed, index, size, path[:-1], root)]
        wrong += [(hashed, index ^ 1, size, path, root)]
    for each in wrong:
        with pytest.raises(ProofError):
            check_inclusion(*each)


@given(st.integers(2, 200), st.data())
def test_a_consistency_proof_of_other_trees_is_refused(new: int, data: st.DataObject) -> None:
    leaves = records(new)
    old = data.draw(st.integers(1, new - 1))
    before, after = mth(leaves[:old]), mth(leaves)
    path = consistency(old, new, Tree(leaves).perfect)
    forked = mth([*leaves[: old - 1], b"another"])
    at = data.draw(st.integers(0, len(path) - 1))
    changed = [*path[:at], bytes([path[at][0] ^ 1]) + path[at][1:], *path[at + 1 :]]
    for wrong in (
        (old, new, forked, after, path),
        (old, new, before, forked, path),
        (old, new, before, after, path[:-1]),
        (old, new, before, after, [*path, EMPTY]),
        (old, new, before, after, changed),
        (new, old, after, before, path),
        (old, new, before, after, []),
    ):
        with pytest.raises(ProofError):
            check_consistency(*wrong)


def test_trees_of_one_size_are_consistent_only_when_equal_and_the_empty_one_has_one_root() -> None:
    root = mth(records(3))
    check_consistency(3, 3, root, root, [])
    check_consistency(0, 3, EMPTY, root, [])
    for wrong in (
        (3, 3, root, EMPTY, []),
        (0, 3, root, root, []),
        (0, 0, root, root, [root]),
        (3, 3, root, root, [root]),
    ):
        with pytest.raises(ProofError):
            check_consistency(*wrong)


def test_a_record_that_looks_like_an_inner_node_is_not_taken_for_it() -> None:
    left, right = merkle.leaf(b"a"), merkle.leaf(b"b")
    assert merkle.leaf(left + right) != merkle.node(left, right)


def test_a_frontier_with_too_few_hashes_is_refused() -> None:
    with pytest.raises(ProofError):
        Frontier(3, [EMPTY])


def probes(size: int) -> set[int]:
    return {each for each in (0, 1, size // 2, size - 2, size - 1) if 0 <= each < size}


@pytest.mark.parametrize("size", BOUNDARIES + LARGE)
def test_pymerkle_agrees_on_roots_and_proofs(size: int) -> None:
    pymerkle = pytest.importorskip("pymerkle", reason="pymerkle is not installed")
    data = records(size)
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for each in data:
        theirs.append_entry(each)
    tree = Tree(data)
    assert theirs.get_root() == merkle.root(size, tree.perfect)
    for index in probes(size):
        # Their path begins with the leaf itself; sides are theirs to say, ours follow from index and size.
        proof = theirs.prove_inclusion(index + 1)
        ours = inclusion(index, size, tree.perfect)
        assert [bytes.fromhex(each) for each in proof.serialize()["path"]][1:] == ours
        check_inclusion(merkle.leaf(data[index]), index, size, ours, theirs.get_root())


@pytest.mark.parametrize("size", BOUNDARIES + LARGE)
def test_aics_tlog_agrees_on_roots_and_proofs(size: int) -> None:
    aics = pytest.importorskip("aics_tlog", reason="aics-tlog is not installed")
    data = records(size)
    theirs, tree = aics.MerkleTree(data), Tree(data)
    root = merkle.root(size, tree.perfect)
    assert theirs.root() == root
    for index in probes(size):
        path = inclusion(index, size, tree.perfect)
        assert theirs.inclusion_proof(index) == path
        assert aics.verify_leaf_inclusion(data[index], index, size, path, root)
    for old in probes(size) - {0}:
        path = consistency(old, size, tree.perfect)
        assert theirs.consistency_proof(old) == path
        assert aics.verify_consistency(old, size, theirs.root(old), root, path)
