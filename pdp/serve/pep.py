"""Which enforcement point (PEP) is asking: by its shared secret, compared in constant time.

API doors take `Authorization: Bearer` or `x-pdp-secret`. Proxy doors take only `x-pdp-secret`, since `Authorization` is
there the client's own. A wrong secret never falls back to a profile without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from pdp.config import Profile

Headers = Sequence[tuple[bytes, bytes]]

AMBIGUOUS = b"\0"  # equal to no secret: a secret is visible ASCII


class Peps:
    """The profiles that may ask at one door."""

    def __init__(self, profiles: Sequence[Profile], door: str) -> None:
        here = [each for each in profiles if door in each.doors]
        self._open = next((each for each in here if each.secret is None), None)
        self._known = tuple((each.secret, each) for each in here if each.secret is not None)

    def of(self, secret: bytes | None) -> Profile | None:
        """The profile with this secret, or, without any secret, the one on loopback that has none."""
        if secret is None:
            return self._open
        found = None
        for known, profile in self._known:  # All of them, so that time tells nothing.
            if compare_digest(known, secret):
                found = profile
        return found


def api_secret(headers: Headers) -> bytes | None:
    """The secret a request to an API door carries; `AMBIGUOUS` for one given twice."""
    found = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, value = value.partition(b" ")
            value = value.strip() if scheme.lower() == b"bearer" else AMBIGUOUS
        elif name != b"x-pdp-secret":
            continue
        if found is not None and found != value:
            return AMBIGUOUS
        found = value
    return found


def proxy_secret(headers: Headers) -> bytes | None:
    """The secret a proxy has added; `AMBIGUOUS` where the client sent one too and the proxy did not replace it."""
    values = [value for name, value in headers if name == b"x-pdp-secret"]
    return None if not values else values[0] if len(values) == 1 else AMBIGUOUS
