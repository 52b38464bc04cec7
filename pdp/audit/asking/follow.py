"""Follows a log while it grows: what is written and what is sealed, each record once, in the order of its stream.

A record is first in the write-ahead log and soon in the sealed one. Which comes first is a race that nobody has to win:
of each slot the number is known that comes next. From the write-ahead log only that one is taken; whatever is missing
there, because it was sealed and deleted meanwhile, comes from the sealed log, where all is in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pdp.audit.checking.streams import stamp
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.reader import START, Corrupt, Position, Slot, slots
from pdp.audit.leaf import LOG, sealed_size
from pdp.audit.tree import state, tiles


@dataclass(slots=True)
class Follower:
    """`step` gives what has come since the last one. `problems`: what could not be read in it; it is tried again."""

    directory: Path
    sealed: int = 0  # up to which place the sealed log was read
    problems: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)  # lane -> number of its last record
    _at: dict[int, Position] = field(default_factory=dict)  # slot -> up to where its write-ahead log was read

    @classmethod
    def from_now(cls, directory: Path, back: int = 0) -> Follower:
        """From `back` sealed records before the present end of the sealed log, and all that is not sealed."""
        known = state.read(directory)
        size = sealed_size(directory)
        follower = cls(directory, max(0, size - back))
        if known is not None and not back:
            for slot, position in known.slots.items():
                follower._seen[f"{known.origin}/{slot}"] = position.seq
        return follower

    def step(self) -> Iterator[tuple[int | None, bytes]]:
        """What is new: place (None: not sealed yet) and record. Raises EvidenceError: the sealed log cannot be read."""
        self.problems.clear()
        known = state.read(self.directory)
        size = known.size if known is not None else sealed_size(self.directory)
        if size < self.sealed:
            raise EvidenceError(f"the log is shorter than it was: {size} records, not {self.sealed}")
        for index, payload in tiles.records(self.directory / LOG, size, first=self.sealed):
            self.sealed = index + 1
            found = stamp(payload)
            if found is None:
                yield index, payload
            elif found.seq > self._seen.get(found.lane, 0):
                self._seen[found.lane] = found.seq
                yield index, payload
        self.sealed = size
        try:
            for slot in slots(self.directory):
                yield from self._waiting(slot, START if known is None else known.slots.get(slot.number, START))
        except OSError as error:
            self.problems.append(f"the write-ahead log cannot be read: {error.strerror}")

    def _waiting(self, slot: Slot, sealed: Position) -> Iterator[tuple[int | None, bytes]]:
        here = self._at.get(slot.number, sealed)
        if here.seq < sealed.seq:
            here = sealed
        try:
            for position, frame in slot.frames(here):
                found = stamp(frame.payload)
                if found is None:
                    return  # It comes when it is sealed, if ever: the sealer looks at the same.
                seen = self._seen.get(found.lane, 0)
                if found.seq > seen + 1:
                    return  # What is between was sealed meanwhile, and comes from there.
                self._at[slot.number] = position
                if found.seq == seen + 1:
                    self._seen[found.lane] = found.seq
                    yield None, frame.payload
        except (Corrupt, FileNotFoundError) as error:
            # A segment was deleted while it was read, or is damaged: what is whole comes from the sealed log.
            self._at.pop(slot.number, None)
            if state.read(self.directory) is None or (isinstance(error, Corrupt) and error.kind != "missing-segment"):
                self.problems.append(f"the write-ahead log is damaged: {error}")
