"""One public key (JWK, RFC 7517), read strictly: what it is for is known before anything is verified with it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES: Final = {
    "P-256": ("EC", 32, frozenset({"ES256"})),
    "P-384": ("EC", 48, frozenset({"ES384"})),
    "P-521": ("EC", 66, frozenset({"ES512"})),
    "Ed25519": ("OKP", 32, frozenset({"EdDSA", "Ed25519"})),
}
"""Key type, bytes of a coordinate, algorithms."""

RSA_BITS: Final = (2_048, 8_192)
MAX_EXPONENT: Final = 2**32
MAX_KID: Final = 256
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_SAME: Final = {"EdDSA": frozenset({"EdDSA", "Ed25519"}), "Ed25519": frozenset({"EdDSA", "Ed25519"})}


class KeyRefused(Exception):
    """A key that is not used. The message says why, and holds nothing of the key."""


class AnotherKey(KeyRefused):
    """A key, but not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms that it may verify."""

    kid: str  # "": it has none
    algorithms: frozenset[str]
    thumbprint: str  # RFC 7638, SHA-256
    native: Any  # joserfc's


def key(jwk: object, use: str = "sig", only: str = "") -> Key:
    """The key of a JWK. `use`: what it must be for; "sig" also where it does not say. `only`: its thumbprint, where no
    other key is of interest; then a stranger cannot choose what is computed with. Raises KeyRefused.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRefused("a key is an object")
    if PRIVATE & jwk.keys() or jwk.get("kty") == "oct":
        raise KeyRefused("a private or symmetric key")
    said = jwk.get("use", "sig" if use == "sig" else None)
    operations = jwk.get("key_ops", ["verify"])
    if said != use or not isinstance(operations, list) or "verify" not in operations:
        raise KeyRefused("not for signatures")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID:
        raise KeyRefused("`kid` must be a text")
    members, algorithms = _rsa(jwk) if jwk.get("kty") == "RSA" else _curve(jwk)
    if "alg" in jwk:
        named = jwk["alg"]
        algorithms &= _SAME.get(named, frozenset({named})) if isinstance(named, str) else frozenset()
    if not algorithms:
        raise KeyRefused("for another algorithm")
    thumbprint = _thumbprint(members)
    if only and thumbprint != only:
        raise AnotherKey("another key")
    return Key(kid, algorithms, thumbprint, _native(members))


def _rsa(jwk: Mapping[str, Any]) -> tuple[dict[str, str], frozenset[str]]:
    modulus, exponent = (int.from_bytes(_value(jwk, name)) for name in ("n", "e"))
    if not RSA_BITS[0] <= modulus.bit_length() <= RSA_BITS[1]:
        raise KeyRefused(f"an RSA key of other than {RSA_BITS[0]} to {RSA_BITS[1]} bits")
    if not 3 <= exponent < MAX_EXPONENT or not exponent & 1:
        raise KeyRefused("an RSA exponent that nobody uses")
    return {"e": jwk["e"], "kty": "RSA", "n": jwk["n"]}, RSA_ALGORITHMS


def _curve(jwk: Mapping[str, Any]) -> tuple[dict[str, str], frozenset[str]]:
    name = jwk.get("crv")
    kty, size, algorithms = CURVES.get(name, ("", 0, frozenset())) if isinstance(name, str) else ("", 0, frozenset())
    if not kty or jwk.get("kty") != kty:
        raise KeyRefused("a key type or a curve that is not used here")
    coordinates = ("x", "y") if kty == "EC" else ("x",)
    if any(len(_value(jwk, each)) != size for each in coordinates):
        raise KeyRefused("a coordinate of the wrong length")
    return {"crv": str(name), "kty": kty, **{each: jwk[each] for each in coordinates}}, algorithms


def _value(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not text.isascii() or len(text) > 2_048:
        raise KeyRefused(f"`{name}` must be Base64url")
    try:
        value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise KeyRefused(f"`{name}` must be Base64url") from None
    if urlsafe_b64encode(value).rstrip(b"=").decode() != text:
        raise KeyRefused(f"`{name}` must be Base64url")
    return value


def _thumbprint(members: Mapping[str, str]) -> str:
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return urlsafe_b64encode(sha256(canonical).digest()).rstrip(b"=").decode("ascii")


def _native(members: dict[str, str]) -> Any:
    importers: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    importer = importers[members["kty"]]
    try:
        native = importer.import_key(dict(members))
        assert native.public_key is not None  # Where joserfc makes it late, it is made here: off the curve is an error.
    except (ValueError, JoseError, TypeError) as error:
        raise KeyRefused("not a key") from error
    return native
