"""Serving TLS: the certificate, its key and the authorities of clients, read from their files and read again.

What is in use is replaced only by what is sound: readable, one key that fits its certificate, authorities that parse.
Each handshake takes what is in use then; no session is resumed, so that nothing outlives the authorities it was
verified by.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from pdp.config import ConfigError, Settings
from pdp.identity.files import regular
from pdp.serve.process import say

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secret and authenticated, nothing else. Those of TLS 1.3 all are."""

CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
"""With RSA all that grpcio, Envoy and other users of BoringSSL take of a server's key."""

MAX_FILE_BYTES: Final = 1_048_576
Signature = tuple[tuple[int, ...], ...]


class BadFiles(Exception):
    """The files cannot be served with. One sentence that names the setting."""


@dataclass(frozen=True, slots=True)
class Files:
    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What is served with, as PEM. `expires`: microseconds since the epoch, of the certificate itself."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires: int

    def __repr__(self) -> str:
        return f"Material(expires={self.expires})"  # Never the key.


def files(settings: Settings) -> Files | None:
    """The files that the settings name; None: no TLS."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    return Files(settings.tls_certificate_file, settings.tls_key_file, settings.tls_client_ca_file)


def read(where: Files) -> Material:
    """Read and judge the files. Raises BadFiles."""
    chain, key = _content(where.certificate, "tls_certificate_file"), _content(where.key, "tls_key_file")
    authorities = None if where.client_ca is None else _content(where.client_ca, "tls_client_ca_file")
    certificate = _certificates(chain, where.certificate, "tls_certificate_file")[0]
    if authorities is not None and where.client_ca is not None:
        _certificates(authorities, where.client_ca, "tls_client_ca_file")
    try:
        private = load_pem_private_key(key, None)
    except TypeError as error:
        raise BadFiles(f"tls_key_file: {where.key} is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadFiles(f"tls_key_file: {where.key} holds no private key in PEM") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise BadFiles(f"tls_key_file: {where.key} is not the key of the certificate in {where.certificate}")
    material = Material(chain, key, authorities, int(certificate.not_valid_after_utc.timestamp() * 1_000_000))
    context(material)  # What OpenSSL refuses is refused here.
    return material


class Handshake(ssl.SSLObject):
    """One connection's. Counts what fails: a proxy that does not trust us, or shows no certificate that we trust, is
    seen nowhere else, since it never asks anything.
    """

    failed: ClassVar[int] = 0  # in this process

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise  # It goes on.
        except ssl.SSLError:
            Handshake.failed += 1
            raise


def context(material: Material) -> ssl.SSLContext:
    """A context of its own for this material: no session of another one is known to it. Raises BadFiles."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.sslobject_class = Handshake
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    made.num_tickets = 0
    try:
        made.set_ciphers(CIPHERS)
        made.set_alpn_protocols(["http/1.1"])
        with _as_file(material.certificate) as chain, _as_file(material.key) as key:
            made.load_cert_chain(chain, key, password="")
        if material.client_ca is not None:
            made.verify_mode = ssl.CERT_REQUIRED
            # Whatever is in the file is an authority, also one that is signed by another one.
            made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
            made.load_verify_locations(cadata=material.client_ca.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise BadFiles(f"tls_certificate_file: {getattr(error, 'reason', None) or 'cannot be used'}") from error
    return made


class Serving:
    """What is in use, and the next one once its files have changed. One for each process; `look` is called by one."""

    def __init__(self, where: Files) -> None:
        """Raises ConfigError."""
        self._where = where
        self._signature = _signature(where)
        try:
            self.material = read(where)
        except BadFiles as error:
            raise ConfigError([str(error)]) from error
        self._failed: tuple[Signature, str] | None = None
        self._said = ""
        self.quiet = False  # Somebody else says it.
        self.failures = 0

    def look(self) -> bool:
        """Take what is in the files when it is new and sound. True when something was taken.

        A pair is two files, so what does not fit is said only when it looks the same the next time; then once.
        """
        signature = _signature(self._where)
        if signature == self._signature:
            return False
        try:
            material = read(self._where)
            if _signature(self._where) != signature:
                return False  # It moved while it was read.
        except BadFiles as error:
            self._note(signature, str(error))
            return False
        self._signature, self._failed, self._said = signature, None, ""
        changed, self.material = material != self.material, material
        return changed

    def _note(self, signature: Signature, problem: str) -> None:
        if self._failed == (signature, problem) and self._said != problem:
            self._said = problem
            self.failures += 1
            if not self.quiet:
                say(f"ALARM: {problem}; the certificate and the authorities that were in use stay")
        self._failed = (signature, problem)


class Swapped(ssl.SSLContext):
    """Given to a server once; each handshake is the business of the context that is in use when it begins."""

    current: ssl.SSLContext

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        return self.current.wrap_bio(*given, **named)


def swapped(material: Material) -> Swapped:
    made = Swapped(ssl.PROTOCOL_TLS_SERVER)
    made.current = context(material)
    return made


def serving(settings: Settings) -> Serving | None:
    """None: no TLS. Raises ConfigError."""
    where = files(settings)
    return None if where is None else Serving(where)


def problems(settings: Settings) -> list[str]:
    """What stands in the way of serving TLS, said at start."""
    try:
        serving(settings)
    except ConfigError as error:
        return list(error.problems)
    return []


def warnings(settings: Settings, now: int) -> list[str]:
    """What is weaker than it could be. `now`: microseconds since the epoch."""
    where = files(settings)
    if where is None:
        return []
    found = []
    if stat.S_IMODE(os.stat(where.key).st_mode) & 0o077:
        found.append(f"tls_key_file: {where.key} may be read or written by others (chmod 600)")
    material = read(where)
    if material.expires <= now:
        found.append(f"tls_certificate_file: {where.certificate} has expired")
    key = load_pem_private_key(material.key, None)
    usual = isinstance(key, rsa.RSAPrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES)
    )
    if not usual:
        found.append(f"tls_key_file: the gRPC door and Envoy take keys of RSA, P-256 and P-384 alone, not {where.key}")
    return found


def _content(path: Path, name: str) -> bytes:
    try:
        found = regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise BadFiles(f"{name}: {path} cannot be read: {error.strerror}") from error
    if len(found) > MAX_FILE_BYTES:
        raise BadFiles(f"{name}: {path} is longer than {MAX_FILE_BYTES} bytes")
    return found


def _certificates(pem: bytes, path: Path, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadFiles(f"{name}: {path} holds no certificate in PEM, or a broken one") from error


def _signature(where: Files) -> Signature:
    """Changes whenever a file does, also behind a symlink. Three `stat`s."""
    found = []
    for path in (where.certificate, where.key, where.client_ca):
        try:
            each = os.stat(path) if path is not None else None
        except OSError:
            each = None
        found.append(
            () if each is None else (each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns)
        )
    return tuple(found)


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """OpenSSL reads a pair from files alone; so that it reads what was judged, it gets one in memory."""
    end = os.memfd_create("pdp", os.MFD_CLOEXEC)
    try:
        os.write(end, content)
        yield f"/proc/self/fd/{end}"
    finally:
        os.close(end)
