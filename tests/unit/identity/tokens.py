"""Real keys and signatures for tests: an issuer's key set, tokens as its provider would sign them, and forged ones."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.x509.oid import NameOID

from pdp.identity.identify import Identify
from pdp.identity.issuer import Issuer, KeySource

SECOND = 1_000_000
NOW_SECONDS = 1_780_000_000
NOW = NOW_SECONDS * SECOND
ISSUER = "https://idp.hospital.example"
AUDIENCE = "https://ehr.hospital.example"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A private key, its public JWK, and signatures by it."""

    def __init__(self, algorithm: str, kid: str | None) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.private: Any
        if algorithm in ("RS256", "PS256"):
            self.private = rsa.generate_private_key(65537, 2048)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == "ES384":
            self.private = ec.generate_private_key(ec.SECP384R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    @property
    def public(self) -> dict[str, Any]:
        """The bare members."""
        key = self.private.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            return {"kty": "RSA", "n": b64(numbers.n.to_bytes(256)), "e": "AQAB"}
        if isinstance(key, ec.EllipticCurvePublicKey):
            point, size = key.public_numbers(), (key.key_size + 7) // 8
            curve = f"P-{key.key_size}"
            return {"kty": "EC", "crv": curve, "x": b64(point.x.to_bytes(size)), "y": b64(point.y.to_bytes(size))}
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}

    @property
    def thumbprint(self) -> str:
        """RFC 7638."""
        return b64(hashlib.sha256(json.dumps(self.public, sort_keys=True, separators=(",", ":")).encode()).digest())

    def jwk(self, **more: Any) -> dict[str, Any]:
        named = {} if self.kid is None else {"kid": self.kid}
        return {**self.public, **named, "use": "sig", "alg": self.algorithm, **more}

    def sign(self, message: bytes, algorithm: str = "") -> bytes:
        algorithm = algorithm or self.algorithm
        if algorithm == "RS256":
            return bytes(self.private.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        if algorithm == "PS256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            return bytes(self.private.sign(message, pss, hashes.SHA256()))
        if algorithm.startswith("ES"):
            hashed, size = (hashes.SHA384(), 48) if algorithm == "ES384" else (hashes.SHA256(), 32)
            r, s = utils.decode_dss_signature(self.private.sign(message, ec.ECDSA(hashed)))
            return bytes(r.to_bytes(size) + s.to_bytes(size))
        return bytes(self.private.sign(message))


def signer(algorithm: str = "ES256", kid: str | None = "k1") -> Signer:
    """The same one for the same names."""
    return _signer(algorithm, kid)


_signer = lru_cache(maxsize=None)(Signer)


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good access token. None leaves one out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "dora",
        "client_id": "portal",
        "jti": "t-1",
        "iat": NOW_SECONDS - 10,
        "exp": NOW_SECONDS + 300,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def assemble(
    header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, by: Signer, algorithm: str = ""
) -> bytes:
    """A token with exactly this header and payload, signed."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)]
    signed = ".".join(map(b64, parts)).encode()
    return signed + b"." + b64(by.sign(signed, algorithm)).encode()


def token(by: Signer | None = None, header: Mapping[str, Any] | None = None, **changed: Any) -> bytes:
    """A good access token with changes: of claims by name, of the header by `header` (None leaves a member out)."""
    by = by or signer()
    kid = {} if by.kid is None else {"kid": by.kid}
    full = {"alg": by.algorithm, "typ": "at+jwt", **kid, **(header or {})}
    return assemble({name: value for name, value in full.items() if value is not None}, claims(**changed), by)


def issuer(*signers: Signer, **settings: Any) -> Issuer:
    """An issuer with the keys of these signers in line."""
    keys = KeySource(inline=tuple(each.jwk() for each in signers or (signer(),)))
    usual: dict[str, Any] = {"audiences": frozenset({AUDIENCE}), "keys": keys}
    return Issuer("idp", ISSUER, **{**usual, **settings})


def identify(*signers: Signer, **settings: Any) -> Identify:
    return Identify([issuer(*signers, **settings)])


@lru_cache(maxsize=8)
def certificate(uri: str = "spiffe://hospital.example/portal") -> bytes:
    """DER of a client certificate that is valid now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.fromtimestamp(NOW_SECONDS, datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def x5t(der: bytes) -> str:
    return b64(hashlib.sha256(der).digest())


def proof(by: Signer, access: bytes, header: Mapping[str, Any] | None = None, **changed: Any) -> bytes:
    """A DPoP proof for a GET of the record, with changes; None leaves a claim or a member out."""
    good = {
        "jti": "p-1",
        "htm": "GET",
        "htu": AUDIENCE + "/fhir/Record/r1",
        "iat": NOW_SECONDS,
        "ath": b64(hashlib.sha256(access).digest()),
    }
    full = {"typ": "dpop+jwt", "alg": by.algorithm, "jwk": by.public, **(header or {})}
    return assemble(
        {name: value for name, value in full.items() if value is not None},
        {name: value for name, value in {**good, **changed}.items() if value is not None},
        by,
    )
