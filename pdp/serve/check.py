"""What every proxy door does between reading and answering: who asks, may their session go on, what is asked, is it
within the token's scopes and the limits, and then the rules. Whatever is not decided here with an allow is a deny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import time_ns
from typing import Any, Final

from pdp.config import Profile
from pdp.doors.original import Original
from pdp.doors.route import Match, NoRoute
from pdp.doors.stepup import step_up
from pdp.doors.verdict import Verdict, denial, together
from pdp.identity import scopes
from pdp.identity.caller import Caller, Unknown, Waiting
from pdp.model.decision import Reason
from pdp.model.request import Request
from pdp.serve.callers import Callers, Ended
from pdp.serve.compartment import patient_of
from pdp.serve.desk import Desk, Exchange, why_unrecorded
from pdp.serve.limits import FREE
from pdp.serve.snapshot import Snapshot

ENDED: Final = b'Bearer error="invalid_token"'
SCOPE: Final = b'Bearer error="insufficient_scope"'


class Check:
    """One worker's. Safe for threads."""

    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._desk = desk
        self._callers = callers
        self._smart = desk.settings.smart
        self._step_up = desk.settings.sessions.step_up
        self._limits = desk.limits
        self._header = desk.settings.trust_unverified_subject_header.encode("ascii")

    async def asked(self, original: Original, profile: Profile, exchange: Exchange) -> Verdict:
        """The verdict, once its record is on disk, without holding up the event loop for whatever has to come first."""
        try:
            verdict = self.verdict(original, profile, exchange)
        except Waiting as waiting:
            await self._callers.wait(waiting)
            verdict = self._again(original, profile, exchange)
        return _with_receipt(verdict, exchange) if await self._desk.kept(exchange) else self._unrecorded(exchange)

    def asked_here(self, original: Original, profile: Profile, exchange: Exchange) -> Verdict:
        """The same, where blocking is allowed."""
        try:
            verdict = self.verdict(original, profile, exchange)
        except Waiting as waiting:
            waiting.work()
            verdict = self._again(original, profile, exchange)
        return _with_receipt(verdict, exchange) if self._desk.kept_here(exchange) else self._unrecorded(exchange)

    def _unrecorded(self, exchange: Exchange) -> Verdict:
        return self.refused(exchange, *why_unrecorded(exchange))

    def _again(self, original: Original, profile: Profile, exchange: Exchange) -> Verdict:
        exchange.now = time_ns() // 1000  # What has ended meanwhile has ended: waiting buys no older time.
        try:
            return self.verdict(original, profile, exchange)
        except Waiting:
            return self.refused(exchange, Reason.UNAUTHENTICATED, "identity-provider-unavailable")

    def verdict(self, original: Original, profile: Profile, exchange: Exchange) -> Verdict:
        """One snapshot and one `now` for all the actions that the request is; one record for all of them, for which
        `asked` and `asked_here` wait. Raises Waiting, then nothing was recorded.
        """
        exchange.method, exchange.headers = original.method, original.headers or exchange.headers
        snapshot = self._desk.worker.snapshot
        if snapshot is None:
            return self.refused(exchange, Reason.FAULT, "no-program")
        try:
            exchange.caller = caller = self._callers.behind(original, profile, exchange.now)
        except Unknown as unknown:
            exchange.suspect = unknown.suspect
            return self.refused(exchange, Reason.UNAUTHENTICATED, unknown.kind, unknown.challenge)
        except Ended as ended:
            exchange.caller = ended.caller
            return self.refused(exchange, Reason.SESSION_ENDED, ended.kind, ENDED)
        try:
            match = snapshot.table.match(original.method, original.path, original.query)
        except NoRoute as refused:
            return self.refused(exchange, Reason.NO_ROUTE, refused.kind)
        exchange.route = match.pattern
        return self._decided(caller, match, original.query, profile, exchange, snapshot)

    def _decided(
        self, caller: Caller, match: Match, query: bytes, profile: Profile, exchange: Exchange, snapshot: Snapshot
    ) -> Verdict:
        smart, limits = self._smart, self._limits
        resource = (match.resource_type, match.resource_id)
        exchange.patient = patient = patient_of(smart, *resource, snapshot.engine.entities, snapshot.schema)
        missing = scopes.refused(smart, caller, match.actions, match.resource_type, patient, query)
        if missing:
            exchange.request = _requests(caller, match, None)[0]
            return self.refused(exchange, Reason.INSUFFICIENT_SCOPE, missing, SCOPE)
        taken = FREE
        if not limits.none:
            subject = f"{caller.subject_type}::{caller.subject_id}"
            taken = limits.take(subject, caller.client, patient or None, exchange.now)
        asked = _requests(caller, match, taken.sourced)
        if taken.refused:
            exchange.request = asked[0]
            return self.refused(exchange, Reason.RATE_LIMITED, taken.refused, retry_after=taken.retry_after)
        return self._judged(caller, match, asked, profile, exchange, snapshot)

    def _judged(
        self,
        caller: Caller,
        match: Match,
        asked: Sequence[Request],
        profile: Profile,
        exchange: Exchange,
        snapshot: Snapshot,
    ) -> Verdict:
        """What the rules say."""
        desk = self._desk
        records = [desk.decided(snapshot, each, profile, exchange, exchange.decision_id) for each in asked]
        record = records[0]
        if len(records) > 1:
            record.request = replace(asked[0], action="+".join(match.actions))
            record.discarded = sorted({name for each in records for name in each.discarded})
            record.cached = all(each.cached for each in records)
        decisions = [each.decision for each in records]
        decision = together(decisions)
        challenge = step_up(decision, self._step_up, decisions)
        if challenge is not None:
            decision = replace(decision, reason=Reason.STEP_UP)
        record.decision = decision
        if not desk.recorded([record], exchange):
            return self._unrecorded(exchange)
        return Verdict(
            decision,
            exchange.decision_id,
            caller.subject_type,
            caller.subject_id,
            b"Bearer" if challenge is None else challenge.header,
            echo=self._header if caller.via == "header" else b"",
        )

    def refused(
        self, exchange: Exchange, reason: Reason, kind: str, challenge: bytes = b"Bearer", retry_after: int = 0
    ) -> Verdict:
        """Refuse before evaluation, recorded where a record can be written. Never anything but a refusal."""
        self._desk.record_refusal(exchange, reason, kind)
        return denial(reason, exchange.decision_id, challenge, retry_after)


def _with_receipt(verdict: Verdict, exchange: Exchange) -> Verdict:
    verdict.receipt = exchange.receipt  # Of a verdict that nobody has seen yet.
    return verdict


def _requests(caller: Caller, match: Match, sourced: Mapping[str, Mapping[str, Any]] | None) -> Sequence[Request]:
    """What is asked: one request for each action, all of which must be permitted."""
    return [
        Request(
            subject_type=caller.subject_type,
            subject_id=caller.subject_id,
            action=action,
            resource_type=match.resource_type,
            resource_id=match.resource_id,
            token=caller.token,
            certificate=caller.certificate,
            route=match.claims,
            searched_fields=match.searched_fields,
            sourced=sourced,
        )
        for action in match.actions
    ]
