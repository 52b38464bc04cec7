"""The whole tree again, from the records alone, beside what the tiles say; one bundle in memory at a time.

Records and tiles each give a root for every size that is asked for. Where the two part, the signature decides later
which of them was changed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.evidence import EvidenceError
from pdp.audit.tree import merkle
from pdp.audit.tree.merkle import HASH_BYTES, Frontier
from pdp.audit.tree.pruned import NOTHING, Pruned
from pdp.audit.tree.tiles import ENTRIES, HEIGHT, WIDTH, content, hashes_of, part, place, unpacked, width_at

MAX_KEPT: Final = 100
"""Of findings of one sort; a log that was rewritten has as many as it has records."""

Visit = Callable[[int, bytes], None]
"""`visit(index, record)`, for every record that can be read."""
At = Callable[[int, bytes | None, bytes | None], None]
"""`at(size, by_records, by_tiles)`: the roots of a size that was asked for; None where it cannot be known."""


@dataclass(slots=True)
class Difference:
    """A bundle and the tile of its hashes that do not belong together."""

    number: int
    finding: Finding  # what happened to the records, if the tile is right


@dataclass(slots=True)
class Found:
    differences: list[Difference] = field(default_factory=list)
    differing: int = 0
    missing: list[Finding] = field(default_factory=list)
    tiles: list[Finding] = field(default_factory=list)  # of the levels above, which follow from those below
    end: int = 0  # up to where anything could be read
    pruned: list[tuple[int, int, bool]] = field(default_factory=list)  # (first, last bundle, are its hashes there?)

    def comparable(self) -> Callable[[int], bool]:
        """Which sizes have a root to compare with: those inside of what went with its hashes have none."""
        spans = [(first * WIDTH, (last + 1) * WIDTH) for first, last, hashes in self.pruned if not hashes]

        def compared(size: int) -> bool:
            at = bisect_right(spans, (size, 0)) - 1
            return at < 0 or not spans[at][0] < size < spans[at][1]

        return compared


def recompute(
    log: Path,
    size: int,
    wanted: Iterator[int],
    visit: Visit,
    at: At,
    progress: Callable[[int, int], None],
    known: Pruned = NOTHING,
) -> Found:
    """Read a log of this size. `wanted`: sizes in order. `known`: what is said to be pruned, which `Found.pruned` is
    then to be held against. `at` is not told of a size which that leaves open.
    """
    walk = _Walk(log, size, wanted, visit, at, known)
    number, whole = 0, -(-size // WIDTH)
    while number < whole and (read := walk.bundle(number)):
        number += read
        progress(walk.found.end, size)
    walk.edges()
    return walk.found


class _Climb:
    """A tree by its blocks of 256: a frontier of them, and the rows that are to become tiles above."""

    def __init__(self) -> None:
        self.blocks = Frontier()
        self.rows: list[list[bytes]] = [[]]

    def copy(self) -> _Climb:
        other = _Climb()
        other.blocks = Frontier(self.blocks.size, self.blocks.peaks)
        other.rows = [list(row) for row in self.rows]
        return other

    def add(self, block: bytes, level: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """One whole block; gives the tiles (level, number, content) that it completes.

        At a higher level it is the hash of 256 blocks, or of 256 times as many, none of which is known.
        """
        self.blocks.append(block, HEIGHT * level)
        while True:
            while level >= len(self.rows):
                self.rows.append([])
            row = self.rows[level]
            row.append(block)
            if len(row) < WIDTH:
                return
            yield level + 1, (self.blocks.size >> HEIGHT * (level + 1)) - 1, b"".join(row)
            block = merkle.joined(row)
            row.clear()
            level += 1
            if level == len(self.rows):
                self.rows.append([])

    def root(self, inside: Frontier) -> bytes:
        """With the leaves of a block that is not whole."""
        peaks = [*self.blocks.peaks, *inside.peaks]
        if not peaks:
            return merkle.EMPTY
        hashed = peaks[-1]
        for peak in peaks[-2::-1]:
            hashed = merkle.node(peak, hashed)
        return hashed


class _Walk:
    def __init__(self, log: Path, size: int, wanted: Iterator[int], visit: Visit, at: At, known: Pruned) -> None:
        self.found = Found()
        self._pruned = known
        self._log = log
        self._size = size
        self._wanted = wanted
        self._visit = visit
        self._at = at
        self._next = next(wanted, -1)
        self._records: _Climb | None = _Climb()
        self._tiles: _Climb | None = self._records  # one and the same until they part
        while self._next == 0:
            self._tell(0, merkle.EMPTY, merkle.EMPTY)

    def bundle(self, number: int) -> int:
        """How many bundles that was: several where all of them were pruned. 0: there is nothing of it any more."""
        width = width_at(self._size, 0, number)
        gone = self._pruned.gone(number) and not (self._log / place(ENTRIES, number)).exists()
        if gone and not (self._log / place(0, number)).exists():
            return self._skip(number)
        records = None if gone else self._entries(number, width)
        hashes = self._hashes(number, width)
        if records is None and hashes is None:
            return 0
        if gone:
            self._note(number, number, True)
        start = number * WIDTH
        for index, record in enumerate(records or (), start):
            self._visit(index, record)
        leaves = [merkle.leaf(each) for each in records] if records is not None else None
        if leaves is not None and hashes is not None and leaves != hashes:
            self._part(number, leaves, hashes)
        self._grow(start, width, leaves, hashes)
        self.found.end = start + width
        return 1

    def _note(self, first: int, last: int, hashes: bool) -> None:
        found = self.found.pruned
        if found and found[-1][1] == first - 1 and found[-1][2] == hashes:
            first = found.pop()[0]
        found.append((first, last, hashes))

    def _skip(self, number: int) -> int:
        """Records and hashes were pruned: the lowest tile that is left has one hash for all of them."""
        level, blocks = 1, 1
        while number % blocks == 0 and number + blocks <= self._pruned.min_index >> HEIGHT:
            tile, at = divmod(number // blocks, WIDTH)
            width = width_at(self._size, level, tile)
            try:
                hashes = hashes_of(part(self._log, level, tile, width))[:width]
                return self._graft(number, blocks, hashes[at], level - 1)
            except (EvidenceError, IndexError):
                level, blocks = level + 1, blocks * WIDTH
        self._missing(place(0, number), EvidenceError("is missing"))
        return 0

    def _graft(self, number: int, blocks: int, hashed: bytes, level: int) -> int:
        self._note(number, number + blocks - 1, False)
        end = (number + blocks) * WIDTH
        while 0 <= self._next < end:  # No tile tells the roots in between.
            self._next = next(self._wanted, -1)
        for climb in {id(each): each for each in (self._records, self._tiles) if each is not None}.values():
            for _ in climb.add(hashed, level):
                pass
        if self._next == end:
            empty = Frontier()
            roots = [each.root(empty) if each is not None else None for each in (self._records, self._tiles)]
            self._tell(end, roots[0], roots[1])
        self.found.end = end
        return blocks

    def _entries(self, number: int, width: int) -> list[bytes] | None:
        name = place(ENTRIES, number, width)
        try:
            records = unpacked(part(self._log, ENTRIES, number, width))
            # What is too much is something that was put in, but for the whole bundle that has replaced a part.
            return records if (self._log / name).exists() else records[:width]
        except EvidenceError as error:
            self._missing(name, error)
            return None

    def _hashes(self, number: int, width: int) -> list[bytes] | None:
        name = place(0, number, width)
        try:
            hashes = hashes_of(part(self._log, 0, number, width))
            if len(hashes) < width or len(hashes[-1]) < HASH_BYTES:
                raise EvidenceError(f"{name} is cut short")
            return hashes if (self._log / name).exists() else hashes[:width]
        except EvidenceError as error:
            self._missing(name, error)
            return None

    def _missing(self, name: str, error: EvidenceError) -> None:
        if len(self.found.missing) < MAX_KEPT:
            self.found.missing.append(Finding(Kind.MISSING, str(error) if name in str(error) else f"{name}: {error}"))

    def _part(self, number: int, leaves: list[bytes], hashes: list[bytes]) -> None:
        self.found.differing += 1
        if len(self.found.differences) < MAX_KEPT:
            self.found.differences.append(Difference(number, told(number * WIDTH, leaves, hashes)))
        if self._records is self._tiles and self._records is not None:
            self._tiles = self._records.copy()

    def _grow(self, start: int, width: int, leaves: list[bytes] | None, hashes: list[bytes] | None) -> None:
        leaves = leaves if leaves is not None and len(leaves) == width else None
        hashes = hashes if hashes is not None and len(hashes) == width else None
        if (leaves is None or hashes is None) and self._records is self._tiles and self._records is not None:
            # One of the two is not known: the other goes on alone, and may be both, since nothing contradicts it.
            leaves = hashes = leaves if leaves is not None else hashes
        same = self._records is self._tiles
        by_records = _block(self._records, leaves)
        by_tiles = by_records if same else _block(self._tiles, hashes)
        while start < self._next <= start + width:
            size = self._next - start
            self._tell(self._next, by_records.root(size), by_tiles.root(size))
        self._records = by_records.after(self._whole if width == WIDTH else None)
        self._tiles = self._records if same else by_tiles.after(None)

    def _whole(self, level: int, number: int, data: bytes) -> None:
        self._compare(place(level, number), data)

    def _compare(self, name: str, data: bytes) -> None:
        try:
            if content(self._log, name) != data and len(self.found.tiles) < MAX_KEPT:
                self.found.tiles.append(Finding(Kind.TILE, name))
        except EvidenceError as error:
            self._missing(name, error)

    def _tell(self, size: int, by_records: bytes | None, by_tiles: bytes | None) -> None:
        while self._next == size:
            self._next = next(self._wanted, -1)
        self._at(size, by_records, by_tiles)

    def edges(self) -> None:
        """The tiles above that are not whole; then whoever still waits for a root hears that there is none."""
        if self._records is not None and self.found.end == self._size:
            for level, row in enumerate(self._records.rows, 1):
                if row:
                    self._compare_edge(level, b"".join(row))
        while self._next >= 0:
            self._tell(self._next, None, None)

    def _compare_edge(self, level: int, data: bytes) -> None:
        number, width = self._size >> HEIGHT * (level + 1), len(data) // HASH_BYTES
        try:
            if part(self._log, level, number, width)[: len(data)] != data:
                self.found.tiles.append(Finding(Kind.TILE, place(level, number, width)))
        except EvidenceError as error:
            self._missing(place(level, number, width), error)


def _block(climb: _Climb | None, leaves: list[bytes] | None) -> _Block:
    return _Block(climb if leaves is not None else None, leaves or [])


class _Block:
    """Up to 256 leaves on top of a tree of whole blocks."""

    def __init__(self, climb: _Climb | None, leaves: list[bytes]) -> None:
        self._climb = climb
        self._leaves = iter(leaves)
        self._all = leaves
        self._inside = Frontier()

    def root(self, size: int) -> bytes | None:
        """The root with so many of the leaves; asked for in order."""
        if self._climb is None:
            return None
        for leaf in islice(self._leaves, size - self._inside.size):
            self._inside.append(leaf)
        return self._climb.root(self._inside)

    def after(self, whole: Callable[[int, int, bytes], None] | None) -> _Climb | None:
        if self._climb is not None and len(self._all) == WIDTH:
            for tile in self._climb.add(merkle.joined(self._all)):
                if whole is not None:
                    whole(*tile)
        return self._climb


def told(start: int, leaves: list[bytes], hashes: list[bytes]) -> Finding:
    """What happened to the records of a bundle, by the hashes that they should have; `start` is its first index."""
    at = next(
        (at for at, (one, two) in enumerate(zip(leaves, hashes, strict=False)) if one != two),
        min(len(leaves), len(hashes)),
    )
    index = start + at
    if sorted(leaves) == sorted(hashes):
        return Finding(Kind.SWAPPED, f"from record {index} on", index)
    if leaves[at : at + 2] != hashes[at : at + 2] and leaves[at : at + 2] == hashes[at : at + 2][::-1]:
        return Finding(Kind.SWAPPED, f"records {index} and {index + 1}", index)
    if (at + 1 < len(hashes) and leaves[at : at + 1] == hashes[at + 1 : at + 2]) or at == len(leaves):
        return Finding(Kind.DROPPED, f"record {index}", index)
    if (at + 1 < len(leaves) and leaves[at + 1 : at + 2] == hashes[at : at + 1]) or at == len(hashes):
        return Finding(Kind.ADDED, f"as record {index}", index)
    return Finding(Kind.CHANGED, f"record {index}", index)
