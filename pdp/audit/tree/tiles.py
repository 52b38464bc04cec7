"""The log as static files (c2sp.org/tlog-tiles), below `log/`: 256 hashes to a tile, 256 records to a bundle.

    tile/<L>/<N>[.p/<W>]        hashes of level L: at 0 the leaves, above it the roots of whole tiles below
    tile/entries/<N>[.p/<W>]    the records of tile 0/<N>, each after its length as a big-endian uint16

A number is written as x001/x234/067. What has `.p/<W>` is the right edge of one published size; it may go once its
whole tile is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import whole
from pdp.audit.tree import checkpoint, merkle, pruned
from pdp.audit.tree.merkle import HASH_BYTES
from pdp.audit.tree.pruned import Pruned

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_ENTRY: Final = 65_535
MAX_BUNDLE: Final = 2 * WIDTH * (MAX_ENTRY + 2)
"""Bytes of what is still read: twice what the log has, so that what was put in can be told."""
ENTRIES: Final = "entries"
CACHED: Final = 64


class Untold(EvidenceError):
    """What the log says of what was taken out is on no record of it."""


def threes(number: int) -> str:
    """1234067 is x001/x234/067."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + each for each in parts[:-1]), parts[-1]])


def place(level: int | str, number: int, width: int = WIDTH) -> str:
    """Where a tile, or at level "entries" a bundle, stands below `log/`."""
    whole = f"tile/{level}/{threes(number)}"
    return whole if width == WIDTH else f"{whole}.p/{width}"


def width_at(size: int, level: int, number: int) -> int:
    """How many hashes this tile has in a tree of this size: 0 to 256."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - number * WIDTH))


def packed(entry: bytes) -> bytes:
    """One entry as it stands in a bundle. Raises EvidenceError where it is too long."""
    if len(entry) > MAX_ENTRY:
        raise EvidenceError("a record is longer than 65,535 bytes")
    return len(entry).to_bytes(2, "big") + entry


def unpacked(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises EvidenceError where it is cut short, or has far too many."""
    found, at = [], 0
    while at < len(bundle):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        found.append(bundle[start:at])
        if len(found) > 2 * WIDTH:
            raise EvidenceError("a bundle has more records than it may")
    if at != len(bundle):
        raise EvidenceError("a bundle is cut short")
    return found


def hashes_of(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


class Edge:
    """The right edge of a growing log: what is in no whole tile yet, a row of less than 256 hashes for each level."""

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[list[bytes]] = [[]]
        self._entries: list[bytes] = []

    @classmethod
    def read(cls, log: Path, size: int) -> Edge:
        """As it was written for this size. Raises EvidenceError where that is not there or does not fit together."""
        edge = cls()
        edge.size = size
        edge._rows = []
        for level in range(levels(size)):
            number = size >> HEIGHT * (level + 1)
            width = width_at(size, level, number)
            data = content(log, place(level, number, width)) if width else b""
            if len(data) != width * HASH_BYTES:
                raise EvidenceError(f"{place(level, number, width)} has not {width} hashes")
            edge._rows.append(hashes_of(data))
        if edge._rows[0]:
            name = place(ENTRIES, size >> HEIGHT, len(edge._rows[0]))
            entries = unpacked(content(log, name))
            if [merkle.leaf(each) for each in entries] != edge._rows[0]:
                raise EvidenceError(f"{name} and the tile of its hashes do not belong together")
            edge._entries = [packed(each) for each in entries]
        return edge

    def grow(self, entries: Iterable[bytes]) -> dict[str, bytes]:
        """Append, and give every file, by its place, that the log has to have for its new size."""
        files: dict[str, bytes] = {}
        row, waiting, leaf = self._rows[0], self._entries, merkle.leaf
        touched = 0
        for entry in entries:
            waiting.append(packed(entry))
            row.append(leaf(entry))
            self.size += 1
            if len(row) == WIDTH:
                files[place(ENTRIES, (self.size >> HEIGHT) - 1)] = b"".join(waiting)
                waiting.clear()
                touched = max(touched, self._lift(0, files))
        self._partial(files, touched)
        return files

    def _lift(self, level: int, files: dict[str, bytes]) -> int:
        """A row is whole: it becomes a tile, and one hash of the row above. How high did that go?"""
        row = self._rows[level]
        files[place(level, (self.size >> HEIGHT * (level + 1)) - 1)] = b"".join(row)
        if level + 1 == len(self._rows):
            self._rows.append([])
        above = self._rows[level + 1]
        above.append(merkle.joined(row))
        row.clear()
        return self._lift(level + 1, files) if len(above) == WIDTH else level + 1

    def _partial(self, files: dict[str, bytes], touched: int) -> None:
        for level in range(touched + 1):
            row = self._rows[level]
            if row:
                files[place(level, self.size >> HEIGHT * (level + 1), len(row))] = b"".join(row)
        if self._entries:
            files[place(ENTRIES, self.size >> HEIGHT, len(self._entries))] = b"".join(self._entries)

    def root(self) -> bytes:
        peaks = []
        for row in reversed(self._rows):
            start = 0
            for height in reversed(range(HEIGHT)):
                if len(row) >> height & 1:
                    peaks.append(merkle.joined(row[start : start + (1 << height)]))
                    start += 1 << height
        return merkle.Frontier(self.size, peaks).root()


def levels(size: int) -> int:
    """How many levels a log of this size has; the lowest one always."""
    return max(1, -(-size.bit_length() // HEIGHT))


def content(log: Path, name: str) -> bytes:
    """A file of the log. Raises EvidenceError."""
    try:
        return whole(log / name, MAX_BUNDLE)
    except FileNotFoundError as error:
        raise EvidenceError(f"{name} is missing") from error
    except OSError as error:
        raise EvidenceError(f"{name} cannot be read: {error.strerror}") from error


class Tiles:
    """Reads tiles of a log of one size, for proofs. It believes them: what is computed is to be checked with a root."""

    def __init__(self, log: Path, size: int) -> None:
        self._log = log
        self._size = size
        self._cache: dict[tuple[int, int], bytes] = {}

    def perfect(self, height: int, index: int) -> bytes:
        """See `merkle.Perfect`. Raises EvidenceError."""
        level, inner = divmod(height, HEIGHT)
        number, first = divmod(index << inner, WIDTH)
        start = first * HASH_BYTES
        return merkle.joined(hashes_of(self._tile(level, number)[start : start + (HASH_BYTES << inner)]))

    def _tile(self, level: int, number: int) -> bytes:
        tile = self._cache.get((level, number))
        if tile is None:
            width = width_at(self._size, level, number)
            tile = part(self._log, level, number, width)
            if len(tile) < width * HASH_BYTES:
                raise EvidenceError(f"{place(level, number, width)} is cut short")
            if len(self._cache) >= CACHED:
                self._cache.pop(next(iter(self._cache)))
            self._cache[level, number] = tile
        return tile


def part(log: Path, level: int | str, number: int, width: int) -> bytes:
    """A tile or bundle of this width; where its partial file has gone, the whole one that replaced it."""
    if width < WIDTH and not (log / place(level, number, width)).exists() and (log / place(level, number)).exists():
        return content(log, place(level, number))
    return content(log, place(level, number, width))


def taken_out(log: Path, size: int) -> Pruned:
    """What is not there any more because its time was over. Only a sealed record can say so: what is merely missing is
    never passed over. Raises EvidenceError.
    """
    found = pruned.read(log)
    if found == pruned.NOTHING:
        return found
    if found.index >= size:  # It was pruned since that size was read.
        size = max(size, checkpoint.last(log) or 0)
    payload = next((each for _, each in records(log, size, first=max(0, found.index), known=found)), b"")
    said = pruned.of_record(found.index, payload)
    if said is None or (said.min_index, said.kept, said.hashes) != (found.min_index, found.kept, found.hashes):
        raise Untold(f"log/{pruned.NAME} says that records were taken out, and no record of the log does")
    return found


def records(
    log: Path,
    size: int,
    progress: Callable[[int], None] = lambda _: None,
    first: int = 0,
    known: Pruned | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Every record from index `first` on, one bundle in memory at a time. Believes them. Raises EvidenceError.

    What was pruned is left out: as a record of the log says, or as is `known`.
    """
    known = taken_out(log, size) if known is None else known
    for number in range(first // WIDTH, -(-size // WIDTH)):
        width = width_at(size, 0, number)
        if known.gone(number) and not (log / place(ENTRIES, number)).exists():
            continue
        entries = unpacked(part(log, ENTRIES, number, width))
        if len(entries) < width:
            raise EvidenceError(f"{place(ENTRIES, number, width)} is cut short")
        start = number * WIDTH
        skipped = max(0, first - start)
        yield from enumerate(entries[skipped:width], start + skipped)
        progress(start + width)
