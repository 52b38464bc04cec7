"""The raw path: refuse what is ambiguous, split, then decode. Nothing is normalised into something else.

Proxies, frameworks and file systems disagree about dot segments, empty segments, encoded slashes, matrix parameters,
double encoding and look-alikes. A request that two of them could read differently is refused here, so that what is
decided about is what the service behind the proxy acts upon.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category, normalize
from urllib.parse import unquote_to_bytes

MAX_TARGET_BYTES: Final = 16_384
MAX_SEGMENTS: Final = 64
MAX_PARAMETERS: Final = 64

# RFC 3986: pchar without `;`, every `%` with two hex digits behind it.
_SEGMENT: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,=:@]|%[0-9A-Fa-f]{2})*").fullmatch
_QUERY: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,=:@/?|]|%[0-9A-Fa-f]{2})*").fullmatch
_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9_~$!:@=,*\-][A-Za-z0-9_~$!:@=,*\-.]*(?<!\.))+").fullmatch
_FORBIDDEN_DECODED: Final = frozenset("/\\%;?#")
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})


class AmbiguousPath(Exception):
    """A request target that is refused. `kind` is a stable word for the record; it holds nothing of the path."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def segments(raw: bytes) -> tuple[str, ...]:
    """The decoded segments of an absolute raw path (no query). `/` has none. Raises AmbiguousPath."""
    if len(raw) > MAX_TARGET_BYTES:
        raise AmbiguousPath("too-long")
    if raw.count(b"/") > MAX_SEGMENTS:
        raise AmbiguousPath("too-many-segments")
    if _PLAIN(raw):  # Most paths: nothing encoded, no dots at the edges.
        return tuple(raw[1:].decode("ascii").split("/"))
    if not raw.startswith(b"/"):
        raise AmbiguousPath("not-absolute")
    if raw == b"/":
        return ()
    return tuple(_segment(each) for each in raw[1:].split(b"/"))


def _segment(raw: bytes) -> str:
    if not raw:
        raise AmbiguousPath("empty-segment")  # `//`, and a slash at the end
    if b";" in raw:
        raise AmbiguousPath("matrix-parameter")
    if b"\\" in raw:
        raise AmbiguousPath("backslash")
    if not _SEGMENT(raw):
        raise AmbiguousPath("malformed")
    text = _decoded(raw)
    if not text.strip("."):
        raise AmbiguousPath("dot-segment")
    if not _FORBIDDEN_DECODED.isdisjoint(text):
        raise AmbiguousPath("encoded-delimiter")  # also double encoding: a decoded `%`
    return text


def _decoded(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode("utf-8")  # strict: overlong forms and surrogates are refused
    except UnicodeDecodeError:
        raise AmbiguousPath("not-utf-8") from None
    if not text.isascii() and normalize("NFKC", text) != text:
        raise AmbiguousPath("not-normal")  # full-width slashes and dots, letters in two forms
    if not text.isprintable() and any(category(character) in _FORBIDDEN_CATEGORIES for character in text):
        raise AmbiguousPath("control-character")
    return text


def query_names(raw: bytes) -> frozenset[str]:
    """The names of a raw query, each once. Values are only checked to be well-formed. Raises AmbiguousPath.

    `a` and `a=` are the same name. `;`, which some servers take for `&`, is refused.
    """
    if not raw:
        return frozenset()
    if len(raw) > MAX_TARGET_BYTES:
        raise AmbiguousPath("too-long")
    if b";" in raw:
        raise AmbiguousPath("query-separator")
    if not _QUERY(raw):
        raise AmbiguousPath("malformed-query")
    parameters = raw.split(b"&")
    if len(parameters) > MAX_PARAMETERS:
        raise AmbiguousPath("too-many-parameters")
    names = [_parameter(each) for each in parameters]
    if len(set(names)) != len(names):
        raise AmbiguousPath("duplicate-parameter")
    return frozenset(names)


def _parameter(raw: bytes) -> str:
    name, _, value = raw.partition(b"=")
    if not name or b"+" in name:
        raise AmbiguousPath("malformed-query")
    _decoded(value)
    text = _decoded(name)
    if not {"&", "=", ";", "%", "#"}.isdisjoint(text):
        raise AmbiguousPath("encoded-delimiter")
    return text
