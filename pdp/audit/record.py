"""The JSON of what was decided, schema 1: UTF-8 (ASCII, in fact), one object, at most 65 535 bytes with its stamp.

What stands at the top are codes, types and rule ids. Ids of people and things stand under `detail` and nowhere else.
`n` is random, so that the hash of a record tells nothing to who guesses at the rest. `stream`, `seq` and `prev` are put
in by the write-ahead log. A page of a search that names more than fits goes on in records of kind `decision.results`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from time import gmtime, strftime
from typing import Any, Final

import orjson

from pdp.audit.decided import MAX_DISCARDED, MAX_NAME, MAX_TEXT, Found, Record, Refused, Who
from pdp.audit.evidence import EvidenceError
from pdp.model.decision import Decision

VERSION: Final = 1
DECISION: Final = "decision"
RESULTS: Final = "decision.results"
STATUS: Final = "audit.status"
LIMIT: Final = 65_000
"""Bytes of a record before it is stamped."""
PART: Final = 40_000
"""Bytes of names in one record of a search."""
LARGE: Final = 2_048
"""Bytes of a member that is replaced by its digest and length when the whole does not fit."""


def payloads(record: Record) -> Sequence[bytes]:
    """One JSON object, or several for a search that found much. Raises EvidenceError for what cannot be encoded."""
    members = _members(record)
    if record.found is None:
        return (encoded(members),)
    parts = _parts([name[:MAX_TEXT] for name in record.found.names])
    members["detail"]["results"] = parts[0]
    first = {"v": VERSION, "id": record.decision_id, "kind": RESULTS, "ts": members["ts"]}
    rest = (first | {"part": part, "n": _n(), "detail": {"results": names}} for part, names in enumerate(parts[1:], 2))
    return (encoded(members), *map(encoded, rest))


def status(now: int, said: dict[str, Any]) -> bytes:
    """What the log has to say of itself. `now`: nanoseconds since the epoch."""
    return encoded({"v": VERSION, "kind": STATUS, "ts": stamp(now // 1_000), **said, "n": _n()})


def encoded(members: dict[str, Any]) -> bytes:
    """Raises EvidenceError. What makes it too long is replaced by digest and length."""
    try:
        data = _dumped(members)
        if len(data) > LIMIT:
            data = _dumped({name: _shortened(value) for name, value in members.items()})
    except (TypeError, ValueError) as error:  # A lone surrogate in an identifier: no record, no access.
        raise EvidenceError("the record cannot be encoded") from error
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


def _members(record: Record) -> dict[str, Any]:
    decision, request, who = record.decision, record.request, record.who
    detail: dict[str, Any] = {}
    members: dict[str, Any] = {
        "v": VERSION,
        "id": record.decision_id,
        "kind": DECISION,
        "ts": stamp(record.time),
        "door": record.door,
        "pep": record.pep,
        "dec": _decision(decision, record),
    }
    if request is not None:
        members["act"] = {"action": request.action[:MAX_TEXT]}
        members["res"] = {"type": request.resource_type[:MAX_TEXT]}
        detail["res"] = {"id": request.resource_id[:MAX_TEXT]}
        members["sub"] = {"type": request.subject_type[:MAX_TEXT]}
        detail["sub"] = {"id": request.subject_id[:MAX_TEXT]}
    if who is not None:
        members["identity"] = identity = _identity(who)
        kind, identifier = {"type": who.subject_type[:MAX_TEXT]}, {"id": who.subject_id[:MAX_TEXT]}
        if members.setdefault("sub", kind) != kind or detail.setdefault("sub", identifier) != identifier:
            identity |= kind  # An application asked about somebody else.
            detail["identity"] = identifier
        if who.client:
            members["client"] = {"id": who.client[:MAX_TEXT]}
        if who.actors:
            detail["actors"] = [each[:MAX_TEXT] for each in who.actors[:MAX_DISCARDED]]
    if record.refused is not None:
        members["refused_token"] = _refused(record.refused, detail)
    if record.found is not None:
        members["search"] = _found(record.found)
    if record.count != 1:
        members["count"] = record.count
    members["n"] = _n()
    members["detail"] = detail
    return members


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


def _refused(token: Refused, detail: dict[str, Any]) -> dict[str, Any]:
    said = {"issuer": token.issuer[:MAX_TEXT]}
    if token.subject_id:
        said["type"] = token.subject_type[:MAX_TEXT]
        detail["refused_token"] = {"id": token.subject_id[:MAX_TEXT]}
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
        length = 6 * len(name) + 3 if not name.isascii() else 2 * len(name) + 3
        if size + length > PART and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(name)
        size += length
    return parts


def _shortened(value: Any) -> Any:
    """The value, with what is large in it told by digest and length."""
    if isinstance(value, dict):
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
