"""The one token of a request: exactly one `Authorization` line, its scheme, and the text behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NoReturn

from pdp.identity.caller import Unknown

_CREDENTIALS: Final = re.compile(rb"([A-Za-z]+) ([A-Za-z0-9._~+/-]+=*)").fullmatch
"""RFC 6750 section 2.1. No comma: proxies join two lines to "a,b", and two tokens are none."""

BEARER: Final = "bearer"
DPOP: Final = "dpop"

DPOP_ALGORITHMS: Final = frozenset({"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256"})
_ALGS: Final = " ".join(sorted(DPOP_ALGORITHMS)).encode("ascii")

UNREADABLE: Final = frozenset({"several-authorizations", "malformed-authorization", "unsupported-scheme"})


def credentials(lines: Sequence[bytes]) -> tuple[str, bytes]:
    """The scheme, BEARER or DPOP, and the token. Raises Unknown."""
    if len(lines) != 1:
        raise Unknown("several-authorizations")
    found = _CREDENTIALS(lines[0])
    if found is None:
        raise Unknown("several-authorizations" if b"," in lines[0] else "malformed-authorization")
    scheme = found[1].decode("ascii").lower()
    if scheme not in (BEARER, DPOP):
        raise Unknown("unsupported-scheme")
    return scheme, found[2]


def refuse(unknown: Unknown, scheme: str, with_dpop: bool) -> NoReturn:
    """Raise it again, with a challenge (RFC 6750 section 3, RFC 9449 section 7.1). It tells which part to mend, the
    token or the proof, and nothing about why: that is in the record.
    """
    if unknown.kind in UNREADABLE:
        challenge = b'Bearer error="invalid_request"'
    elif unknown.kind.startswith("dpop-"):
        challenge = b'DPoP error="invalid_dpop_proof", algs="' + _ALGS + b'"'
    elif scheme == DPOP or with_dpop:
        challenge = b'DPoP error="invalid_token", algs="' + _ALGS + b'"'
    else:
        challenge = b'Bearer error="invalid_token"'
    raise Unknown(unknown.kind, challenge, unknown.suspect) from unknown
