"""`x-forwarded-client-cert`, as Envoy writes it, read strictly: what does not fit is refused, never "no certificate".

    header  = element *( "," element )
    element = pair *( ";" pair )
    pair    = key "=" value         ; By, Hash, Cert, Chain, Subject, URI, DNS, in any case
    value   = bare | DQUOTE quoted DQUOTE

Envoy quotes Cert, Chain and Subject; a backslash within quotes escapes exactly one character. It never quotes URI and
DNS, which hold whatever the client's certificate says: a SAN `spiffe://a/x;URI=spiffe://a/y` reads as two URIs, and a
SAN with a comma in it as two elements, of which a forger has written the last. That is why `sole` takes a header of
exactly one element, which is what a proxy with `forward_client_cert_details: SANITIZE_SET` sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 16_384
MAX_ELEMENTS: Final = 16
MAX_PAIRS: Final = 64

KEYS: Final = frozenset({"by", "hash", "cert", "chain", "subject", "uri", "dns"})
REPEATED: Final = frozenset({"by", "uri", "dns"})

# Visible ASCII, in quotes also blanks. Nothing in it can be matched in two ways, so it takes linear time.
_PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"|([!#-+\--:<>-\[\]-~]*))')
_ESCAPED: Final = re.compile(r"\\(.)")


class Malformed(ValueError):
    """Not a header that Envoy writes. Says nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class Element:
    """What one proxy said of the certificate of its peer. Keys are in lower case."""

    pairs: tuple[tuple[str, str], ...]

    def one(self, key: str) -> str:
        """The only value of a key, "" where there is none: Envoy writes `URI=` for a certificate without a URI.

        Raises Malformed for two pairs of it, whatever is in them.
        """
        values = [value for name, value in self.pairs if name == key]
        if len(values) > 1:
            raise Malformed("a key twice")
        return values[0] if values else ""


def sole(header: bytes) -> Element:
    """The header's only element. Raises Malformed, also for several elements: one of them is not our proxy's."""
    elements = parse(header)
    if len(elements) != 1:
        raise Malformed("several elements")
    return elements[0]


def parse(header: bytes) -> tuple[Element, ...]:
    """All elements, at least one, in order. Raises Malformed, and nothing else."""
    if len(header) > MAX_BYTES:
        raise Malformed("too long")
    try:
        text = header.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("not ASCII") from None
    elements: list[Element] = []
    pairs: list[tuple[str, str]] = []
    at = 0
    while True:
        found = _PAIR.match(text, at)
        if found is None:
            raise Malformed("not a pair")
        pairs.append(_pair(found, pairs))
        at = found.end()
        if at == len(text) or text[at] == ",":
            elements.append(Element(tuple(pairs)))
            pairs = []
        if at == len(text):
            return tuple(elements)
        if text[at] not in ",;" or len(elements) > MAX_ELEMENTS:
            raise Malformed("junk behind a value")
        at += 1


def _pair(found: re.Match[str], before: list[tuple[str, str]]) -> tuple[str, str]:
    key, quoted, bare = found[1].lower(), found[2], found[3]
    if key not in KEYS:
        raise Malformed("unknown key")
    if len(before) >= MAX_PAIRS or (key not in REPEATED and any(name == key for name, _ in before)):
        raise Malformed("a key too often")
    return key, bare if quoted is None else _ESCAPED.sub(r"\1", quoted)
