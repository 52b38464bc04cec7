"""Puts questions, as they would have been answered, into a real log: engine, record, write-ahead log, sealer.

Time is simulated: the writers and the sealer get it as an argument. Nothing waits for the disk (`written`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pdp.audit.decided import Record, Who
from pdp.audit.record import encoded, payloads, stamp
from pdp.audit.sealer import Sealer
from pdp.audit.wal import Ticket, Wal
from pdp.decide.engine import Engine
from pdp.model.decision import Capabilities
from pdp.model.request import Request
from tests.hospital.asks import Ask
from tests.hospital.house import BEGIN_US

ORIGIN: Final = "hospital.example/host-1"
WORKERS: Final = 2
BATCH: Final = 256
SEALED_AFTER: Final = 16_384
SEGMENT_BYTES: Final = 16 * 1_048_576
WAIT_SECONDS: Final = 60.0
CAN: Final = Capabilities(True, frozenset({"notify_patient", "attach_notice", "review_later"}))
VIA: Final = {"user": "token", "member": "token", "service": "certificate"}


class Ledger:
    """One host's log, with two decision workers."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self.directory = directory
        self.records = 0
        self._prefix = prefix
        self._now = BEGIN_US
        self._unsealed = 0
        self._waiting: list[list[bytes]] = [[] for _ in range(WORKERS)]
        self._tickets: list[Ticket] = []
        directory.mkdir(parents=True, exist_ok=True)
        self._sealer = Sealer(directory, ORIGIN)
        self._wals = [
            Wal(
                directory,
                ORIGIN,
                durability="written",
                segment_bytes=SEGMENT_BYTES,
                reserve_bytes=1 << 20,
                clock=lambda: self._now * 1_000,
                boot=bytes(16),
            )
            for _ in range(WORKERS)
        ]

    def asked(self, ask: Ask, engine: Engine, worker: int) -> str:
        """Decide and record one question; the id of the decision."""
        self._now = now = BEGIN_US + ask.at
        self.records += 1
        identifier = f"{self._prefix}-{self.records:x}"
        context = {"purpose": ask.purpose} if ask.purpose else {}
        request = Request(ask.subject_type, ask.subject, ask.action, ask.resource_type, ask.resource, context=context)
        decision = engine.decide(request, now, CAN)
        who = Who(ask.subject_type, ask.subject, VIA[ask.subject_type], "hospital", ask.client)
        record = Record(
            now,
            identifier,
            "authzen",
            "application",
            decision,
            request,
            program_digest=engine.program.digest,
            data_revision=engine.entities.revision,
            who=who,
        )
        self._put(worker, payloads(record))
        return identifier

    def activated(self, at: int, engine: Engine, worker: int) -> None:
        """A policy set, or new data, go live. `at`: microseconds since the beginning."""
        self._now = BEGIN_US + at
        bundle = {"sha256": engine.program.digest, "version": engine.entities.revision}
        members = {"v": 1, "id": f"{self._prefix}-a{at:x}", "kind": "policy.activate", "ts": stamp(self._now)}
        self._put(worker, [encoded({**members, "bundle": bundle, "n": f"{at:032x}"})])

    def close(self) -> None:
        """Everything is written and sealed."""
        for worker in range(WORKERS):
            self._hand(worker)
        self._settled()
        for wal in self._wals:
            wal.close()
        while self._sealer.step(self._now * 1_000).more:
            pass
        self._sealer.close()

    def _put(self, worker: int, made: Sequence[bytes]) -> None:
        waiting = self._waiting[worker]
        waiting += made
        if len(waiting) >= BATCH:
            self._hand(worker)

    def _hand(self, worker: int) -> None:
        made, self._waiting[worker] = self._waiting[worker], []
        if not made:
            return
        self._tickets.append(self._wals[worker].append(made))
        self._unsealed += len(made)
        if len(self._tickets) > 8:
            self._tickets.pop(0).wait(WAIT_SECONDS)
        if self._unsealed >= SEALED_AFTER:
            self._settled()
            self._sealer.step(self._now * 1_000)
            self._unsealed = 0

    def _settled(self) -> None:
        for each in self._tickets:
            each.wait(WAIT_SECONDS)
        self._tickets = []
