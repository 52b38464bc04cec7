"""One name of a person or a thing that says nothing of them, the same for as long as a key is in use.

p<key epoch>-<26 characters>    HMAC-SHA256(key of the epoch, type || 0x00 || id), the first 128 bits in base32
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable
from functools import lru_cache
from hmac import digest
from typing import Final

KEPT: Final = 16_384
"""Names that are remembered. Most of what is asked about is asked about again."""
MAX_KEPT: Final = 128
"""Characters of an id that is remembered; what is longer is worked out each time."""
BYTES: Final = 16

Name = Callable[[str, str], str]
"""Type and id to the pseudonym. Raises ValueError for what is no text (a lone surrogate)."""


def pseudonyms(epoch: int, key: bytes) -> Name:
    """Those of one key. Safe for threads."""

    def made(kind: str, identifier: str) -> str:
        said = b"%s\0%s" % (kind.replace("\0", "\ufffd").encode(), identifier.encode())
        return f"p{epoch}-{b32encode(digest(key, said, 'sha256')[:BYTES]).decode('ascii').rstrip('=').lower()}"

    known = lru_cache(KEPT)(made)

    def name(kind: str, identifier: str) -> str:
        return (
            known(kind, identifier) if len(identifier) <= MAX_KEPT and len(kind) <= MAX_KEPT else made(kind, identifier)
        )

    return name
