"""A way around a segment that is lost, damaged, foreign, or under another one's name: which records there still are.

Nothing that can be read is passed over. What continues the chain is taken first, wherever it stands, also behind a
header that is broken; what is left is taken in the order of its numbers. Reading goes on only in segments that the
newest one says it continues: what merely looks like one of them never takes the place of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from pdp.audit.journal import frames
from pdp.audit.journal.disk import Disk
from pdp.audit.journal.frames import HEADER_BYTES, ID_BYTES, Frame, Header
from pdp.audit.journal.reader import Corrupt, Position, Slot, beginning, opened, previous_of
from pdp.audit.journal.segment import name_of, numbers

QUARANTINE: Final = "quarantine"
_ID: Final = slice(8, 8 + ID_BYTES)

Run = tuple[Position, list[tuple[Position, Frame]]]
"""The place before the first of them, and frames that continue each other."""


@dataclass(frozen=True, slots=True)
class Around:
    """`runs`: what is there before `resume`, where reading goes on; `aside`: segments that are not read any more."""

    runs: list[Run]
    resume: Position
    lost: int
    """So many numbers are nowhere."""
    aside: tuple[int, ...]


def around(slot: Slot, position: Position, origin: str) -> Around | None:
    """None: there is nothing yet to go on with. `position`: all up to it was read. Raises OSError."""
    return _Walk(slot, position, origin).found()


def set_aside(slot: Slot, number: int, disk: Disk) -> Path:
    """Give a segment another name in the quarantine, durably, and none of those away that are there. Raises OSError."""
    source = slot.path / name_of(number)
    directory = slot.path.parent.parent / QUARANTINE
    directory.mkdir(mode=0o700, exist_ok=True)
    for again in range(len(os.listdir(directory)) + 1):
        target = directory / f"{slot.number}-{source.name}{f'.{again}' if again else ''}"
        with suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(target), os.lstat(source)):
                break
            continue
        disk.link(source, target)
        break
    disk.sync_directory(directory)
    return source


class _Walk:
    def __init__(self, slot: Slot, position: Position, origin: str) -> None:
        self._slot = slot
        self._from = self._here = position
        self._runs: list[Run] = []
        self._all = [number for number in numbers(slot.path) if number >= position.segment]
        self._unread: dict[int, Header] = {}
        self._presumed = set[int]()  # whose header is broken: they are read, but not gone on in
        broken = []
        for number in self._all:
            try:
                header = slot.header(number)
                if header.slot == slot.number and header.origin == origin:
                    self._unread[number] = header
            except Corrupt as corrupt:
                if corrupt.kind == "bad-header":
                    broken.append(number)
        named = [header.previous_id for header in self._unread.values()]
        for number in broken:
            header_of_it = self._presume(number, named)
            if header_of_it is not None:
                self._unread[number] = header_of_it
                self._presumed.add(number)
        self._headers = dict(self._unread)
        self._sure = self._connected()

    def found(self) -> Around | None:
        resume = self._resume()
        if resume is None:
            return None
        read = sum(len(run) for _, run in self._runs)
        ahead = {number for number in self._ahead() if number > resume.segment and number in self._sure}
        keep = ahead | {resume.segment} | self._done(resume)
        aside = tuple(number for number in self._all if number not in keep)
        return Around(self._runs, resume, resume.seq - self._from.seq - read, aside)

    def _done(self, resume: Position) -> set[int]:
        """The segment that was read until now, where it is still the same: deleted as always, not set aside."""
        number = self._from.segment
        header = self._headers.get(number)
        same = header is not None and header.first_seq <= self._from.seq + 1 and number < resume.segment
        return {number} if same else set()

    def _connected(self) -> set[int]:
        """The newest segment, and whatever it continues."""
        by_id = {header.id: number for number, header in self._unread.items()}
        number = max(self._unread, key=lambda each: (self._unread[each].first_seq, each), default=0)
        sure = set[int]()
        while number and number not in sure:
            sure.add(number)
            number = by_id.get(self._unread[number].previous_id, 0)
        return sure

    def _ahead(self) -> list[int]:
        """What begins behind `here`, in the order of its records."""
        later = [number for number, header in self._unread.items() if header.first_seq > self._here.seq]
        return sorted(later, key=lambda each: (self._unread[each].first_seq, each))

    def _resume(self) -> Position | None:
        while True:
            ahead = self._ahead()
            sure = [number for number in ahead if number in self._sure]
            first = self._unread[sure[0]].first_seq if sure else 0
            ready = bool(sure) and sure == sorted(sure) and self._presumed.isdisjoint(sure)
            if ready and first == self._here.seq + 1:
                return beginning(sure[0], self._unread[sure[0]])
            if self._continued(first):
                continue
            if ready and ahead[0] == sure[0]:
                return beginning(sure[0], self._unread[sure[0]])
            if not ahead:
                sound = self._here.segment in self._headers.keys() - self._presumed
                return self._here if sound and self._runs else None
            self._jump(ahead[0], 0 if ahead[0] in self._sure else first)

    def _continued(self, before: int) -> bool:
        """Take what continues the chain, up to the number `before`, 0: to its end. False: nothing does."""
        if not self._from.segment and not self._runs:
            return False  # Nothing was read yet: there is no chain.
        for number, header in list(self._unread.items()):
            start = self._start(number, header)
            if start is not None:
                del self._unread[number]
                if self._take(header, start, 0 if number in self._sure else before):
                    return True
        return False

    def _jump(self, number: int, before: int) -> None:
        """Over a gap, to a segment that is in another one's place, or that nothing continues."""
        header = self._unread.pop(number)
        contradicts = header.first_seq == self._here.seq + 1 and header.previous_chain != self._here.chain
        if number in self._sure or not self._here.chain or not contradicts:
            self._take(header, beginning(number, header), before)

    def _start(self, number: int, header: Header) -> Position | None:
        """Where `here` is in this segment, if its records continue ours."""
        here = self._here
        if header.first_seq > here.seq:
            fits = (header.first_seq, header.previous_chain) == (here.seq + 1, here.chain)
            return beginning(number, header) if fits else None
        try:
            for position, frame in self._read(header, beginning(number, header)):
                if frame.seq >= here.seq:
                    return position if (frame.seq, frame.chain) == (here.seq, here.chain) else None
        except Corrupt:
            return here if number == here.segment else None  # What was read already is damaged now.
        return None

    def _presume(self, number: int, named: list[bytes]) -> Header | None:
        """What a broken header was, by the first record; the id is named by the next segment, or is still there."""
        with opened(self._slot.path / name_of(number)) as file:
            own = file.read(HEADER_BYTES)[_ID]
            data = file.read(frames.LONGEST)
        for identifier in dict.fromkeys([*named, own]):
            try:
                found = frames.decode(data, 0, crc32(identifier))
            except frames.Bad:
                continue
            if found is not None:
                first, before = found[0], previous_of(found[0].payload)
                if before and frames.chained(before, first.seq, first.payload) == first.chain:
                    return Header(identifier, "", self._slot.number, b"", first.seq, b"", before, 0, 0)
        return None

    def _take(self, header: Header, start: Position, before: int) -> bool:
        """Its records after `start` that were not taken, those behind damage too, up to the number `before`."""
        took = False
        while True:
            run: list[tuple[Position, Frame]] = []
            begun = again = start
            try:
                for position, frame in self._read(header, start):
                    again = position
                    if before and frame.seq >= before:
                        break
                    if frame.seq <= self._here.seq:
                        begun = position
                        continue
                    run.append((position, frame))
                    self._here, took = position, True
            except Corrupt as corrupt:
                if corrupt.resume is not None and corrupt.resume.chain and corrupt.resume.offset > again.offset:
                    start = corrupt.resume
                    continue
            finally:
                if run:
                    self._runs.append((begun, run))
            return took

    def _read(self, header: Header, start: Position) -> Iterator[tuple[Position, Frame]]:
        """Raises Corrupt."""
        with opened(self._slot.path / name_of(start.segment)) as file:
            yield from self._slot.scan(file.fileno(), header, start, None, True, False)
