"""Tokens that were verified, by the hash of the whole token (DESIGN 5). A hit saves the signature, never a check that
depends on the request: whose token counts, what it is bound to, whether it was revoked are judged each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from cachetools import FIFOCache

from pdp.identity.caller import Caller
from pdp.identity.issuer import Issuer

MAX_TOKENS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token says, from `since` and before `until` (microseconds), under the keys that proved it."""

    issuer: Issuer
    caller: Caller
    bound: Mapping[str, str]
    since: int
    until: int
    keys: object = None  # the key set that was in force; compared by identity


class TokenCache:
    """Safe for threads: a hit only reads. One cache belongs to one configuration of issuers."""

    def __init__(self, size: int = MAX_TOKENS) -> None:
        self._kept: FIFOCache[bytes, Verified] = FIFOCache(size)
        self._lock = Lock()

    def get(self, digest: bytes, now: int) -> Verified | None:
        try:
            found = self._kept[digest]  # Not `get`, which looks twice: another thread may push it out in between.
        except KeyError:
            return None
        return found if found.since <= now < found.until else None

    def put(self, digest: bytes, verified: Verified) -> None:
        with self._lock:
            self._kept[digest] = verified

    def drop(self, digest: bytes) -> None:
        with self._lock:
            self._kept.pop(digest, None)
