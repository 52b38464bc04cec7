"""Goes through the log and finds the records that are meant; counts what it could not look into.

Nothing that could not be read or judged is passed over in silence: absence must not look like safety. What the sieve
holds back was still looked at: that it is a record, begun and ended as one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdp.audit import leaf as leaves
from pdp.audit.asking.asked import NO, UNKNOWN, Asked, First, Question
from pdp.audit.asking.sieve import Sieve
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import LOG, PLAIN, Leaf, Opener, instant, members_of, written
from pdp.audit.record import RESULTS
from pdp.audit.tree import merkle, pruned
from pdp.audit.tree.pruned import Pruned
from pdp.audit.tree.tiles import ENTRIES, WIDTH, part, place, unpacked, width_at
from pdp.audit.tree.tiles import records as tiles_records

if TYPE_CHECKING:
    from pdp.audit.asking.index import Places

MALFORMED: Final = "malformed"
MISSING: Final = "missing"
PRUNED: Final = "pruned"
UNSEALED: Final = "unsealed"
EXAMPLES: Final = 8
SEARCHES: Final = 4_096
"""First records of searches that are remembered for the records that go on with them."""
MARGIN: Final = 24 * 3_600 * 1_000_000
"""By how much records may be out of order in time, in microseconds, and a period is still found by halving."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Tally:
    """What was looked at. `unjudged`: how many of which nobody can tell, by why; `examples`: some of their places."""

    looked: int = 0
    sealed: int = 0
    waiting: int = 0
    meant: int = 0
    unjudged: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    skipped: int = 0  # records left of and right of a period, that were not looked at
    first: int = 0  # when the first and the last record of the log were written, by the clocks of those who wrote
    last: int = 0
    elsewhere: int = 0  # searches that gave away things, and whose they are is not on record
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.unjudged

    def doubt(self, why: str, where: str, count: int = 1) -> None:
        self.unjudged[why] = self.unjudged.get(why, 0) + count
        examples = self.examples.setdefault(why, [])
        if len(examples) < EXAMPLES:
            examples.append(where)


@dataclass(slots=True)
class Search:
    """One question, put to one log."""

    directory: Path
    question: Question
    tally: Tally = field(default_factory=Tally)
    progress: Progress = lambda _, __: None
    thorough: bool = False  # read every record, whatever its bytes and its place say
    _firsts: OrderedDict[str, First] = field(default_factory=OrderedDict)

    def hits(self, unsealed: bool = True, index: Callable[[int], Places | None] = lambda _: None) -> Iterator[Leaf]:
        """In the order of the log, the sealed ones first. What goes on with a search says what its first record says.

        `index`: given the size of the log, where to look.
        """
        size, waiting = self._there(unsealed)
        self.tally.sealed, self.tally.waiting = size, len(waiting)
        self._covered(size, waiting)
        places = index(size)
        if places is not None and not all(self._there_is(each, size) for each in range(places.size // WIDTH)):
            places = None  # What is missing has to be counted.
        yield from self._scanned(size) if places is None else self._indexed(places, size)
        sieve = Sieve(self.question)
        for payload in waiting:
            self.tally.looked += 1
            if self._may(sieve, payload):
                yield from self.judged(None, payload)

    def _scanned(self, size: int) -> Iterator[Leaf]:
        low, high = (0, -(-size // WIDTH)) if self.thorough else self._bounds(size)
        self.tally.skipped = size - max(0, min(size, high * WIDTH) - low * WIDTH)
        for index, payload in self._sealed(low, high, size):
            yield from self.judged(index, payload)

    def _indexed(self, places: Places, size: int) -> Iterator[Leaf]:
        """What stands at those places, and all behind them. Where the log says otherwise than the index, all of it."""
        shown = set[int]()
        for index, payload, said in self._at(places, size):
            if merkle.leaf(payload).hex()[:16] != said:
                break
            for leaf in self.judged(index, payload):
                shown.add(index)
                yield leaf
        else:
            self.tally.looked += places.size
            for index, payload in self._sealed(places.size // WIDTH, -(-size // WIDTH), size):
                yield from self.judged(index, payload)
            return
        self.tally.notes.append(f"the index is not that of this log (record {index}): all of the log was read")
        self.tally.unjudged.clear()
        self.tally.elsewhere = 0
        self.tally.examples.clear()
        for leaf in self._scanned(size):
            if leaf.index in shown:
                self.tally.meant -= 1
            else:
                yield leaf

    def _there(self, unsealed: bool) -> tuple[int, list[bytes]]:
        if unsealed:
            try:
                return leaves.there(self.directory)
            except EvidenceError as error:
                self.tally.doubt(UNSEALED, str(error))
        return leaves.sealed_size(self.directory), []

    def backwards(self) -> Iterator[list[bytes]]:
        """What a scan would look at, as it stands, the newest first; what cannot be read is not in it."""
        size, waiting = self._there(True)
        yield waiting
        low, high = self._bounds(size)
        for number in reversed(range(low, high)):
            try:
                yield unpacked(part(self.directory / LOG, ENTRIES, number, width_at(size, 0, number)))
            except EvidenceError:
                continue

    # ------------------------------------------------------------------------------------------------------- bundles

    def _sealed(self, low: int, high: int, size: int) -> Iterator[tuple[int, bytes]]:
        """What the sieve lets pass, of these bundles."""
        sieve = Sieve(self.question)
        gone = self._pruned(size)
        for number in range(low, high):
            if gone.gone(number):
                self._old(gone, number)
                continue
            data = self._bundle(number, size)
            if data is not None:
                yield from self._sieved(sieve, number, size, data)
            self.progress(min(size, (number + 1) * WIDTH), size)

    def _sieved(self, sieve: Sieve, number: int, size: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        width = width_at(size, 0, number)
        test = None if self.thorough else sieve.bundle(data)
        try:
            records = unpacked(data)[:width]
        except EvidenceError as error:
            self._gone(number, size, str(error))
            return
        self.tally.looked += len(records)
        if len(records) < width:
            self._gone(number, size, "it is cut short", width - len(records))
        index = number * WIDTH
        for record in records:
            if self.thorough or not _whole(record) or (test is not None and test(record)):
                yield index, record
            index += 1

    def _may(self, sieve: Sieve, payload: bytes) -> bool:
        if self.thorough or not _whole(payload):
            return True
        test = sieve.bundle(payload)
        return test is not None and bool(test(payload))

    def _bundle(self, number: int, size: int) -> bytes | None:
        try:
            return part(self.directory / LOG, ENTRIES, number, width_at(size, 0, number))
        except EvidenceError as error:
            self._gone(number, size, str(error))
            return None

    def _pruned(self, size: int) -> Pruned:
        """What was taken out because its time was over, as a sealed record says."""
        try:
            found = pruned.read(self.directory / LOG)
            for index, record in tiles_records(self.directory / LOG, size, first=max(0, found.index)):
                told = pruned.of_record(index, record)
                return found if told is not None and told.said() == found.said() else pruned.NOTHING
        except EvidenceError as error:
            self.tally.notes.append(str(error))
        return pruned.NOTHING

    def _old(self, what: Pruned, number: int) -> None:
        """A bundle that was pruned. Where all of it is older than what is asked, it does not matter."""
        period = self.question.asked.period
        if period is None or not (before := instant(what.before)) or period.first < before:
            first = number * WIDTH
            self.tally.doubt(PRUNED, f"records {first} to {first + WIDTH - 1}, older than {what.before}", WIDTH)

    def _gone(self, number: int, size: int, why: str, count: int = 0) -> None:
        width = width_at(size, 0, number)
        self.tally.doubt(MISSING, f"{place(ENTRIES, number, width)}: {why}", count or width)

    def _at(self, places: Places, size: int) -> Iterator[tuple[int, bytes, str]]:
        """The records at these places, with what the index says of their hash."""
        known, records = -1, list[bytes]()
        for index, said in places.places:
            number = index // WIDTH
            if number != known:
                known, data = number, self._bundle(number, size)
                try:
                    records = [] if data is None else unpacked(data)
                except EvidenceError as error:
                    self._gone(number, size, str(error))
                    records = []
                self.progress(index, size)
            if index % WIDTH < len(records):
                yield index, records[index % WIDTH], said

    # ------------------------------------------------------------------------------------------------------- records

    def judged(self, index: int | None, payload: bytes) -> Iterator[Leaf]:
        """The record, where it is meant. To be asked in the order of the log."""
        where = f"record {index}" if index is not None else "a record that is not sealed yet"
        try:
            members = members_of(payload)
        except EvidenceError as error:
            self.tally.doubt(MALFORMED, f"{where}: {error}")
            return
        first = self._part_of(members)
        found, why = self.question.meant(members, first)
        if found is NO:
            self.tally.elsewhere += self.question.elsewhere(members)
            return
        if found is UNKNOWN:
            self.tally.doubt(why, f"{where} ({members.get('id', '')})")
            return
        self.tally.meant += 1
        detail, opened = self.question.opener.open(members)
        if first is not None:
            members, detail = {**first.members, **members}, {**first.detail, **detail}
        yield Leaf(index, payload, members, detail, opened)

    def _part_of(self, members: Mapping[str, Any]) -> First | None:
        """The record that this one goes on with; remembers it, where it is such a first one."""
        identifier = members.get("id")
        if not isinstance(identifier, str):
            return None
        if "search" in members:
            self._firsts[identifier] = self.question.first(members)
            if len(self._firsts) > SEARCHES:
                self._firsts.popitem(last=False)
        return self._firsts.get(identifier) if members.get("kind") == RESULTS else None

    # ---------------------------------------------------------------------------------------------------------- time

    def _covered(self, size: int, waiting: list[bytes]) -> None:
        every = [written(each) for each in waiting]
        for number in {0, (size - 1) // WIDTH} if size else ():
            every += self._times(number, size) or ()
        every = [each for each in every if each]
        if every:
            self.tally.first, self.tally.last = min(every), max(every)

    def _bounds(self, size: int) -> tuple[int, int]:
        """From which bundle up to which one the period can reach, when no record is more than a margin out of order.

        A bundle that is all before the period by a margin has nothing in it before it; one that reaches behind the
        period by a margin, nothing in it after it. That holds of whichever bundles are tried.
        """
        period, bundles = self.question.asked.period, -(-size // WIDTH)
        start = self._start(bundles, size)
        if period is None or not period.bounded or bundles - start < 3:
            return 0, bundles
        low = self._halved(start, bundles, size, period.first - MARGIN)
        high = self._halved(low, bundles, size, period.after + MARGIN) if low >= 0 else -1
        if high < 0:
            return 0, bundles
        self.tally.notes.append("what is out of its order in time by more than a day is found with --whole only")
        return 0 if start == low else low - 1, min(bundles, high + 1)

    def _start(self, bundles: int, size: int) -> int:
        """The first bundle that is there: what is older may have been pruned."""
        low, high = 0, bundles
        while low < high:
            middle = (low + high) // 2 if low else 0
            if self._there_is(middle, size):
                high = middle
            else:
                low = middle + 1
        return low

    def _there_is(self, number: int, size: int) -> bool:
        log, width = self.directory / LOG, width_at(size, 0, number)
        return (log / place(ENTRIES, number)).exists() or (log / place(ENTRIES, number, width)).exists()

    def _halved(self, low: int, high: int, size: int, moment: int) -> int:
        """The first bundle, as far as it was tried, that is not all before that moment. -1: times cannot be gone by."""
        while low < high:
            middle = (low + high) // 2
            found = self._times(middle, size)
            if found is None or found[1] - found[0] > MARGIN:
                return -1
            if found[1] < moment:
                low = middle + 1
            else:
                high = middle
        return low

    def _times(self, number: int, size: int) -> tuple[int, int] | None:
        """The earliest and the latest moment in a bundle. None: it is not there, or says none."""
        try:
            records = unpacked(part(self.directory / LOG, ENTRIES, number, width_at(size, 0, number)))
        except EvidenceError:
            return None
        found = [moment for each in records if (moment := written(each))]
        return (min(found), max(found)) if found else None


def _whole(record: bytes) -> bool:
    return record[:11] == b'{"stream":"' and record[-1:] == b"}"


def search(
    directory: Path, asked: Asked, opener: Opener = PLAIN, *, thorough: bool = False, progress: Progress | None = None
) -> Search:
    return Search(directory, Question(asked, opener), progress=progress or (lambda _, __: None), thorough=thorough)
