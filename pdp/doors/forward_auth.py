"""`/forward-auth`: the original request in headers, as nginx, Traefik, Caddy, HAProxy and APISIX name it. Pure.

The request that asks says nothing itself: its method, path and body are the proxy's. A client that can get a header of
the convention past its proxy can have one request judged and another one served; so each stands there exactly once, and
whatever contradicts it, or could be taken for a header of ours, is a deny.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pdp.doors.conventions import CONVENTIONS, HOSTS, METHODS, TARGETS, Convention
from pdp.doors.envoy import OURS, Answer, certificate_of
from pdp.doors.original import Headers, Original, Refused, checked_host, lines
from pdp.doors.path import MAX_TARGET_BYTES
from pdp.doors.verdict import Verdict
from pdp.model.decision import Reason

PATH: Final = b"/forward-auth"
TRANSPORT: Final = frozenset({b"host", b"connection", b"content-length", b"transfer-encoding"})
"""What belongs to the question itself, not to the client's request."""

IDENTITY: Final = b"x-pdp-"

_METHOD: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}").fullmatch
_TARGET: Final = re.compile(rb"/[!-\"$-~]*").fullmatch  # visible ASCII, from a slash on, without `#`
_ALIASING: Final = re.compile(rb"[^a-z0-9-]").search
_SEPARATOR: Final = re.compile(rb"[^a-z0-9]")


def read(headers: Headers, convention: str, client_certificate: str) -> Original:
    """The request that the proxy holds. Raises Refused."""
    named = CONVENTIONS.get(convention)
    if named is None:
        raise Refused(Reason.BAD_REQUEST, "no-convention")
    check_names(headers)
    method, target, host = (_once(headers, name) for name in (named.method, named.target, named.host))
    _agreeing(headers, METHODS, method)
    _agreeing(headers, TARGETS, target)
    _agreeing(headers, HOSTS, host)
    path, query = checked_target(target)
    return Original(
        checked_method(method),
        path,
        query,
        _clients(headers, named),
        checked_host((host,)),
        certificate_of(headers, client_certificate),
    )


def checked_method(method: bytes) -> str:
    """A method, its case kept. Raises Refused."""
    if not _METHOD(method):
        raise Refused(Reason.BAD_REQUEST, "malformed-method")
    return method.decode("ascii")


def checked_target(target: bytes) -> tuple[bytes, bytes]:
    """Raw path and raw query of a target in origin form. Raises Refused."""
    if len(target) > 2 * MAX_TARGET_BYTES or not _TARGET(target):
        raise Refused(Reason.BAD_REQUEST, "malformed-target")
    path, _, query = target.partition(b"?")
    return path, query


def _once(headers: Headers, name: bytes) -> bytes:
    """The one line of a header. None, where the client named it in `Connection` (CVE-2024-45410), is a deny."""
    found = lines(headers, name)
    if len(found) != 1:
        raise Refused(Reason.BAD_REQUEST, "convention-missing" if not found else "convention-twice")
    return found[0]


def _agreeing(headers: Headers, names: Iterable[bytes], value: bytes) -> None:
    if any(line != value for name in names for line in lines(headers, name)):
        raise Refused(Reason.BAD_REQUEST, "conventions-disagree")


def check_names(headers: Headers) -> None:
    """Nothing that the client sent may stand in for a header of ours, or take it off again. Raises Refused."""
    _no_aliases(headers)
    _nothing_dropped(headers)


def _no_aliases(headers: Headers) -> None:
    """`X_Pdp_Subject` is `X-Pdp-Subject` to many a server, and no proxy replaces it (CVE-2026-52845). Only what
    could be taken for a header of ours, or for one that names the request, matters.
    """
    for name, _ in headers:
        if not _ALIASING(name):
            continue
        folded = _SEPARATOR.sub(b"-", name)
        if folded.startswith(IDENTITY) or folded in METHODS | TARGETS | HOSTS | OURS:
            raise Refused(Reason.BAD_REQUEST, "aliased-header")


def _nothing_dropped(headers: Headers) -> None:
    """A proxy that obeys `Connection: X-Pdp-Fields` removes our own header again before the service sees it."""
    for line in lines(headers, b"connection"):
        if any(_SEPARATOR.sub(b"-", each.strip().lower()).startswith(IDENTITY) for each in line.split(b",")):
            raise Refused(Reason.BAD_REQUEST, "hop-by-hop")


def _clients(headers: Headers, named: Convention) -> Headers:
    added = OURS | TRANSPORT | named.beside | {named.method, named.target, named.host}
    return [each for each in headers if each[0] not in added]


def answer(verdict: Verdict, convention: str) -> Answer:
    """Status, headers and body: exactly 200 with every identity header, or a deny that the proxy hands on as it is."""
    if verdict.opens:
        return verdict.status, [*verdict.identity_headers(), (b"cache-control", b"no-store")], b""
    named = CONVENTIONS.get(convention)
    status = verdict.status if named and verdict.status in named.statuses else 403
    return status, verdict.denial_headers(), verdict.denial_body
