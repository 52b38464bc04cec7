"""Envoy's HTTP ext_authz: the original method and raw path under `/ext_authz/`. Pure, as every door.

Envoy reads the status alone: exactly 200 allows, 401, 403 and 429 deny. Another 2xx or a 3xx would look like success
to the client, and a 5xx counts as an error, which an Envoy told to fail open lets through; so none of them ever leaves
here. The body always reaches the client, so it holds nothing of the policy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pdp.doors.authzen import answered
from pdp.doors.route import Match, Table
from pdp.model.decision import WHOLE, Decision, Effect, Fields, Reason
from pdp.model.request import Request

PREFIX: Final = b"/ext_authz"
MAX_CARRIED_BYTES: Final = 6_000

Headers = Sequence[tuple[bytes, bytes]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


@dataclass(frozen=True, slots=True)
class Identity:
    """Where the subject of a proxied request comes from: for now one header, believed without proof (loopback only)."""

    header: bytes  # empty: nowhere, so every request is unauthenticated
    subject_type: str


class Refused(Exception):
    """The request is denied before any rule. `kind` is a stable word for the record."""

    def __init__(self, reason: Reason, kind: str) -> None:
        super().__init__(kind)
        self.reason = reason
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Check:
    """What is asked: one request for each action, all of which must be permitted."""

    requests: tuple[Request, ...]
    subject_id: str
    match: Match = field(compare=False)


def covers(raw_path: bytes) -> bool:
    """Is this request for this door? `/ext_authz` and `/ext_authz/..`, but not `/ext_authzX`."""
    return raw_path.startswith(PREFIX) and raw_path[len(PREFIX) : len(PREFIX) + 1] in (b"", b"/")


def read(method: str, raw_path: bytes, raw_query: bytes, headers: Headers, table: Table, identity: Identity) -> Check:
    """The question that a proxied request is. Raises Refused, or NoRoute."""
    subject = _subject(headers, identity)
    match = table.match(method, raw_path[len(PREFIX) :], raw_query)
    requests = tuple(
        Request(
            subject_type=identity.subject_type,
            subject_id=subject,
            action=action,
            resource_type=match.resource_type,
            resource_id=match.resource_id,
            route=match.claims,
            searched_fields=match.searched_fields,
        )
        for action in match.actions
    )
    return Check(requests, subject, match)


def _subject(headers: Headers, identity: Identity) -> str:
    if not identity.header:
        raise Refused(Reason.UNAUTHENTICATED, "no-identity-configured")
    values = [value for name, value in headers if name == identity.header]
    if not values:
        raise Refused(Reason.UNAUTHENTICATED, "no-subject")
    # Envoy joins duplicates with a comma: two identities are none.
    if len(values) > 1 or b"," in values[0] or not 1 <= len(values[0]) <= 256:
        raise Refused(Reason.UNAUTHENTICATED, "ambiguous-subject")
    if any(not 0x21 <= byte <= 0x7E for byte in values[0]):
        raise Refused(Reason.UNAUTHENTICATED, "malformed-subject")
    return values[0].decode("ascii")


def together(decisions: Sequence[Decision]) -> Decision:
    """One decision for all the actions of a request: the first deny, else what all the permits leave (SEMANTICS 7)."""
    for each in decisions:
        if each.effect is not Effect.ALLOW:
            return each
    first = decisions[0]
    fields = first.fields
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
    if len(_duties(whole, "")) + len(_fields(whole)) > MAX_CARRIED_BYTES:
        return replace(whole, effect=Effect.DENY, reason=Reason.UNSUPPORTED, obligations=(), fields=WHOLE)
    return whole


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """The pointers that both release; a pointer covers its descendants."""
    if one is None or other is None:
        return other if one is None else one
    return frozenset(each for each in one if _covered(each, other)) | {each for each in other if _covered(each, one)}


def _covered(pointer: str, by: frozenset[str]) -> bool:
    return any(pointer == each or pointer.startswith(each + "/") for each in by)


def answer(decision: Decision, decision_id: str, subject_id: str, identity: Identity) -> Answer:
    """Status, headers and body. Only an explicit allow for a known subject becomes 200."""
    if decision.effect is not Effect.ALLOW or not subject_id:
        return denied(decision.reason, decision_id)
    subject = subject_id.encode("ascii")
    # Every one of them, always: a proxy that gets none keeps the client's own. `_` spellings of them are removed.
    said = {
        b"x-pdp-decision": decision_id.encode("ascii"),
        b"x-pdp-subject": subject,
        b"x-pdp-subject-type": identity.subject_type.encode("ascii", "replace"),
        b"x-pdp-fields": _fields(decision),
        b"x-pdp-obligations": _duties(decision, decision_id),
        identity.header: subject,
    }
    aliases = {name.replace(b"-", b"_") for name in said} - set(said)
    removed = (b"x-envoy-auth-headers-to-remove", b", ".join(sorted(aliases)))
    return 200, [*said.items(), removed, (b"cache-control", b"no-store")], b""


def _fields(decision: Decision) -> bytes:
    """`{}`: all of them. Only a profile with `fields = true` ever gets more, and its service has to obey."""
    if not decision.fields.limited:
        return b"{}"
    released = decision.fields.released
    limit = {"masked": sorted(decision.fields.masked)} | ({} if released is None else {"released": sorted(released)})
    return json.dumps(limit, separators=(",", ":")).encode("ascii")


def _duties(decision: Decision, decision_id: str) -> bytes:
    if not decision.obligations:
        return b"[]"
    return json.dumps(answered(decision, decision_id)["context"]["obligations"], separators=(",", ":")).encode("ascii")


def denied(reason: Reason, decision_id: str) -> Answer:
    """An explicit deny: 401 where nobody is known, 429 under overload, else 403."""
    status = {Reason.UNAUTHENTICATED: 401, Reason.OVERLOADED: 429}.get(reason, 403)
    identifier = decision_id.encode("ascii")
    headers = [(b"x-pdp-decision", identifier), (b"cache-control", b"no-store"), (b"content-type", b"text/plain")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return status, headers, b"denied " + identifier
