"""The sealer: brings what the writers have put on disk into one append-only, signed log. One for each host.

A step reads what is new in every slot, appends it unchanged, writes tiles, then `state/tree.json`, then signs the
checkpoint, keeps it, publishes it. Each of these is durable before the next begins, and each is made from `tree.json`
and the write-ahead log alone: after a crash, at any instruction, the next step makes the same again. Nothing is signed
that does not continue what was signed before.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import heartbeat, reader
from pdp.audit.journal.around import Around, around, set_aside
from pdp.audit.journal.files import Files
from pdp.audit.journal.frames import Frame, chained
from pdp.audit.journal.heartbeat import Tally
from pdp.audit.journal.reader import START, Corrupt, Position, Tail
from pdp.audit.journal.segment import name_of
from pdp.audit.record import STATUS, encoded, stamp
from pdp.audit.tree import checkpoint, merkle, state
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.keys import Keys
from pdp.audit.tree.note import NoteError, VerifierKey, valid_name
from pdp.audit.tree.state import State
from pdp.audit.tree.tiles import HEIGHT, Edge, Tiles, levels, place

LOG: Final = "log"
KEYS: Final = "keys"
OWN: Final = "sealer"
ROTATED: Final = "key.rotate"
MAX_RECORDS: Final = 65_536
MAX_BYTES: Final = 32 * 1_048_576
EPOCH_SECONDS: Final = 30 * 86_400
CLOSED: Final = b'"event":"closed"'
GRACE_SECONDS: Final = 10
"""For writers to take their slots after a start."""
LOST_SECONDS: Final = 600
"""A segment that is lost or foreign is waited for so long, with an alarm, before the others of its slot are read on."""
_BOOT: Final = 12
"""Characters of a stream's name after its last slash."""


_Frames = Iterator[tuple[Position, Frame]]


class Source(Protocol):
    """A slot, as `pdp.audit.journal.reader` gives it."""

    @property
    def number(self) -> int: ...

    def frames(self, after: Position = START, sync: bool = False) -> Iterator[tuple[Position, Frame]]: ...

    def remove_before(self, position: Position) -> int: ...

    @property
    def owned(self) -> bool: ...

    def tail(self) -> Tail: ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one step did. `size` and `root` are signed, published and kept."""

    size: int
    root: bytes
    epoch: int
    records: int  # appended by this step
    more: bool  # there is more to seal at once
    alarms: tuple[str, ...]


class Sealer:
    """One for each audit directory; a lock keeps a second one away. Not for several threads."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        *,
        keys: Path | None = None,
        files: Files | None = None,
        slots: Callable[[Path], Sequence[Source]] = reader.slots,
        epoch_seconds: int = EPOCH_SECONDS,
        max_records: int = MAX_RECORDS,
        heartbeat_seconds: float = 0.0,
        salt: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        """`origin` names the log and its keys, like `pdp.example/host-1`. `heartbeat_seconds`: as of the writers; 0:
        none. Raises EvidenceError.
        """
        if not valid_name(origin):
            raise EvidenceError("the name of the log must have neither spaces nor `+`")
        self.directory = directory
        self._origin = origin
        self._files = files or Files()
        self._keys = Keys(keys or directory / KEYS, origin, self._files)
        self._log = directory / LOG
        self._slots = slots
        self._epoch_seconds = epoch_seconds
        self._max_records = max_records
        self._salt = salt
        self._state: State | None = None
        self._edge = Edge()
        self._suspects: dict[int, tuple[str, int, int]] = {}
        self._stuck: dict[int, int] = {}  # since when a slot has nothing that comes next
        self._aside: list[Path] = []  # segments that have another name in the quarantine
        self._every = heartbeat_seconds
        self._appended_at = 0
        self._heard: dict[int, int] = {}  # when a slot was last known to have a writer, or one that has closed
        self._ended: set[int] = set()  # whose end is on record
        try:
            self._files.need(directory / state.DIRECTORY)
            self._lock = locked(directory / state.DIRECTORY / state.LOCK)
        except OSError as error:
            raise EvidenceError(f"the log cannot be sealed: {error.strerror}") from error

    @property
    def vkey(self) -> VerifierKey:
        """What the newest epoch's checkpoints are verified with. Raises EvidenceError."""
        return self._keys.all()[-1]

    def close(self) -> None:
        """Let another one do it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def step(self, now: int, rotate: bool = False) -> Sealed:
        """Seal what is there. `now`: nanoseconds since the epoch. `rotate`: begin a new key epoch with it.

        Raises EvidenceError: nothing was signed that is not whole, and the next step begins from the disk.
        """
        if self._lock < 0:
            raise EvidenceError("the sealer is closed")
        whole = False
        try:
            self._still_here()
            sealed = self._step(now, rotate)
            whole = True
            return sealed
        except OSError as error:
            raise EvidenceError(f"the log cannot be sealed: {error.strerror or error}") from error
        finally:
            if not whole:
                self._state = None  # What is in memory may be ahead of the disk.

    def _still_here(self) -> None:
        """Where the directory was moved, or deleted and made anew, what is known of it is not known of this one."""
        ours, there = os.fstat(self._lock), os.stat(self.directory / state.DIRECTORY / state.LOCK)
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino):
            raise EvidenceError("the audit directory is another one")

    def _step(self, now: int, rotate: bool) -> Sealed:
        if self._state is None:
            self._state, self._edge = self._begun(now)
            self._publish(self._state)
            self._show_keys()
            self._tidy_after_crash(self._state)
        before = self._state
        batch = _Batch(before, self._origin, self._salt)
        self._gather(batch, now)
        if self._every and not batch.more:
            self._listen(batch, now)
        if rotate or now - before.born >= self._epoch_seconds * 1_000_000_000:
            self._rotate(batch, now)
        if batch.entries:
            self._append(batch)
            self._appended_at = now
        after = self._state
        return Sealed(after.size, after.root, after.epoch, len(batch.entries), batch.more, tuple(batch.alarms))

    # ---------------------------------------------------------------------------------------------------- beginning

    def _begun(self, now: int) -> tuple[State, Edge]:
        """As the disk has it, or the very first state of a log that never was."""
        found = state.read(self.directory)
        if found is None:
            if checkpoint.last(self._log) is not None or self._keys.promised() is not None:
                raise EvidenceError(f"{state.NAME} is gone, and there is a log")
            self._keys.make(1)
            found = State(self._origin, born=now, own_chain=state.genesis(self._origin))
            self._write(found)
        if found.origin != self._origin:
            raise EvidenceError(f"the log is the one of {found.origin}")
        edge = Edge.read(self._log, found.size)
        if edge.root() != found.root:
            raise EvidenceError(f"the tiles are not those of {state.NAME}")
        return found, edge

    def _write(self, new: State) -> None:
        self._files.put(self.directory / state.DIRECTORY / state.NAME, new.encoded())

    # ---------------------------------------------------------------------------------------------------- gathering

    def _gather(self, batch: _Batch, now: int) -> None:
        """What is new, slot by slot. What is damaged in one does not keep the others from being sealed."""
        sources = self._slots(self.directory)
        gone = sorted(batch.state.slots.keys() - {each.number for each in sources})
        batch.alarms += [f"slot {number} is gone" for number in gone]
        parts = max(1, len(sources))  # No slot has to wait because another one has much.
        for source in sources:
            try:
                batch.take(source, max(1, self._max_records // parts), MAX_BYTES // parts)
                self._suspects.pop(source.number, None)
                self._stuck.pop(source.number, None)
            except Corrupt as corrupt:
                batch.alarms.append(str(corrupt))
                if corrupt.resume is None:
                    self._go_around(batch, source, corrupt, now)
                    continue
                self._stuck.pop(source.number, None)
                # A writer at work can look like damage, once.
                seen = (corrupt.kind, corrupt.segment, corrupt.offset)
                if self._suspects.get(source.number) == seen and corrupt.resume is not None and corrupt.resume.chain:
                    batch.skip(corrupt, corrupt.resume, now)
                self._suspects[source.number] = seen

    def _go_around(self, batch: _Batch, source: Source, corrupt: Corrupt, now: int) -> None:
        """What comes next is lost, or is not what comes next. It may come back; after a while what is there goes on."""
        number = source.number
        waited = now - self._stuck.setdefault(number, now)
        if waited < LOST_SECONDS * 1_000_000_000 or not isinstance(source, reader.Slot):
            return
        self._stuck[number] = now  # Where there is nothing to go on with, it is looked for again after as long.
        try:
            found = around(source, batch.position(number), self._origin)
            if found is None:
                return
            aside = [set_aside(source, each, self._files) for each in found.aside]
        except (Corrupt, OSError) as error:
            batch.alarms.append(f"slot {number}: no way around what is lost: {error}")
            return
        if batch.go_around(corrupt, found, now):
            self._aside += aside
            del self._stuck[number]

    def _rotate(self, batch: _Batch, now: int) -> None:
        """The last record of an epoch: it names the next key, and the one that it was signed with until then."""
        if batch.more or not (batch.state.size or batch.entries):
            return
        epoch = batch.state.epoch
        old, new = self._keys.make(epoch), self._keys.make(epoch + 1)
        batch.say(now, ROTATED, epoch=epoch + 1, vkey=str(new), before=str(old))
        batch.epoch = (epoch + 1, batch.state.size + len(batch.entries), now)

    def _listen(self, batch: _Batch, now: int) -> None:
        """Say which writers ended without a word, before their silence counts; and that we are here, when nobody is."""
        period = int(self._every * 1_000_000_000)
        for source in self._slots(self.directory):
            number = source.number
            if number in batch.fresh:
                self._heard[number] = now
                self._ended.discard(number)
            elif number not in self._heard:  # We have just begun, and writers perhaps too.
                self._heard[number] = now - max(0, 2 * period - GRACE_SECONDS * 1_000_000_000)
            elif number not in self._ended and now - self._heard[number] >= 2 * period:
                self._heard[number] = now
                if not source.owned:
                    self._over(batch, source, now)
        self._appended_at = self._appended_at or now
        if not batch.entries and now - self._appended_at >= period:
            tally = Tally(batch.own_seq + 1)
            said = heartbeat.said(heartbeat.monotonic(), heartbeat.IDLE, self._every, tally, batch.own_seq + 1)
            batch.say(now, heartbeat.KIND, **said)

    def _over(self, batch: _Batch, source: Source, now: int) -> None:
        """Nobody writes there. What is not sealed of it has to be first."""
        tail, position = source.tail(), batch.position(source.number)
        if tail.seq > position.seq or tail.unmoved:
            return
        self._ended.add(source.number)
        if CLOSED not in tail.last and tail.seq:
            of = f"{self._origin}/{source.number}"
            batch.say(now, STATUS, event=heartbeat.ABANDONED, of=of, last=tail.seq)

    # ---------------------------------------------------------------------------------------------------- appending

    def _append(self, batch: _Batch) -> None:
        before = batch.state
        contents = self._edge.grow(batch.entries)
        self._files.put_all({self._log / name: data for name, data in contents.items()})
        after = batch.after(self._edge.size, self._edge.root())
        self._write(after)
        self._state = after
        self._publish(after)
        if after.epoch != before.epoch:
            self._show_keys()
        self._tidy(before, after)

    def _publish(self, tree: State) -> None:
        """Sign, keep, publish; nothing where that was done. Raises EvidenceError before it signs a contradiction."""
        ours = Checkpoint(self._origin, tree.size, tree.root)
        last = self._last(tree)
        if last != ours:
            self._keys.promise(ours.size, ours.root)
            signed = checkpoint.sign(ours, self._keys.private(tree.signing))
            self._files.put(self._log / checkpoint.place(ours.size), signed)
        signed = (self._log / checkpoint.place(ours.size)).read_bytes()
        path = self._log / checkpoint.PUBLISHED
        if not path.exists() or path.read_bytes() != signed:
            self._files.put(path, signed)

    def _show_keys(self) -> None:
        """Where the keys are elsewhere, the public ones stand beside the log all the same."""
        beside = self.directory / KEYS
        if self._keys.directory == beside:
            return
        for each in sorted(self._keys.directory.glob("*.vkey")):
            copy = beside / each.name
            if not copy.exists() or copy.read_bytes() != each.read_bytes():
                self._files.put(copy, each.read_bytes())

    def _last(self, tree: State) -> Checkpoint | None:
        """The last checkpoint that was signed. The tree continues it, and what was promised, or EvidenceError."""
        size, promised = checkpoint.last(self._log), self._keys.promised()
        if promised is not None:
            self._continues(tree, *promised)
        if size is None:
            if tree.size:  # The first one is always that of the empty log.
                raise EvidenceError("checkpoints were signed, and none is kept")
            return None
        try:
            last = checkpoint.read((self._log / checkpoint.place(size)).read_bytes(), self._keys.all()).checkpoint
        except NoteError as error:
            raise EvidenceError(f"the last checkpoint that was kept is not ours: {error}") from error
        if last.origin != self._origin or last.size != size:
            raise EvidenceError("the last checkpoint that was kept is another one")
        self._continues(tree, last.size, last.root)
        return last

    def _continues(self, tree: State, size: int, root: bytes) -> None:
        if size > tree.size:
            raise EvidenceError(f"the log has {tree.size} records, and {size} were signed: it was set back")
        found = tree.root if size == tree.size else merkle.root(size, Tiles(self._log, tree.size).perfect)
        if found != root:
            raise EvidenceError(f"the log contradicts the checkpoint of size {size}")

    # ------------------------------------------------------------------------------------------------------- tidying

    def _tidy(self, before: State, after: State) -> None:
        """What nobody needs any more once the checkpoint is published."""
        while self._aside:
            self._files.drop(self._aside.pop())
        for level in range(levels(after.size)):
            shift = HEIGHT * (level + 1)
            for number in range(before.size >> shift, after.size >> shift):
                for row in (level, "entries") if level == 0 else (level,):
                    self._files.drop_directory(self._log / (place(row, number) + ".p"))
        if after.size >= after.since and after.epoch > 1:
            self._keys.destroy(after.epoch - 1)
        for source in self._slots(self.directory):
            position = after.slots.get(source.number)
            if position is not None and position.segment != before.slots.get(source.number, START).segment:
                source.remove_before(position)

    def _tidy_after_crash(self, tree: State) -> None:
        """The last step may not have come to it."""
        sizes = list(islice(checkpoint.kept_backwards(self._log), 2))
        self._tidy(State(self._origin, sizes[-1] if len(sizes) > 1 else 0), tree)


class _Batch:
    """What one step appends, and the state that it leads to."""

    def __init__(self, before: State, origin: str, salt: Callable[[], str]) -> None:
        self.state = before
        self.entries: list[bytes] = []
        self.alarms: list[str] = []
        self.more = False
        self.fresh: set[int] = set()  # slots that had something new
        self.epoch = (before.epoch, before.since, before.born)
        self._slots = dict(before.slots)
        self._own = (before.own_seq, before.own_chain)
        self._origin = origin
        self._salt = salt

    def take(self, source: Source, most: int, bytes_left: int) -> None:
        """The new frames of one slot, at most so many. Raises Corrupt, what came before it is taken."""
        self._take(source.number, partial(source.frames, sync=True), most, bytes_left)

    def _take(self, number: int, frames: Callable[[Position], _Frames], most: int, bytes_left: int) -> bool:
        """False: there is a record that cannot be taken."""
        position = self._slots.get(number, START)
        head = b'{"stream":"%s/%d/' % (self._origin.encode(), number)
        rest = len(head) + _BOOT
        chain = position.chain.hex().encode()
        entries = self.entries
        room = len(entries) + most
        try:
            for here, frame in frames(position):
                payload = frame.payload
                # What it says of itself is what the verifier goes by, and the sealer's own stream is nobody else's.
                stamped = payload.startswith(b'","seq":%d,"prev":"%s",' % (frame.seq, chain), rest)
                if not (stamped or not chain) or not payload.startswith(head):
                    self.alarms.append(
                        f"slot {number}: record {frame.seq} says it is another one; no more is sealed of it"
                    )
                    return False
                if len(entries) >= room or bytes_left <= 0:
                    self.more = True
                    return True
                entries.append(payload)
                self.fresh.add(number)
                bytes_left -= len(payload)
                chain = frame.chain.hex().encode()
                position = here
            return True
        finally:
            if position is not START:
                self._slots[number] = position

    def go_around(self, corrupt: Corrupt, found: Around, now: int) -> bool:
        """Take what there is still, then go on behind it, and put on record what is lost. All of it, or nothing."""
        before, entries = self._slots.get(corrupt.slot), len(self.entries)
        for start, run in found.runs:
            self._slots[corrupt.slot] = start
            if not self._take(corrupt.slot, partial(_given, run), len(run), sys.maxsize):
                del self.entries[entries:]
                self._slots.pop(corrupt.slot)
                if before is not None:
                    self._slots[corrupt.slot] = before
                return False
        aside = [name_of(each) for each in found.aside]
        self.skip(corrupt, found.resume, now, before=found.resume.seq + 1, lost=found.lost, quarantined=aside)
        return True

    def skip(self, corrupt: Corrupt, resume: Position, now: int, **more: Any) -> None:
        """Go on behind the damage, with a record that says so. The gap stays, and every verifier finds it."""
        where = {"slot": corrupt.slot, "segment": corrupt.segment, "offset": corrupt.offset}
        self.say(now, STATUS, event="corruption", what=corrupt.kind, **where, **more)
        self._slots[corrupt.slot] = resume
        self.more = True

    @property
    def own_seq(self) -> int:
        return self._own[0]

    def position(self, slot: int) -> Position:
        return self._slots.get(slot, START)

    def say(self, now: int, kind: str, **more: Any) -> None:
        """A record of the sealer's own."""
        seq, before = self._own[0] + 1, self._own[1]
        members = {"v": 1, "kind": kind, "ts": stamp(now // 1_000), **more, "n": self._salt()}
        head = {"stream": f"{self._origin}/{OWN}/{self.state.epoch}", "seq": seq, "prev": before.hex()}
        payload = json.dumps(head, separators=(",", ":")).encode()[:-1] + b"," + encoded(members)[1:]
        self._own = (seq, chained(before, seq, payload))
        self.entries.append(payload)

    def after(self, size: int, root: bytes) -> State:
        epoch, since, born = self.epoch
        seq, chain = self._own
        return replace(
            self.state,
            size=size,
            root=root,
            epoch=epoch,
            since=since,
            born=born,
            own_seq=seq,
            own_chain=chain,
            slots=self._slots,
        )


def _given(run: list[tuple[Position, Frame]], _: Position) -> _Frames:
    return iter(run)


def locked(path: Path, busy: str = "another sealer is at work") -> int:
    """Be the only one at work there, until the file is closed. Raises EvidenceError, which says `busy`, and OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise EvidenceError(busy) from error
    return file
