"""Streams inside the log: every record says of which stream it is, its number there, and the chain hash before it.

So whoever seals cannot leave a record out or move it, not even the holder of the key: the numbers or the hashes of the
others would not fit. The numbers of a slot go on over restarts, so that a stream cannot vanish between two others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.journal.frames import chained

MAX_GAPS: Final = 1_000
_STAMP: Final = re.compile(
    rb'\{"stream":"([^"\\]{1,400})/([^"/\\]{1,40})","seq":([1-9][0-9]{0,18}),"prev":"([0-9a-f]{64})",'
)


class Stamp(NamedTuple):
    lane: str  # the stream without its last part, which changes with every start of the machine
    part: str
    seq: int
    prev: bytes

    @property
    def stream(self) -> str:
        return f"{self.lane}/{self.part}"


def stamp(record: bytes) -> Stamp | None:
    """What a record says of its place, which stands at its very beginning. None: it says nothing."""
    found = _STAMP.match(record)
    if found is None:
        return None
    lane, part, seq, prev = found.groups()
    try:
        return Stamp(lane.decode(), part.decode(), int(seq), bytes.fromhex(prev.decode()))
    except UnicodeDecodeError:
        return None


@dataclass(slots=True)
class Lane:
    """Up to where one slot's records were seen."""

    seq: int = 0
    chain: bytes = b""
    index: int = -1
    missing: dict[int, int] = field(default_factory=dict)  # seq -> index of the record behind the gap


class Streams:
    """Follows every stream of a log, record by record. Memory: one entry for each slot, and what is missing."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.lanes: dict[str, Lane] = {}
        self._blind = -1  # records up to here may have been there, unseen
        self._next = 0

    def follow(self, index: int, record: bytes, found: Stamp | None) -> Iterator[Finding]:
        if index != self._next:
            self._blind = index
        self._next = index + 1
        if found is None or not found.lane.startswith(f"{self.origin}/"):
            yield Finding(Kind.MALFORMED, f"record {index}", index)
            return
        lane = self.lanes.get(found.lane)
        if lane is None:
            lane = self.lanes[found.lane] = Lane()
        seq, chain = found.seq, chained(found.prev, found.seq, record)
        if seq > lane.seq + 1 and lane.index < self._blind:
            pass  # What is between stood in a bundle that cannot be read, which is a finding of its own.
        elif seq == lane.seq + 1:
            if lane.chain and found.prev != lane.chain:
                yield Finding(Kind.CHANGED, f"number {lane.seq} of {found.lane}, record {lane.index}", lane.index)
        elif seq > lane.seq:
            for each in range(lane.seq + 1, min(seq, lane.seq + 1 + max(1, MAX_GAPS - len(lane.missing)))):
                lane.missing[each] = index
        elif lane.missing.pop(seq, -1) >= 0:
            yield Finding(
                Kind.SWAPPED, f"number {seq} of {found.lane} comes after number {lane.seq}, at {index}", index
            )
            return
        else:
            yield Finding(Kind.ADDED, f"number {seq} of {found.lane} a second time, as record {index}", index)
            return
        lane.seq, lane.chain, lane.index = seq, chain, index

    def missing(self) -> Iterator[Finding]:
        """At the end: what never came."""
        for name, lane in self.lanes.items():
            for first, last, index in _runs(lane.missing):
                numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
                yield Finding(Kind.DROPPED, f"{numbers} of {name}, before record {index}", index)


def _runs(missing: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    first = last = index = -1
    for seq in sorted(missing):
        if seq != last + 1 or missing[seq] != index:
            if first >= 0:
                yield first, last, index
            first, index = seq, missing[seq]
        last = seq
    if first >= 0:
        yield first, last, index
