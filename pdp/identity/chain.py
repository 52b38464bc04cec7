"""Is a leaf signed by one of these roots, directly or by these intermediates, now?

Building the path, and its rules (validity, constraints of authorities, length, name constraints, sound keys and
signatures), are those of `cryptography.x509.verification`; what a leaf says is judged in `certificate`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

MAX_INTERMEDIATES: Final = 3
MAX_FILE_BYTES: Final = 1_048_576
MAX_KEPT: Final = 4_096
CLIENTS: Final = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
UNFIT: Final = (
    "must hold certificates of authorities alone: with the key usage `keyCertSign`, a key of RSA (2048 bits at least)"
    " or of an elliptic curve (P-256, P-384, P-521), for clients where they state purposes, without constraints on URIs"
)

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def authorities(pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a file of authorities, as DER. Raises ValueError with what is wrong, also for a leaf."""
    blocks = _BLOCK.findall(pem) if len(pem) <= MAX_FILE_BYTES else []
    if not blocks or len(blocks) != pem.count(b"-----BEGIN"):
        raise ValueError("must hold certificates (PEM), and nothing else")
    return tuple(map(_authority, blocks))


def _authority(block: bytes) -> bytes:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        sound = _signs_clients(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension):
        raise ValueError("must hold certificates that can be read") from None
    if not sound:
        raise ValueError(UNFIT)
    return certificate.public_bytes(Encoding.DER)


def _signs_clients(certificate: x509.Certificate) -> bool:
    """What the verification will ask for: said at start, rather than by refusing every client."""
    extensions = {type(each.value): each.value for each in certificate.extensions}
    constraints, usage = extensions.get(x509.BasicConstraints), extensions.get(x509.KeyUsage)
    purposes, names = extensions.get(x509.ExtendedKeyUsage), extensions.get(x509.NameConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        return False
    if not isinstance(usage, x509.KeyUsage) or not usage.key_cert_sign:
        return False
    if isinstance(purposes, x509.ExtendedKeyUsage) and not any(each in CLIENTS for each in purposes):
        return False
    if isinstance(names, x509.NameConstraints):
        limits = [*(names.permitted_subtrees or ()), *(names.excluded_subtrees or ())]
        if any(isinstance(each, x509.UniformResourceIdentifier) for each in limits):
            return False
    key = certificate.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2_048)


def valid_until(leaf: bytes, roots: tuple[bytes, ...], intermediates: tuple[bytes, ...], now: int) -> int:
    """Until when (microseconds) the chain that was found holds; 0 where none holds now."""
    kept = _kept(leaf, roots, intermediates)
    for begins, ends in kept:
        if begins <= now <= ends:
            return ends
    found = _chain(leaf, roots, intermediates, now)
    if not found:
        return 0
    span = (max(microseconds(each.not_valid_before_utc) for each in found), _end(found))
    kept[:] = [span]
    return span[1]


@lru_cache(maxsize=MAX_KEPT)
def _kept(
    leaf: bytes,  # noqa: ARG001
    roots: tuple[bytes, ...],  # noqa: ARG001
    intermediates: tuple[bytes, ...],  # noqa: ARG001
) -> list[tuple[int, int]]:
    """Where the span of the last chain found is kept: verifying signatures at each request costs more than deciding."""
    return []


def _chain(leaf: bytes, roots: tuple[bytes, ...], intermediates: tuple[bytes, ...], now: int) -> list[x509.Certificate]:
    """From the leaf to the root, all valid now; empty where there is none."""
    builder = verification.PolicyBuilder().store(_store(roots)).max_chain_depth(MAX_INTERMEDIATES)
    builder = builder.time(datetime.fromtimestamp(now // 1_000_000, UTC))
    builder = builder.extension_policies(
        ca_policy=verification.ExtensionPolicy.webpki_defaults_ca(),
        ee_policy=verification.ExtensionPolicy.permit_all(),
    )
    between = [x509.load_der_x509_certificate(each) for each in intermediates]
    try:
        return list(builder.build_client_verifier().verify(x509.load_der_x509_certificate(leaf), between).chain)
    except verification.VerificationError:
        return []


def _end(chain: list[x509.Certificate]) -> int:
    return min(microseconds(each.not_valid_after_utc) for each in chain)


@lru_cache(maxsize=256)
def _store(roots: tuple[bytes, ...]) -> verification.Store:
    return verification.Store([x509.load_der_x509_certificate(each) for each in roots])


def microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
