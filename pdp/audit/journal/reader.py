"""Reading the write-ahead log, while it is written or long after, and judging where it ends.

Every frame is checked: crc, seq, chain. Zeros, or a broken frame with nothing whole behind it but its own batch, are
how a crash leaves a log: `Torn`, and nothing that was acknowledged is missing. A whole frame of a later batch behind a
broken one, a chain that does not fit, a segment that does not continue the one before it: `Corrupt`.

A segment is over when the next one is there, and that one's header says with which seq and chain. What stands in a
segment beyond that was moved (a write had failed): the same frames stand in the next one, and are read once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import frames
from pdp.audit.journal.frames import FIRST_OF_BATCH, HEADER_BYTES, ID_BYTES, LONGEST, Bad, Frame, Header, chained
from pdp.audit.journal.segment import name_of, numbers
from pdp.audit.journal.slots import WAL, owned

MOVED_AT_ONCE: Final = 32_768
"""No batch has so many frames: whatever had to be moved to a segment with more has been."""
MOVES: Final = 4
"""How many segments may have failed one after the other, at most."""

WINDOW: Final = 1_048_576
_ZEROS: Final = bytes(WINDOW)


class Position(NamedTuple):
    """Up to where a slot was read: which segment and byte come next; seq and chain of the last frame that was read."""

    segment: int
    offset: int
    seq: int
    chain: bytes


START: Final = Position(0, 0, 0, b"")


@dataclass(frozen=True, slots=True)
class Torn:
    """The log ends at this byte with something unfinished, as a crash leaves it."""

    segment: int
    offset: int


class Corrupt(EvidenceError):
    """What was on disk is not any more. `resume`: where whole frames go on, if anywhere; `kind`: a stable word."""

    def __init__(self, kind: str, slot: int, segment: int, offset: int, resume: Position | None = None) -> None:
        super().__init__(f"slot {slot}, segment {segment}, byte {offset}: {kind}")
        self.kind = kind
        self.slot = slot
        self.segment = segment
        self.offset = offset
        self.resume = resume


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the next writer of a slot goes on: after this seq and chain, in a segment after this one."""

    segment: int = 0
    id: bytes = bytes(ID_BYTES)
    seq: int = 0
    chain: bytes = b""
    last_batch: int = 0  # seq of the first frame of the last batch: those from here on may not have been acknowledged
    last: bytes = b""  # the last payload
    unmoved: tuple[Frame, ...] = ()  # what stands only in a segment that had failed: to be written first
    torn: Torn | None = None
    corrupt: tuple[Corrupt, ...] = ()


def slots(directory: Path) -> list[Slot]:
    """The slots below an audit directory. Raises OSError where there is one and it cannot be read."""
    wal = directory / WAL
    if not wal.is_dir():
        return []
    found = sorted(int(name) for name in os.listdir(wal) if name.isascii() and name.isdigit())
    return [Slot(wal / str(number), number) for number in found]


@dataclass(slots=True)
class Slot:
    """One slot, for a reader."""

    path: Path
    number: int
    torn: Torn | None = field(default=None, init=False)

    @property
    def owned(self) -> bool:
        """Does somebody write to it?"""
        return owned(self.path)

    def header(self, segment: int) -> Header:
        """Raises Corrupt."""
        try:
            with opened(self.path / name_of(segment)) as file:
                return frames.read_header(file.read(HEADER_BYTES))
        except FileNotFoundError as error:
            raise Corrupt("missing-segment", self.number, segment, 0) from error
        except EvidenceError as error:
            raise Corrupt("bad-header", self.number, segment, 0) from error

    def frames(self, after: Position = START, sync: bool = False) -> Iterator[tuple[Position, Frame]]:
        """What comes after a position, up to the present end; `torn` then says what was found there.

        `sync`: nothing is handed out before it is on disk, whatever the writer has still to do. Raises Corrupt, and
        OSError.
        """
        self.torn = None
        there = numbers(self.path)
        if after.segment:
            there = [number for number in there if number >= after.segment]
            if there[:1] != [after.segment]:
                raise Corrupt("missing-segment", self.number, after.segment, 0)
        elif there:
            self._is_first(there)
        position = after
        for index, number in enumerate(there):  # Which one is next they say themselves, whatever their names.
            following = there[index + 1] if index + 1 < len(there) else 0
            try:
                for read, frame in self._segment(number, position, following, sync):
                    position = read
                    yield position, frame
            except Corrupt as corrupt:
                if not self._given_up(corrupt, there[-1]):
                    raise
                if corrupt.segment != number:
                    for read, frame in self._segment(number, position, 0, sync):
                        yield read, frame
                return

    def _given_up(self, corrupt: Corrupt, last: int) -> bool:
        """Was it the newest segment, which failed before its writer put a frame into it, and was deleted meanwhile?"""
        gone = corrupt.kind == "missing-segment" and corrupt.segment == last
        return gone and last not in numbers(self.path)

    def tail(self) -> Tail:
        """Where a writer goes on. Frames behind damage count: no seq is given twice. Raises OSError."""
        there = numbers(self.path)
        if not there:
            return Tail()
        number, found = there[-1], list[Corrupt]()
        while there:
            try:
                header = self.header(there[-1])
                break
            except Corrupt as corrupt:
                found.append(corrupt)
                there.pop()
        else:
            return Tail(number, corrupt=tuple(found))
        position = beginning(there[-1], header)
        batch, last = header.first_seq, b""
        while True:
            try:
                for read, frame in self._segment(there[-1], position, 0, False, whole=True):
                    position, last = read, frame.payload
                    if frame.flags & FIRST_OF_BATCH:
                        batch = frame.seq
                break
            except Corrupt as corrupt:
                found.append(corrupt)
                if corrupt.resume is None:
                    break
                position = corrupt.resume
        torn = self.torn
        unmoved = self._unmoved(there, header, position)
        return Tail(number, header.id, position.seq, position.chain, batch, last, unmoved, torn, tuple(found))

    def _unmoved(self, there: list[int], header: Header, position: Position) -> tuple[Frame, ...]:
        """The frames that a writer had still to move from a segment that failed, when it ended too.

        They may have been read already, so nothing else may ever have their seq.
        """
        if position.seq - header.first_seq >= MOVED_AT_ONCE:
            return ()
        for number in reversed(there[-1 - MOVES : -1]):
            found: list[Frame] = []
            try:
                before = self.header(number)
                with opened(self.path / name_of(number)) as file:
                    start = beginning(number, before)
                    for _, frame in self.scan(file.fileno(), before, start, None, False, False):
                        if frame.seq > position.seq:
                            found.append(frame)
            except Corrupt:
                continue
            if found and chained(position.chain, found[0].seq, found[0].payload) == found[0].chain:
                return tuple(found)
        return ()

    def remove_before(self, position: Position) -> int:
        """Delete the segments that were read to their end; never the newest, from which the next writer goes on."""
        old = [number for number in numbers(self.path)[:-1] if number < position.segment]
        for number in old:
            os.unlink(self.path / name_of(number))
        return len(old)

    # ------------------------------------------------------------------------------------------------- in a segment

    def _segment(
        self, number: int, position: Position, following: int, sync: bool, whole: bool = False
    ) -> Iterator[tuple[Position, Frame]]:
        """The frames of one segment after the position, which is in it or before it."""
        header = self.header(number)
        end, amiss = self._end(header, following)
        self._continues(header, number, position)
        here = position if position.segment == number else beginning(number, header)
        known = position if position.segment else here  # What was handed out before, here or in another segment.
        with opened(self.path / name_of(number)) as file:
            for read, frame in self.scan(file.fileno(), header, here, end, sync, whole):
                here = read
                if frame.seq > known.seq:
                    yield here, frame
                elif frame.seq == known.seq and frame.chain != known.chain:
                    raise Corrupt("fork", self.number, number, here.offset)
        if amiss is not None:
            raise amiss
        if end is not None:
            if here.seq < end.first_seq - 1:
                raise Corrupt("missing-frames", self.number, number, here.offset, beginning(following, end))
            if here.seq == end.first_seq - 1 and here.chain != end.previous_chain:
                raise Corrupt("chain", self.number, following, 0, beginning(following, end))

    def _is_first(self, there: list[int]) -> None:
        """Nothing was read yet: what stands in the first place has to be older than all the others. Raises Corrupt."""
        first = self.header(there[0])
        for number in there[1:]:
            try:
                other = self.header(number)
            except Corrupt as corrupt:
                if corrupt.kind == "bad-header" and first.first_seq > 1:
                    raise  # It may be the older one.
                continue
            if other.slot == self.number and other.first_seq < first.first_seq:
                raise Corrupt("not-the-next", self.number, there[0], 0)

    def _end(self, header: Header, following: int) -> tuple[Header | None, Corrupt | None]:
        """The header of the next segment, or why it does not say where this one ends, which is read to its end then.

        Raises Corrupt at once where the two have changed places: what stands here comes later.
        """
        if not following:
            return None, None
        try:
            end = self.header(following)
        except Corrupt as corrupt:
            return None, corrupt
        if end.slot != self.number:
            return None, Corrupt("another-slot", self.number, following, 0)
        if end.previous_id == header.id:
            return end, None
        amiss = Corrupt("not-the-next", self.number, following, 0)
        if end.id == header.previous_id:
            raise amiss
        return None, amiss

    def _continues(self, header: Header, number: int, position: Position) -> None:
        if header.slot != self.number:
            raise Corrupt("another-slot", self.number, number, 0)
        if position.segment == number:
            if header.first_seq > position.seq + (position.offset == HEADER_BYTES):
                raise Corrupt("another-segment", self.number, number, 0)
            return
        if position.segment and header.first_seq > position.seq + 1:
            raise Corrupt("missing-frames", self.number, number, 0, beginning(number, header))

    def scan(
        self, file: int, header: Header, here: Position, end: Header | None, sync: bool, whole: bool
    ) -> Iterator[tuple[Position, Frame]]:
        """Frame by frame from `here`, all of them checked, to where the next segment says that this one ends."""
        while True:
            data = os.pread(file, WINDOW, here.offset)
            if sync:
                os.fdatasync(file)
            base, offset = here.offset, 0
            while end is None or here.seq < end.first_seq - 1:
                try:
                    found = frames.decode(data, offset, header.seed)
                except Bad:
                    found = None
                    if offset and len(data) - offset < LONGEST:
                        break  # Perhaps only the window ends here.
                if found is None or not _fits(found[0], here):
                    self._judge(file, header, here, whole, found is None)
                    return
                frame, offset = found
                here = Position(here.segment, base + offset, frame.seq, frame.chain)
                yield here, frame
            else:
                return

    def _judge(self, file: int, header: Header, here: Position, whole: bool, nothing: bool) -> None:
        """Nothing sound comes next. Raises Corrupt where that is no end."""
        found = self._beyond(file, header, here, whole)
        if found is None and nothing:
            return
        # A writer that goes on while we read can look like damage, once.
        data = os.pread(file, LONGEST, here.offset)
        try:
            again = frames.decode(data, 0, header.seed)
        except Bad:
            again = None
        if again is not None and _fits(again[0], here):
            return
        if again is not None:
            frame, after = again
            resume = Position(here.segment, here.offset + after, frame.seq, frame.chain)
            kind = "chain" if frame.seq == here.seq + 1 else "sequence"
            raise Corrupt(kind, self.number, here.segment, here.offset, resume)
        if found is not None:
            raise Corrupt("broken-frame", self.number, here.segment, here.offset, found)

    def _beyond(self, file: int, header: Header, here: Position, whole: bool) -> Position | None:
        """The place before the first whole frame of a later batch after `here`; notes what is torn."""
        size = os.fstat(file).st_size - here.offset if whole else WINDOW
        data = os.pread(file, size, here.offset)
        view = data.rstrip(b"\0") if data[:WINDOW] != _ZEROS[: len(data)] or len(data) > WINDOW else b""
        if not view:
            return None
        self.torn = Torn(here.segment, here.offset)
        padded = memoryview(view + bytes(LONGEST))
        offset = 0
        while offset < len(view):
            try:
                found = frames.decode(padded, offset, header.seed)
            except Bad:
                found = None
            if found is None:
                offset += 8
                continue
            frame, after = found
            if frame.flags & FIRST_OF_BATCH and frame.seq > here.seq:
                return Position(here.segment, here.offset + offset, frame.seq - 1, previous_of(frame.payload))
            offset = after
        return None


def opened(path: Path) -> FileIO:
    """Never waits: what is no file is a log that was damaged."""
    return FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))


def beginning(number: int, header: Header) -> Position:
    """The place before the first frame of a segment."""
    return Position(number, HEADER_BYTES, header.first_seq - 1, header.previous_chain)


def previous_of(payload: bytes) -> bytes:
    """The chain hash that a record says was before it."""
    start = payload.find(b'"prev":"') + 8
    try:
        return bytes.fromhex(payload[start : start + 64].decode("ascii"))
    except ValueError:
        return b""


def _fits(frame: Frame, here: Position) -> bool:
    return frame.seq == here.seq + 1 and frame.chain == chained(here.chain, frame.seq, frame.payload)
