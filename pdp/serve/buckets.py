"""Token buckets that all processes of one host share: a table of fixed size in a memory-mapped file.

A bucket is a debt and the time at which it was owed. A debt melts at the limit's rate; each request adds to it, and is
refused where that would be more than the burst. Integers alone: time in microseconds, debts in parts of a request, of
which one has `per_seconds` * 10^6, so that exactly `rate` of them melt in a microsecond.

A name is found in its set of a few places by a keyed hash, whose key is new with every start: nobody can choose names
that meet in one set, and the file names nobody. Where a set is full, the smallest debt makes room; whoever comes to
that set from then on owes at least as much, so leaving the table never pays off.

Sets are locked by their stripe (`pdp.identity.stripes`).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pdp.config.limits import Limit
from pdp.identity.stripes import Stripes

WAYS: Final = 8
STRIPES: Final = 64
STEP_MICROSECONDS: Final = 1_000_000
"""A clock that is this far behind has stepped back; less is two processes that looked one after the other."""

KEY_BYTES: Final = 32
SHAPE: Final = struct.Struct("qq")  # regions, sets in each
PLACE: Final = struct.Struct("16sqq")  # the hash of the name, the time, the debt
OWED: Final = struct.Struct("qq")
SET_BYTES: Final = OWED.size + WAYS * PLACE.size  # what newcomers owe, then the places
HEADER_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """A name under a limit. `region`: in which of the tables of the file."""

    region: int
    name: bytes
    limit: Limit

    @property
    def person(self) -> bytes:
        return b"limit-%d" % self.region


def make(path: Path, regions: int, names: int) -> None:
    """A new table for `regions` limits with places for `names` names each. The key is drawn here."""
    sets = -(-names // WAYS)
    path.touch(0o600)
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + regions * sets * SET_BYTES)
        file.write(os.urandom(KEY_BYTES) + SHAPE.pack(regions, sets))


class Buckets:
    """One process's view of the table. Opened after the fork. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._map = mmap.mmap(self._file, 0)
        self._key = self._map[:KEY_BYTES]
        _, self._sets = SHAPE.unpack_from(self._map, KEY_BYTES)
        self._stripes = Stripes(STRIPES, self._file)

    def close(self) -> None:
        self._map.close()
        os.close(self._file)

    def take(self, wanted: Sequence[Bucket], now: int) -> tuple[int, int, list[int]]:
        """One request of each, or of none. Which of them refuses, or -1; after how many microseconds it would not; and
        how many requests each has left then. Raises Busy.
        """
        hashes = [blake2b(each.name, digest_size=16, key=self._key, person=each.person).digest() for each in wanted]
        numbers = [
            each.region * self._sets + _number(name) % self._sets for each, name in zip(wanted, hashes, strict=True)
        ]
        with self._stripes.held(each % STRIPES for each in numbers):
            return self._taken([_Debt(self._map, *each, now) for each in zip(wanted, numbers, hashes, strict=True)])

    def _taken(self, debts: list[_Debt]) -> tuple[int, int, list[int]]:
        waits = [each.wait for each in debts]
        longest = max(waits)
        if longest > 0:
            return waits.index(longest), longest, [each.left for each in debts]
        for each in debts:
            each.owe()
        return -1, 0, [each.left for each in debts]


class _Debt:
    """What a name owes now, at its place in the table or at the one that it would take. `owe` alone writes."""

    __slots__ = ("_cost", "_displaced", "_limit", "_map", "_most", "_name", "_now", "_place", "_set", "debt")

    def __init__(self, table: mmap.mmap, bucket: Bucket, number: int, name: bytes, now: int) -> None:
        self._map, self._name, self._limit = table, name, bucket.limit
        self._cost = bucket.limit.per_seconds * 1_000_000
        self._most = bucket.limit.burst * self._cost
        self._set = HEADER_BYTES + number * SET_BYTES
        self._displaced = 0
        first, end = self._set + OWED.size, self._set + SET_BYTES
        at = table.find(name, first, end)
        if at >= 0 and (at - first) % PLACE.size == 0:
            self._place = at
            self.debt, self._now = self._owed(at + 16, now)
            return
        owed = [(self._owed(at + 16, now)[0], at) for at in range(first, end, PLACE.size)]
        self._displaced, self._place = min(owed)
        self.debt, self._now = self._owed(self._set, now)

    @property
    def wait(self) -> int:
        """Until one more request fits, in microseconds."""
        over = self.debt + self._cost - self._most
        return 0 if over <= 0 else -(-over // self._limit.rate)

    @property
    def left(self) -> int:
        return (self._most - self.debt) // self._cost

    def owe(self) -> None:
        self.debt += self._cost
        if self._displaced:
            # Whoever makes room may come back as a newcomer, who owes at least as much as that one did.
            floor, moment = self._owed(self._set, self._now)
            OWED.pack_into(self._map, self._set, moment, max(floor, self._displaced))
        # The time before the debt: should this process end in between, the debt is too large and not too small.
        PLACE.pack_into(self._map, self._place, self._name, self._now, self.debt)

    def _owed(self, at: int, now: int) -> tuple[int, int]:
        """What is left of the debt that stands there, and the time at which it is that."""
        then, owed = OWED.unpack_from(self._map, at)
        owed = min(max(owed, 0), self._most)
        if now >= then:
            return max(0, owed - (now - then) * self._limit.rate), now
        if then - now <= STEP_MICROSECONDS:
            return owed, then
        # The clock has stepped back: that melts nothing, and the debt melts from now on and not from then.
        OWED.pack_into(self._map, at, now, owed)
        return owed, now


def _number(name: bytes) -> int:
    return int.from_bytes(name[:8], "big")
