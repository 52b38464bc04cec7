"""Envoy's ext_authz v3 over gRPC: the bytes of a `CheckRequest` to a request, a verdict to a `CheckResponse`. Pure.

Envoy reads `status.code` alone: 0 allows, also in an empty message, also beside a `denied_response`; anything else
denies. So `answer` is the one function that makes responses, and it makes code 0 for a verdict that opens and for
nothing else. `source.principal` is never read: it may be a DNS name that somebody chose to look like an identity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from pdp.doors.envoy import certificate_of
from pdp.doors.envoy_messages import OVERWRITE, CheckRequest, CheckResponse, DecodeError
from pdp.doors.original import Headers, Original, Refused, checked_host, lines
from pdp.doors.path import MAX_TARGET_BYTES
from pdp.doors.verdict import Verdict, denial, forged
from pdp.model.decision import Reason

SERVICE: Final = "envoy.service.auth.v3.Authorization"
METHOD: Final = "Check"

OK: Final = 0
CODES: Final = {401: 16, 429: 8}
"""google.rpc.Code of a deny: UNAUTHENTICATED, RESOURCE_EXHAUSTED; else PERMISSION_DENIED."""
PERMISSION_DENIED: Final = 7

STATUSES: Final = frozenset({401, 403, 429})

SAID: Final = re.compile(rb"x-pdp-[a-z0-9-]{1,58}").fullmatch
"""What an allow may set: these, and the header that named an unverified subject, set to the one decided about."""
NEVER_SAID: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te"})
MAX_SAID_BYTES: Final = 16_384

PARTIAL_BODY: Final = b"x-envoy-auth-partial-body"

_VISIBLE: Final = re.compile(rb"[ -~]*").fullmatch
_TARGET: Final = re.compile(rb"/[!-\"$-~]*").fullmatch  # visible ASCII, from a slash on, without `#`
_NAME: Final = re.compile(rb"[a-z0-9-]{1,64}").fullmatch
_METHOD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}").fullmatch


# ------------------------------------------------------------------------------------------------------------- reading


def read(data: bytes, client_certificate: str) -> Original:
    """The request that Envoy holds. `client_certificate`: where its profile says that it shows one. Raises Refused.

    A request for a connection alone (the network filter asks with the same message) has no HTTP request in it, and is
    refused as an empty one is.
    """
    try:
        attributes = CheckRequest.FromString(data).attributes
    except DecodeError:
        raise Refused(Reason.BAD_REQUEST, "undecodable") from None
    http = attributes.request.http
    method, target, host = http.method, http.path, http.host
    if not (method and target and host):
        raise Refused(Reason.BAD_REQUEST, "no-http-request")
    raw_target, raw_host = target.encode(), host.encode()
    headers = _clients(_told(http), method.encode(), raw_target, raw_host)
    _whole_body(headers, http)
    path, query = _target(http, raw_target)
    return Original(
        method if _METHOD(method) else "",  # No route has it.
        path,
        query,
        headers,
        checked_host((raw_host,)),
        _certificate(attributes, headers, client_certificate),
        dict(attributes.context_extensions),
    )


def _told(http: Any) -> list[tuple[bytes, bytes]]:
    """Every line, as sent, where Envoy tells so (`encode_raw_headers`); else those of one name joined with commas."""
    raw = http.header_map.headers
    if raw:
        return [(each.key.encode().lower(), each.raw_value or each.value.encode()) for each in raw]
    return [(name.encode().lower(), value.encode()) for name, value in http.headers.items()]


def _clients(told: Headers, method: bytes, target: bytes, host: bytes) -> Headers:
    """The headers of the client, without the pseudo headers: those tell method, path and host a second time. Two
    requests in one are none.
    """
    twice = {b":method": method, b":path": target, b":authority": host, b"host": host}
    clients = []
    for line in told:
        name, value = line
        if name in twice and value != twice[name]:
            raise Refused(Reason.BAD_REQUEST, "malformed-host" if name == b"host" else "two-requests")
        if not name.startswith(b":"):
            clients.append(line)
    return clients


def _whole_body(headers: Headers, http: Any) -> None:
    """A body that was cut is refused: nobody could say what the rest of it asks for. Without a body, the header that
    tells so is but one of the client's; with one, Envoy's own word is among its lines.
    """
    length = len(http.raw_body) or len(http.body.encode())
    if length == 0:
        return
    told = lines(headers, PARTIAL_BODY)
    if any(line != b"false" for line in told) or (not told and http.size > length):
        raise Refused(Reason.BAD_REQUEST, "truncated-body")


def _target(http: Any, target: bytes) -> tuple[bytes, bytes]:
    """Path and query, raw; parted at the first `?`. Envoy never fills in `query` and `fragment`: then it is none."""
    if http.query or http.fragment or len(target) > 2 * MAX_TARGET_BYTES or not _TARGET(target):
        raise Refused(Reason.BAD_REQUEST, "malformed-target")
    path, _, query = target.partition(b"?")
    return path, query


def _certificate(attributes: Any, headers: Headers, client_certificate: str) -> bytes | None:
    if client_certificate == "peer":
        shown: str = attributes.source.certificate
        return shown.encode() or None
    return certificate_of(headers, client_certificate)


# ----------------------------------------------------------------------------------------------------------- answering


def answer(verdict: Verdict, headers: Headers) -> Any:
    """The one CheckResponse for a verdict; `headers` are the client's. Code 0 where the verdict opens and all that the
    service has to be told can be told; everything else is an explicit deny.
    """
    if verdict.opens:
        said = verdict.identity_headers()
        if _sound(said, verdict.echo):
            return _allow(verdict, said, headers)
        verdict = denial(Reason.FAULT, verdict.decision_id)
    return _deny(verdict)


def allows(response: Any) -> bool:
    """As Envoy reads it."""
    return bool(response.status.code == OK)


def _sound(said: Sequence[tuple[bytes, bytes]], echo: bytes) -> bool:
    """May these be set? Never a pseudo header, `host`, an empty or foreign name, a value with a line break in it, or
    more than a service takes: Envoy, asked to set them, would write another request.
    """
    names, values = tuple([name for name, _ in said]), b"".join([value for _, value in said])
    if not _settable(names, echo) or not _VISIBLE(values):
        return False
    return sum(map(len, names)) + len(values) <= MAX_SAID_BYTES


@lru_cache(64)
def _settable(names: tuple[bytes, ...], echo: bytes) -> bool:
    return all(SAID(name) or (name == echo and _NAME(name) and name not in NEVER_SAID) for name in names)


def _allow(verdict: Verdict, said: Sequence[tuple[bytes, bytes]], headers: Headers) -> Any:
    names = tuple([name for name, _ in said])
    response = CheckResponse()
    response.CopyFrom(_unsaid(names, verdict.decision.reason, verdict.subject_type))
    allowed = response.ok_response
    for option, (_, value) in zip(allowed.headers, said, strict=True):
        option.header.value = value.decode("ascii")
    allowed.response_headers_to_add[0].header.value = verdict.decision_id
    allowed.headers_to_remove.extend([each.decode("utf-8", "replace") for each in forged(headers, said)])
    fields = response.dynamic_metadata.fields
    fields["decision_id"].string_value = verdict.decision_id
    if verdict.receipt:
        fields["receipt"].string_value = verdict.receipt
    response.status.code = OK
    return response


@lru_cache(64)
def _unsaid(names: tuple[bytes, ...], reason: str, subject_type: str) -> Any:
    """An answer with headers of these names, still without a value, and not yet an allow. Never changed, but copied."""
    response = CheckResponse()
    response.status.code = PERMISSION_DENIED
    for name in names:
        _set(response.ok_response.headers, name, b"")
    _set(response.ok_response.response_headers_to_add, names[0], b"")  # x-pdp-decision: what to ask about afterwards
    _describe(response, "", "allow", reason, subject_type)
    return response


def _deny(verdict: Verdict) -> Any:
    response = CheckResponse()
    status = verdict.status if verdict.status in STATUSES else 403
    response.status.code = CODES.get(status, PERMISSION_DENIED)
    denied = response.denied_response
    denied.status.code = status
    for name, value in verdict.denial_headers():
        if _VISIBLE(value):  # A line break here would be a second header of the client's response.
            _set(denied.headers, name, value)
    denied.body = verdict.denial_body.decode("ascii")
    _describe(response, verdict.decision_id, "deny", verdict.decision.reason, verdict.subject_type)
    if verdict.receipt:
        response.dynamic_metadata.fields["receipt"].string_value = verdict.receipt
    return response


def _set(headers: Any, name: bytes, value: bytes) -> None:
    """`raw_value` is ignored by Envoy, which then sets nothing. The default action of new Envoys would append."""
    option = headers.add()
    option.header.key = name.decode("ascii")
    option.header.value = value.decode("ascii")
    option.append_action = OVERWRITE


def _describe(response: Any, decision_id: str, effect: str, reason: str, subject_type: str) -> None:
    """For Envoy's access log (namespace envoy.filters.http.ext_authz): nothing that names a person."""
    fields = response.dynamic_metadata.fields
    fields["decision_id"].string_value = decision_id
    fields["effect"].string_value = effect
    fields["reason"].string_value = reason
    if subject_type:
        fields["subject_type"].string_value = subject_type
