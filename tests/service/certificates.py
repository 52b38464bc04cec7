"""Certificates for tests that need TLS: an authority, and leaves that say whatever a test wants them to say.

authority = Authority(tmp_path)
proxy = authority.leaf(uris=["spiffe://hospital.example/envoy"])
liar = authority.leaf(dns=["spiffe://lab.example/admin"], cn="liar")
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate and its key, as files and as values."""

    certificate_file: Path
    key_file: Path
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, in hex: what a profile's `sha256:` names."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


class Authority:
    """Signs leaves. Its own certificate is `certificate_file`; everything is written below `directory`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = name
        self._count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        key_id = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self.certificate = (
            _builder(subject, subject, self._key.public_key(), 3_650)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(key_id, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file = directory / f"{name}.pem"
        self.certificate_file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def leaf(
        self,
        uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        cn: str = "leaf",
        days: int = 30,
        ips: Sequence[str] = (),
        name: str = "",
    ) -> Leaf:
        """A certificate for client and server. `days` below zero: it has expired. `name`: of its files, so that a
        second leaf may replace the first one.
        """
        self._count += 1
        key = ec.generate_private_key(ec.SECP256R1())
        named: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in uris]
        named += [x509.DNSName(each) for each in dns]
        named += [x509.IPAddress(ipaddress.ip_address(each)) for each in ips]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(_name(cn), self.certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key_id, critical=False)
        )
        if named:
            builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        stem = name or f"{self._name}-leaf-{self._count}"
        found = Leaf(self._directory / f"{stem}.pem", self._directory / f"{stem}.key", certificate)
        found.certificate_file.write_bytes(found.pem)
        found.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found.key_file.chmod(0o600)
        return found

    def server(self, name: str = "") -> Leaf:
        """The certificate of a server on loopback."""
        return self.leaf(dns=["localhost"], ips=["127.0.0.1", "::1"], cn="localhost", name=name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begins, ends = now - timedelta(days=1 + max(0, -days)), now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
