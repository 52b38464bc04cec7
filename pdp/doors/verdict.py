"""What a proxy door answers with: one decision for one caller, and the headers that carry it. Pure.

Allow is exactly one thing; every other outcome is an explicit deny, 401, 403 or 429: a 2xx or 3xx would look like an
allow to the client, and a 5xx counts as an error, which a proxy told to fail open lets through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from pdp.doors.conventions import METHODS, TARGETS
from pdp.doors.duties import listed
from pdp.doors.original import Headers
from pdp.model.decision import WHOLE, Decision, Effect, Fields, Reason

ALLOWED: Final = 200
STATUSES: Final = {
    Reason.UNAUTHENTICATED: 401,
    Reason.SESSION_ENDED: 401,
    Reason.STEP_UP: 401,
    Reason.OVERLOADED: 429,
    Reason.RATE_LIMITED: 429,
}
"""The status of a deny; any other reason is 403."""

MISLEADING: Final = (
    METHODS
    | TARGETS
    | {
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-envoy-auth-failure-mode-allowed",
    }
)
"""Nobody says these to the service behind: with one of them it would serve what was not asked about."""

MAX_NAME_BYTES: Final = 256
"""No sound header has a longer name, so that none is remembered here, or reaches the service."""

_SEPARATOR: Final = re.compile(rb"[^a-z0-9]")
MAX_CARRIED_BYTES: Final = 6_000
VISIBLE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if code != ord("%"))
_AS_IT_IS: Final = re.compile(r"[!-$&-~]*").fullmatch


@dataclass(slots=True)
class Verdict:
    """`subject_type` and `subject_id` are empty where nobody was established: then nothing opens.

    Treated as immutable once made; not frozen, as `pdp.model.request.Request`.
    """

    decision: Decision
    decision_id: str
    subject_type: str = ""
    subject_id: str = ""
    challenge: bytes = b"Bearer"  # WWW-Authenticate of a 401
    retry_after: int = 0  # seconds, for a 429
    receipt: str = ""  # where its record is, once it is on disk: for the log of the proxy, not for client or service
    echo: bytes = b""  # the header that named an unverified subject, replaced with the one decided about

    @property
    def opens(self) -> bool:
        """The one place where a proxy door lets somebody in."""
        return self.decision.effect is Effect.ALLOW and bool(self.subject_type) and bool(self.subject_id)

    @property
    def status(self) -> int:
        """200 exactly where it opens, else 401, 403 or 429."""
        return ALLOWED if self.opens else STATUSES.get(self.decision.reason, 403)

    def identity_headers(self) -> list[tuple[bytes, bytes]]:
        """What the service behind the proxy is told of an allow. Always every one: a proxy that gets none keeps
        the client's own (CVE-2026-30851).
        """
        subject = carried_name(self.subject_id)
        said = [
            (b"x-pdp-decision", self.decision_id.encode("ascii")),
            (b"x-pdp-subject", subject),
            (b"x-pdp-subject-type", carried_name(self.subject_type)),
            (b"x-pdp-fields", carried_fields(self.decision)),
            (b"x-pdp-obligations", carried_duties(self.decision, self.decision_id)),
        ]
        return [*said, (self.echo, subject)] if self.echo else said

    def denial_headers(self) -> list[tuple[bytes, bytes]]:
        """What the client is told of a deny. Nothing of the policy, nothing of a patient."""
        said = [(b"x-pdp-decision", self.decision_id.encode("ascii")), (b"cache-control", b"no-store")]
        said.append((b"content-type", b"text/plain"))
        if self.status == 401 or self.decision.reason is Reason.INSUFFICIENT_SCOPE:
            said.append((b"www-authenticate", self.challenge))
        if self.status == 429:
            said.append((b"retry-after", b"%d" % max(1, self.retry_after)))
        return said

    @property
    def denial_body(self) -> bytes:
        return b"denied " + self.decision_id.encode("ascii")


def denial(reason: Reason, decision_id: str, challenge: bytes = b"Bearer", retry_after: int = 0) -> Verdict:
    """An explicit deny before any rule."""
    return Verdict(Decision(Effect.DENY, reason), decision_id, challenge=challenge, retry_after=retry_after)


def forged(headers: Headers, said: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """What of the client's headers has to be removed: what some server could take for ours, in whatever spelling
    (CVE-2026-52845), for the proxy's own word, or for another request than the one that was decided about. Never one
    that is set: a proxy may remove after it has set.
    """
    ours = tuple([name for name, _ in said])
    spelled, others = _aliases(ours)
    taken = [name for name, _ in headers if len(name) > MAX_NAME_BYTES or _taken_for(name, others)]
    return sorted(spelled.union(taken).difference(ours)) if taken else sorted(spelled)


@lru_cache(64)
def _aliases(ours: tuple[bytes, ...]) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    """What ours are called with underscores; and those of ours that do not begin with `x-pdp-`."""
    spelled = frozenset(name.replace(b"-", b"_") for name in ours).difference(ours)
    return spelled, tuple(name for name in ours if not name.startswith(b"x-pdp-"))


@lru_cache(4_096)
def _taken_for(name: bytes, others: tuple[bytes, ...]) -> bool:
    """Some servers take every odd character of a name for the same one."""
    folded = _SEPARATOR.sub(b"-", name)
    return folded in MISLEADING or folded in others or folded.startswith(b"x-pdp-")


def together(decisions: Sequence[Decision]) -> Decision:
    """One decision for all the actions of a request: the first deny, else what all the permits leave (SEMANTICS 7)."""
    for each in decisions:
        if each.effect is not Effect.ALLOW:
            return each
    first = decisions[0]
    fields = first.fields
    if len(decisions) == 1 and not first.obligations and not fields.limited:
        return first  # Most of them.
    for each in decisions[1:]:
        fields = Fields(_common(fields.released, each.fields.released), fields.masked | each.fields.masked)
    whole = replace(
        first,
        rules=tuple(sorted({rule for each in decisions for rule in each.rules})),
        errors=tuple(error for each in decisions for error in each.errors),
        obligations=tuple(duty for each in decisions for duty in each.obligations),
        fields=fields,
        valid_until=min(each.valid_until for each in decisions),
    )
    if len(carried_duties(whole, "")) + len(carried_fields(whole)) > MAX_CARRIED_BYTES:
        return replace(whole, effect=Effect.DENY, reason=Reason.UNSUPPORTED, obligations=(), fields=WHOLE)
    return whole


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """The pointers that both release; a pointer covers its descendants."""
    if one is None or other is None:
        return other if one is None else one
    return frozenset(each for each in one if _covered(each, other)) | {each for each in other if _covered(each, one)}


def _covered(pointer: str, by: frozenset[str]) -> bool:
    return any(pointer == each or pointer.startswith(each + "/") for each in by)


def carried_fields(decision: Decision) -> bytes:
    """`{}`: all of them. Only a profile with `fields = true` ever gets more, and its service has to obey."""
    if not decision.fields.limited:
        return b"{}"
    released = decision.fields.released
    limit = {"masked": sorted(decision.fields.masked)} | ({} if released is None else {"released": sorted(released)})
    return json.dumps(limit, separators=(",", ":")).encode("ascii")


def carried_duties(decision: Decision, decision_id: str) -> bytes:
    if not decision.obligations:
        return b"[]"
    return json.dumps(listed(decision, decision_id), separators=(",", ":")).encode("ascii")


def carried_name(text: str) -> bytes:
    """An identifier as a header carries it: visible ASCII as it is, all else (and `%`) percent-encoded UTF-8."""
    if _AS_IT_IS(text):
        return text.encode("ascii")
    return quote(text, safe=VISIBLE).encode("ascii")
