"""The subject's own token, which an application may send along with its question: `x-pdp-subject-token`.

An enforcement point says who its subject is; the token proves it, and brings what only a token may say (`from token`).
The question must then be about that subject, in a session that goes on, within the scopes of the token. Whatever the
token does not prove is a deny, before any rule: an answer to the application, not a fault of its request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time_ns
from typing import Final

from pdp.config import Profile
from pdp.doors.original import Headers, Refused, lines
from pdp.identity import scopes
from pdp.identity.caller import Caller, Evidence, Unknown, Waiting
from pdp.model.decision import Reason
from pdp.model.request import Request, RequestError
from pdp.serve.callers import Callers, Ended
from pdp.serve.compartment import patient_of
from pdp.serve.desk import Desk, Exchange
from pdp.serve.snapshot import Snapshot

HEADER: Final = b"x-pdp-subject-token"
MISSING: Final = "no-subject-token"
ANOTHER: Final = "another-subject"
UNAVAILABLE: Final = "identity-provider-unavailable"


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the token is about; None for nobody, and then why."""

    caller: Caller | None
    reason: Reason = Reason.UNAUTHENTICATED
    kind: str = ""
    evidence: Evidence | None = None


class Subjects:
    """One worker's."""

    def __init__(self, desk: Desk, callers: Callers) -> None:
        self._smart = desk.settings.smart
        self._callers = callers

    async def vouched(self, headers: Headers, profile: Profile, exchange: Exchange) -> Vouched | None:
        """What the token shows; None where there is none and none is wanted. Raises RequestError for two of them.

        What has to come from outside first is waited for off the event loop, once.
        """
        tokens = lines(headers, HEADER)
        if len(tokens) > 1:
            raise RequestError("must be sent once", HEADER.decode())
        if not tokens:
            return Vouched(None, kind=MISSING) if profile.subject_token == "required" else None
        evidence = Evidence(authorization=(b"Bearer " + tokens[0],))
        try:
            return self._shown(evidence, profile, exchange)
        except Waiting as waiting:
            await self._callers.wait(waiting)
            exchange.now = time_ns() // 1000  # Waiting buys no older time.
        try:
            return self._shown(evidence, profile, exchange)
        except Waiting:
            return Vouched(None, kind=UNAVAILABLE)

    def again(self, vouched: Vouched, profile: Profile, exchange: Exchange) -> Vouched:
        """The same token at another `now`: it, or its session, may have ended since. Waits for nobody."""
        if vouched.evidence is None:
            return vouched
        try:
            return self._shown(vouched.evidence, profile, exchange)
        except Waiting:
            return Vouched(None, kind=UNAVAILABLE)

    def _shown(self, evidence: Evidence, profile: Profile, exchange: Exchange) -> Vouched:
        """Raises Waiting."""
        try:
            exchange.caller = caller = self._callers.shown(evidence, ("token",), profile, exchange.now)
        except Unknown as unknown:
            exchange.suspect = unknown.suspect
            return Vouched(None, kind=unknown.kind)
        except Ended as ended:
            exchange.caller = ended.caller
            return Vouched(None, Reason.SESSION_ENDED, ended.kind)
        return Vouched(caller, evidence=evidence)

    def proven(self, vouched: Vouched, request: Request, snapshot: Snapshot, searched: bool = False) -> Request:
        """The question, with what the token says. Raises Refused where the token does not prove the subject, or does
        not cover what is asked; `searched`: nobody knows yet what that is (`within`).
        """
        caller = vouched.caller
        if caller is None:
            raise Refused(vouched.reason, vouched.kind)
        if (caller.subject_type, caller.subject_id) != (request.subject_type, request.subject_id):
            raise Refused(Reason.UNAUTHENTICATED, ANOTHER)
        missing = "" if searched else self._missing(caller, request, snapshot)
        if missing:
            raise Refused(Reason.INSUFFICIENT_SCOPE, missing)
        return replace(request, token=caller.token)

    def within(self, vouched: Vouched, snapshot: Snapshot) -> Callable[[Request], bool] | None:
        """Is a candidate of a search within the scopes of the token? None: they do not apply."""
        caller = vouched.caller
        if caller is None or caller.scopes is None:
            return None
        return lambda request: not self._missing(caller, request, snapshot)

    def _missing(self, caller: Caller, request: Request, snapshot: Snapshot) -> str:
        if caller.scopes is None:
            return ""
        resource = (request.resource_type, request.resource_id)
        patient = patient_of(self._smart, *resource, snapshot.engine.entities, snapshot.schema)
        return scopes.refused(self._smart, caller, (request.action,), request.resource_type, patient)
