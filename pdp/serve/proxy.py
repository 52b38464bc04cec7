"""Envoy's door, between its reading and its answering."""

from __future__ import annotations

from dataclasses import replace

from pdp.doors import envoy
from pdp.doors.route import NoRoute
from pdp.model.decision import Reason
from pdp.serve.desk import EXT_AUTHZ, UNKNOWN_PEP, Desk, Exchange
from pdp.serve.http import Answer, Headers, Scope
from pdp.serve.pep import Peps, proxy_secret


class Proxy:
    def __init__(self, desk: Desk) -> None:
        settings = desk.settings
        self._desk = desk
        self._peps = Peps(settings.profiles, EXT_AUTHZ)
        header = settings.trust_unverified_subject_header.encode("ascii")
        self._identity = envoy.Identity(header, settings.unverified_subject_type)

    def check(self, scope: Scope, exchange: Exchange) -> Answer:
        """One snapshot and one `now` for all the actions that the request is; one record for all of them."""
        desk = self._desk
        headers: Headers = scope["headers"]
        profile = self._peps.of(proxy_secret(headers))
        if profile is None:
            return desk.refuse(exchange, Reason.UNAUTHENTICATED, UNKNOWN_PEP)
        exchange.pep = profile.name
        snapshot = desk.worker.snapshot
        if snapshot is None:
            return desk.refuse(exchange, Reason.FAULT, "no-program")
        try:
            path, query, table = scope["raw_path"], scope["query_string"], snapshot.table
            asked = envoy.read(scope["method"], path, query, headers, table, self._identity)
        except envoy.Refused as refused:
            return desk.refuse(exchange, refused.reason, refused.kind)
        except NoRoute as refused:
            return desk.refuse(exchange, Reason.NO_ROUTE, refused.kind)
        records = [desk.decided(snapshot, each, profile, exchange, exchange.decision_id) for each in asked.requests]
        record = records[0]
        if len(records) > 1:
            record.request = replace(asked.requests[0], action="+".join(asked.match.actions))
            record.discarded = sorted({name for each in records for name in each.discarded})
        record.decision = envoy.together([each.decision for each in records])
        if not desk.recorded([record]):
            return desk.unrecorded(exchange)
        return envoy.answer(record.decision, exchange.decision_id, asked.subject_id, self._identity)
