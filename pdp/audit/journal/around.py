"""A way around a segment that is lost, damaged, foreign, or under another one's name: which records there still are.

Nothing that can be read is passed over. What continues the chain is taken first, wherever it stands, also behind a
header that is broken; what is left is taken in the order of its numbers. Reading goes on only in segments that the
newest one says it continues: what merely looks like one of them never takes the place of one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pdp.audit.journal.disk import Disk
from pdp.audit.journal.frames import HEADER_BYTES, ID_BYTES, Frame, Header
from pdp.audit.journal.reader import Corrupt, Position, Slot, beginning, opened
from pdp.audit.journal.segment import name_of, numbers

QUARANTINE: Final = "quarantine"
_ID: Final = slice(8, 8 + ID_BYTES)
_NO_HEADER: Final = Header(bytes(ID_BYTES), "", 0, bytes(ID_BYTES), 0, bytes(ID_BYTES), b"", 0, 0)

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
        self._good: dict[int, Header] = {}  # not read yet
        self._broken: list[int] = []
        for number in self._all:
            try:
                header = slot.header(number)
                if header.slot == slot.number and header.origin == origin:
                    self._good[number] = header
            except Corrupt as corrupt:
                if corrupt.kind == "bad-header":
                    self._broken.append(number)
        self._headers = dict(self._good)
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
        by_id = {header.id: number for number, header in self._good.items()}
        number = max(self._good, key=lambda each: (self._good[each].first_seq, each), default=0)
        sure = set[int]()
        while number and number not in sure:
            sure.add(number)
            number = by_id.get(self._good[number].previous_id, 0)
        return sure

    def _ahead(self) -> list[int]:
        """What begins behind `here`, in the order of its records."""
        later = [number for number, header in self._good.items() if header.first_seq > self._here.seq]
        return sorted(later, key=lambda each: (self._good[each].first_seq, each))

    def _resume(self) -> Position | None:
        while True:
            ahead = self._ahead()
            sure = [number for number in ahead if number in self._sure]
            first = self._good[sure[0]].first_seq if sure else 0
            ready = bool(sure) and sure == sorted(sure)
            if ready and first == self._here.seq + 1:
                return beginning(sure[0], self._good[sure[0]])
            if self._continued(first):
                continue
            if ready and ahead[0] == sure[0]:
                return beginning(sure[0], self._good[sure[0]])
            if not ahead:
                return self._here if self._here.segment in self._headers and self._runs else None
            self._jump(ahead[0], 0 if ahead[0] in self._sure else first)

    def _continued(self, before: int) -> bool:
        """Take what continues the chain, up to the number `before`, 0: to its end. False: nothing does."""
        if not self._from.segment and not self._runs:
            return False  # Nothing was read yet: there is no chain.
        for number, header in list(self._good.items()):
            start = self._start(number, header)
            if start is not None:
                del self._good[number]
                if self._take(header, start, 0 if number in self._sure else before):
                    return True
        for number in list(self._broken):
            here = self._here
            start = here if number == here.segment else Position(number, HEADER_BYTES, here.seq, here.chain)
            for presumed in self._presumed(number):
                if self._take(presumed, start, before):
                    self._broken.remove(number)
                    return True
        return False

    def _jump(self, number: int, before: int) -> None:
        """Over a gap, to a segment that is in another one's place, or that nothing continues."""
        header = self._good.pop(number)
        contradicts = header.first_seq == self._here.seq + 1 and header.previous_chain != self._here.chain
        if number in self._sure or not self._here.chain or not contradicts:
            self._take(header, beginning(number, header), before)

    def _start(self, number: int, header: Header) -> Position | None:
        """Where `here` is in this segment, if its records continue ours."""
        here = self._here
        if header.first_seq > here.seq + 1:
            return None
        if number == here.segment:
            return here
        if header.first_seq == here.seq + 1:
            return beginning(number, header) if header.previous_chain == here.chain else None
        for position, frame in self._read(header, beginning(number, header)):
            if frame.seq >= here.seq:
                return position if (frame.seq, frame.chain) == (here.seq, here.chain) else None
        return None

    def _presumed(self, number: int) -> Iterator[Header]:
        """What the header of a broken one may have been: the next one names it, or its own bytes still do."""
        with opened(self._slot.path / name_of(number)) as file:
            own = file.read(HEADER_BYTES)[_ID]
        for identifier in dict.fromkeys([*(each.previous_id for each in self._headers.values()), own]):
            yield replace(_NO_HEADER, id=identifier, slot=self._slot.number)

    def _take(self, header: Header, start: Position, before: int) -> bool:
        """Its records after `start`, those behind damage too, up to the number `before`."""
        took = False
        while True:
            run: list[tuple[Position, Frame]] = []
            self._runs.append((start, run))
            try:
                for position, frame in self._read(header, start):
                    if before and frame.seq >= before:
                        break
                    run.append((position, frame))
                    self._here, took = position, True
            except Corrupt as corrupt:
                if corrupt.resume is not None and corrupt.resume.chain and corrupt.resume.offset > start.offset:
                    start = corrupt.resume
                    continue
            finally:
                if not run:
                    self._runs.pop()
            return took

    def _read(self, header: Header, start: Position) -> Iterator[tuple[Position, Frame]]:
        """Raises Corrupt."""
        with opened(self._slot.path / name_of(start.segment)) as file:
            yield from self._slot.scan(file.fileno(), header, start, None, True, False)
