"""How proxies name the request that they hold back: one row for each convention that a profile may choose.

Every header of every row can be sent by a client too. So a row counts only for a profile that chose it, whose proxy
replaces what the client sent; what stands in the headers of another row may agree, and is a deny where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ORIGINAL: Final = (b"x-original-method", b"x-original-uri", b"x-original-host")
FORWARDED: Final = (b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host")
METHODS: Final = frozenset({b"x-original-method", b"x-forwarded-method"})
TARGETS: Final = frozenset({b"x-original-uri", b"x-forwarded-uri", b"x-original-url", b"x-rewrite-url"})
HOSTS: Final = frozenset({b"x-original-host", b"x-forwarded-host"})
"""Every header that some proxy names a method, a target or a host in, or that some server takes it from."""


@dataclass(frozen=True, slots=True)
class Convention:
    """Which headers hold what, and which statuses of a deny the proxy hands on as they are."""

    method: bytes
    target: bytes  # in origin form, as the client sent it
    host: bytes
    beside: frozenset[bytes] = frozenset()  # what the proxy adds of its own accord, besides
    statuses: frozenset[int] = frozenset({401, 403, 429})


_NOTED: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-server"})

CONVENTIONS: Final[Mapping[str, Convention]] = {
    # auth_request knows 401 and 403; anything else that is not 2xx becomes 500.
    "nginx": Convention(*ORIGINAL, statuses=frozenset({401, 403})),
    "haproxy": Convention(*ORIGINAL),
    "traefik": Convention(*FORWARDED, beside=_NOTED | {b"x-real-ip"}),
    "caddy": Convention(*FORWARDED, beside=_NOTED),
    "apisix": Convention(*FORWARDED, beside=_NOTED),
}
