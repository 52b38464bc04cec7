"""Searching beside deciding: one search computes at a time, in slices between which the event loop answers others.

A page has an end in results, in candidates, in time; where it comes to one, it is short and has a next page. Whoever
may search is said in the profile. The record of a page names everything that it gives away, and is written first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter, time_ns
from typing import Final
from weakref import WeakKeyDictionary

from pdp.audit.log import Found, Record
from pdp.config import Profile
from pdp.decide.engine import Engine
from pdp.decide.search import Catalogue, Hit, Kind, Walk
from pdp.doors import authzen, duties, pages
from pdp.doors import search as door
from pdp.doors.admission import admitted
from pdp.doors.original import Refused
from pdp.doors.pages import Bound, Place
from pdp.doors.search import Asked
from pdp.model.decision import Capabilities, Decision, Effect, Obligation, Reason
from pdp.model.request import Request, RequestError
from pdp.serve.compartment import patient_of
from pdp.serve.declared import purpose_of
from pdp.serve.desk import Desk, Exchange, who_of
from pdp.serve.http import JSON, NO_STORE, Answer
from pdp.serve.limits import Taken
from pdp.serve.snapshot import Snapshot
from pdp.serve.subjects import HEADER, Subjects, Vouched

SLICE_SECONDS: Final = 0.000_15
"""What a decision may have to wait for a search: between two slices the event loop does all the rest of its work."""
TURNS: Final = 8
PAGE_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 5.0
MAX_WAITING: Final = 8
LISTED_AT_ONCE: Final = 1_000
TOKEN_MICROSECONDS: Final = 600 * 1_000_000
MAY_NOT_SEARCH: Final = "may-not-search"


Start = tuple[int, int, int, Callable[[Request], bool] | None]
"""Where a page begins, how many results and how many candidates it may have, and what of them the token covers."""


class Searches:
    """One worker's. `key`: of the page tokens, the same in all workers of this start."""

    def __init__(self, desk: Desk, subjects: Subjects, key: bytes) -> None:
        self._desk = desk
        self._subjects = subjects
        self._key = key
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._catalogues: WeakKeyDictionary[Engine, Catalogue] = WeakKeyDictionary()

    async def answer(self, asked: Asked, profile: Profile, exchange: Exchange, vouched: Vouched | None) -> Answer:
        """One page, for whoever may search. Raises RequestError for a token, or a limit, that is not the one for it."""
        desk = self._desk
        snapshot = desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        place = None
        if asked.token:
            place = pages.place(self._key, asked.token, _bound(asked, profile, snapshot), exchange.now)
        limit = asked.page_limit(place)
        exchange.request = asked.request
        try:
            self._proven(asked, vouched, snapshot)  # Who is refused anyhow need not wait.
            if not await self._turned():
                desk.metrics.shed += 1
                return desk.refuse(exchange, Reason.OVERLOADED, "searches")
            try:
                return await self._in_turn(asked, profile, exchange, vouched, snapshot, place, limit)
            finally:
                self._turn.release()
        except Refused as refused:
            return self._nothing(refused, exchange)

    async def _in_turn(
        self,
        asked: Asked,
        profile: Profile,
        exchange: Exchange,
        vouched: Vouched | None,
        snapshot: Snapshot,
        place: Place | None,
        limit: int,
    ) -> Answer:
        """Raises Refused: a token may have ended, or been revoked, while we waited."""
        desk, settings = self._desk, self._desk.settings
        exchange.now = time_ns() // 1000
        if vouched is not None:
            vouched = self._subjects.again(vouched, profile, exchange)
        proven, within = self._proven(asked, vouched, snapshot)
        taken = self._taken(asked, profile, snapshot, exchange.now)
        if taken.refused:
            exchange.retry_after = taken.retry_after
            return desk.refuse(exchange, Reason.RATE_LIMITED, taken.refused)
        # All that is said is said of each candidate alike, so it is judged once.
        said = replace(proven, sourced=taken.sourced)
        believed, discarded = admitted(said, snapshot.schema, profile.may_assert, profile.context)
        can = duties.narrowed(profile.capabilities, asked.request.context)
        start = (0 if place is None else place.position, limit, settings.max_search_candidates, within)
        walk = await self._walked(asked.kind, believed, exchange.now, can, snapshot.engine, start)
        record = self._record(asked, walk, profile, exchange, snapshot, discarded, purpose_of(believed))
        if not desk.recorded([record], exchange):
            return desk.unrecorded(exchange)
        return self._page(asked, walk, profile, exchange, snapshot, place)

    def _proven(
        self, asked: Asked, vouched: Vouched | None, snapshot: Snapshot
    ) -> tuple[Request, Callable[[Request], bool] | None]:
        """What the subject's token adds. Raises Refused, and RequestError where there is no subject to have one."""
        if vouched is None:
            return asked.request, None
        if asked.kind is Kind.SUBJECT:
            raise RequestError("does not go with a search for subjects", HEADER.decode())
        # The type, and the level `patient`, are for each candidate to show.
        proven = self._subjects.proven(vouched, asked.request, snapshot, searched=True)
        return proven, self._subjects.within(vouched, snapshot)

    def _taken(self, asked: Asked, profile: Profile, snapshot: Snapshot, now: int) -> Taken:
        """A page counts as one request: of its subject, where it has one, and about its patient, where it names one."""
        limits, request, settings = self._desk.limits, asked.request, self._desk.settings
        subject = "" if asked.kind is Kind.SUBJECT else f"{request.subject_type}::{request.subject_id}"
        resource = (request.resource_type, request.resource_id)
        patient = patient_of(settings.smart, *resource, snapshot.engine.entities, snapshot.schema)
        return limits.take(subject, f"pep:{profile.name}", patient or None, now)

    async def _turned(self) -> bool:
        """Wait for our turn to compute, with few others and not for long; whoever got it has to give it back."""
        if self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._turn.acquire()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    async def _walked(
        self, kind: Kind, request: Request, now: int, capabilities: Capabilities, engine: Engine, start: Start
    ) -> Walk:
        """One snapshot and one `now` for the whole page, whatever happens between its slices."""
        catalogue = self._catalogues.get(engine)
        if catalogue is None:
            catalogue = self._catalogues[engine] = Catalogue(engine.entities)
        while kind is not Kind.ACTION and not catalogue.list_some(LISTED_AT_ONCE):
            await _others()
        walk = Walk(engine, catalogue, kind, request, now, capabilities, *start)
        began = end = perf_counter()
        size = 1  # Nobody knows yet what a candidate costs.
        while walk.more and end - began < PAGE_SECONDS and not self._desk.worker.late:
            started = perf_counter()
            walk.step(size)
            end = perf_counter()
            size = max(1, min(2 * size, int(size * SLICE_SECONDS / max(end - started, 1e-6))))
            await _others()
        return walk

    def _page(
        self, asked: Asked, walk: Walk, profile: Profile, exchange: Exchange, snapshot: Snapshot, place: Place | None
    ) -> Answer:
        token, position = "", walk.next_position
        if position >= 0:
            limit = asked.limit if place is None else place.limit
            following = Place(position, limit, exchange.now + TOKEN_MICROSECONDS)
            token = pages.token(self._key, following, _bound(asked, profile, snapshot))
        body = door.answer(asked, walk.hits, walk.undecided, token, place is None and not token, exchange.decision_id)
        return 200, _headers(exchange), body

    def _record(
        self,
        asked: Asked,
        walk: Walk,
        profile: Profile,
        exchange: Exchange,
        snapshot: Snapshot,
        discarded: tuple[str, ...],
        purpose: str,
    ) -> Record:
        more = walk.next_position >= 0
        names = tuple(hit.name for hit in walk.hits)
        record = Record(
            exchange.now,
            exchange.decision_id,
            exchange.door,
            profile.name,
            _together(walk.hits, walk.undecided),
            asked.request,
            discarded,
            program_digest=snapshot.digest,
            data_revision=snapshot.revision,
            who=who_of(exchange.caller),
            found=Found(asked.kind, names, walk.looked_at, walk.undecided, more),
            purpose=purpose,
        )
        self._desk.about(record, exchange, snapshot)
        return record

    # ------------------------------------------------------------------------------------------------------- refusing

    def may_not(self, exchange: Exchange) -> Answer:
        """The enforcement point is known, and this is not for it: 403, not 401."""
        self._desk.record_refusal(exchange, Reason.INSUFFICIENT_SCOPE, MAY_NOT_SEARCH)
        message = "this enforcement point may not search"
        return 403, _headers(exchange), authzen.problem(403, message, exchange.decision_id)

    def _nothing(self, refused: Refused, exchange: Exchange) -> Answer:
        """The subject's token does not prove what it should: a deny, so nothing is found."""
        record = self._desk.refusal(exchange, exchange.decision_id, refused.reason, refused.kind)
        if not self._desk.recorded([record], exchange):
            return self._desk.unrecorded(exchange)
        return 200, _headers(exchange), door.nothing(refused.reason, exchange.decision_id)


async def _others() -> None:
    """Let others in for so many turns of the event loop that a request which has arrived is answered whole."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _bound(asked: Asked, profile: Profile, snapshot: Snapshot) -> Bound:
    return Bound(asked.question, profile.name, snapshot.digest, snapshot.revision)


def _headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    return [JSON, NO_STORE, (b"x-pdp-decision", exchange.decision_id.encode())]


def _together(hits: list[Hit], undecided: int) -> Decision:
    """What is on record for a page: an allow where anything was given away, by which rules, with which duties."""
    if not hits:
        return Decision(Effect.DENY, Reason.INDETERMINATE if undecided else Reason.NO_RULE)
    rules = {rule for hit in hits for rule in hit.decision.rules}
    duties = {(duty.name, duty.rule) for hit in hits for duty in hit.decision.obligations}
    return Decision(
        Effect.ALLOW,
        Reason.PERMITTED,
        tuple(sorted(rules)),
        obligations=tuple(Obligation(name, (), rule) for name, rule in sorted(duties)),
    )
