"""What the sealer's state and the write-ahead log say, held against the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.checking.streams import Lane, stamp
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import reader
from pdp.audit.journal.frames import Frame
from pdp.audit.journal.reader import Corrupt, Slot
from pdp.audit.tree import state
from pdp.audit.tree.sealer import OWN
from pdp.audit.tree.state import State


@dataclass(slots=True)
class Sealed:
    """How the log was when it had the size that the state says."""

    roots: list[bytes] = field(default_factory=list)  # by the records, and by the tiles where they differ
    lanes: dict[str, tuple[int, bytes]] = field(default_factory=dict)


def of_state(found: State, sealed: Sealed | None, blamed: bool) -> Iterator[Finding]:
    """Is the sealer's memory the one of this log? `sealed` is None where the log never had that size.

    `blamed`: records were changed, which is said already. Then only a stream that is missing whole is still news.
    """
    if sealed is None:
        yield Finding(Kind.STATE, f"it speaks of {found.size} records, and the log has less")
        return
    if found.root not in sealed.roots and not blamed:
        yield Finding(Kind.STATE, "its root is another one")
    said = {f"{found.origin}/{slot}": (at.seq, at.chain) for slot, at in found.slots.items()}
    said[f"{found.origin}/{OWN}"] = (found.own_seq, found.own_chain)
    for lane in sorted(said.keys() | sealed.lanes.keys()):
        seq, chain = said.get(lane, (0, b""))
        at = sealed.lanes.get(lane, (0, b""))
        if at[0] == 0 and seq:
            yield Finding(Kind.STREAM, f"the sealer has read {lane} up to number {seq}, and the log has nothing of it")
        elif blamed:
            continue
        elif seq != at[0]:
            yield Finding(Kind.STATE, f"it says {lane} is read up to number {seq}, and the log has it up to {at[0]}")
        elif seq and chain != at[1]:
            yield Finding(Kind.STATE, f"the chain hash of {lane} is another one")


@dataclass(slots=True)
class Tails:
    """Of the write-ahead log: how many records wait, in how many slots, and what is wrong."""

    waiting: int = 0
    behind: set[str] = field(default_factory=set)  # the lanes of those
    slots: int = 0
    findings: list[Finding] = field(default_factory=list)


def of_slots(directory: Path, origin: str, lanes: Mapping[str, Lane], waiting: Waiting) -> Tails:
    """Every slot, from what is left of it to its end. Raises EvidenceError where it cannot be read at all."""
    tails = Tails()
    try:
        slots = {slot.number: slot for slot in reader.slots(directory)}
        for _, slot in sorted(slots.items()):
            tails.slots += 1
            tails.findings += _of_slot(directory, slot, origin, lanes, waiting, tails)
    except OSError as error:
        raise EvidenceError(f"the write-ahead log cannot be read: {error.strerror}") from error
    for lane in sorted(lanes):
        last = lane.rpartition("/")[2]
        if last.isdigit() and lane == f"{origin}/{last}" and int(last) not in slots:
            tails.findings.append(Finding(Kind.STREAM, f"the log has records of {lane}, and wal/{last} is gone"))
    return tails


class Waiting:
    """Told of each record that waits to be sealed."""

    def record(self, payload: bytes) -> None:
        """By default nobody wants to know."""


def _of_slot(
    directory: Path, slot: Slot, origin: str, lanes: Mapping[str, Lane], waiting: Waiting, tails: Tails
) -> Iterator[Finding]:
    name = f"{origin}/{slot.number}"
    lane = lanes.get(name, Lane())
    last = 0
    try:
        for _, frame in slot.frames():
            if not last and frame.seq > lane.seq + 1 and frame.seq > _read_by_now(directory, slot.number) + 1:
                yield Finding(
                    Kind.TAIL_DROPPED, f"wal/{slot.number} begins with number {frame.seq}, {lane.seq} is sealed"
                )
            last = frame.seq
            if frame.seq == lane.seq and frame.chain != lane.chain:
                yield Finding(
                    Kind.TAIL_CHANGED, f"number {frame.seq} of wal/{slot.number} is not the one that is sealed"
                )
            elif frame.seq > lane.seq:
                if not _is_of(frame, name):
                    yield Finding(Kind.TAIL_CHANGED, f"number {frame.seq} of wal/{slot.number} says it is another one")
                tails.waiting += 1
                tails.behind.add(name)
                waiting.record(frame.payload)
    except Corrupt as corrupt:
        kind = Kind.TAIL_DROPPED if corrupt.kind.startswith("missing") else Kind.TAIL_CHANGED
        yield Finding(kind, str(corrupt))
        return
    tail = slot.tail()
    # What has still to be moved from a segment that failed may be sealed already.
    end = max(last, tail.seq, *(frame.seq for frame in tail.unmoved))
    if end < lane.seq:
        yield Finding(Kind.TAIL_DROPPED, f"wal/{slot.number} ends with number {end}, and {lane.seq} is sealed")


def _is_of(frame: Frame, lane: str) -> bool:
    found = stamp(frame.payload)
    return found is not None and found.lane == lane and found.seq == frame.seq


def _read_by_now(directory: Path, slot: int) -> int:
    """The sealer may have gone on since the log was read, and segments with it."""
    try:
        found = state.read(directory)
    except EvidenceError:
        return 0
    at = found.slots.get(slot) if found is not None else None
    return at.seq if at is not None else 0
