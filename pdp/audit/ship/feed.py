"""What there is to ship, in order: records one by one, or files, each with the index up to which that is all.

Both read what is sealed and signed, and hold one batch in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pdp.audit import leaf
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import Leaf
from pdp.audit.ship.target import Contradicted, Item
from pdp.audit.tree import checkpoint, pruned, tiles
from pdp.audit.tree.merkle import HASH_BYTES
from pdp.audit.tree.pruned import Pruned
from pdp.audit.tree.tiles import ENTRIES, HEIGHT, WIDTH, levels, place, width_at

LOG: Final = "log"
MOST_ITEMS: Final = 512
MOST_BYTES: Final = 4 * 1_048_576
Encoder = Callable[[Leaf], bytes]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch, and the index that a target which has confirmed it is at."""

    items: tuple[Item, ...]
    next: int
    time: int = 0  # of the first record in it, microseconds since the epoch; 0: not known


class Feed(Protocol):
    def size(self) -> int:
        """How far there is something to ship. Raises EvidenceError, OSError."""

    def after(self, index: int) -> Iterator[Parcel]:
        """Raises EvidenceError, OSError."""


def hash_at(directory: Path, index: int) -> str:
    """Hex of the leaf hash of one sealed record, from the tiles. Raises EvidenceError."""
    log = directory / LOG
    size = signed(directory)
    number, at = divmod(index, WIDTH)
    data = tiles.part(log, 0, number, width_at(size, 0, number))
    found = data[at * HASH_BYTES : (at + 1) * HASH_BYTES]
    if len(found) != HASH_BYTES:
        raise EvidenceError(f"{place(0, number)} is cut short")
    return found.hex()


def signed(directory: Path) -> int:
    """The size of the newest checkpoint that is kept; 0 where there is none. Raises EvidenceError."""
    try:
        return checkpoint.last(directory / LOG) or 0
    except OSError as error:
        raise EvidenceError(f"the checkpoints cannot be read: {error.strerror}") from error


class Records:
    """Every record once, in the order of the log, as `encode` writes it."""

    def __init__(self, directory: Path, encode: Encoder) -> None:
        self._directory = directory
        self._encode = encode

    def size(self) -> int:
        return signed(self._directory)

    def after(self, index: int) -> Iterator[Parcel]:
        size = self.size()
        if index >= size:
            return
        items: list[Item] = []
        held, first = 0, 0
        log = self._directory / LOG
        for at, payload in tiles.records(log, size, first=index, known=taken_out(log, size)):
            item = self._item(leaf.leaf(at, payload))
            first = first or item.time
            if item.body:  # A format may leave a kind of record out.
                items.append(item)
            held += len(item.body)
            if len(items) >= MOST_ITEMS or held >= MOST_BYTES:
                yield Parcel(tuple(items), at + 1, first)
                items, held, first = [], 0, 0
        yield Parcel(tuple(items), size, first)

    def _item(self, found: Leaf) -> Item:
        key = f"{found.stream}:{found.seq}"
        return Item(key, self._encode(found), found.kind, found.time, found.stream, found.seq)


class Sealed:
    """Every file of the log that never changes again: full tiles, full bundles, and each checkpoint after what it
    covers. `partial_seconds`: after how long what is not full yet is shipped as it is, beside what is full later.
    """

    def __init__(self, directory: Path, partial_seconds: int = 0, now: Callable[[], float] = lambda: 0.0) -> None:
        self._log = directory / LOG
        self._directory = directory
        self._partial_seconds = partial_seconds
        self._now = now
        self._partial_at = 0.0
        self._partial_size = 0

    def size(self) -> int:
        return signed(self._directory)

    def after(self, index: int) -> Iterator[Parcel]:
        if not self.size():
            return
        items: list[Item] = []
        held, before = 0, index
        gone = taken_out(self._log, self.size())
        for size in checkpoints_above(self._log, index if index else -1):
            for name in [*full_between(before, size, gone), checkpoint.place(size)]:
                item = self._item(name)
                if items and (len(items) >= MOST_ITEMS or held + len(item.body) > MOST_BYTES):
                    yield Parcel(tuple(items), before)
                    items, held = [], 0
                items.append(item)
                held += len(item.body)
            before = size
        if self._partial_due(before):
            items += self._partial(before)
            self._partial_at, self._partial_size = self._now(), before
        if items:
            yield Parcel(tuple(items), before)

    def _partial_due(self, size: int) -> bool:
        wanted = self._partial_seconds and size != self._partial_size
        return bool(wanted) and self._now() - self._partial_at >= self._partial_seconds

    def _item(self, name: str) -> Item:
        return Item(name, tiles.content(self._log, name), name.split("/")[0])

    def _partial(self, size: int) -> list[Item]:
        found = []
        for name in partial_at(size):
            try:
                found.append(self._item(name))
            except EvidenceError:
                continue  # It is full by now.
        return found


def taken_out(log: Path, size: int) -> Pruned:
    """See `tiles.taken_out`. Raises Contradicted too."""
    try:
        return tiles.taken_out(log, size)
    except tiles.Untold as error:
        raise Contradicted(str(error)) from error


def full_between(before: int, size: int, gone: Pruned = pruned.NOTHING) -> Iterator[str]:
    """The tiles and bundles that are full at `size` and were not at `before`, the records first."""
    for number in range(before >> HEIGHT, size >> HEIGHT):
        if not gone.gone(number):
            yield place(ENTRIES, number)
    for level in range(levels(size)):
        shift = HEIGHT * (level + 1)
        for number in range(before >> shift, size >> shift):
            if gone.hashes or not _hashes_gone(gone, level, number):
                yield place(level, number)


def _hashes_gone(gone: Pruned, level: int, number: int) -> bool:
    """Was this tile taken out? It stayed where it is needed for a bundle that did."""
    if number >= gone.min_index >> HEIGHT * (level + 1):
        return False
    first, last = number << HEIGHT * level, ((number + 1) << HEIGHT * level) - 1
    return not any(run[0] <= last and first <= run[1] for run in gone.kept)


def partial_at(size: int) -> Iterator[str]:
    """The right edge of a tree of this size."""
    for level in range(levels(size)):
        number = size >> HEIGHT * (level + 1)
        width = width_at(size, level, number)
        if width and level == 0:
            yield place(ENTRIES, number, width)
        if width:
            yield place(level, number, width)


def checkpoints_above(log: Path, size: int) -> Iterator[int]:
    """The sizes of the checkpoints that are kept beyond this one, in order. Reads no directory that lies wholly below.

    Raises OSError.
    """
    return _above(log / checkpoint.ARCHIVE, "", f"{size:0{checkpoint.DIGITS}d}" if size >= 0 else "")


def _above(directory: Path, digits: str, than: str) -> Iterator[int]:
    if not directory.is_dir():
        return
    floor = than[len(digits) : len(digits) + 3] if than.startswith(digits) else ""
    for name in sorted(each for each in os.listdir(directory) if len(each) == 3 and each.isascii() and each.isdigit()):
        if name < floor:
            continue
        found = digits + name
        if len(found) < checkpoint.DIGITS:
            yield from _above(directory / name, found, than)
        elif found > than:
            yield int(found)
