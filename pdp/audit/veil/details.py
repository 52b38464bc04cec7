"""What a record hides: its detail, encrypted with the key of its day (AES-256-GCM).

The nonce is random; the id, the kind and the part of the record are authenticated with it, so that no detail opens
under another record.

    {"kid": "20261121-1a2b3c4d", "c": base64(nonce of 12 bytes || ciphertext || tag of 16 bytes)}
"""

from __future__ import annotations

import os
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES: Final = 12


class Damaged(Exception):
    """It is not what was written under this key into this record."""


def bound(identifier: str, kind: str, part: int = 0) -> bytes:
    """What ties a detail to its record. Raises ValueError for what is no text."""
    return f"{identifier}\0{kind}\0{part or ''}".encode()


def sealed(cipher: AESGCM, kid: str, plain: bytes, record: bytes) -> dict[str, str]:
    """`record`: as of `bound`."""
    nonce = os.urandom(NONCE_BYTES)
    return {"kid": kid, "c": b2a_base64(nonce + cipher.encrypt(nonce, plain, record), newline=False).decode("ascii")}


def opened(cipher: AESGCM, members: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of a record. Raises Damaged."""
    try:
        data = a2b_base64(members["detail"]["c"], strict_mode=True)
        record = bound(str(members.get("id", "")), str(members.get("kind", "")), members.get("part", 0))
        found = orjson.loads(cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], record))
    except (InvalidTag, Error, ValueError, KeyError, TypeError) as error:
        raise Damaged from error
    if not isinstance(found, dict):
        raise Damaged
    return found
