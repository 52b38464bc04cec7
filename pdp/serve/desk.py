"""Deciding, recording, refusing: what every door does between reading and answering.

A record is handed to the log before there is an answer, and the answer waits until the record is on disk: `kept` for
an event loop, `kept_here` for threads. Where it cannot be written, nothing is permitted.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from time import time_ns
from typing import Final

from pdp.audit.journal.wal import Overloaded, Ticket
from pdp.audit.log import EvidenceError, Log, Record, Refused, Who
from pdp.config import Profile, Settings
from pdp.config.peps import NOBODY, PROXY_DOORS
from pdp.doors import authzen, correlation, duties
from pdp.doors.admission import admitted
from pdp.doors.original import Headers
from pdp.identity.caller import Caller, Suspect
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request
from pdp.serve.compartment import patient_of
from pdp.serve.declared import Declared, purpose_of
from pdp.serve.emergency import Spool
from pdp.serve.floods import Flood, Floods
from pdp.serve.http import BEARER, JSON, NO_STORE, Answer
from pdp.serve.limits import FREE, Limits, Taken
from pdp.serve.snapshot import Snapshot
from pdp.serve.strangers import Strangers
from pdp.serve.worker import Worker

AUTHZEN: Final = "authzen"
EXT_AUTHZ: Final = "ext_authz"
GRPC: Final = "grpc"
FORWARD_AUTH: Final = "forward_auth"
OPA: Final = "opa"

SHED: Final = "audit-overload"

RECORD_SECONDS: Final = 10.0
"""How long a thread waits for the disk. The record may still be written after that: of a permit that was not given."""

PROBLEMS: Final = {
    Reason.UNAUTHENTICATED: (401, "the enforcement point is not known"),
    Reason.UNKNOWN_PEP: (401, "the enforcement point is not known"),
    Reason.OVERLOADED: (429, "overloaded"),
    Reason.RATE_LIMITED: (429, "too many requests"),
    Reason.BAD_REQUEST: (400, "the body cannot be read"),
    Reason.AUDIT_UNAVAILABLE: (500, "audit_unavailable"),
}
"""What the API doors answer where there is no decision; anything else is (500, "fault")."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Records on their way to the disk. `essential`: the answer rests on them; else it is a refusal in any case."""

    ticket: Ticket
    records: list[Record]
    essential: bool
    second: bool = False  # to the second disk, in an emergency


@dataclass(slots=True)
class Exchange:
    """One request on its way. `now` is read once, when all of the request is there (SEMANTICS 8 and 26)."""

    door: str
    decision_id: str
    now: int  # microseconds since the epoch
    pep: str = NOBODY
    caller: Caller | None = None  # once established
    suspect: Suspect | None = None  # of a token that did not count
    request: Request | None = None  # once it is known what is asked
    retry_after: int = 0  # seconds, where a limit refuses
    handed: list[Handed] = field(default_factory=list)  # what the answer has to wait for
    headers: Headers = ()  # of the client's request at a proxy door, of the question elsewhere
    method: str = ""  # of the client's request, at a proxy door
    route: str = ""  # the pattern that its path fits
    patient: str | None = None  # whose data all of it is about; None: each question is looked at
    receipt: str = ""  # of its record, or of the first of several, once they are on disk
    recorded: bool = False  # there is a record under its id, or is going to be
    shed: bool = False  # its record found no room in the queue: it passes


class Desk:
    """One worker's. Safe for threads: the log and the numbers are written under one lock."""

    def __init__(self, settings: Settings, log: Log, worker: Worker, limits: Limits) -> None:
        self.settings = settings
        self.limits = limits
        self.worker = worker
        self.metrics = worker.metrics
        self._log = log
        self.spool = Spool(settings)
        self._lock = Lock()
        self._prefix = secrets.token_hex(6)
        self._numbers = count(1)
        self._floods = Floods(self._identifier)
        self.strangers = Strangers(self.metrics)
        self._declared: Declared | None = None  # Of the last snapshot; read and replaced in single steps.
        self._told: tuple[Ticket, list[Flood]] | None = None

    def exchange(self, door: str) -> Exchange:
        """A request begins: its id, and now."""
        return Exchange(door, self._identifier(), time_ns() // 1000)

    def after(self, exchange: Exchange) -> Exchange:
        """For the deny that leaves instead of what was recorded: that record stays, under its own id, and the deny has
        another one. The same exchange, where nothing was recorded.
        """
        if not exchange.recorded:
            return exchange
        after = self.exchange(exchange.door)
        after.pep, after.caller, after.headers = exchange.pep, exchange.caller, exchange.headers
        after.method, after.route, after.handed = exchange.method, exchange.route, exchange.handed
        return after

    def _identifier(self) -> str:
        return f"{self._prefix}-{next(self._numbers):x}"

    def decided(
        self, snapshot: Snapshot, request: Request, profile: Profile, exchange: Exchange, decision_id: str
    ) -> Record:
        """Judge what the enforcement point may assert, then ask the engine. The record still has to be written.

        Where nobody has counted the request yet (`sourced`), it is counted here: one for its subject, one for the
        enforcement point as its client.
        """
        limited = ""
        if request.sourced is None:
            limited = self.taken(snapshot, request, profile, exchange)
        believed, discarded = admitted(request, snapshot.schema, profile.may_assert, profile.context)
        if limited:
            decision, cached = Decision(Effect.DENY, Reason.RATE_LIMITED), None
        else:
            can = profile.capabilities
            if duties.SUPPORTED in request.context:
                can = duties.narrowed(can, request.context)
            evaluated: list[bool] = []
            decision = snapshot.engine.decide(believed, exchange.now, can, evaluated)
            cached = not evaluated
        record = Record(
            exchange.now,
            decision_id,
            exchange.door,
            profile.name,
            decision,
            request,
            discarded,
            limited,
            cached,
            snapshot.digest,
            snapshot.revision,
            who_of(exchange.caller),
            purpose=purpose_of(believed),
        )
        self.about(record, exchange, snapshot)
        return record

    def about(self, record: Record, exchange: Exchange, snapshot: Snapshot | None) -> None:
        """What of the request stands in the record beside what was decided."""
        record.method, record.route = exchange.method, exchange.route
        record.request_id, record.trace = correlation.names(exchange.headers)
        request = record.request
        if exchange.patient is not None:
            record.patient = exchange.patient
        elif request is not None and snapshot is not None:
            resource = (request.resource_type, request.resource_id)
            record.patient = patient_of(self.settings.smart, *resource, snapshot.engine.entities, snapshot.schema)
        if request is not None and snapshot is not None and not exchange.route:
            record.strange = self._declarations(snapshot).strange(request, record.purpose)

    def _declarations(self, snapshot: Snapshot) -> Declared:
        known = self._declared
        if known is None or known.schema is not snapshot.schema:
            known = self._declared = Declared(snapshot.schema)
        return known

    def taken(self, snapshot: Snapshot, request: Request, profile: Profile, exchange: Exchange) -> str:
        """Count one request; the request is told what is left. "", or the word of the limit that refuses."""
        taken = FREE if self.limits.none else self._counted(snapshot, request, profile, exchange.now)
        request.sourced, exchange.retry_after = taken.sourced, taken.retry_after
        return taken.refused

    def _counted(self, snapshot: Snapshot, request: Request, profile: Profile, now: int) -> Taken:
        resource = (request.resource_type, request.resource_id)
        patient = patient_of(self.settings.smart, *resource, snapshot.engine.entities, snapshot.schema)
        subject = f"{request.subject_type}::{request.subject_id}"
        return self.limits.take(subject, f"pep:{profile.name}", patient or None, now)

    def refusal(self, exchange: Exchange, decision_id: str, reason: Reason, detail: str) -> Record:
        """The record of what was refused before any rule."""
        decision = Decision(Effect.DENY, reason)
        who = who_of(exchange.caller)
        token = exchange.suspect if who is None else None
        record = Record(
            exchange.now,
            decision_id,
            exchange.door,
            exchange.pep,
            decision,
            exchange.request,
            (),
            detail,
            who=who,
            refused=None if token is None else Refused(token.issuer, token.subject_type, token.subject_id),
        )
        self.about(record, exchange, self.worker.snapshot)
        return record

    def recorded(self, records: list[Record], exchange: Exchange, essential: bool = True) -> bool:
        """Are they on their way to the disk? If not, nothing may be permitted; else not before they are `kept`."""
        try:
            ticket = self._log.hand(records)
        except EvidenceError as error:
            self._failed(error)
            exchange.shed = isinstance(error, Overloaded)
            second = None if exchange.shed or not essential else self._second(records)
            if second is not None:
                exchange.handed.append(second)
                exchange.recorded = True
            return second is not None
        exchange.handed.append(Handed(ticket, records, essential))
        exchange.recorded = True
        return True

    def _second(self, records: list[Record]) -> Handed | None:
        """The log cannot take them: on their way to the second disk, where that is allowed for them."""
        if not self.spool.takes(records):
            return None
        try:
            return Handed(self.spool.hand(records), records, essential=True, second=True)
        except EvidenceError:
            return None

    async def kept(self, exchange: Exchange) -> bool:
        """Wait for what was recorded to be on disk. False: nothing may be permitted."""
        kept = True
        while exchange.handed:
            each = exchange.handed.pop(0)
            try:
                if not each.ticket.done:
                    await each.ticket.future(asyncio.get_running_loop())
            except EvidenceError as error:
                kept = self._lost(each, exchange, error) and kept
            else:
                exchange.receipt = each.ticket.receipt
                self._counted_in(each)
        return kept

    def kept_here(self, exchange: Exchange) -> bool:
        """The same, where blocking is allowed."""
        kept = True
        while exchange.handed:
            each = exchange.handed.pop(0)
            try:
                each.ticket.wait(RECORD_SECONDS)
            except EvidenceError as error:
                kept = self._lost(each, exchange, error) and kept
            else:
                exchange.receipt = each.ticket.receipt
                self._counted_in(each)
        return kept

    def unattended(self, exchange: Exchange) -> None:
        """Nobody waits for the records of this refusal: it is counted now, whatever becomes of them."""
        handed, exchange.handed = exchange.handed, []
        with self._lock:
            for each in handed:
                for record in each.records:
                    self.metrics.count(record.door, record.decision)

    def _counted_in(self, handed: Handed) -> None:
        with self._lock:
            if handed.second:
                self.metrics.audit_emergencies += len(handed.records)
            else:
                self.worker.audit_works()
            for each in handed.records:
                self.metrics.count(each.door, each.decision)
        if handed.second:
            self.spool.used(handed.records)

    def _lost(self, handed: Handed, exchange: Exchange, error: EvidenceError) -> bool:
        """They are not on disk. Is the answer a refusal in any case, or are they on their way to another disk?"""
        exchange.receipt = ""
        self._failed(error)
        second = self._second(handed.records) if handed.essential and not handed.second else None
        if second is not None:
            exchange.handed.append(second)
            return True
        if not handed.essential:
            with self._lock:
                for each in handed.records:
                    self.metrics.count(each.door, each.decision)
        return not handed.essential

    def _failed(self, error: EvidenceError) -> None:
        with self._lock:
            self.metrics.audit_failures += 1
            if isinstance(error, Overloaded):
                self.metrics.shed += 1
            else:
                self.worker.audit_failed(error)

    def record_refusal(self, exchange: Exchange, reason: Reason, detail: str) -> None:
        """Record what is refused before evaluation, where a record can be written; count it in any case.

        What anybody can cause in any number shares a record (`pdp.serve.floods`), whose id the exchange has afterwards.
        """
        if reason is Reason.UNKNOWN_PEP:
            self.strangers.seen(exchange.door, detail)
        if (exchange.caller is None or exchange.shed) and _anybodys(exchange, reason):
            room = not exchange.shed
            shared = self._floods.shared(exchange.door, exchange.pep, reason, detail, exchange.now, room)
            if shared:
                exchange.decision_id = shared
                with self._lock:
                    self.metrics.count(exchange.door, Decision(Effect.DENY, reason))
                return
        record = self.refusal(exchange, exchange.decision_id, reason, detail)
        if reason is Reason.AUDIT_UNAVAILABLE or not self.recorded([record], exchange, essential=False):
            with self._lock:
                self.metrics.count(exchange.door, record.decision)

    def tell_emergencies(self) -> None:
        """Asked each second, and at the end."""
        self.spool.tell(self._log)

    def tell_floods(self, now: int, all_of_them: bool = False) -> None:
        """Hand over the records that refusals share, once their second is over. Asked every second, and at the end.

        What was handed over and could not be written is told again; what is still under way is waited for.
        """
        if self._told is not None and not self._told[0].settled and not all_of_them:
            return
        told, self._told = self._told, None
        if told is not None and told[0].settled and not told[0].done:
            self._floods.back(told[1])
        floods = self._floods.over(now, all_of_them)
        if not floods:
            return
        records = [
            Record(
                each.now,
                each.identifier,
                each.door,
                each.pep,
                Decision(Effect.DENY, each.reason),
                detail=each.detail,
                count=each.shared,
            )
            for each in floods
        ]
        try:
            self._told = (self._log.hand(records), floods)
        except EvidenceError as error:
            self._failed(error)
            self._floods.back(floods)

    def refuse(self, exchange: Exchange, reason: Reason, detail: str, status: int = 0) -> Answer:
        """Refuse at an API door, before evaluation. Never anything but a refusal."""
        self.record_refusal(exchange, reason, detail)
        return self._problem(exchange, reason, status)

    def too_many(self, exchange: Exchange) -> Answer:
        """What an API door answers to the one question that a limit has refused; its record is written."""
        return self._problem(exchange, Reason.RATE_LIMITED)

    def _problem(self, exchange: Exchange, reason: Reason, status: int = 0) -> Answer:
        usual, message = PROBLEMS.get(reason, (500, "fault"))
        status = status or usual
        headers = [JSON, NO_STORE, (b"x-pdp-decision", exchange.decision_id.encode())]
        if status == 401:
            headers.append(BEARER)
        if status == 429:
            headers.append((b"retry-after", b"%d" % max(1, exchange.retry_after)))
        return status, headers, authzen.problem(status, message, exchange.decision_id)

    def unrecorded(self, exchange: Exchange) -> Answer:
        """What is answered instead of a decision whose record could not be written."""
        return self.refuse(exchange, *why_unrecorded(exchange))


def why_unrecorded(exchange: Exchange) -> tuple[Reason, str]:
    """A disk that is behind is another thing than one that cannot be written: who asks may ask again."""
    return (Reason.OVERLOADED, SHED) if exchange.shed else (Reason.AUDIT_UNAVAILABLE, "")


def _anybodys(exchange: Exchange, reason: Reason) -> bool:
    """Can anybody cause this refusal? Behind a proxy that is known there are clients that nobody knows."""
    if reason is Reason.OVERLOADED or exchange.pep == NOBODY:
        return True
    return exchange.door in PROXY_DOORS and reason in (Reason.UNAUTHENTICATED, Reason.BAD_REQUEST)


def who_of(caller: Caller | None) -> Who | None:
    """Who was established, for the record."""
    if caller is None:
        return None
    return Who(
        caller.subject_type,
        caller.subject_id,
        caller.via,
        caller.issuer,
        caller.client,
        caller.actors,
        caller.scopes,
        caller.warnings,
    )
