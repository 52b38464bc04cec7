"""Page tokens: where a search goes on. Nobody can make one, alter one, or use it for anything but its own search. Pure.

A token is a position, sealed with the key that the workers of one start share. The seal covers the request, the
enforcement point that asked and the policy set, so the token says nothing and is worth nothing anywhere else. Its
content is hidden as well: a position tells how many entities lie between two results, of which the caller may know
nothing. (The construction is SIV: the seal, an HMAC over all of it, is the nonce that the content is hidden with. It
needs no source of randomness, and without the key nothing can be told from a token but its length.)
"""

from __future__ import annotations

import json
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any, Final

from pdp.model.request import RequestError

FIELD: Final = "page.token"
SEAL_BYTES: Final = 32
NO_LIMIT: Final = 2**32 - 1
_CONTENT: Final = struct.Struct(">QIQ8s")  # position, limit, expiry, the policy set; shorter than one SHA-256
_WRITTEN: Final = re.compile(r"[A-Za-z0-9_-]{80}").fullmatch  # 60 bytes: one way to write each, and no padding


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins. `limit` as the first page was asked for, None where it said nothing."""

    position: int
    limit: int | None
    expires: int  # microseconds since the epoch


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token is for: this question of this enforcement point, under this policy set and data."""

    question: bytes
    pep: str
    program_digest: str
    data_revision: str


def question(kind: str, payload: Mapping[str, Any]) -> bytes:
    """The digest of all that was asked, but for `page.token` and `page.limit`, however the JSON was written."""
    page = payload.get("page")
    rest = {name: value for name, value in payload.items() if name != "page"}
    if isinstance(page, dict):
        rest["page"] = {name: value for name, value in page.items() if name not in ("token", "limit")} or None
    said = {name: value for name, value in rest.items() if value is not None}
    written = json.dumps([kind, said], sort_keys=True, separators=(",", ":"), default=_fraction)
    return sha256(written.encode("ascii")).digest()


def _fraction(number: object) -> str:
    """A number that is no integer, as a text that no request can hold: a lone surrogate is refused (`strict_json`)."""
    return f"\ud800{number}"


def token(key: bytes, place: Place, bound: Bound) -> str:
    limit = NO_LIMIT if place.limit is None else place.limit
    content = _CONTENT.pack(place.position, limit, place.expires, _policy_set(bound))
    seal = _seal(key, content, bound)
    return urlsafe_b64encode(seal + _hidden(key, seal, content)).decode("ascii")


def place(key: bytes, text: str, bound: Bound, now: int) -> Place:
    """The place that a token names. Raises RequestError for any but a token of ours, for this question, in time."""
    if not _WRITTEN(text):
        raise RequestError("is not a token of this service", FIELD)
    raw = urlsafe_b64decode(text)
    seal, hidden = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
    content = _hidden(key, seal, hidden)
    if not compare_digest(seal, _seal(key, content, bound)):
        raise RequestError("is not a token for this request", FIELD)
    position, limit, expires, policy_set = _CONTENT.unpack(content)
    if policy_set != _policy_set(bound):
        raise RequestError("the policies or the data have changed since; start again without a token", FIELD)
    if not now < expires:
        raise RequestError("has expired; start again without a token", FIELD)
    return Place(position, None if limit == NO_LIMIT else limit, expires)


def _seal(key: bytes, content: bytes, bound: Bound) -> bytes:
    pep = bound.pep.encode("utf-8", "surrogatepass")
    return digest(key, b"page seal\0" + content + bound.question + pep, "sha256")


def _hidden(key: bytes, seal: bytes, content: bytes) -> bytes:
    """Hides what is shown, and shows what is hidden."""
    stream = digest(key, b"page hide\0" + seal, "sha256")
    return bytes(one ^ other for one, other in zip(content, stream, strict=False))


def _policy_set(bound: Bound) -> bytes:
    return sha256(f"{bound.program_digest}\0{bound.data_revision}".encode()).digest()[:8]
