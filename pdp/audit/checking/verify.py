"""Is the log whole, and the one that was signed? Offline, with public keys alone.

Everything is recomputed from the records: tree, tiles, every root that was ever published, every stream's numbers and
chain. Then signatures and the right to them, the sealer's state, and what waits in the write-ahead log. What an auditor
kept elsewhere (an earlier checkpoint, receipts) is held against it: that finds even who holds the signing key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import takewhile
from pathlib import Path
from typing import Final

from pdp.audit.checking import tails
from pdp.audit.checking.beats import Beats
from pdp.audit.checking.cosigned import Cosigned
from pdp.audit.checking.findings import ORDER, Finding, Kind, exit_code
from pdp.audit.checking.history import ROTATED, Judged, Roots, Rotation, Trust, judge, rotation, unverified
from pdp.audit.checking.recompute import MAX_KEPT, Found, recompute
from pdp.audit.checking.streams import Lane, Stamp, Streams, stamp
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files, whole
from pdp.audit.leaf import says_twice
from pdp.audit.tree import checkpoint, merkle, note, pruned, state
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.keys import Keys
from pdp.audit.tree.note import NoteError, VerifierKey
from pdp.audit.tree.pruned import Pruned
from pdp.audit.tree.sealer import KEYS, LOG, OWN
from pdp.audit.tree.state import State
from pdp.audit.tree.tiles import ENTRIES, WIDTH, place

Progress = Callable[[int, int], None]
"""`progress(records read, records in all)`."""

RECEIPT_HEX: Final = 16
EXPLAINED: Final = (Kind.DROPPED, Kind.SWAPPED, Kind.ADDED, Kind.CHANGED, Kind.MISSING, Kind.MALFORMED)
"""Where records are not what they were, the places up to which streams were read cannot be those of the state."""


@dataclass(slots=True)
class Report:
    """What was found, and what was looked at."""

    findings: list[Finding] = field(default_factory=list)
    origin: str = ""
    size: int = 0  # of the largest checkpoint that is signed and agrees with the log
    root: bytes = merkle.EMPTY
    checkpoints: int = 0
    streams: int = 0
    waiting: int = 0  # in the write-ahead log, not sealed yet
    live: bool = True  # False: only sealed files were there
    cosigned: tuple[int, int] | None = None  # where witnesses were asked for: the newest size (-1: none), and when
    pruned: list[Pruned] = field(default_factory=list)  # what sealed records say that was pruned, where something was
    clock_steps: int = 0  # the clock of a host was set, as its heartbeats tell

    @property
    def code(self) -> int:
        return exit_code(self.findings)


def verify(
    directory: Path,
    vkeys: Sequence[VerifierKey],
    *,
    earlier: Sequence[bytes] = (),
    receipts: Iterable[str] = (),
    cosigned: Cosigned | None = None,
    keys: Path | None = None,
    progress: Progress = lambda _, __: None,
) -> Report:
    """`directory`: an audit directory, or only its `log`. `earlier`: checkpoints from elsewhere, as they were given.
    `cosigned`: what is asked of witnesses. `keys`: where the promise of the largest signed tree is, if elsewhere.

    Raises EvidenceError for what was given and cannot be read, never for what is found.
    """
    return _Verifier(directory, vkeys, earlier, Receipts(receipts), cosigned, keys).report(progress)


class Receipts(tails.Waiting):
    """Lines `<stream>:<seq>:<first 16 hex digits of the leaf hash>` that were given out with decisions."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Raises EvidenceError."""
        self._open: dict[tuple[str, int], str] = {}
        self._contradicted: list[tuple[str, int]] = []
        self.wrong: list[Finding] = []
        for line in lines:
            if line := line.strip():
                stream, seq, digits = [*line.rsplit(":", 2), "", ""][:3]
                if not seq.isascii() or not seq.isdigit() or len(digits) != RECEIPT_HEX or len(seq) > 19:
                    raise EvidenceError(f"not a receipt: {line[:80]!r}")
                if self._open.setdefault((stream, int(seq)), digits) != digits and len(self._contradicted) < MAX_KEPT:
                    self._contradicted.append((stream, int(seq)))

    def seen(self, found: Stamp, record: bytes) -> None:
        digits = self._open.pop((found.stream, found.seq), "") if self._open else ""
        if digits and merkle.leaf(record).hex()[:RECEIPT_HEX] != digits and len(self.wrong) < MAX_KEPT:
            self.wrong.append(Finding(Kind.RECEIPT, f"number {found.seq} of {found.stream} is another record"))

    def record(self, payload: bytes) -> None:
        found = stamp(payload)
        if found is not None:
            self.seen(found, payload)

    def findings(self) -> list[Finding]:
        left = sorted(self._open)[:MAX_KEPT]
        wrong = [
            Finding(Kind.RECEIPT, f"number {seq} of {stream} was given out twice") for stream, seq in self._contradicted
        ]
        return self.wrong + wrong + [Finding(Kind.RECEIPT, f"number {seq} of {stream}") for stream, seq in left]


class _Verifier:
    def __init__(
        self,
        directory: Path,
        vkeys: Sequence[VerifierKey],
        earlier: Sequence[bytes],
        receipts: Receipts,
        cosigned: Cosigned | None,
        keys: Path | None,
    ) -> None:
        self._directory = directory
        self._keys = keys or directory / KEYS
        self._log = directory / LOG
        self._live = self._log.is_dir() or not (directory / checkpoint.PUBLISHED).exists()
        if not self._live:
            self._log = directory
        self._vkeys = vkeys
        self._earlier = [(data, _unverified(data)) for data in earlier]
        self._receipts = receipts
        self._cosigned = cosigned
        self._report = Report(live=self._live)
        self._rotations: list[Rotation] = []
        self._streamed: list[Finding] = []
        self._beats = Beats()
        self._beaten: list[Finding] = []
        self._behind: set[str] = set()
        self._prunings: list[Pruned] = []
        self._extra: dict[int, tuple[bytes | None, ...]] = {}  # the roots by records and by tiles
        self._state: State | None = None
        self._sealed: tails.Sealed | None = None
        self._promised: tuple[int, bytes] | None = None
        self._data: bytes | None = None  # of the published checkpoint

    def report(self, progress: Progress) -> Report:
        report = self._report
        self._read_state()
        last, published = checkpoint.last(self._log), self._published()
        if last is None and published is None:
            report.findings.append(Finding(Kind.NO_LOG, str(self._directory)))
            return report
        self._origin = report.origin = self._name(published, last)
        # The key of another log signs nothing of this one, also where both are known.
        self._vkeys = [each for each in self._vkeys if each.name == self._origin]
        self._streams = Streams(self._origin)
        self._known = pruned.NOTHING
        self._roots = Roots(self._log)
        size = max(last or 0, published.size if published else 0, self._unpublished())
        known = self._pruned()
        found = recompute(self._log, size, self._wanted(size, published), self._visit, self._at, progress, known)
        self._judge(found, last, size)
        self._of_pruned(found)
        if self._live:
            self._of_state()
            self._of_slots()
        report.findings += self._receipts.findings()
        report.findings += [*self._beaten, *self._beats.findings(self._behind)][:MAX_KEPT]
        report.clock_steps = self._beats.clock_steps
        report.streams = len(self._streams.lanes)
        report.findings.sort(key=lambda each: (ORDER[each.kind], each.index))
        return report

    # ------------------------------------------------------------------------------------------------------- reading

    def _read_state(self) -> None:
        if not self._live:
            return
        try:
            self._state = state.read(self._directory)
            self._promised = Keys(self._keys, "", Files()).promised()
        except EvidenceError as error:
            self._report.findings.append(Finding(Kind.STATE, str(error)))

    def _pruned(self) -> Pruned:
        """What readers are told of it. It says only what need not be looked for: records have to say it too."""
        try:
            self._known = pruned.read(self._log)
        except EvidenceError as error:
            self._report.findings.append(Finding(Kind.MISSING, str(error)))
        return self._known

    def _published(self) -> Checkpoint | None:
        """Read once: a sealer at work publishes the next one meanwhile."""
        try:
            self._data = whole(self._log / checkpoint.PUBLISHED, note.MAX_BYTES)
            return checkpoint.parse(note.parse(self._data).text)
        except (OSError, NoteError):
            return None  # Whatever it is, `_of_published` says so.

    def _name(self, published: Checkpoint | None, last: int | None) -> str:
        """Of the log: what the keys that were given are called, else what it says itself."""
        names = {key.name for key in self._vkeys}
        if len(names) == 1:
            return names.pop()
        kept = unverified(self._log, last) if last is not None else None
        found = published or kept
        return found.origin if found is not None else ""

    def _unpublished(self) -> int:
        """The state may be one step ahead of the checkpoint, when the sealer is at work or was interrupted."""
        size = self._state.size if self._state is not None else 0
        edge = place(ENTRIES, (size - 1) // WIDTH, (size - 1) % WIDTH + 1)
        return size if size > 0 and (self._log / edge).exists() else 0

    def _wanted(self, size: int, published: Checkpoint | None) -> Iterator[int]:
        others = [each.size for _, each in self._earlier]
        others += [self._state.size] if self._state is not None else []
        others += [published.size] if published is not None else []
        self._extra = dict.fromkeys(others, ())
        before = -1
        for each in merge(checkpoint.kept(self._log), sorted(others)):
            if before != each <= size:
                before = each
                yield each

    def _visit(self, index: int, record: bytes) -> None:
        if self._state is not None and index == self._state.size:
            self._snapshot()
        found = stamp(record)
        if len(self._streamed) < MAX_KEPT:
            self._streamed += self._streams.follow(index, record, found)
        if found is not None:
            if says_twice(record) and len(self._streamed) < MAX_KEPT:
                self._streamed.append(Finding(Kind.MALFORMED, f"record {index} says something twice", index))
            self._receipts.seen(found, record)
            # Between bundles that stayed below what was pruned there is time of which nothing is known.
            if len(self._beaten) < MAX_KEPT and index >= self._known.min_index:
                self._beaten += self._beats.follow(index, record, found)
            if pruned.MARK in record:
                said = pruned.of_record(index, record)
                self._prunings += [said] if said is not None else []
            if found.lane == f"{self._origin}/{OWN}" and ROTATED in record:
                ended = rotation(index, record)
                self._rotations += [ended] if ended is not None else []

    def _of_pruned(self, found: Found) -> None:
        """Is each bundle that is gone one that a sealed record took out, under a signature that holds?"""
        report = self._report
        self._prunings = [each for each in self._prunings if each.index < report.size]
        for first, last, hashes in found.pruned:
            for number in range(first, last + 1):
                if not any(each.gone(number) and (hashes or not each.hashes) for each in self._prunings):
                    where = f"{place(ENTRIES, number)} is missing, and no record says that it was pruned"
                    report.findings.append(Finding(Kind.MISSING, where))
                    break
        if found.pruned:
            report.pruned = self._prunings
            self._ended()

    def _ended(self) -> None:
        """Up to where streams had come whose last records were pruned."""
        lanes = self._streams.lanes
        for each in self._prunings:
            for name, (seq, chain) in each.streams.items():
                lane = lanes.setdefault(name, Lane())
                if seq > lane.seq:
                    lane.seq, lane.chain = seq, chain

    def _snapshot(self) -> None:
        if self._sealed is None:
            self._ended()
            lanes = {name: (lane.seq, lane.chain) for name, lane in self._streams.lanes.items()}
            self._sealed = tails.Sealed([], lanes)

    def _at(self, size: int, by_records: bytes | None, by_tiles: bytes | None) -> None:
        self._roots.at(size, by_records, by_tiles)
        if size in self._extra:
            self._extra[size] = (by_records, by_tiles)

    # ------------------------------------------------------------------------------------------------------- judging

    def _judge(self, found: Found, last: int | None, size: int) -> None:
        report = self._report
        trust = Trust(self._vkeys, self._rotations, self._roots, last if last is not None else -1)
        # Not those that a sealer at work has added meanwhile.
        kept = takewhile(lambda each: each <= size, checkpoint.kept(self._log))
        cosigned = self._cosigned
        see: Callable[[int, bytes], None] = cosigned.see if cosigned is not None else lambda _, __: None
        judged = judge(self._log, kept, trust, self._roots, self._origin, see, found.comparable())
        report.checkpoints = judged.count
        report.findings += judged.findings
        if cosigned is not None:
            report.findings += cosigned.findings()
            report.cosigned = (cosigned.size, cosigned.at)
        report.findings += self._of_published(trust, judged, last)
        report.findings += self._of_earlier(trust, found, judged)
        if self._promised is not None and self._promised[0] > size:
            where = f"{self._promised[0]} records were signed, or going to be, and the log has {size}"
            report.findings.append(Finding(Kind.SET_BACK, where))
        report.findings += found.missing
        forked = [each for each in judged.forked if each < judged.confirmed]
        report.findings += [Finding(Kind.FORKED, f"log/{checkpoint.place(each)}") for each in forked]
        report.findings += self._of_records(found, judged)
        said = unverified(self._log, judged.confirmed) if judged.confirmed >= 0 else None
        if said is not None:
            report.size, report.root = said.size, said.root

    def _of_records(self, found: Found, judged: Judged) -> Iterator[Finding]:
        """Who is right where records, tiles and signatures part?"""
        streamed = [*self._streamed, *self._streams.missing()]
        top = judged.top
        if top >= 0 and top == judged.confirmed:
            if found.differing and self._roots.by_records < top:
                blamed = {each.number for each in found.differences}
                yield from (each.finding for each in found.differences)
                yield from (each for each in streamed if not {each.index // WIDTH} & blamed)
                return
            yield from (Finding(Kind.TILE, f"tile/0 number {each.number}") for each in found.differences)
            yield from found.tiles
            yield from streamed
            return
        yield from streamed
        if top >= 0 and not streamed and not found.missing:
            first = self._roots.agreed
            yield Finding(Kind.CHANGED, f"one of the records {max(first, 0)} to {top - 1}", max(first, 0))

    def _of_published(self, trust: Trust, judged: Judged, last: int | None) -> Iterator[Finding]:
        where = f"log/{checkpoint.PUBLISHED}"
        if self._data is None:
            yield Finding(Kind.SET_BACK, f"{where} is gone, and one of size {last} is kept")
            return
        found = trust.judged(self._data, self._origin, where)
        if isinstance(found, Finding):
            yield found
            return
        if last is None or found.size > last:
            yield Finding(Kind.ARCHIVE, f"the one of size {found.size}")
        elif found.size < last:
            yield Finding(Kind.SET_BACK, f"{where} is the one of size {found.size}, and one of size {last} is kept")
        kept = unverified(self._log, found.size)
        if kept is not None and kept.root != found.root:
            yield Finding(Kind.FORKED, f"{where} and log/{checkpoint.place(found.size)}")
        judged.top = max(judged.top, found.size)
        if found.root in self._extra.get(found.size, ()):
            judged.confirmed = max(judged.confirmed, found.size)

    def _of_earlier(self, trust: Trust, found: Found, confirmed: Judged) -> Iterator[Finding]:
        """What an auditor kept: is it a beginning of this log?"""
        for data, said in self._earlier:
            where = f"the checkpoint of size {said.size} that was given"
            judged = trust.judged(data, self._origin, where)
            if isinstance(judged, Finding):
                yield judged
            elif said.size < self._known.min_index and not self._extra.get(said.size):
                yield Finding(Kind.UNCOMPARED, where)
            elif said.size > found.end or said.size not in self._extra:
                yield Finding(Kind.SET_BACK, f"{where}, and the log has {found.end} records")
            elif said.root not in self._extra[said.size]:
                kept = unverified(self._log, said.size)
                # Two trees were signed, where the log stands by another one; else its records were changed since.
                forked = said.size <= confirmed.confirmed or (kept is not None and kept.root != said.root)
                yield Finding(Kind.FORKED if forked else Kind.CHANGED, f"the log does not begin with {where}")

    def _of_state(self) -> None:
        report, found = self._report, self._state
        if found is None:
            if not any(each.kind is Kind.STATE for each in report.findings):
                report.findings.append(Finding(Kind.STATE, f"{state.DIRECTORY}/{state.NAME} is gone"))
            return
        if found.origin != self._origin:
            report.findings.append(Finding(Kind.STATE, f"it is the one of {found.origin}"))
            return
        roots = [each for each in self._extra.get(found.size, ()) if each is not None]
        if roots:
            self._snapshot()  # Where it has exactly the size of the log.
        if self._sealed is not None:
            self._sealed.roots = roots
        if found.size < report.size and self._set_back(report.size):
            where = f"it speaks of {found.size} records, and {report.size} are signed"
            report.findings.append(Finding(Kind.STATE, where))
        blamed = any(each.kind in EXPLAINED for each in report.findings)
        report.findings += tails.of_state(found, self._sealed if roots else None, blamed)

    def _set_back(self, signed: int) -> bool:
        """It is written before anything is signed. A sealer at work may have gone on since it was read."""
        try:
            found = state.read(self._directory)
        except EvidenceError:
            return True
        return found is None or found.size < signed

    def _of_slots(self) -> None:
        lanes = self._streams.lanes
        found = tails.of_slots(self._directory, self._origin, lanes, self._receipts)
        self._report.findings += found.findings
        self._report.waiting = found.waiting
        self._behind = found.behind


def _unverified(data: bytes) -> Checkpoint:
    try:
        return checkpoint.parse(note.parse(data).text)
    except NoteError as error:
        raise EvidenceError(f"what was given is not a checkpoint: {error}") from error
