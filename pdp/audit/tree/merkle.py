"""The Merkle tree of RFC 6962 (section 2.1): hashes, roots, and proofs that a stranger can check with SHA-256 alone.

A tree is never held here. What is asked of it is the hash of a perfect subtree (`Perfect`), which tiles can give; every
other range is put together from those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY: Final = sha256(b"").digest()

Perfect = Callable[[int, int], bytes]
"""`perfect(height, index)`: the hash of the leaves from `index << height` up to `(index + 1) << height`."""


class ProofError(Exception):
    """The proof does not show what it should."""


def leaf(record: bytes) -> bytes:
    """The hash of one record: SHA-256(0x00 || record).

    The 0x00 keeps a record from ever passing as an inner node, which hashes with 0x01.
    """
    return sha256(b"\x00" + record).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def joined(hashes: Sequence[bytes]) -> bytes:
    """The hash of a perfect subtree with these hashes as its lowest level; their number is a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]


class Frontier:
    """The right edge of a growing tree: its perfect subtrees, largest first, which is all that its root needs."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ProofError("a frontier has one hash for each bit of its size")
        self.size = size
        self.peaks = list(peaks)

    def append(self, hashed: bytes, height: int = 0) -> None:
        """One more leaf, by its hash. Each trailing one bit of the size is a subtree that it completes.

        With a `height` it is a perfect subtree of so many levels, which has to begin where such a one may.
        """
        size = self.size >> height
        if size << height != self.size:
            raise ProofError("a subtree that cannot begin there")
        peaks = self.peaks
        while size & 1:
            hashed = sha256(b"\x01" + peaks.pop() + hashed).digest()
            size >>= 1
        peaks.append(hashed)
        self.size += 1 << height

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY
        hashed = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            hashed = node(peak, hashed)
        return hashed


def frontier(size: int, perfect: Perfect) -> Frontier:
    """The frontier of the first `size` leaves."""
    peaks, start = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            peaks.append(perfect(height, start >> height))
            start += 1 << height
    return Frontier(size, peaks)


def root(size: int, perfect: Perfect) -> bytes:
    return frontier(size, perfect).root()


def _range(start: int, end: int, perfect: Perfect) -> bytes:
    """MTH(D[start:end]) of RFC 6962; `start` is a multiple of the smallest power of two not below `end - start`."""
    width = end - start
    if width & (width - 1) == 0:
        height = width.bit_length() - 1
        return perfect(height, start >> height)
    split = start + _largest_power_below(width)
    return node(_range(start, split, perfect), _range(split, end, perfect))


def _largest_power_below(number: int) -> int:
    return 1 << (number - 1).bit_length() - 1


def inclusion(index: int, size: int, perfect: Perfect) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1: from the leaf's sibling up to the root's child."""
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} has no leaf {index}")
    path, start, end = [], 0, size
    while end - start > 1:
        split = start + _largest_power_below(end - start)
        if index < split:
            path.append(_range(split, end, perfect))
            end = split
        else:
            path.append(_range(start, split, perfect))
            start = split
    return path[::-1]


def consistency(old: int, new: int, perfect: Perfect) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2. Empty where there is nothing to show: `old` is 0 or `new`."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not begin with one of {old}")
    if old in (0, new):
        return []
    path, start, end, whole = [], 0, new, True
    while old != end:
        split = start + _largest_power_below(end - start)
        if old <= split:
            path.append(_range(split, end, perfect))
            end = split
        else:
            path.append(_range(start, split, perfect))
            start, whole = split, False
    if not whole:
        path.append(_range(start, end, perfect))
    return path[::-1]


def check_inclusion(hashed: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """RFC 9162 section 2.1.3.2, its steps numbered. Raises ProofError."""
    if not 0 <= index < size:  # (1)
        raise ProofError(f"a tree of {size} has no leaf {index}")
    first, second, result = index, size - 1, hashed  # (2), (3)
    for each in path:  # (4)
        if second == 0:  # (4.1)
            raise ProofError("the inclusion proof is too long")
        if first & 1 or first == second:  # (4.2)
            result = node(each, result)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            result = node(result, each)
        first, second = first >> 1, second >> 1  # (4.3)
    if second != 0:  # (5)
        raise ProofError("the inclusion proof is too short")
    if result != expected:
        raise ProofError("the inclusion proof leads to another root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2, its steps numbered. Raises ProofError.

    The RFC leaves `old` = 0 open: every tree begins with the empty one, whose root is SHA-256 of nothing.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} does not begin with one of {old}")
    if old in (0, new):
        if path:
            raise ProofError("the consistency proof is too long")
        if old_root != (new_root if old == new else EMPTY):
            raise ProofError("the roots contradict each other")
        return
    hashes = list(path)
    if old & (old - 1) == 0:  # (2)
        hashes.insert(0, old_root)
    if not hashes:  # (1)
        raise ProofError("the consistency proof is too short")
    first, second = old - 1, new - 1  # (3)
    while first & 1:  # (4)
        first, second = first >> 1, second >> 1
    left = right = hashes[0]  # (5)
    for each in hashes[1:]:  # (6)
        if second == 0:  # (6.1)
            raise ProofError("the consistency proof is too long")
        if first & 1 or first == second:  # (6.2)
            left, right = node(each, left), node(each, right)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            right = node(right, each)
        first, second = first >> 1, second >> 1  # (6.3)
    if second != 0:  # (7)
        raise ProofError("the consistency proof is too short")
    if left != old_root:
        raise ProofError("the consistency proof leads to another root of the smaller tree")
    if right != new_root:
        raise ProofError("the consistency proof leads to another root of the larger tree")
