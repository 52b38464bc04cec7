"""The write-ahead log of one process: what a ticket stands for is on disk once the ticket is done.

One thread commits: it takes everything that is queued, writes it with one call, syncs once, and resolves the tickets;
meanwhile the next batch gathers. There is no timer. A second thread keeps a zero-filled spare segment and a reserve.

Whatever fails, fails once: the segment is given up, and the same frames, with the same seq and chain, go to the spare,
then to the reserve. Where even that cannot be, the tickets fail, everything is refused until there is space again, and
frames that may have reached a disk are written first then: nothing else ever stands under their seq.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Condition, Event, Lock, Thread
from typing import Any, Final, Literal

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import frames, heartbeat, slots
from pdp.audit.journal.disk import Disk
from pdp.audit.journal.effort import Effort
from pdp.audit.journal.frames import CONTROL, FIRST_OF_BATCH, HEADER_BYTES, MAX_PAYLOAD, RECORD, Frame, Header, chained
from pdp.audit.journal.heartbeat import Tally
from pdp.audit.journal.reader import Slot, Tail
from pdp.audit.journal.segment import RESERVE, SPARE, Segment, name_of, usable
from pdp.audit.journal.turns import Turns
from pdp.audit.record import status

Durability = Literal["synced", "written"]

SEGMENT_BYTES: Final = 64 * 1_048_576
RESERVE_BYTES: Final = 4 * 1_048_576
MAX_QUEUED: Final = 16_384
MAX_QUEUED_BYTES: Final = 32 * 1_048_576
RETRY_SECONDS: Final = 1.0
HANGING_SECONDS: Final = 5.0
"""A batch that takes longer is followed by no other: nothing more is taken until it ends."""
MAKING_SECONDS: Final = 10.0
CONTROL_ROOM: Final = 16_384
MAX_NOTES: Final = 16
TRIES: Final = 3
"""Segments that may fail one after the other before we say that it is the disk."""

STAMP_ROOM: Final = 512
"""For `stream`, `seq` and `prev`, which are put into each payload, and for the head of its frame."""

RECEIPT_HEX: Final = 16
LEAF: Final = b"\0"
"""RFC 6962, 2.1: before a record, when it is hashed."""

OVERLOADED: Final = "overloaded"
_ORIGIN: Final = re.compile(r"[!#-*,-\[\]-~]{1,255}")


class Ticket:
    """What was handed over. One waits for it, in one way."""

    __slots__ = ("_error", "_future", "_gate", "_place", "kind", "payloads", "settled", "size")

    def __init__(self, payloads: Sequence[bytes], kind: int, size: int) -> None:
        self.payloads = payloads
        self.kind = kind
        self.size = size
        self.settled = False
        self._error = ""
        self._place = ("", 0, b"")
        self._gate: Any = None
        self._future: asyncio.Future[None] | None = None

    @property
    def done(self) -> bool:
        """Is it on disk? False also when it failed."""
        return self.settled and not self._error

    def placed(self, stream: str, seq: int, stamped: bytes) -> None:
        """The commit thread's: where the first of them goes, and as what."""
        self._place = (stream, seq, stamped)

    @property
    def receipt(self) -> str:
        """`<stream>:<seq>:<16 hex digits of the RFC 6962 leaf hash>` of the first of them, once it is on disk; else "".

        The hash is made here, by whoever wants it: all other batches wait for the commit thread.
        """
        stream, seq, stamped = self._place
        if not seq or not self.done:
            return ""
        return f"{stream}:{seq}:{sha256(LEAF + stamped).hexdigest()[:RECEIPT_HEX]}"

    def wait(self, timeout: float) -> None:
        """Until it is on disk; for threads. Raises EvidenceError when it cannot be, or is not in time."""
        if not self.settled:
            gate = Lock()
            gate.acquire()
            self._gate = gate
            # Invariant: whoever settles looks at `_gate` after setting `settled`, we look the other way round.
            if not self.settled and not gate.acquire(timeout=timeout):
                raise EvidenceError("the log did not answer in time")
        if self._error:
            raise EvidenceError(self._error)

    def future(self, loop: asyncio.AbstractEventLoop) -> Awaitable[None]:
        """The same for the thread of this event loop."""
        self._future = future = loop.create_future()
        if self.settled:
            _resolve([self])
        return future

    def settle(self, error: str, woken: dict[asyncio.AbstractEventLoop, list[Ticket]]) -> None:
        """The commit thread's: it is decided. Who has to be told in an event loop is added to `woken`."""
        self._error = error
        self.settled = True
        gate, future = self._gate, self._future
        if gate is not None:
            gate.release()
        if future is not None:
            woken.setdefault(future.get_loop(), []).append(self)

    def resolve(self) -> None:
        """In the thread of the event loop."""
        future = self._future
        if future is not None and not future.done():
            if self._error:
                future.set_exception(EvidenceError(self._error))
            else:
                future.set_result(None)


def _resolve(tickets: list[Ticket]) -> None:
    for each in tickets:
        each.resolve()


class Overloaded(EvidenceError):
    """The disk is behind: too much is queued. It passes."""


class _NoSpace(Exception):
    """Neither spare nor reserve."""


class Wal:
    """Open in one process only, after its fork. `append` is for all threads."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        *,
        durability: Durability = "synced",
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        max_queued: int = MAX_QUEUED,
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        first_slot: int = 0,
        key_epoch: int = 0,
        boot: bytes | None = None,
        disk: Disk | None = None,
        alarm: Callable[[str], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = heartbeat.monotonic,
        retry_seconds: float = RETRY_SECONDS,
        heartbeat_seconds: float = 0.0,
    ) -> None:
        """Take a slot below the audit directory and go on where its last writer ended. Raises EvidenceError.

        `heartbeat_seconds`: between two heartbeats; 0: none.
        """
        self._disk = disk or Disk()
        self._origin = origin
        self._synced = durability == "synced"
        self._segment_bytes = segment_bytes
        self._reserve_bytes = min(reserve_bytes, segment_bytes)
        self._max_queued = max_queued
        self._max_bytes = min(max_queued_bytes, segment_bytes - HEADER_BYTES - CONTROL_ROOM)
        self._key_epoch = key_epoch
        self._boot = boot if boot is not None else boot_id()
        self._alarm = alarm
        self._clock = clock
        self._monotonic = monotonic
        self._retry = retry_seconds
        self._every = heartbeat_seconds
        self._pid = os.getpid()

        self._mutex = Lock()  # of the queue
        self._wake = Lock()
        self._wake.acquire()
        self._idle = False
        self._nudged = Event()
        self._queue: list[Ticket] = []
        self._queued = self._queued_bytes = 0
        self._closing = self._closed = self._faulted = False
        self._refusal = ""
        self._since = 0.0  # when the batch that is under way was begun
        self.effort = Effort()

        self._files = Condition(Lock())  # of the spare and the reserve
        self._ready: set[str] = set()
        self._wanted: set[str] = set()  # neither ready nor just being turned into a segment
        self._stuck = False  # the last try to make one failed
        self._keeping = True

        self._current: Segment | None = None
        self._pending: list[Frame] = []  # not acknowledged, and perhaps on a disk
        self._notes: list[bytes] = []
        self._beat = heartbeat.OPENED if self._every else ""  # what the next one is, once it is due
        self._beat_at = float("inf")
        self._tally = self._tally_made = Tally(0)  # since the last one: on disk, and with what is being written
        if not _ORIGIN.fullmatch(origin):
            raise EvidenceError("the origin of the log is no name")
        try:
            self._slot = slots.take(directory, self._disk, first_slot)
        except OSError as error:
            raise _evidence(error) from error
        try:
            self._tail = Slot(self._slot.path, self._slot.number).tail()
            self.stream = frames.stream(origin, self._slot.number, self._boot)
            self._stamp = b'{"stream":"%s","seq":' % self.stream.encode()
            self._keeper = Thread(target=self._keep, name="wal-spare", daemon=True)
            self._open()
        except (OSError, _NoSpace) as error:
            self._end_keeping()
            self._disk.close(self._slot.lock)
            raise _evidence(error) from error
        self._committer = Thread(target=self._run, name="wal-commit", daemon=True)
        self._committer.start()

    # ------------------------------------------------------------------------------------------------ for the doors

    def append(self, payloads: Sequence[bytes], kind: int = RECORD) -> Ticket:
        """Hand over JSON objects, to be written together or not at all. At once. Raises EvidenceError."""
        size = 0
        for each in payloads:
            if not 2 < len(each) <= MAX_PAYLOAD - STAMP_ROOM:
                raise EvidenceError("a record is too long")
            size += len(each) + STAMP_ROOM
        ticket = Ticket(payloads, kind, size)
        if self._pid != os.getpid():
            raise EvidenceError("the log belongs to another process")
        with self._mutex:
            self._able()
            if self._queued + len(payloads) > self._max_queued or self._queued_bytes + size > self._max_bytes:
                self.effort.shed += 1
                raise Overloaded(OVERLOADED)
            self._queue.append(ticket)
            self._queued += len(payloads)
            self._queued_bytes += size
            if self._idle:
                self._idle = False
                self._wake.release()
        return ticket

    def probe(self) -> None:
        """Raise EvidenceError when nothing can be written now, as far as is known."""
        self._able()

    def _able(self) -> None:
        if self._refusal or self._closing:
            raise EvidenceError(self._refusal or "the log is closed")
        since = self._since
        if since and time.monotonic() - since > HANGING_SECONDS:
            raise EvidenceError("the disk does not answer")

    def gone(self) -> bool:
        """Was the directory that we write to moved away, or deleted, or has a fault of ours ended the commit thread?"""
        return self._faulted or not self._disk.same(self._slot.lock, self._slot.path / "lock")

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def slot(self) -> int:
        return self._slot.number

    @property
    def seq(self) -> int:
        """Of the last record that is on disk."""
        return self._tail.seq

    def retry(self) -> None:
        """Look at once whether there is space again."""
        with self._files:
            self._files.notify_all()
        self._nudged.set()

    def close(self) -> None:
        """Write what is queued, then end. Nothing is taken any more."""
        with self._mutex:
            if self._closed:
                return
            self._closed = self._closing = True
            if self._idle:
                self._idle = False
                self._wake.release()
        self._nudged.set()
        self._committer.join()
        self._end_keeping()
        if self._current is not None:
            if not self._refusal and not self._faulted:
                self._current.trim()
            self._current.close()
        self._disk.close(self._slot.lock)

    def _end_keeping(self) -> None:
        with self._files:
            self._keeping = False
            self._files.notify_all()
        if self._keeper.is_alive():
            self._keeper.join()

    # ------------------------------------------------------------------------------------------- the commit thread

    def _run(self) -> None:
        # A sync that a signal interrupts would be begun again on the same file.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._turns = Turns()
        batch: list[Ticket] | None = []
        try:
            while (batch := self._take()) is not None:
                self._commit(batch)
            self._finish()
        finally:
            self._ended(batch or [])

    def _ended(self, batch: list[Ticket]) -> None:
        """Nothing is written any more, also where a fault of ours ended the thread: nobody waits in vain."""
        with self._mutex:
            self._faulted = not self._closed  # Whoever opens another one goes on where the disk says, as after a kill.
            self._closing = True
            left = [each for each in batch if not each.settled] + self._queue
            self._queue = []
        self._settle(left, "the log is closed")

    def _commit(self, batch: list[Ticket]) -> None:
        if self._refusal and not batch:
            self._again()
        self._since = now = time.monotonic()
        if now >= self._beat_at:
            self._beat = heartbeat.BEATING
        try:
            self._batch(batch)
            if (self._notes or self._beat) and not self._refusal:
                self._committed([], self._noted())
        finally:
            self._since = 0.0

    def _finish(self) -> None:
        if self._refusal:
            self._again()
        if not self._refusal:
            self._beat = heartbeat.CLOSING if self._every else ""
            self._status("closed")
            self._committed([], self._noted())

    def _take(self) -> list[Ticket] | None:
        """Everything that is queued, once anything is; [] when it is time to look for space, or for a heartbeat; None
        at the end.
        """
        while True:
            with self._mutex:
                if self._queue:
                    batch, self._queue = self._queue, []
                    self._queued = self._queued_bytes = 0
                    return batch
                if self._closing:
                    return None
                self._idle = not self._refusal
            if self._refusal:
                self._nudged.wait(self._retry)
                self._nudged.clear()
                return []
            self._turns.after_others()
            woken = self._woken()
            self._turns.as_usual()
            if not woken:
                return []

    def _woken(self) -> bool:
        """Wait until something is queued, or we are to end. False: it is time for a heartbeat."""
        if not self._every:
            return self._wake.acquire()
        if self._wake.acquire(timeout=max(0.0, self._beat_at - time.monotonic())):
            return True
        with self._mutex:
            if not self._idle:  # Whoever came just now has released it, and another release would be an error.
                return self._wake.acquire()
            self._idle = False
        return False

    def _batch(self, batch: list[Ticket]) -> None:
        start = 0
        while start < len(batch):
            end, size = start, 0
            while end < len(batch) and size + batch[end].size <= self._max_bytes:
                size += batch[end].size
                end += 1
            part, start = batch[start:end], end
            error = self._refusal or self._committed(part, self._noted())
            self._settle(part, error)

    def _settle(self, tickets: list[Ticket], error: str) -> None:
        """Tell who waits; an event loop once for all of them."""
        woken: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        for each in tickets:
            each.settle(error, woken)
        for loop, those in woken.items():
            with suppress(RuntimeError):  # The loop has ended: nobody waits any more.
                loop.call_soon_threadsafe(_resolve, those)

    def _committed(self, tickets: list[Ticket], notes: list[bytes]) -> str:
        """Bring them to the disk, whatever that takes. "" or why it could not be."""
        made = self._frames(tickets, notes)
        if not made:
            return ""
        tried = False
        for _ in range(TRIES):
            try:
                segment = self._roomy(made, bool(tickets))
                tried = True
                began = time.monotonic()
                segment.write(frames.encode(made, segment.seed), self._synced)
                self.effort.took(time.monotonic() - began)
                if not segment.named and not self.gone():  # With its whole directory it may be moved, alone it may not.
                    raise FileNotFoundError(errno.ENOENT, "the segment has another name")
            except _NoSpace:
                break
            except OSError as error:
                self._poison(error)
                continue
            last = made[-1]
            self._tail = Tail(segment.number, segment.header.id, last.seq, last.chain)
            self._told()
            self.effort.batches += 1
            return ""
        self._refuse(made if tried else [])
        if not tried:
            self._notes = (notes + self._notes)[-MAX_NOTES:]
        return self._refusal

    def _frames(self, tickets: list[Ticket], notes: list[bytes]) -> list[Frame]:
        """Seq and chain, in the order in which they came; each payload says both of itself."""
        seq, chain, tally = self._tail.seq, self._tail.chain, self._tally
        made: list[Frame] = []
        stamp, flags, count = self._stamp, FIRST_OF_BATCH, bool(self._every)

        def add(kind: int, payloads: Sequence[bytes]) -> None:
            nonlocal seq, chain, flags, tally
            for each in payloads:
                seq += 1
                payload = b'%s%d,"prev":"%s",%s' % (stamp, seq, chain.hex().encode(), each[1:])
                chain = chained(chain, seq, payload)
                made.append(Frame(seq, kind, payload, chain, flags))
                flags = 0
                if count:
                    tally = heartbeat.counted(tally, payload)

        for ticket in tickets:
            first = len(made)
            add(ticket.kind, ticket.payloads)
            if len(made) > first:
                ticket.placed(self.stream, made[first].seq, made[first].payload)
        if self._beat:
            add(CONTROL, [self._heartbeat(tally, seq + 1)])
            tally = Tally(seq + 1)
        add(CONTROL, notes)
        self._tally_made = tally
        return made

    def _heartbeat(self, tally: Tally, seq: int) -> bytes:
        """What an earlier writer of this slot has counted nobody knows: the first one counts nothing."""
        counts = Tally(seq) if self._beat == heartbeat.OPENED else tally
        return heartbeat.heartbeat(self._clock(), self._monotonic(), self._beat, self._every, counts, seq)

    def _told(self) -> None:
        """What was made is on disk, or may be."""
        self._tally = self._tally_made
        if self._beat:
            self._beat = ""
            self._beat_at = time.monotonic() + self._every

    def _roomy(self, made: list[Frame], ordinary: bool) -> Segment:
        """A segment that takes them. Raises _NoSpace."""
        need = sum(frames.size_of(len(each.payload)) for each in made)
        while True:
            segment = self._current
            if segment is not None and need <= (segment.room if ordinary else segment.room_for_control):
                return segment
            self._current = self._next()
            if segment is not None:
                segment.close()

    def _poison(self, error: OSError) -> None:
        segment, self._current = self._current, None
        if segment is None:
            return
        segment.close()
        self.effort.poisoned += 1
        self._status("segment-poisoned", segment=name_of(segment.number), error=_word(error))
        self._alarm(f"a segment of the log failed ({_word(error)}); what it should have taken goes to the next")

    def _refuse(self, made: list[Frame]) -> None:
        """No more until there is space. What may be on a disk keeps its seq: it is written first, then."""
        self._pending = made
        if made:
            self._told()  # They keep their numbers, and what was counted of them.
        with self._mutex:
            self._refusal = "the log has no space"
        self._alarm("the log has no space: everything is denied until there is")
        if not made and self._current is not None and self._current.room_for_control > CONTROL_ROOM // 2:
            self._status("no-space")  # What the reserve holds back is for this.
            self._committed([], self._noted())

    def _again(self) -> None:
        """Perhaps there is space again: what is pending first, then a record that says so."""
        if SPARE not in self._ready:
            return
        if self._current is not None:
            self._current.close()
            self._current = None
        try:
            self._move_pending()
        except _NoSpace:
            return
        except OSError as error:
            self._poison(error)
            return
        self._status("space-again")
        with self._mutex:
            self._refusal = ""
        notes = self._noted()
        if not self._committed([], notes):
            self._alarm("the log can be written again")

    def _move_pending(self) -> None:
        """What may be on a disk already, under the same seq. Raises OSError and _NoSpace."""
        pending = self._pending
        if not pending:
            return
        segment = self._roomy(pending, False)
        segment.write(frames.encode(pending, segment.seed), self._synced)
        self._tail = Tail(segment.number, segment.header.id, pending[-1].seq, pending[-1].chain)
        self._pending = []
        self._status("unacknowledged", first=pending[0].seq, last=pending[-1].seq)

    # ---------------------------------------------------------------------------------------------- control records

    def _status(self, event: str, **more: Any) -> None:
        self._notes = [*self._notes, status(self._clock(), {"event": event, **more})][-MAX_NOTES:]

    def _noted(self) -> list[bytes]:
        """What the log has to say of itself, as records."""
        notes, self._notes = self._notes, []
        return notes

    # -------------------------------------------------------------------------------------------------------- files

    def _open(self) -> None:
        """The first segment of ours, and what it has to say of those before it."""
        path, tail = self._slot.path, self._tail
        for name, size in ((SPARE, self._segment_bytes), (RESERVE, self._reserve_bytes)):
            if usable(path / name, size):
                self._ready.add(name)
                continue
            self._wanted.add(name)
            if os.path.lexists(path / name):
                self._disk.unlink(path / name)
        self._keeper.start()
        self._current = self._next()
        self._pending = list(tail.unmoved)
        self._move_pending()
        self._status("started", durability="synced" if self._synced else "written", pid=self._pid)
        if tail.seq and b'"event":"closed"' not in tail.last:
            self._status("recovered", first=tail.last_batch, last=tail.seq, torn=tail.torn is not None)
        for each in tail.corrupt:
            self._quarantine(each.segment)
            self._status("corruption", what=each.kind, segment=name_of(each.segment), offset=each.offset)
            self._alarm(f"the log was damaged: {each}")
        if self._committed([], self._noted()):
            raise _NoSpace

    def _quarantine(self, number: int) -> None:
        """A copy of what is damaged, for whoever looks into it; without one where there is no room."""
        source = self._slot.path / name_of(number)
        target = self._slot.path.parent.parent / "quarantine" / f"{self._slot.number}-{source.name}"
        if target.exists() or not source.exists():
            return
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            file = self._disk.open(target, os.O_WRONLY | os.O_CREAT)
            with os.fdopen(file, "wb") as copy:
                copy.write(source.read_bytes().rstrip(b"\0"))
        except OSError as error:
            self._alarm(f"no copy of a damaged segment could be made: {_word(error)}")

    def _next(self) -> Segment:
        """The spare, else the reserve, as our next segment. Raises _NoSpace, also where what stands in the place of our
        directory is another one: its files are somebody else's.
        """
        if self.gone():
            raise _NoSpace
        for _ in range(TRIES):
            name = self._prepared()
            tail, identifier = self._tail, os.urandom(frames.ID_BYTES)
            header = Header(
                identifier,
                self._origin,
                self._slot.number,
                self._boot,
                tail.seq + 1,
                tail.id,
                tail.chain or frames.genesis(identifier),
                self._key_epoch,
                self._clock(),
            )
            spare = name == SPARE
            size = self._segment_bytes if spare else self._reserve_bytes
            path = self._slot.path / name
            try:
                segment = Segment(self._disk, path, tail.segment + 1, header, size, 0 if spare else CONTROL_ROOM)
                self._tail = Tail(segment.number, identifier, tail.seq, header.previous_chain)
                return segment
            except OSError as error:
                self._alarm(f"a spare segment failed ({_word(error)})")
                self._status("spare-failed", error=_word(error))
                self._drop(path, tail.segment + 1)
            finally:
                if not spare:
                    self._status("reserve")
                with self._files:
                    self._wanted.add(name)
                    self._files.notify_all()
        raise _NoSpace

    def _drop(self, path: Path, number: int) -> None:
        """What failed before anything was written into it has no place in the log, under no name."""
        for each in (path, path.with_name(name_of(number))):
            try:
                self._disk.unlink(each)
            except OSError:
                continue

    def _prepared(self) -> str:
        """The name of a file that is ready; nobody else touches it until it is `_wanted` again."""
        with self._files:
            if SPARE not in self._ready and self._keeping and not self._stuck:
                self._files.wait_for(lambda: SPARE in self._ready or self._stuck, MAKING_SECONDS)
            for name in (SPARE, RESERVE):
                if name in self._ready:
                    self._ready.remove(name)
                    return name
        raise _NoSpace

    def _keep(self) -> None:
        """The side thread: one spare and one reserve, always."""
        while True:
            with self._files:
                self._files.wait_for(lambda: not self._keeping or self._wanted)
                if not self._keeping:
                    return
                name = max(self._wanted)  # the spare first
            try:
                size = self._segment_bytes if name == SPARE else self._reserve_bytes
                if self.gone():
                    raise FileNotFoundError(errno.ENOENT, "the directory is another one")
                self._disk.zeroed(self._slot.path / name, size)
            except OSError:
                self._missed()
                continue
            with self._files:
                self._wanted.remove(name)
                self._ready.add(name)
                self._stuck = False
                self._files.notify_all()

    def _missed(self) -> None:
        with self._files:
            self._stuck = True
            self._files.notify_all()
            if self._keeping:
                self._files.wait(self._retry)


def boot_id() -> bytes:
    """Of this start of the machine; of this process, where the system does not say."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(frames.ID_BYTES)


def _word(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "error")


def _evidence(error: Exception) -> EvidenceError:
    reason = error.strerror if isinstance(error, OSError) else "no space"
    return EvidenceError(f"the log cannot be opened: {reason}")
