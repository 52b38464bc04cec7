"""SPIFFE: identities, the trust domains that count here, and which subject an identity is.

A trust domain counts when it is on the list, exactly: no prefix, no suffix, no folding of case. An identity of a listed
domain is a subject only where its path fits one of the domain's patterns. (SPIFFE-ID 2; JWT-SVID 2 to 4.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from pdp.identity.caller import Caller, Unknown

SCHEME: Final = "spiffe://"
MAX_BYTES: Final = 2_048
MAX_DOMAIN_BYTES: Final = 255
SUBJECT_IDS: Final = ("spiffe-id", "path", "last-segment")
ANY_SEGMENT: Final = "*"

SVID_ALGORITHMS: Final = frozenset(f"{family}{size}" for family in ("RS", "ES", "PS") for size in (256, 384, 512))
SVID_HEADERS: Final = frozenset({"alg", "kid", "typ"})
SVID_TYPES: Final = ("JWT", "JOSE")
LAST_SECOND: Final = 253_402_300_799  # the end of the year 9999

_DOMAIN: Final = re.compile(r"[a-z0-9._-]+").fullmatch
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_BEARER: Final = b'Bearer error="invalid_token"'


class NotSpiffe(ValueError):
    """Not a SPIFFE ID. Holds nothing of the text."""


@dataclass(frozen=True, slots=True)
class SpiffeId:
    trust_domain: str
    path: str  # "" or "/a/b"

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.path.split("/")[1:])

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}{self.path}"


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """A trust domain that counts: who its members are here."""

    name: str
    subject_type: str  # wire name
    paths: tuple[tuple[str, ...], ...]  # patterns by segment; ANY_SEGMENT stands for one whole segment
    subject_id: str = SUBJECT_IDS[0]  # one of SUBJECT_IDS: what of the identity names the subject
    # DER. Where there are roots, a leaf has to be theirs, directly or by these intermediates; where there are none,
    # whoever terminated TLS has verified the chain, and nobody else did.
    roots: tuple[bytes, ...] = ()
    intermediates: tuple[bytes, ...] = ()

    def covers(self, identity: SpiffeId) -> bool:
        """Is it one of our members? Segments are compared whole."""
        segments = identity.segments
        return identity.trust_domain == self.name and any(
            len(pattern) == len(segments)
            and all(each in (ANY_SEGMENT, segment) for each, segment in zip(pattern, segments, strict=True))
            for pattern in self.paths
        )


TrustDomains = Mapping[str, TrustDomain]
"""By name."""


def parse(text: str) -> SpiffeId:
    """Raises NotSpiffe, and nothing else: for a port, userinfo, a query, a fragment, anything encoded, a dot segment,
    an empty one, a slash at the end, capitals in the scheme or the trust domain.
    """
    if len(text) > MAX_BYTES or not text.startswith(SCHEME):
        raise NotSpiffe("not a spiffe:// URI")
    name, slash, rest = text[len(SCHEME) :].partition("/")
    if not is_trust_domain(name):
        raise NotSpiffe("not a trust domain")
    if slash and not all(map(is_segment, rest.split("/"))):
        raise NotSpiffe("not a path")
    return SpiffeId(name, slash + rest)


def is_trust_domain(text: str) -> bool:
    return len(text) <= MAX_DOMAIN_BYTES and _DOMAIN(text) is not None


def is_segment(text: str) -> bool:
    return _SEGMENT(text) is not None and text not in (".", "..")


def subject(identity: SpiffeId, domains: TrustDomains) -> tuple[str, str]:
    """The wire type and the identifier of the subject that the identity is. Raises Unknown."""
    domain = domains.get(identity.trust_domain)
    if domain is None:
        raise Unknown("unknown-trust-domain")
    if not domain.covers(identity):
        raise Unknown("spiffe-id-is-nobody")
    match domain.subject_id:
        case "path":
            return domain.subject_type, identity.path
        case "last-segment":
            return domain.subject_type, identity.segments[-1]
        case _:
            return domain.subject_type, str(identity)


def said(identity: SpiffeId) -> dict[str, Any]:
    """What a place may tell of an identity: attributes by name."""
    return {"spiffe_id": str(identity), "trust_domain": identity.trust_domain, "path": identity.path}


# --------------------------------------------------------------------------------------------------------- JWT-SVIDs


def jwt_svid_domain(header: Mapping[str, Any], claims: Mapping[str, Any], domains: TrustDomains) -> TrustDomain:
    """Whose keys (of use `jwt-svid`) have to verify it, before anything else of it is believed. Raises Unknown.

    Checks what needs no key: the algorithm, no header but those of a JWT-SVID, a subject of a listed trust domain.
    """
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in SVID_ALGORITHMS or not set(header) <= SVID_HEADERS:
        _refuse("malformed-svid")
    if "typ" in header and header["typ"] not in SVID_TYPES:
        _refuse("wrong-token-type")
    if "kid" in header and not (isinstance(header["kid"], str) and header["kid"]):
        _refuse("malformed-svid")
    domain = domains.get(_subject(claims).trust_domain)
    if domain is None:
        _refuse("unknown-trust-domain")
    return domain


def jwt_svid(
    header: Mapping[str, Any],
    claims: Mapping[str, Any],
    domains: TrustDomains,
    now: int,
    audiences: Collection[str],
    leeway_seconds: int,
) -> Caller:
    """The caller that a JWT-SVID names. Its signature was verified with the keys of `jwt_svid_domain`, and its JSON
    read strictly. `now` in microseconds. Raises Unknown.
    """
    jwt_svid_domain(header, claims, domains)
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        _refuse("malformed-svid")
    if not set(named) & set(audiences):
        _refuse("wrong-audience")
    leeway = leeway_seconds * 1_000_000
    expires, begins, issued = _time(claims, "exp"), _time(claims, "nbf", 0), _time(claims, "iat", 0)
    if now >= expires + leeway:
        _refuse("expired-token")
    if now < max(begins, issued) - leeway:
        _refuse("token-not-yet-valid")
    identity = _subject(claims)
    try:
        subject_type, subject_id = subject(identity, domains)
    except Unknown as unknown:
        _refuse(unknown.kind)
    return Caller(
        subject_type,
        subject_id,
        "token",
        token=said(identity),
        issuer=identity.trust_domain,
        client=str(identity),
        token_id=_text(claims, "jti"),
        issued=issued,
        authenticated=issued,
        expires=expires + leeway,
    )


def _subject(claims: Mapping[str, Any]) -> SpiffeId:
    try:
        return parse(_text(claims, "sub"))
    except NotSpiffe:
        _refuse("malformed-svid")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) else _refuse("malformed-svid")


def _time(claims: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """Microseconds. A number that is no whole one, or out of range, is none; so is an absent one without a default."""
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LAST_SECOND:
        _refuse("malformed-svid")
    return int(value) * 1_000_000


def _refuse(kind: str) -> NoReturn:
    raise Unknown(kind, _BEARER)
