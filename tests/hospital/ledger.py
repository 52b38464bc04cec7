"""Puts questions, as they would have been answered, into a real log: engine, record, write-ahead log, sealer.

Time is simulated: the writers and the sealer get it as an argument. Nothing waits for the disk, and the sealer comes
each ten minutes of that time, not each second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pdp.audit.decided import Record, Who
from pdp.audit.journal import heartbeat, reader
from pdp.audit.journal.files import Files
from pdp.audit.journal.frames import Frame
from pdp.audit.journal.heartbeat import Tally
from pdp.audit.journal.reader import START, Position, Slot, Tail
from pdp.audit.journal.wal import Ticket, Wal
from pdp.audit.record import encoded, payloads, stamp
from pdp.audit.tell import FIRST_SLOT
from pdp.audit.tree.sealer import Sealer
from pdp.audit.veil.privacy import Veil
from pdp.decide.engine import Engine
from pdp.model.decision import Capabilities
from pdp.model.request import Request
from tests.hospital.asks import SECOND, Ask
from tests.hospital.house import BEGIN_US

ORIGIN: Final = "hospital.example/host-1"
WORKERS: Final = 2
SEGMENT_BYTES: Final = 16 * 1_048_576
SMALL_BYTES: Final = 1_048_576
WAIT_SECONDS: Final = 60.0
BEAT: Final = 60
SEALED_EVERY: Final = 10
"""Heartbeats."""
CAN: Final = Capabilities(True, frozenset({"notify_patient", "attach_notice", "review_later"}))
VIA: Final = {"user": "token", "member": "token", "service": "certificate"}


class Unsynced(Files):
    """What is written here is worth nothing after a crash."""

    def fsync(self, _file: int) -> None: ...

    def fdatasync(self, _file: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None:
        """Nothing is replaced: a file system may write a file out at once that replaces another."""
        with suppress(FileNotFoundError):
            self.unlink(new)
        super().rename(old, new)


@dataclass(frozen=True, slots=True)
class Unhurried:
    """A slot whose frames the sealer takes as they are, without waiting for the disk."""

    slot: Slot

    @property
    def number(self) -> int:
        return self.slot.number

    def frames(self, after: Position = START, sync: bool = False) -> Iterator[tuple[Position, Frame]]:
        return self.slot.frames(after)

    def remove_before(self, position: Position) -> int:
        return self.slot.remove_before(position)

    @property
    def owned(self) -> bool:
        return True

    def tail(self) -> Tail:
        return self.slot.tail()


def slots(directory: Path) -> list[Unhurried]:
    return [Unhurried(each) for each in reader.slots(directory)]


class Worker:
    """One slot: what waits to be handed over, and what the next heartbeat tells."""

    def __init__(self, wal: Wal, now: Callable[[], int]) -> None:
        self.wal = wal
        self._now = now
        self._waiting: list[bytes] = []
        self._tickets: list[Ticket] = []
        self._seq = wal.seq
        self._tally = Tally(wal.seq + 1)

    def put(self, made: Sequence[bytes]) -> None:
        self._waiting += made
        self._seq += len(made)

    def decided(self, made: Sequence[bytes], allowed: bool) -> None:
        self.put(made)
        first, yes, no = self._tally
        self._tally = Tally(first, yes + 1, no) if allowed else Tally(first, yes, no + 1)

    def beat(self, state: str) -> None:
        now, seq = self._now() * 1_000, self._seq + 1
        tally = Tally(seq) if state == heartbeat.OPENED else self._tally
        self.put([heartbeat.heartbeat(now, now - BEGIN_US * 1_000, state, BEAT, tally, seq)])
        self._tally = Tally(seq + 1)

    def hand(self) -> None:
        if self._waiting:
            self._tickets.append(self.wal.append(self._waiting))
            self._waiting = []

    def settle(self) -> None:
        self.hand()
        for each in self._tickets:
            each.wait(WAIT_SECONDS)
        self._tickets = []


class Ledger:
    """One host's log, with two decision workers."""

    def __init__(
        self,
        directory: Path,
        prefix: str,
        silent: Callable[[int, int], bool] = lambda _, __: False,
        sealed_every: int = SEALED_EVERY,
    ) -> None:
        """`silent(worker, second)`: does it say nothing then? `sealed_every`: so many heartbeats."""
        self.records = 0
        self._prefix = prefix
        self._silent = silent
        self._sealed_every = sealed_every
        self._now = BEGIN_US
        self._beats = 0
        directory.mkdir(parents=True, exist_ok=True)
        files = Unsynced()
        self._veil = Veil(directory, files=files, clock=lambda: self._now * 1_000)
        self._veil.make()
        self._sealer = Sealer(directory, ORIGIN, files=files, slots=slots)
        self.workers = [self._worker(directory, SEGMENT_BYTES) for _ in range(WORKERS)]
        self._teller = self._worker(directory, SMALL_BYTES, FIRST_SLOT)
        for each in self.workers:
            each.beat(heartbeat.OPENED)

    def _worker(self, directory: Path, size: int, first_slot: int = 0) -> Worker:
        wal = Wal(
            directory,
            ORIGIN,
            durability="written",
            segment_bytes=size,
            reserve_bytes=SMALL_BYTES,
            first_slot=first_slot,
            boot=bytes(16),
            disk=Unsynced(),
            clock=lambda: self._now * 1_000,
        )
        return Worker(wal, lambda: self._now)

    def asked(self, ask: Ask, engine: Engine, worker: int) -> str:
        """Decide and record one question; the id of the decision."""
        self.until(ask.at)
        self._now = now = BEGIN_US + ask.at
        self.records += 1
        identifier = f"{self._prefix}-{self.records:x}"
        context = {"purpose": ask.purpose} if ask.purpose else {}
        request = Request(ask.subject_type, ask.subject, ask.action, ask.resource_type, ask.resource, context=context)
        evaluated: list[bool] = []
        decision = engine.decide(request, now, CAN, evaluated)
        record = Record(
            now,
            identifier,
            "authzen",
            "application",
            decision,
            request,
            cached=not evaluated,
            program_digest=engine.program.digest,
            data_revision=engine.entities.revision,
            who=Who(ask.subject_type, ask.subject, VIA[ask.subject_type], "hospital", ask.client),
            purpose=ask.purpose,
            patient=ask.patient,
        )
        self.workers[worker].decided(payloads(record, self._veil), decision.allowed)
        return identifier

    def activated(self, at: int, engine: Engine) -> None:
        """A policy set, or new data, go live. `at`: microseconds since the beginning."""
        self.until(at)
        self._now = BEGIN_US + at
        first = {"v": 1, "id": f"told-{at:016x}", "kind": "policy.activate", "ts": stamp(self._now), "by": "pdp"}
        bundle = {"sha256": engine.program.digest, "version": engine.entities.revision}
        rules = len(engine.program.policies.rules)
        self._teller.put([encoded({**first, "bundle": bundle, "rules": rules, "n": f"{at:032x}"})])

    def until(self, at: int) -> None:
        """What happens each minute by itself, up to that moment."""
        while (self._beats + 1) * BEAT * SECOND <= at:
            self._beats += 1
            second = self._beats * BEAT
            self._now = BEGIN_US + second * SECOND
            for number, worker in enumerate(self.workers):
                if not self._silent(number, second):
                    worker.beat(heartbeat.BEATING)
            if self._beats % self._sealed_every == 0:
                self._seal()

    def close(self) -> None:
        """Everything is written and sealed."""
        for each in self.workers:
            each.beat(heartbeat.CLOSING)
        for each in (*self.workers, self._teller):
            each.settle()
            each.wal.close()
        self._seal()
        self._sealer.close()

    def _seal(self) -> None:
        self._veil.look()
        for each in (*self.workers, self._teller):
            each.hand()
        for each in (*self.workers, self._teller):
            each.settle()
        while self._sealer.step(self._now * 1_000).more:
            pass
