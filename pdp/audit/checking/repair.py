"""The sealer's memory made anew, where `state/tree.json` is lost or damaged: from tiles, records, checkpoint and WAL.

Only where all of that is what was signed last. What is rebuilt then says the same as what is lost, so that the sealer
goes on as if nothing had happened; anything else would be a way to have a changed log signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pdp.audit.checking import history
from pdp.audit.checking.streams import stamp
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.journal.frames import chained
from pdp.audit.journal.reader import Corrupt, Position, Slot, beginning, slots
from pdp.audit.journal.segment import numbers
from pdp.audit.leaf import written
from pdp.audit.tree import checkpoint, merkle, pruned, state
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.keys import Keys
from pdp.audit.tree.merkle import EMPTY
from pdp.audit.tree.note import NoteError
from pdp.audit.tree.sealer import KEYS, LOG, OWN, locked
from pdp.audit.tree.state import State
from pdp.audit.tree.tiles import Edge, Tiles, records

DAMAGED: Final = ".damaged"
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Read:
    """What the records tell."""

    lanes: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # seq and chain of the last one of each
    epoch: int = 1
    since: int = -1
    born: int = 0


def rebuilt(directory: Path, keys: Path | None = None, progress: Progress = lambda _, __: None) -> State:
    """The state that the log and the write-ahead log tell of. `keys`: where they are, if elsewhere.

    Raises EvidenceError where the log is not the one that was signed last, or where not all can be known.
    """
    log, ring = directory / LOG, Keys(keys or directory / KEYS, "", Files())
    last = _last(log, ring)
    size, root = last.size, last.root
    promised = ring.promised()
    if promised is not None and promised[0] > size:
        size, root = promised  # The sealer had written these tiles, and was about to sign them.
    if promised is not None and promised[0] < size:
        raise EvidenceError(f"{size} records are signed, and only {promised[0]} were promised: the keys are older")
    _same(log, size, root)
    if last.size and merkle.root(last.size, Tiles(log, size).perfect) != last.root:
        raise EvidenceError("the tiles do not continue the checkpoint that was signed last")
    read = _records(log, size, progress)
    own_seq, own_chain = read.lanes.pop(f"{last.origin}/{OWN}", (0, state.genesis(last.origin)))
    return State(
        last.origin,
        size,
        root,
        read.epoch,
        read.since,
        read.born,
        own_seq,
        own_chain,
        _positions(directory, last.origin, read),
    )


def write(directory: Path, new: State, files: Files | None = None) -> None:
    """Put it in its place; what was there is kept beside it. Raises EvidenceError while a sealer is at work."""
    files = files or Files()
    lock = locked(directory / state.DIRECTORY / state.LOCK)
    try:
        path = directory / state.DIRECTORY / state.NAME
        if path.exists():
            files.put(path.with_name(path.name + DAMAGED), path.read_bytes())
        files.put(path, new.encoded())
    except OSError as error:
        raise EvidenceError(f"{state.NAME} cannot be written: {error.strerror}") from error
    finally:
        files.close(lock)


def _last(log: Path, keys: Keys) -> Checkpoint:
    size = checkpoint.last(log)
    if size is None:
        raise EvidenceError("no checkpoint is kept: there is nothing to go by")
    try:
        found = checkpoint.read((log / checkpoint.place(size)).read_bytes(), keys.all()).checkpoint
    except (OSError, NoteError) as error:
        raise EvidenceError(f"the last checkpoint that is kept does not verify: {error}") from error
    if found.size != size:
        raise EvidenceError("the last checkpoint that is kept is another one")
    return found


def _same(log: Path, size: int, root: bytes) -> None:
    """Are the tiles those of this root, the edge from which the sealer goes on as well as all below?"""
    if not size:
        if root != EMPTY:
            raise EvidenceError("the empty log was signed with another root")
        return
    if merkle.root(size, Tiles(log, size).perfect) != root or Edge.read(log, size).root() != root:
        raise EvidenceError("the tiles are not those that were signed last")


def _records(log: Path, size: int, progress: Progress) -> _Read:
    """Every record that is there, each held against its hash in the tiles, which are those that were signed."""
    read, tiles = _Read(dict(pruned.read(log).streams)), Tiles(log, size)
    for index, record in records(log, size, lambda done: progress(done, size)):
        if tiles.perfect(0, index) != merkle.leaf(record):
            raise EvidenceError(f"record {index} is not the one that was sealed")
        found = stamp(record)
        if found is None:
            raise EvidenceError(f"record {index} does not say where it stands")
        read.lanes[found.lane] = (found.seq, chained(found.prev, found.seq, record))
        if not read.born:
            read.born = 1_000 * written(record)
        if found.lane.endswith(f"/{OWN}") and history.ROTATED in record:
            _rotated(read, index, record)
    return read


def _rotated(read: _Read, index: int, record: bytes) -> None:
    import json

    ended = history.rotation(index, record)
    if ended is not None:
        read.epoch, read.since, read.born = int(json.loads(record)["epoch"]), ended.size, 1_000 * written(record)


def _positions(directory: Path, origin: str, read: _Read) -> dict[int, Position]:
    """Up to where each slot was read: the place behind the last record of it that is sealed."""
    there = {each.number: each for each in slots(directory)}
    found: dict[int, Position] = {}
    for lane, (seq, chain) in read.lanes.items():
        number = lane.rpartition("/")[2]
        if lane != f"{origin}/{number}" or not number.isdigit():
            raise EvidenceError(f"the log has records of {lane}, which is no stream of it")
        if int(number) not in there:
            raise EvidenceError(f"the log has records of {lane}, and wal/{number} is gone")
        found[int(number)] = _position(there[int(number)], seq, chain)
    return found


def _position(slot: Slot, seq: int, chain: bytes) -> Position:
    try:
        for number in numbers(slot.path):
            header = slot.header(number)
            if (header.first_seq - 1, header.previous_chain) == (seq, chain):
                return beginning(number, header)
        for position, frame in slot.frames():
            if frame.seq == seq and frame.chain == chain:
                return position
    except (Corrupt, OSError) as error:
        raise EvidenceError(f"the write-ahead log cannot be read: {error}") from error
    raise EvidenceError(f"wal/{slot.number} does not have record {seq} as it is sealed")
