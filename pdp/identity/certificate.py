"""The certificate of a client, as a proxy passes it on: from its spelling to a leaf, and from the leaf to a peer.

The proxy's handshake has proven that the client holds the key, and verified the chain. Here it is judged once more what
the leaf says: that it is valid now, no authority's, for clients; and whom it names. Only a SPIFFE ID names anybody, as
the only URI among the alternative names, in a trust domain that is listed. A DNS name, however it looks, and the common
name are never an identity.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509

from pdp.identity import spiffe, xfcc
from pdp.identity.caller import FOREVER, Caller, Unknown
from pdp.identity.chain import CLIENTS, microseconds, valid_until
from pdp.identity.spiffe import NotSpiffe, SpiffeId, TrustDomains

MAX_BYTES: Final = 16_384
KINDS: Final = ("none", "peer", "xfcc", "header")
"""Where a proxy says which certificate it has verified: as in a profile's `client_certificate`."""

MALFORMED: Final = "malformed-certificate"

_ENCODED: Final = re.compile(rb"(?:[ -$&-~]|%[0-9A-Fa-f]{2})+").fullmatch  # HAProxy leaves the blanks of the labels
_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n?([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----(?:\r?\n)?"
).fullmatch
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}").fullmatch
_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}").fullmatch
_NAME: Final = re.compile(r"[!-~]+").fullmatch


@dataclass(frozen=True, slots=True)
class Peer:
    """Whose certificate it is. `spiffe_id` is empty where the certificate identifies nobody here."""

    spiffe_id: str
    trust_domain: str
    attributes: Mapping[str, Any]  # what `from certificate` attributes are read from, by name
    expires: int  # microseconds


# ------------------------------------------------------------------------------------------- from a header to the leaf


def leaf(kind: str, value: bytes | None) -> bytes | None:
    """The DER of the client's certificate; None where its client showed none. `kind`: one of KINDS.

    Raises Unknown for anything else than exactly one certificate, spelled as the kind spells it.
    """
    return None if value is None or kind == "none" else _leaf(kind, value)


@lru_cache(maxsize=1_024)
def _leaf(kind: str, value: bytes) -> bytes | None:
    if len(value) > MAX_BYTES:
        raise Unknown(MALFORMED)
    match kind:
        case "peer":
            return _pem(value) if value else None
        case "header":
            return _pem_or_base64(value) if value else None
        case "xfcc":
            return _xfcc(value)
        case _:
            raise Unknown("unknown-certificate-kind")


def _xfcc(value: bytes) -> bytes:
    """Where there is an element but no certificate in it, nothing is established: the hash, and the names, of an
    element are only texts, and a SAN with a `;` can add to them.
    """
    try:
        element = xfcc.sole(value)
        encoded, fingerprint, _ = element.one("cert"), element.one("hash"), element.one("uri")
    except xfcc.Malformed:
        raise Unknown("malformed-xfcc") from None
    if not encoded:
        raise Unknown("xfcc-without-certificate")
    der = _pem(encoded.encode("ascii"))
    # Envoy always says both. A certificate that a forger's SAN has added is not the one that Envoy has hashed.
    if not _HASH(fingerprint) or hashlib.sha256(der).hexdigest() != fingerprint.lower():
        raise Unknown("xfcc-hash-mismatch")
    return der


def _pem(value: bytes) -> bytes:
    """URL-encoded PEM: one block and nothing around it."""
    found = _PEM(_decoded(value))
    if found is None:
        raise Unknown(MALFORMED)
    return _der(found[1].replace(b"\r", b"").replace(b"\n", b""))


def _pem_or_base64(value: bytes) -> bytes:
    """Proxies that have no URL-encoded PEM to give (HAProxy, Caddy, Traefik) have the bare base64 of the DER."""
    decoded = _decoded(value)
    return _der(decoded) if _BASE64(decoded) else _pem(value)


def _decoded(value: bytes) -> bytes:
    # A `+` is a `+`: it occurs in base64, and no proxy writes it for a blank here.
    if not _ENCODED(value):
        raise Unknown(MALFORMED)
    return unquote_to_bytes(value)


def _der(text: bytes) -> bytes:
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Unknown(MALFORMED) from None
    _facts(der)  # It has to be a certificate, also where only its hash will be compared.
    return der


# ---------------------------------------------------------------------------------------------- from the leaf to a peer


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a certificate says, whenever it is read."""

    begins: int
    ends: int  # the last microsecond at which it is valid, by the second
    uris: tuple[str, ...]
    dns: tuple[str, ...]
    for_clients: bool  # no authority's, and its usages allow a client to prove itself
    fingerprint: str
    serial: str
    expires: str  # as Ward reads instants


def peer(der: bytes, domains: TrustDomains, now: int) -> Peer:
    """Whose certificate it is, `now` in microseconds. Raises Unknown for one that proves nothing, or lies."""
    facts = _facts(der)
    if now < facts.begins:
        raise Unknown("certificate-not-yet-valid")
    if now > facts.ends:
        raise Unknown("certificate-expired")
    if not facts.for_clients:
        raise Unknown("certificate-not-for-clients")
    identity = _identity(facts)
    domain = domains.get(identity.trust_domain) if identity else None
    known: dict[str, Any] = {"fingerprint": facts.fingerprint, "expires": facts.expires, "verified": False}
    if identity is None or domain is None:
        return Peer("", "", known, facts.ends)
    ends = facts.ends
    if domain.roots:
        ends = min(ends, valid_until(der, domain.roots, domain.intermediates, now))
        if not ends:
            raise Unknown("certificate-not-of-its-trust-domain")
    known |= spiffe.said(identity) | {"serial": facts.serial, "dns": list(facts.dns), "verified": True}
    return Peer(str(identity), identity.trust_domain, known, ends)


def caller(found: Peer, domains: TrustDomains) -> Caller:
    """The caller that a certificate alone establishes. Raises Unknown where it identifies nobody."""
    if not found.spiffe_id:
        raise Unknown("certificate-is-nobody")
    subject_type, subject_id = spiffe.subject(spiffe.parse(found.spiffe_id), domains)
    return Caller(
        subject_type,
        subject_id,
        "certificate",
        certificate=found.attributes,
        issuer=found.trust_domain,
        client=found.spiffe_id,
        expires=min(found.expires, FOREVER),
    )


def _identity(facts: _Facts) -> SpiffeId | None:
    """An X.509-SVID has exactly one URI among its names, and a member of a trust domain has a path."""
    if len(facts.uris) != 1:
        return None
    try:
        identity = spiffe.parse(facts.uris[0])
    except NotSpiffe:
        return None
    return identity if identity.path else None


@lru_cache(maxsize=4_096)
def _facts(der: bytes) -> _Facts:
    """Raises Unknown, and nothing else, for what is no certificate, or has odd characters in a name."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        uris, dns = _names(certificate)
        facts = _Facts(
            microseconds(certificate.not_valid_before_utc),
            microseconds(certificate.not_valid_after_utc),
            uris,
            dns,
            _for_clients(certificate),
            hashlib.sha256(der).hexdigest(),
            f"{certificate.serial_number:x}",
            certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        )
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Unknown(MALFORMED) from None
    if not all(_NAME(each) for each in (*uris, *dns)):
        raise Unknown(MALFORMED)
    return facts


def _names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    for each in names:  # Also a mail address: a NUL in any name is an attempt at something.
        if isinstance(each, x509.RFC822Name) and not _NAME(each.value):
            raise ValueError("odd characters in a name")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return tuple(uris), tuple(names.get_values_for_type(x509.DNSName))


def _for_clients(certificate: x509.Certificate) -> bool:
    """X509-SVID 4 and 5.2: no authority; a usage, where it is stated, is to prove oneself, never to sign others."""
    extensions = certificate.extensions
    constraints = _value(extensions, x509.BasicConstraints)
    usage = _value(extensions, x509.KeyUsage)
    purposes = _value(extensions, x509.ExtendedKeyUsage)
    if constraints is not None and constraints.ca:
        return False
    if usage is not None and (usage.key_cert_sign or usage.crl_sign or not usage.digital_signature):
        return False
    return purposes is None or any(each in CLIENTS for each in purposes)


def _value(extensions: x509.Extensions, kind: type[Any]) -> Any:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
