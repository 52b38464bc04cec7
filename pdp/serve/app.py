"""The ASGI application of a decision worker: limits, who asks, the door reads, decide, record, the door answers.

A record is on its way to the disk before any answer leaves; where it cannot be written, nothing is permitted. Whatever
goes wrong ends as an explicit deny at the proxy door and as 4xx or 5xx at the API doors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from time import perf_counter_ns, time_ns
from typing import Any, Final

from pdp.audit.log import EvidenceError, Log, Record
from pdp.config import Profile, Settings
from pdp.doors import authzen, envoy
from pdp.doors.admission import admitted
from pdp.doors.route import NoRoute
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request, RequestError
from pdp.serve.pep import Peps, api_secret, proxy_secret
from pdp.serve.runtime import Runtime
from pdp.serve.snapshot import Snapshot
from pdp.serve.worker import Worker

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
Headers = list[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
NO_STORE: Final = (b"cache-control", b"no-store")
BEARER: Final = (b"www-authenticate", b'Bearer realm="chaperone"')
NOBODY: Final = "-"


class Disconnected(Exception):
    """The caller left before its request was whole: there is nobody to answer, and nothing was decided."""


class TooLong(Exception):
    """The body is longer than we read."""


def denial(reason: Reason) -> Decision:
    return Decision(Effect.DENY, reason)


class Application:
    """One worker's. `snapshot` is replaced by one assignment; each request takes it once."""

    def __init__(self, settings: Settings, runtime: Runtime, log: Log, prefix: str) -> None:
        self._settings = settings
        self._log = log
        self._prefix = prefix
        self._count = 0
        self._in_flight = 0
        self._api_peps = Peps(settings.profiles, "authzen")
        self._proxy_peps = Peps(settings.profiles, "ext_authz")
        self._identity = envoy.Identity(
            settings.trust_unverified_subject_header.encode("ascii"), settings.unverified_subject_type
        )
        self._metadata = authzen.metadata(settings.public_url)
        self.worker = Worker(settings, runtime, log)
        self._metrics = self.worker.metrics
        self._api: dict[bytes, Callable[[Scope, Receive, int, str], Awaitable[Answer]]] = {
            authzen.EVALUATION_PATH.encode(): self._evaluation,
            authzen.EVALUATIONS_PATH.encode(): self._evaluations,
        }
        self._plain: dict[bytes, Callable[[], Answer]] = {
            authzen.METADATA_PATH.encode(): lambda: (200, [JSON, (b"cache-control", b"max-age=60")], self._metadata),
            b"/live": lambda: (200, [TEXT, NO_STORE], b"live\n"),
            b"/ready": self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            try:
                status, headers, body = await self._answer(scope, receive)
            except Disconnected:
                return
            headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif kind == "lifespan":
            await self.worker.lifespan(receive, send)
        else:  # A websocket asks for nothing that we give: refused before it opens.
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path: bytes = scope["raw_path"]
        handler = self._api.get(path)
        proxied = handler is None and envoy.covers(path)
        if handler is None and not proxied:
            return self._other(scope["method"], path)
        self._count += 1
        decision_id = f"{self._prefix}-{self._count:x}"
        door = "ext_authz" if proxied else "authzen"
        now = time_ns() // 1000
        started = perf_counter_ns()
        self._in_flight += 1
        try:
            if self._in_flight > self._settings.max_in_flight or self.worker.late:
                self._metrics.shed += 1
                return self._refuse(door, Reason.OVERLOADED, "overload", now, decision_id)
            if handler is None:
                return self._check(scope, now, decision_id)
            answer = await handler(scope, receive, now, decision_id)
            _echo(scope["headers"], answer[1])
            return answer
        except Disconnected:
            raise
        except Exception as error:
            self._metrics.faults += 1
            self.worker.report(error, decision_id)
            return self._refuse(door, Reason.FAULT, type(error).__name__, now, decision_id)
        finally:
            self._in_flight -= 1
            self._metrics.took((perf_counter_ns() - started) // 1000)

    # ------------------------------------------------------------------------------------------------ the API doors

    async def _evaluation(self, scope: Scope, receive: Receive, now: int, decision_id: str) -> Answer:
        headers: Headers = scope["headers"]
        profile = self._api_peps.of(api_secret(headers))
        if profile is None:
            return self._refuse("authzen", Reason.UNAUTHENTICATED, "unknown-pep", now, decision_id)
        if scope["method"] != "POST":
            return 405, [TEXT, NO_STORE, (b"allow", b"POST")], b"POST only\n"
        given = dict(headers)
        try:
            body = await self._body(given, receive)
            request = authzen.read_evaluation(given.get(b"content-type"), body, self._settings.max_depth)
        except RequestError as error:
            return self._bad_request(error, profile, now, decision_id)
        except TooLong:
            return self._refuse("authzen", Reason.BAD_REQUEST, "too-long", now, decision_id, profile)
        return self._evaluated(request, profile, now, decision_id)

    def _evaluated(self, request: Request, profile: Profile, now: int, decision_id: str) -> Answer:
        snapshot = self.worker.snapshot
        if snapshot is None:
            return self._refuse("authzen", Reason.FAULT, "no-program", now, decision_id, profile)
        decision, record = decide(snapshot, request, profile, "authzen", now, decision_id)
        if not self._recorded([record]):
            return self._refuse("authzen", Reason.AUDIT_UNAVAILABLE, "", now, decision_id, profile)
        self._metrics.count("authzen", decision)
        kept = authzen.permit_cache_control(decision, now, self._settings.max_permit_age_seconds)
        return 200, _headers(decision_id, kept), authzen.answer(decision, decision_id)

    async def _evaluations(self, scope: Scope, receive: Receive, now: int, decision_id: str) -> Answer:
        headers: Headers = scope["headers"]
        profile = self._api_peps.of(api_secret(headers))
        if profile is None:
            return self._refuse("authzen", Reason.UNAUTHENTICATED, "unknown-pep", now, decision_id)
        if scope["method"] != "POST":
            return 405, [TEXT, NO_STORE, (b"allow", b"POST")], b"POST only\n"
        given, settings = dict(headers), self._settings
        try:
            body = await self._body(given, receive)
            batch = authzen.read_evaluations(
                given.get(b"content-type"), body, settings.max_evaluations, settings.max_depth
            )
        except RequestError as error:
            return self._bad_request(error, profile, now, decision_id)
        except TooLong:
            return self._refuse("authzen", Reason.BAD_REQUEST, "too-long", now, decision_id, profile)
        first = batch.items[0]
        if batch.single and isinstance(first, Request):
            return self._evaluated(first, profile, now, decision_id)
        return self._batch(batch, profile, now, decision_id)

    def _batch(self, batch: authzen.Batch, profile: Profile, now: int, decision_id: str) -> Answer:
        """One snapshot and one `now` for the whole batch; the records of all of it in one write, then the answer."""
        snapshot = self.worker.snapshot
        if snapshot is None:
            return self._refuse("authzen", Reason.FAULT, "no-program", now, decision_id, profile)
        answers: list[dict[str, Any]] = []
        records: list[Record] = []
        for index, item in enumerate(batch.items):
            identifier = f"{decision_id}.{index}"
            if isinstance(item, RequestError):
                decision = denial(Reason.BAD_REQUEST)
                record = Record(now, identifier, "authzen", profile.name, decision, detail=item.field)
                answers.append(authzen.refused_item(item, identifier))
            else:
                decision, record = decide(snapshot, item, profile, "authzen", now, identifier)
                answers.append(authzen.answered(decision, identifier))
            records.append(record)
            if batch.semantic.settled_by(decision.effect):
                break
        if not self._recorded(records):
            return self._refuse("authzen", Reason.AUDIT_UNAVAILABLE, "", now, decision_id, profile)
        for record in records:
            self._metrics.count("authzen", record.decision)
        return 200, _headers(decision_id, b"no-store"), authzen.answers(answers)

    async def _body(self, given: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, or TooLong. A length that is announced is judged before anything is read."""
        limit = self._settings.max_body_bytes
        announced = given.get(b"content-length", b"0")
        if len(announced) > 12 or (announced.isdigit() and int(announced) > limit):
            raise TooLong
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        body: bytes = message["body"]
        if not message.get("more_body"):
            return body
        chunks, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                raise Disconnected
            chunks.append(message["body"])
            size += len(chunks[-1])
            if size > limit:
                raise TooLong
        return b"".join(chunks)

    def _bad_request(self, error: RequestError, profile: Profile, now: int, decision_id: str) -> Answer:
        decision = denial(Reason.BAD_REQUEST)
        record = Record(now, decision_id, "authzen", profile.name, decision, detail=error.field or "body")
        if not self._recorded([record]):
            return self._refuse("authzen", Reason.AUDIT_UNAVAILABLE, "", now, decision_id, profile)
        self._metrics.count("authzen", decision)
        body = authzen.problem(400, error.message, decision_id, error.field)
        return 400, [JSON, NO_STORE, (b"x-pdp-decision", decision_id.encode())], body

    # ----------------------------------------------------------------------------------------------- the proxy door

    def _check(self, scope: Scope, now: int, decision_id: str) -> Answer:
        headers: Headers = scope["headers"]
        profile = self._proxy_peps.of(proxy_secret(headers))
        snapshot = self.worker.snapshot
        if profile is None:
            return self._refuse("ext_authz", Reason.UNAUTHENTICATED, "unknown-pep", now, decision_id)
        if snapshot is None:
            return self._refuse("ext_authz", Reason.FAULT, "no-program", now, decision_id, profile)
        try:
            path, query, table = scope["raw_path"], scope["query_string"], snapshot.table
            check = envoy.read(scope["method"], path, query, headers, table, self._identity)
        except envoy.Refused as refused:
            return self._refuse("ext_authz", refused.reason, refused.kind, now, decision_id, profile)
        except NoRoute as refused:
            return self._refuse("ext_authz", Reason.NO_ROUTE, refused.kind, now, decision_id, profile)
        asked = [decide(snapshot, each, profile, "ext_authz", now, decision_id) for each in check.requests]
        decision = envoy.together([each for each, _ in asked])
        actions = "+".join(check.match.actions)
        discarded = sorted({name for _, record in asked for name in record.discarded})
        record = replace(
            asked[0][1], decision=decision, discarded=discarded, request=replace(check.requests[0], action=actions)
        )
        if not self._recorded([record]):
            return self._refuse("ext_authz", Reason.AUDIT_UNAVAILABLE, "", now, decision_id, profile)
        self._metrics.count("ext_authz", decision)
        return envoy.answer(decision, decision_id, check.subject_id, self._identity)

    # ---------------------------------------------------------------------------------------- recording and refusing

    def _recorded(self, records: list[Record]) -> bool:
        """Are they on their way to the disk? If not, nothing may be permitted."""
        try:
            self._log.append_all(records)
        except EvidenceError as error:
            self._metrics.audit_failures += 1
            self.worker.audit_failed(error)
            return False
        self.worker.audit_works()
        return True

    def _refuse(
        self, door: str, reason: Reason, detail: str, now: int, decision_id: str, profile: Profile | None = None
    ) -> Answer:
        """Refuse before evaluation, recorded where a record can be written. Never anything but a refusal."""
        decision = denial(reason)
        name = profile.name if profile else NOBODY
        if reason is not Reason.AUDIT_UNAVAILABLE:
            self._recorded([Record(now, decision_id, door, name, decision, detail=detail)])
        self._metrics.count(door, decision)
        if door == "ext_authz":
            # An unknown proxy is no business of the client's: 403, since 401 would send the client to log in.
            return envoy.denied(Reason.FAULT if detail == "unknown-pep" else reason, decision_id)
        status, message = PROBLEMS.get(reason, (500, "fault"))
        status = 413 if detail == "too-long" else status
        headers = [JSON, NO_STORE, (b"x-pdp-decision", decision_id.encode())] + ([BEARER] if status == 401 else [])
        return status, headers, authzen.problem(status, message, decision_id)

    # -------------------------------------------------------------------------------------------------- what is left

    def _other(self, method: str, path: bytes) -> Answer:
        handler = self._plain.get(path)
        if handler is None:
            return 404, [TEXT, NO_STORE], b"no such door\n"
        if method not in ("GET", "HEAD"):
            return 405, [TEXT, NO_STORE, (b"allow", b"GET, HEAD")], b"GET only\n"
        return handler()

    def _ready(self) -> Answer:
        status, body = self.worker.ready(time_ns() // 1000)
        return status, [JSON, NO_STORE], body


PROBLEMS: Final = {
    Reason.UNAUTHENTICATED: (401, "the enforcement point is not known"),
    Reason.OVERLOADED: (429, "overloaded"),
    Reason.BAD_REQUEST: (400, "the body is too long"),
    Reason.AUDIT_UNAVAILABLE: (500, "audit_unavailable"),
}


def decide(
    snapshot: Snapshot, request: Request, profile: Profile, door: str, now: int, decision_id: str
) -> tuple[Decision, Record]:
    """Judge what the enforcement point may assert, then ask the engine. Pure but for the engine's cache."""
    believed, discarded = admitted(request, snapshot.schema, profile.may_assert, profile.context)
    decision = snapshot.engine.decide(believed, now, profile.capabilities)
    record = Record(
        now,
        decision_id,
        door,
        profile.name,
        decision,
        request,
        discarded,
        program_digest=snapshot.digest,
        data_revision=snapshot.revision,
    )
    return decision, record


def _headers(decision_id: str, cache_control: bytes) -> Headers:
    return [JSON, (b"cache-control", cache_control), (b"x-pdp-decision", decision_id.encode())]


def _echo(given: Headers, headers: Headers) -> None:
    """Send a clean X-Request-ID back, whatever the answer."""
    for name, value in given:
        if name == b"x-request-id":
            clean = authzen.clean_request_id(value)
            if clean is not None:
                headers.append((name, clean))
            return
