"""The registered claims of a token whose signature is good: is it for us, now, and of its issuer's kind?"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pdp.identity.caller import Unknown
from pdp.identity.issuer import Issuer

SECOND: Final = 1_000_000
MAX_TEXT: Final = 512
ACCESS_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
PLAIN_TYPES: Final = frozenset({"", "jwt", "application/jwt"})
OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash", "s_hash")
NOT_FOR_ACCESS: Final = frozenset({"id", "refresh", "offline", "logout"})
"""What some issuers write in a claim `typ` or `token_use` of tokens that open nothing."""


@dataclass(frozen=True, slots=True)
class Validity:
    """For how long a token holds, in microseconds: [since, until)."""

    since: int
    until: int


def accepted(issuer: Issuer, header: Mapping[str, Any], claims: Mapping[str, Any], now: int) -> Validity:
    """For how long a signed token of the issuer holds. Raises Unknown."""
    kind = str(header.get("typ", "")).lower()
    if claims.get("iss") != issuer.issuer or type(claims.get("iss")) is not str:
        raise Unknown("wrong-issuer")
    if kind in ACCESS_TYPES:  # RFC 9068 section 2.2
        _needed(claims, "client_id", "iat", "jti")
    elif issuer.kind == "access" or kind not in PLAIN_TYPES:
        raise Unknown("wrong-type")
    else:
        _no_other_token(claims)
    for_us(issuer, claims)
    return held(issuer, claims, now)


def for_us(issuer: Issuer, claims: Mapping[str, Any]) -> None:
    """`aud` names one of ours, as a text or in a list of texts. Raises Unknown."""
    named = claims.get("aud")
    audiences = [named] if isinstance(named, str) else named
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise Unknown("wrong-audience")
    if not issuer.audiences.intersection(audiences):
        raise Unknown("wrong-audience")


def held(issuer: Issuer, claims: Mapping[str, Any], now: int) -> Validity:
    """`exp` without leeway, since what is decided holds no longer; `nbf` and `iat` with it. Raises Unknown."""
    ends = whole(claims, "exp")
    if ends is None:
        raise Unknown("missing-claim")
    leeway = issuer.leeway_seconds
    begins = whole(claims, "nbf")
    issued = whole(claims, "iat")
    if now >= ends * SECOND:
        raise Unknown("expired")
    if any(each is not None and now < (each - leeway) * SECOND for each in (begins, issued)):
        raise Unknown("not-yet-valid")
    lifetime = ends - issued if issued is not None else ends - now // SECOND
    if lifetime > issuer.max_lifetime_seconds:
        raise Unknown("lifetime")
    earliest = max(each - leeway for each in (begins or 0, issued or 0))
    return Validity(earliest * SECOND, ends * SECOND)


def whole(claims: Mapping[str, Any], name: str) -> int | None:
    """A time in seconds: a whole number, never `true`, a fraction or a text. Raises Unknown."""
    value = claims.get(name)
    if name not in claims:
        return None
    if type(value) is not int or not 0 <= value < 2**40:
        raise Unknown("malformed-claims")
    return value


def identifier(claims: Mapping[str, Any], name: str) -> str:
    """A text of 1 to 512 characters in NFC, without NUL; "" where there is none. Raises Unknown."""
    if name not in claims:
        return ""
    return identifying(claims[name])


def identifying(value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= MAX_TEXT or "\0" in value:
        raise Unknown("malformed-claims")
    if not value.isascii() and not unicodedata.is_normalized("NFC", value):
        raise Unknown("malformed-claims")
    return value


def _needed(claims: Mapping[str, Any], *names: str) -> None:
    if any(name not in claims for name in names):
        raise Unknown("missing-claim")


def _no_other_token(claims: Mapping[str, Any]) -> None:
    """A JWT that does not say that it is an access token must at least not look like something else."""
    if any(name in claims for name in (*OF_ID_TOKENS, "events")):
        raise Unknown("wrong-type")
    for_access(claims)


def for_access(claims: Mapping[str, Any]) -> None:
    """Nothing that its issuer calls a token of another kind. Raises Unknown."""
    for name in ("typ", "token_use"):
        said = claims.get(name)
        if isinstance(said, str) and said.lower() in NOT_FOR_ACCESS:
            raise Unknown("wrong-type")
