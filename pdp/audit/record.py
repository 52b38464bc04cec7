"""The JSON of what was decided, schema 1: UTF-8 (ASCII, in fact), one object, at most 65 535 bytes with its stamp.

What stands at the top are codes, types, rule ids, and names that hide what they name (`pdp.audit.veil`); the ids of
people and things stand under `detail`, encrypted. Without a veil nothing is hidden, and ids stand under `detail` alone.
`n` is random, so that the hash of a record tells nothing to who guesses at the rest. `stream`, `seq` and `prev` are put
in by the write-ahead log. A page of a search that names more than fits goes on in records of kind `decision.results`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from time import gmtime, strftime
from typing import Any, Final, Protocol

import orjson

from pdp.audit import verb
from pdp.audit.decided import MAX_DISCARDED, MAX_NAME, MAX_TEXT, Found, Record, Refused, Who
from pdp.audit.evidence import EvidenceError
from pdp.model.decision import Decision
from pdp.model.request import Request

VERSION: Final = 1
DECISION: Final = "decision"
STRANGE: Final = "?"
"""Instead of the name of a type, an action or a purpose that no schema has; that one is in the detail."""
RESULTS: Final = "decision.results"
STATUS: Final = "audit.status"
LIMIT: Final = 65_000
"""Bytes of a record before it is stamped."""
PART: Final = 30_000
"""Bytes of names in one record of a search."""
CUT: Final = 73
"""Characters of what stands at the end of an identifier that was cut."""
LARGE: Final = 2_048
"""Bytes of a member that is replaced by its digest and length when the whole does not fit."""


class Hiding(Protocol):
    """What a record is hidden with: `pdp.audit.veil.privacy.Veil`."""

    patient_type: str

    def hides(self, subject_type: str) -> bool: ...

    def name(self, kind: str, identifier: str) -> str: ...

    def sealed(self, detail: Mapping[str, Any], identifier: str, kind: str, moment: int, part: int = 0) -> Any: ...


def payloads(record: Record, veil: Hiding | None = None) -> Sequence[bytes]:
    """One JSON object, or several for a search that found much. Raises EvidenceError for what cannot be encoded, and
    where there is something to hide and nothing to hide it with.
    """
    try:
        members, detail = _members(record, veil)
        parts = () if record.found is None else _parts([cut(name) for name in record.found.names])
        if parts:
            detail["results"] = parts[0]
        made = [_closed(members, detail, veil, record.time)]
        for part, names in enumerate(parts[1:], 2):
            first = {"v": VERSION, "id": record.decision_id, "kind": RESULTS, "ts": members["ts"], "part": part}
            made.append(_closed(first, {"results": names}, veil, record.time))
    except (TypeError, ValueError) as error:  # A lone surrogate in an identifier: no record, no access.
        raise EvidenceError("the record cannot be encoded") from error
    return made


def status(now: int, said: dict[str, Any]) -> bytes:
    """What the log has to say of itself. `now`: nanoseconds since the epoch."""
    return encoded({"v": VERSION, "kind": STATUS, "ts": stamp(now // 1_000), **said, "n": _n()})


def encoded(
    members: dict[str, Any], detail: Mapping[str, Any] | None = None, veil: Hiding | None = None, now: int = 0
) -> bytes:
    """A record of any kind, `detail` hidden where there is a veil. `now`: microseconds since the epoch. Raises
    EvidenceError. What makes it too long is replaced by digest and length.
    """
    try:
        if detail is None:
            return _fitting(members)
        return _closed(members, detail, veil, now)
    except (TypeError, ValueError) as error:
        raise EvidenceError("the record cannot be encoded") from error


def _closed(members: dict[str, Any], detail: Mapping[str, Any], veil: Hiding | None, now: int) -> bytes:
    """The record with a random number and its detail. Raises TypeError and ValueError too."""
    members["n"] = _n()
    whole = members | {"detail": _hidden(detail, members, veil, now)}
    data = _dumped(whole)
    if len(data) > LIMIT:
        detail = _shortened(detail)
        data = _fitting(whole | {"detail": _hidden(detail, members, veil, now)}, "detail")
    return data


def _hidden(detail: Mapping[str, Any], members: Mapping[str, Any], veil: Hiding | None, now: int) -> Any:
    if veil is None or not detail:
        return detail
    return veil.sealed(detail, members["id"], members["kind"], now, members.get("part", 0))


def _fitting(members: dict[str, Any], *but: str) -> bytes:
    """What makes it too long is replaced by digest and length. Raises EvidenceError where that does not help."""
    data = _dumped(members)
    if len(data) > LIMIT:
        data = _dumped({name: value if name in but else _shortened(value) for name, value in members.items()})
    if len(data) > LIMIT:
        raise EvidenceError("the record is too long")
    return data


def stamp(now: int) -> str:
    """RFC 3339 with microseconds. `now`: microseconds since the epoch. The part to seconds is made once a second."""
    global _second
    second, rest = divmod(now, 1_000_000)
    known, text = _second
    if known != second:
        text = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        _second = (second, text)
    return f"{text}{rest:06d}Z"


_second: tuple[int, str] = (-1, "")


def _n() -> str:
    return os.urandom(16).hex()


def _members(record: Record, veil: Hiding | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The clear part, and the detail."""
    request, who = record.request, record.who
    strange = record.strange if veil is not None else ()
    detail: dict[str, Any] = {}
    members: dict[str, Any] = {
        "v": VERSION,
        "id": record.decision_id,
        "kind": DECISION,
        "ts": stamp(record.time),
        "door": record.door,
        "pep": record.pep,
        "dec": _decision(record.decision, record),
    }
    if request is not None:
        members["sub"] = _person(request.subject_type, request.subject_id, veil, "sub" in strange)
        detail["sub"] = {"id": cut(request.subject_id)}
    if who is not None:
        members["identity"] = identity = _identity(who)
        if request is None:
            members["sub"] = _person(who.subject_type, who.subject_id, veil)
            detail["sub"] = {"id": cut(who.subject_id)}
        elif who.subject_id != request.subject_id or who.subject_type != request.subject_type:
            identity |= _person(who.subject_type, who.subject_id, veil)  # An application asked about somebody else.
            detail["identity"] = {"id": cut(who.subject_id)}
        if who.client:
            members["client"] = {"id": cut(who.client)}
        if who.actors:
            identity["actors"] = len(who.actors)  # Whoever looks for one of them has to know that there are any.
            detail["actors"] = [cut(each) for each in who.actors[:MAX_DISCARDED]]
    if request is not None or record.method:
        members["act"] = _act(record)
    if request is not None:
        members["res"] = _resource(request, record.patient, veil, detail)
    if record.purpose:
        members["pou"] = {"asserted": record.purpose[:MAX_NAME]}
    for part in strange:
        _strange(part, members, detail)
    if record.request_id or record.trace:
        members["ctx"] = _context(record)
    if record.refused is not None:
        members["refused_token"] = _refused(record.refused, veil, detail)
    if record.found is not None:
        members["search"] = _found(record.found)
    if record.count != 1:
        members["count"] = record.count
    return members, detail


def _strange(part: str, members: dict[str, Any], detail: dict[str, Any]) -> None:
    """A name that somebody made up may be anything: it is hidden."""
    name = {"act": "action", "pou": "asserted"}.get(part, "type")
    detail[part] = {**detail.get(part, {}), name: members[part][name]}
    members[part][name] = STRANGE


def _person(kind: str, identifier: str, veil: Hiding | None, strange: bool = False) -> dict[str, str]:
    """Who, as everybody may know who reads the log."""
    said = {"type": kind[:MAX_TEXT]}
    if veil is not None and identifier:
        if strange or veil.hides(kind):
            said["id_p"] = veil.name(kind, identifier)
        else:
            said["id"] = cut(identifier)
    return said


def cut(identifier: str) -> str:
    """Of one that is too long the beginning and a digest of all of it: two that begin alike are still two."""
    if len(identifier) <= MAX_TEXT:
        return identifier
    return f"{identifier[: MAX_TEXT - CUT]}..sha256:{sha256(identifier.encode()).hexdigest()}"


def _act(record: Record) -> dict[str, str]:
    method, request = record.method, record.request
    action = "" if request is None else request.action[:MAX_TEXT]
    said = {"action": action, "verb": verb.verb(action, method)}
    if method:
        said["method"] = verb.known(method)
    if record.route:
        said["route"] = record.route[:MAX_TEXT]
    return said


def _resource(request: Request, patient: str, veil: Hiding | None, detail: dict[str, Any]) -> dict[str, str]:
    kind, identifier = request.resource_type, request.resource_id
    said = {"type": kind[:MAX_TEXT]}
    detail["res"] = {"id": cut(identifier)}
    if patient:
        detail["patient"] = {"id": cut(patient)}
    if veil is not None:
        if identifier:
            said["id_p"] = veil.name(kind, identifier)
        if patient:
            said["patient_p"] = veil.name(veil.patient_type, patient)
    return said


def _context(record: Record) -> dict[str, str]:
    said = {"request_id": record.request_id, "trace": record.trace}
    return {name: value for name, value in said.items() if value}


def _decision(decision: Decision, record: Record) -> dict[str, Any]:
    said: dict[str, Any] = {
        "effect": decision.effect,
        "reason": decision.reason,
        "rule": decision.rules,
        "bundle": {
            "sha256": decision.program_digest or record.program_digest,
            "version": decision.data_revision or record.data_revision,
        },
    }
    if record.detail:
        said["status"] = record.detail
    if record.cached is not None:
        said["cache_hit"] = record.cached
    if decision.errors:
        said["errors"] = [{"rule": each.rule, "code": each.code, "where": each.where} for each in decision.errors]
    if record.discarded:
        said["discarded"] = [name[:MAX_NAME] for name in sorted(record.discarded)[:MAX_DISCARDED]]
    if decision.obligations:
        said["obligations"] = [{"name": each.name, "rule": each.rule} for each in decision.obligations]
    if decision.fields.limited:
        released = decision.fields.released
        said["fields"] = {
            "released": None if released is None else sorted(released),
            "masked": sorted(decision.fields.masked),
        }
    return said


def _identity(who: Who) -> dict[str, Any]:
    """How the caller was established."""
    said: dict[str, Any] = {"via": who.via}
    if who.issuer:
        said["issuer"] = who.issuer[:MAX_TEXT]
    if who.scopes is not None:
        said["scopes"] = [each[:MAX_NAME] for each in who.scopes[:MAX_DISCARDED]]
    if who.warnings:
        said["warnings"] = list(who.warnings)
    return said


def _refused(token: Refused, veil: Hiding | None, detail: dict[str, Any]) -> dict[str, str]:
    said = {"issuer": token.issuer[:MAX_TEXT]}
    if token.subject_id:
        said |= _person(token.subject_type, token.subject_id, veil)
        detail["refused_token"] = {"id": cut(token.subject_id)}
    return said


def _found(found: Found) -> dict[str, Any]:
    return {
        "for": found.kind,
        "found": len(found.names),
        "looked_at": found.looked_at,
        "undecided": found.undecided,
        "more": found.more,
    }


def _parts(names: list[str]) -> list[list[str]]:
    """At least one, each of names that fit into one record. Every name of them: each is a disclosure."""
    parts: list[list[str]] = [[]]
    size = 0
    for name in names:
        plain = name.isascii() and name.isprintable()
        length = 2 * len(name) + 3 if plain else len(json.dumps(name)) + 1
        if size + length > PART and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(name)
        size += length
    return parts


def _shortened(value: Any) -> Any:
    """The value, with what is large in it told by digest and length."""
    if isinstance(value, Mapping):
        return {name: _shortened(each) for name, each in value.items()}
    data = _dumped(value)
    if len(data) <= LARGE:
        return value
    return {"sha256": sha256(data).hexdigest(), "length": len(data)}


def _dumped(value: Any) -> bytes:
    data = orjson.dumps(value)
    if data.isascii():
        return data
    # Some readers take U+2028 or U+0085 for a line end: nothing but ASCII is ever written.
    return json.dumps(value, separators=(",", ":")).encode("ascii")
