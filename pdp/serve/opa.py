"""The OPA data API, between its reading and its answering."""

from __future__ import annotations

from dataclasses import replace
from time import time_ns
from typing import Any, Final

from pdp.config import Profile
from pdp.doors import authzen, opa
from pdp.doors.original import Refused
from pdp.model.decision import NO_CAPABILITIES, Reason
from pdp.model.request import Request, RequestError
from pdp.serve import http
from pdp.serve.check import Check
from pdp.serve.desk import OPA, Desk, Exchange
from pdp.serve.http import JSON, NO_STORE, TEXT, Answer, Headers, Receive, Scope
from pdp.serve.pep import Peps, api_secret
from pdp.serve.subjects import HEADER

FAULTS: Final = frozenset({Reason.FAULT, Reason.AUDIT_UNAVAILABLE})
"""Not decided: 500, and no result."""


class Opa:
    """One worker's."""

    def __init__(self, desk: Desk, check: Check) -> None:
        self._desk = desk
        self._check = check
        self._settings = desk.settings
        self._peps = Peps(desk.settings.profiles, OPA)

    async def data(self, scope: Scope, receive: Receive, exchange: Exchange) -> Answer:
        desk, path = self._desk, scope["raw_path"]
        headers: Headers = scope["headers"]
        shown = api_secret(headers), http.certificate(scope), exchange.now
        profile = self._peps.of(*shown)
        if profile is None:
            return desk.refuse(exchange, Reason.UNKNOWN_PEP, self._peps.why(*shown))
        exchange.pep = profile.name
        if not profile.opa_input:
            return desk.refuse(exchange, Reason.UNAUTHENTICATED, "no-opa-input")
        if scope["method"] != "POST":
            return 405, [TEXT, NO_STORE, (b"allow", b"POST")], b"POST only\n"
        given = dict(headers)
        try:
            body = await http.body(scope, given, receive, self._settings.max_body_bytes)
            exchange.now = time_ns() // 1000  # Not before all of it is there: a slow body buys no older time.
            if path not in (opa.OBJECT, opa.BOOLEAN):
                desk.record_refusal(exchange, Reason.NO_ROUTE, "unknown-document")
                return self._told(exchange, opa.undefined(exchange.decision_id))
            if HEADER in given:  # Whoever sends it counts on it, and nothing here would look at it.
                raise RequestError("is not read at this door", HEADER.decode())
            payload = authzen.payload_of(given.get(b"content-type"), body, self._settings.max_depth)
            return await self._asked(payload, path == opa.BOOLEAN, profile, exchange)
        except RequestError as error:
            desk.record_refusal(exchange, Reason.BAD_REQUEST, error.field or "body")
            problem = authzen.problem(400, error.message, exchange.decision_id, error.field)
            return 400, self._told(exchange, b"")[1], problem
        except http.BadBody as error:
            return desk.refuse(exchange, Reason.BAD_REQUEST, error.kind, error.status)

    async def _asked(self, payload: dict[str, Any], boolean: bool, profile: Profile, exchange: Exchange) -> Answer:
        given = opa.input_of(payload)
        if boolean:  # It carries nothing but a yes: no field limit, no duty.
            profile = replace(profile, capabilities=NO_CAPABILITIES)
        if profile.opa_input == "authzen":
            if profile.subject_token == "required":
                raise RequestError("cannot carry the token that is required", "input")
            return self._question(authzen.request_of(given), boolean, profile, exchange)
        try:
            verdict = await self._check.asked(opa.read(given, profile.opa_input), profile, exchange)
        except Refused as refused:
            verdict = self._check.refused(exchange, refused.reason, refused.kind)
        if verdict.decision.reason in FAULTS:
            return 500, self._told(exchange, b"")[1], authzen.problem(500, "fault", exchange.decision_id)
        return self._told(exchange, opa.answer(verdict, profile.opa_input, boolean))

    def _question(self, request: Request, boolean: bool, profile: Profile, exchange: Exchange) -> Answer:
        desk, snapshot = self._desk, self._desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        record = desk.decided(snapshot, request, profile, exchange, exchange.decision_id)
        if not desk.recorded([record], exchange):
            return desk.unrecorded(exchange)
        if record.decision.reason is Reason.RATE_LIMITED:
            return desk.too_many(exchange)
        return self._told(exchange, opa.decided(record.decision, exchange.decision_id, boolean))

    def _told(self, exchange: Exchange, body: bytes) -> Answer:
        return 200, [JSON, NO_STORE, (b"x-pdp-decision", exchange.decision_id.encode())], body
