"""Envoy's HTTP ext_authz: the original method and raw path under `/ext_authz/`. Pure, as every door.

Envoy reads the status alone: exactly 200 allows (`pdp.doors.verdict`). The body always reaches the client, so it holds
nothing of the policy.
"""

from __future__ import annotations

from typing import Final

from pdp.doors.original import Headers, Original, Refused, checked_host, lines
from pdp.doors.verdict import Verdict, forged
from pdp.model.decision import Reason

PREFIX: Final = b"/ext_authz"
OURS: Final = frozenset({b"x-pdp-secret", b"x-client-certificate", b"x-forwarded-client-cert"})
"""What the proxy tells us, not the client."""

CERTIFICATE_HEADERS: Final = {"xfcc": b"x-forwarded-client-cert", "header": b"x-client-certificate"}
"""The header that holds the client's certificate, by the profile's `client_certificate`."""

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def covers(raw_path: bytes) -> bool:
    """Is this request for this door? `/ext_authz` and `/ext_authz/..`, but not `/ext_authzX`."""
    return raw_path.startswith(PREFIX) and raw_path[len(PREFIX) : len(PREFIX) + 1] in (b"", b"/")


def read(method: str, raw_path: bytes, raw_query: bytes, headers: Headers, client_certificate: str) -> Original:
    """The request that Envoy holds. Raises Refused."""
    if any(value.strip().lower() != b"false" for value in lines(headers, b"x-envoy-auth-partial-body")):
        raise Refused(Reason.BAD_REQUEST, "truncated-body")
    return Original(
        method,
        raw_path[len(PREFIX) :],
        raw_query,
        [each for each in headers if each[0] not in OURS],
        checked_host(lines(headers, b"host")),
        certificate_of(headers, client_certificate),
    )


def certificate_of(headers: Headers, client_certificate: str) -> bytes | None:
    """What the proxy says of the client's certificate, where its profile says that it says so. Raises Refused."""
    name = CERTIFICATE_HEADERS.get(client_certificate)
    shown = lines(headers, name) if name else ()
    if len(shown) > 1:
        raise Refused(Reason.UNAUTHENTICATED, "two-certificates")
    return shown[0] if shown and shown[0] else None


def answer(verdict: Verdict, headers: Headers) -> Answer:
    """Status, headers and body. `headers` are the client's: what of them could be taken for ours is removed."""
    if not verdict.opens:
        return verdict.status, verdict.denial_headers(), verdict.denial_body
    said = verdict.identity_headers()
    removed = (b"x-envoy-auth-headers-to-remove", b", ".join(forged(headers, said)))
    return verdict.status, [*said, removed, (b"cache-control", b"no-store")], b""
