"""The OPA data API, `POST /v1/data/chaperone`, as plugins speak it. Pure: an input to a request, a verdict to JSON.

The profile says which plugin's input counts (`opa_input`). Two documents are there, as a package with one rule would
have them: `chaperone/allow` is the boolean, `chaperone` the object with `allow` in it. Any other path is undefined,
which is an answer without `result`. A plugin that takes any `result` for a yes must ask for the boolean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from pdp.doors.authzen import answered
from pdp.doors.forward_auth import IDENTITY, check_names, checked_method, checked_target
from pdp.doors.original import Headers, Original, Refused, checked_host
from pdp.doors.verdict import Verdict
from pdp.model.decision import Decision, Reason
from pdp.model.request import RequestError

PREFIX: Final = b"/v1/data"
OBJECT: Final = b"/v1/data/chaperone"
BOOLEAN: Final = b"/v1/data/chaperone/allow"

_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9._~$-]+)+|/", re.ASCII).fullmatch
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII).fullmatch
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch


def covers(raw_path: bytes) -> bool:
    """Is this request for this door?"""
    return raw_path.startswith(PREFIX) and raw_path[len(PREFIX) : len(PREFIX) + 1] in (b"", b"/")


# -------------------------------------------------------------------------------------------------------------- reading


def input_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is asked about. Raises RequestError."""
    return _object(payload, "input", "input")


def read(given: Mapping[str, Any], style: str) -> Original:
    """The request that a plugin holds. Raises RequestError for another input, Refused for no request."""
    original = READERS[style](given)
    check_names(original.headers)
    if any(name.startswith(IDENTITY) for name, _ in original.headers):
        # A plugin replaces what it is configured to replace, and where it asked for a boolean, nothing.
        raise Refused(Reason.BAD_REQUEST, "forged-identity")
    return original


def _envoy(given: Mapping[str, Any]) -> Original:
    """The input of OPA's Envoy plugin: its path is the raw target."""
    if given.get("truncated_body", False) is not False:
        raise Refused(Reason.BAD_REQUEST, "truncated-body")
    where, http = "input", given
    for name in ("attributes", "request", "http"):
        where = f"{where}.{name}"
        http = _object(http, name, where)
    path, query = checked_target(_text(http, "path", where).encode())
    return _original(http, where, path, query)


def _kong(given: Mapping[str, Any]) -> Original:
    """Kong's input: its path is normalised already, so what was sent is not known."""
    where = "input.request.http"
    http = _object(_object(given, "request", "input.request"), "http", where)
    return _original(http, where, _plain(http, where), _query(http, "querystring", where))


def _apisix(given: Mapping[str, Any]) -> Original:
    """APISIX's input: its path is decoded and normalised."""
    where = "input.request"
    http = _object(given, "request", where)
    return _original(http, where, _plain(http, where), _query(http, "query", where))


READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Original]]] = {
    "envoy": _envoy,
    "kong": _kong,
    "apisix": _apisix,
}


def _original(http: Mapping[str, Any], where: str, path: bytes, query: bytes) -> Original:
    method = checked_method(_text(http, "method", where).encode())
    host = checked_host((_text(http, "host", where).encode(),))
    return Original(method, path, query, _headers(http, where), host)


def _plain(http: Mapping[str, Any], where: str) -> bytes:
    """A path that has one spelling only, since which of several the service will get cannot be known."""
    path = _text(http, "path", where)
    if not _PLAIN(path):
        raise Refused(Reason.NO_ROUTE, "decoded-path")
    return path.encode("ascii")


def _query(http: Mapping[str, Any], name: str, where: str) -> bytes:
    """The decoded parameters, encoded again. One that was given twice is a list."""
    given = http.get(name)
    if given is None or given == []:  # What an empty table of Lua may become.
        return b""
    if not isinstance(given, dict):
        raise RequestError("must be an object", f"{where}.{name}")
    parameters = []
    for key, value in given.items():
        if isinstance(value, list):
            raise Refused(Reason.NO_ROUTE, "duplicate-parameter")
        if value is True:
            parameters.append(quote(key, safe=""))
        elif isinstance(value, str):
            parameters.append(f"{quote(key, safe='')}={quote(value, safe='')}")
        else:
            raise RequestError("must hold texts", f"{where}.{name}")
    return "&".join(parameters).encode("ascii")


def _headers(http: Mapping[str, Any], where: str) -> Headers:
    """Every line. What Envoy names with a colon is said elsewhere too."""
    given = http.get("headers")
    if given is None or given == []:
        return []
    if not isinstance(given, dict):
        raise RequestError("must be an object", f"{where}.headers")
    found = []
    for name, value in given.items():
        lines = value if isinstance(value, list) else [value]
        if not all(isinstance(line, str) for line in lines):
            raise RequestError("must hold texts, or lists of them", f"{where}.headers")
        if name.startswith(":"):
            continue
        if not _NAME(name) or not all(map(_VALUE, lines)):
            raise Refused(Reason.BAD_REQUEST, "malformed-header")
        found += [(name.lower().encode("ascii"), line.encode()) for line in lines]
    return found


def _object(given: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = given.get(name)
    if isinstance(value, dict):
        return value
    raise RequestError("is missing" if value is None else "must be an object", where)


def _text(given: Mapping[str, Any], name: str, where: str) -> str:
    value = given.get(name)
    if isinstance(value, str):
        return value
    raise RequestError("is missing" if value is None else "must be a text", f"{where}.{name}")


# ------------------------------------------------------------------------------------------------------------ answering


def answer(verdict: Verdict, style: str, boolean: bool) -> bytes:
    """The result for a plugin. Only what opens is true."""
    return _result(verdict.opens if boolean else _told(verdict, style), verdict.decision_id)


def decided(decision: Decision, decision_id: str, boolean: bool) -> bytes:
    """The result for a question in AuthZEN's words."""
    whole = answered(decision, decision_id)
    allow = whole["decision"] is True
    return _result(allow if boolean else {"allow": allow, "context": whole["context"]}, decision_id)


def undefined(decision_id: str) -> bytes:
    """There is no such document: no result at all, which every plugin takes for a deny."""
    return orjson.dumps({"decision_id": decision_id})


def _result(result: object, decision_id: str) -> bytes:
    return orjson.dumps({"result": result, "decision_id": decision_id})


def _told(verdict: Verdict, style: str) -> dict[str, Any]:
    """Each plugin has words of its own for the status and the body of a deny."""
    opens = verdict.opens
    said = verdict.identity_headers() if opens else verdict.denial_headers()
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in said if name != b"content-type"}
    result: dict[str, Any] = {"allow": opens, "headers": headers}
    if style == "envoy":
        result["allowed"] = opens
    if not opens:
        status, body = _WORDS[style]
        result |= {status: verdict.status, body: verdict.denial_body.decode("ascii")}
    return result


_WORDS: Final = {"envoy": ("http_status", "body"), "kong": ("status", "message"), "apisix": ("status_code", "reason")}
