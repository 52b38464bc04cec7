"""Searching beside deciding: one search computes at a time, in slices between which the event loop answers others.

A page has an end in results, in candidates, in time; where it comes to one, it is short and has a next page. Whoever
may search is said in the profile. The record of a page names everything that it gives away, and is written first.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary

from pdp.audit.log import Found, Record
from pdp.config import Profile
from pdp.decide.engine import Engine
from pdp.decide.search import Catalogue, Hit, Kind, Walk
from pdp.doors import authzen, pages
from pdp.doors import search as door
from pdp.doors.admission import admitted
from pdp.doors.pages import Bound, Place
from pdp.doors.search import Asked
from pdp.model.decision import Decision, Effect, Obligation, Reason
from pdp.serve.desk import Desk, Exchange, who_of
from pdp.serve.http import JSON, NO_STORE, Answer
from pdp.serve.snapshot import Snapshot

SLICE_SECONDS: Final = 0.000_15
"""What a decision may have to wait for a search: between two slices the event loop does all the rest of its work."""
TURNS: Final = 8
PAGE_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 5.0
MAX_WAITING: Final = 8
LISTED_AT_ONCE: Final = 1_000
FIRST_SLICE: Final = 8
TOKEN_MICROSECONDS: Final = 600 * 1_000_000
MAY_NOT_SEARCH: Final = "may-not-search"


class Searches:
    """One worker's. `key`: of the page tokens, the same in all workers of this start."""

    def __init__(self, desk: Desk, key: bytes) -> None:
        self._desk = desk
        self._key = key
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._catalogues: WeakKeyDictionary[Engine, Catalogue] = WeakKeyDictionary()

    async def answer(self, asked: Asked, profile: Profile, exchange: Exchange) -> Answer:
        """One page, for whoever may search. Raises RequestError for a token, or a limit, that is not the one for it."""
        desk = self._desk
        snapshot = desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        bound = Bound(asked.question, profile.name, snapshot.digest, snapshot.revision)
        place = pages.place(self._key, asked.token, bound, exchange.now) if asked.token else None
        limit = asked.page_limit(place)
        if self._waiting >= MAX_WAITING:
            return self._overloaded(exchange)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            return self._overloaded(exchange)
        finally:
            self._waiting -= 1
        try:
            walk, discarded = await self._walked(asked, profile, exchange, snapshot, place, limit)
        finally:
            self._turn.release()
        record = self._record(asked, walk, profile, exchange, snapshot, discarded)
        if not desk.recorded([record]):
            return desk.unrecorded(exchange)
        return self._page(asked, walk, exchange, bound, place)

    async def _walked(
        self, asked: Asked, profile: Profile, exchange: Exchange, snapshot: Snapshot, place: Place | None, limit: int
    ) -> tuple[Walk, tuple[str, ...]]:
        """One snapshot and one `now` for the whole page, whatever happens between its slices."""
        engine = snapshot.engine
        # All that is said is said of each candidate alike, so it is judged once.
        believed, discarded = admitted(asked.request, snapshot.schema, profile.may_assert, profile.context)
        catalogue = self._catalogues.setdefault(engine, Catalogue(engine.entities))
        while asked.kind is not Kind.ACTION and not catalogue.list_some(LISTED_AT_ONCE):
            await _others()
        position, most = 0 if place is None else place.position, self._desk.settings.max_search_candidates
        walk = Walk(engine, catalogue, asked.kind, believed, exchange.now, profile.capabilities, position, limit, most)
        began = end = perf_counter()
        size = FIRST_SLICE
        while walk.more and end - began < PAGE_SECONDS and not self._desk.worker.late:
            started = perf_counter()
            walk.step(size)
            end = perf_counter()
            size = max(1, min(2 * size, int(size * SLICE_SECONDS / max(end - started, 1e-6))))
            await _others()
        return walk, discarded

    def _page(self, asked: Asked, walk: Walk, exchange: Exchange, bound: Bound, place: Place | None) -> Answer:
        token, position = "", walk.next_position
        if position >= 0:
            limit = asked.limit if place is None else place.limit
            token = pages.token(self._key, Place(position, limit, exchange.now + TOKEN_MICROSECONDS), bound)
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
    ) -> Record:
        more = walk.next_position >= 0
        names = tuple(hit.name for hit in walk.hits)
        return Record(
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
        )

    # ------------------------------------------------------------------------------------------------------- refusing

    def may_not(self, exchange: Exchange) -> Answer:
        """The enforcement point is known, and this is not for it: 403, not 401."""
        self._desk.record_refusal(exchange, Reason.INSUFFICIENT_SCOPE, MAY_NOT_SEARCH)
        message = "this enforcement point may not search"
        return 403, _headers(exchange), authzen.problem(403, message, exchange.decision_id)

    def _overloaded(self, exchange: Exchange) -> Answer:
        self._desk.metrics.shed += 1
        return self._desk.refuse(exchange, Reason.OVERLOADED, "searches")


async def _others() -> None:
    """Let others in for so many turns of the event loop that a request which has arrived is answered whole."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


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
