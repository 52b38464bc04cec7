"""The AuthZEN door, between its reading and its answering."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from time import time_ns
from typing import Any

from pdp.audit.log import Record
from pdp.config import Profile
from pdp.decide.search import Kind
from pdp.doors import authzen, duties, search
from pdp.doors.original import Refused
from pdp.doors.stepup import step_up
from pdp.model.decision import Reason
from pdp.model.request import Request, RequestError
from pdp.serve import http
from pdp.serve.callers import Callers
from pdp.serve.desk import AUTHZEN, Desk, Exchange
from pdp.serve.http import JSON, NO_STORE, TEXT, Answer, Headers, Receive, Scope
from pdp.serve.pep import Peps, api_secret
from pdp.serve.search import Searches
from pdp.serve.snapshot import Snapshot
from pdp.serve.subjects import HEADER, Subjects, Vouched

Ask = Callable[[bytes | None, bytes, Profile, Exchange, Vouched | None], Answer | Awaitable[Answer]]
"""One endpoint: content type and body, of whom, about whom for certain, to an answer. Raises RequestError for what
cannot be read."""


class Api:
    """One worker's. `key`: of the page tokens (`pdp.serve.search`)."""

    def __init__(self, desk: Desk, callers: Callers, key: bytes) -> None:
        self._desk = desk
        self._settings = desk.settings
        self._peps = Peps(desk.settings.profiles, AUTHZEN)
        self._subjects = Subjects(desk, callers)
        self._searches = Searches(desk, self._subjects, key)
        self._step_up = desk.settings.sessions.step_up

    def endpoints(self) -> Iterator[tuple[str, Callable[[Scope, Receive, Exchange], Awaitable[Answer]]]]:
        """Every endpoint by its path."""
        asks: dict[str, Ask] = {
            authzen.EVALUATION_PATH: self._evaluation,
            authzen.EVALUATIONS_PATH: self._evaluations,
            **{path: partial(self._search, kind) for kind, path in search.PATHS.items()},
        }
        for path, ask in asks.items():
            yield path, partial(self._asked, ask)

    async def _asked(self, ask: Ask, scope: Scope, receive: Receive, exchange: Exchange) -> Answer:
        desk = self._desk
        headers: Headers = scope["headers"]
        shown = api_secret(headers), http.certificate(scope), exchange.now
        profile = self._peps.of(*shown)
        if profile is None:
            return desk.refuse(exchange, Reason.UNKNOWN_PEP, self._peps.why(*shown))
        exchange.pep = profile.name
        if scope["method"] != "POST":
            return 405, [TEXT, NO_STORE, (b"allow", b"POST")], b"POST only\n"
        given = dict(headers)
        try:
            body = await http.body(scope, given, receive, self._settings.max_body_bytes)
            exchange.now = time_ns() // 1000  # Not before all of it is there: a slow body buys no older time.
            vouched = None
            if HEADER in given or profile.subject_token == "required":
                vouched = await self._subjects.vouched(headers, profile, exchange)
            answer = ask(given.get(b"content-type"), body, profile, exchange, vouched)
            return answer if isinstance(answer, tuple) else await answer
        except RequestError as error:
            return self._unreadable(error, exchange)
        except http.BadBody as error:
            return desk.refuse(exchange, Reason.BAD_REQUEST, error.kind, error.status)

    def _evaluation(
        self, kind: bytes | None, body: bytes, profile: Profile, exchange: Exchange, vouched: Vouched | None
    ) -> Answer:
        return self._one(authzen.read_evaluation(kind, body, self._settings.max_depth), profile, exchange, vouched)

    def _evaluations(
        self, kind: bytes | None, body: bytes, profile: Profile, exchange: Exchange, vouched: Vouched | None
    ) -> Answer:
        settings = self._settings
        asked = authzen.read_evaluations(kind, body, settings.max_evaluations, settings.max_depth)
        first = asked.items[0]
        if asked.single and isinstance(first, Request):
            return self._one(first, profile, exchange, vouched)
        return self._batch(asked, profile, exchange, vouched)

    def _search(
        self,
        what: Kind,
        kind: bytes | None,
        body: bytes,
        profile: Profile,
        exchange: Exchange,
        vouched: Vouched | None,
    ) -> Answer | Awaitable[Answer]:
        if not profile.search:
            return self._searches.may_not(exchange)
        asked = search.read(what, kind, body, self._settings.max_depth)
        return self._searches.answer(asked, profile, exchange, vouched)

    def _one(self, request: Request, profile: Profile, exchange: Exchange, vouched: Vouched | None) -> Answer:
        desk, decision_id = self._desk, exchange.decision_id
        snapshot = desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        record = self._decided(snapshot, request, profile, exchange, decision_id, vouched)
        demanded = self._demanded(record, request) if record.decision.refusals else None
        if not desk.recorded([record], exchange):
            return desk.unrecorded(exchange)
        decision = record.decision
        if decision.reason is Reason.RATE_LIMITED:
            return desk.too_many(exchange)
        kept = b"no-store"  # What rests on a token ends with it, and with its session.
        if vouched is None:
            kept = authzen.permit_cache_control(decision, exchange.now, self._settings.max_permit_age_seconds)
        headers = [JSON, (b"cache-control", kept), (b"x-pdp-decision", decision_id.encode())]
        return 200, headers, authzen.answer(decision, decision_id, demanded)

    def _batch(self, batch: authzen.Batch, profile: Profile, exchange: Exchange, vouched: Vouched | None) -> Answer:
        """One snapshot and one `now` for the whole batch; the records of all of it in one write, then the answer."""
        desk = self._desk
        snapshot = desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        answers: list[dict[str, Any]] = []
        records: list[Record] = []
        for index, item in enumerate(batch.items):
            identifier = f"{exchange.decision_id}.{index}"
            if isinstance(item, RequestError):
                record = desk.refusal(exchange, identifier, Reason.BAD_REQUEST, item.field)
                answers.append(authzen.refused_item(item, identifier))
            else:
                record = self._decided(snapshot, item, profile, exchange, identifier, vouched)
                answers.append(authzen.answered(record.decision, identifier, self._demanded(record, item)))
            records.append(record)
            if batch.semantic.settled_by(record.decision.effect):
                break
        if not desk.recorded(records, exchange):
            return desk.unrecorded(exchange)
        headers = [JSON, NO_STORE, (b"x-pdp-decision", exchange.decision_id.encode())]
        return 200, headers, authzen.answers(answers)

    def _decided(
        self,
        snapshot: Snapshot,
        request: Request,
        profile: Profile,
        exchange: Exchange,
        decision_id: str,
        vouched: Vouched | None,
    ) -> Record:
        if vouched is not None:
            try:
                request = self._subjects.proven(vouched, request, snapshot)
            except Refused as refused:
                record = self._desk.refusal(exchange, decision_id, refused.reason, refused.kind)
                record.request = request
                self._desk.about(record, exchange, snapshot)
                return record
        return self._desk.decided(snapshot, request, profile, exchange, decision_id)

    def _demanded(self, record: Record, request: Request) -> Mapping[str, Any] | None:
        """The step-up that would lift this deny, as an obligation; the record then says so."""
        if not duties.understood("step-up", request.context):
            return None
        challenge = step_up(record.decision, self._step_up)
        if challenge is None:
            return None
        record.decision = replace(record.decision, reason=Reason.STEP_UP)
        return challenge.obligation

    def _unreadable(self, error: RequestError, exchange: Exchange) -> Answer:
        desk, decision_id = self._desk, exchange.decision_id
        record = desk.refusal(exchange, decision_id, Reason.BAD_REQUEST, error.field or "body")
        if not desk.recorded([record], exchange):
            return desk.unrecorded(exchange)
        headers = [JSON, NO_STORE, (b"x-pdp-decision", decision_id.encode())]
        return 400, headers, authzen.problem(400, error.message, decision_id, error.field)
