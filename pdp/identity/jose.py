"""A signed token (JWS, compact form), taken apart strictly and verified on exactly the bytes that were sent.

joserfc does the arithmetic. What stands before it here is what it lets pass (reference: RFC 8725): duplicate members,
odd Base64, headers that name their own key, other encodings than UTF-8, sizes. Nothing of a token is believed until
`verify` has returned.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from pdp.identity.caller import Unknown
from pdp.identity.jwk import Key
from pdp.model.request import RequestError, strict_json

MAX_TOKEN_BYTES: Final = 16_384
MAX_HEADER_BYTES: Final = 2_048
MAX_SIGNATURE_BYTES: Final = 1_024
MAX_KID: Final = 256
MAX_DEPTH: Final = 12

TOKEN_MEMBERS: Final = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})
"""What a token's header may hold. The thumbprints name a key a second time and are not read. All others are refused:
`jwk`, `jku`, `x5u` and `x5c` bring a key along, `crit` and `b64` change what is signed, `zip` and `cty` what it holds.
"""

_MODELS: Final = {**JWSRegistry.algorithms, "EdDSA": JWSRegistry.algorithms["Ed25519"]}


@dataclass(frozen=True, slots=True)
class Jws:
    """A token in its parts. Nothing of it is verified."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def parse(token: bytes, max_bytes: int = MAX_TOKEN_BYTES, members: frozenset[str] = TOKEN_MEMBERS) -> Jws:
    """The parts of a token. Raises Unknown, and nothing else, whatever the bytes."""
    if len(token) > max_bytes:
        raise Unknown("token-too-long")
    parts = token.split(b".", 3)
    if len(parts) != 3 or len(parts[0]) > MAX_HEADER_BYTES or len(parts[2]) > MAX_SIGNATURE_BYTES:
        raise Unknown("malformed-token")
    header = _object(unpadded(parts[0]))
    if not members.issuperset(header):
        raise Unknown("header-member")
    if not all(isinstance(header[name], str) for name in header if name != "jwk") or "alg" not in header:
        raise Unknown("malformed-token")
    if not 0 < len(header.get("kid", "-")) <= MAX_KID:
        raise Unknown("malformed-token")
    return Jws(header, _object(unpadded(parts[1])), token[: -len(parts[2]) - 1], unpadded(parts[2]))


def verify(jws: Jws, key: Key) -> None:
    """Return when the key made the signature; raise Unknown when it did not, or is not for that algorithm."""
    algorithm = jws.header["alg"]
    if algorithm not in key.algorithms:
        raise Unknown("algorithm")
    try:
        good = _MODELS[algorithm].verify(jws.signed, jws.signature, key.native)
    except (ValueError, JoseError) as error:
        raise Unknown("bad-signature") from error
    if good is not True:
        raise Unknown("bad-signature")


def unpadded(text: bytes) -> bytes:
    """Strict Base64url without padding: one text for one value, so that no token has a second spelling (the bits that
    are left over in the last character are zero). Raises Unknown.
    """
    try:
        value = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        raise Unknown("malformed-token") from None
    if not text or urlsafe_b64encode(value).rstrip(b"=") != text:
        raise Unknown("malformed-token")
    return value


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = strict_json(text, MAX_DEPTH)
    except RequestError:
        raise Unknown("malformed-token") from None
    if not isinstance(value, dict):
        raise Unknown("malformed-token")
    return value
