"""Which enforcement point (PEP) asks: known by its secret, compared in constant time, by its certificate, or both.

API doors take `Authorization: Bearer` or `x-pdp-secret`. Proxy doors take only `x-pdp-secret`, since `Authorization` is
there the client's own. The certificate is that of the connection itself, verified by its handshake. Whoever shows
something wrong is nobody: there is no falling back to a profile that asks for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pdp.config import Profile

Headers = Sequence[tuple[bytes, bytes]]

AMBIGUOUS = b"\0"  # equal to no secret: a secret is visible ASCII
NO_NAMES: frozenset[str] = frozenset()


class Peps:
    """The profiles that may ask at one door."""

    def __init__(self, profiles: Sequence[Profile], door: str) -> None:
        self._here = tuple((each, _wanted(each)) for each in profiles if door in each.doors)
        self._elsewhere = tuple((each, _wanted(each)) for each in profiles if door not in each.doors)
        self.by_certificate = any(wanted is not None for _, wanted in self._here)
        """Does any of them need a certificate? Else what is shown changes nothing, and need not be looked for."""

    def of(self, secret: bytes | None, certificate: bytes | None = None, now: int = 0) -> Profile | None:
        """The one profile that fits what is shown; None when there is none, or more than one.

        `certificate`: DER, of the connection. `now`: a certificate that is not valid then names nobody; 0: the
        connection does not outlive it.
        """
        names = NO_NAMES if certificate is None else names_in(certificate, now)
        found = _fitting(self._here, secret, names)
        return found[0] if len(found) == 1 else None

    def why(self, secret: bytes | None, certificate: bytes | None = None, now: int = 0) -> str:
        """Why `of` finds nobody: a word for the operator (`pdp.serve.strangers`), never for whoever asks."""
        names = NO_NAMES if certificate is None else names_in(certificate, now)
        if secret == AMBIGUOUS:
            return "two-secrets"
        if len(_fitting(self._here, secret, names)) > 1:
            return "two-profiles"
        if _fitting(self._elsewhere, secret, names):
            return "wrong-door"
        certified = any(wanted is not None and not wanted.isdisjoint(names) for _, wanted in self._here)
        if not certified and any(_same(profile.secret, secret) for profile, _ in self._here):
            return "no-certificate" if certificate is None else "unknown-certificate"
        return "no-secret" if secret is None else "wrong-secret"


def _fitting(
    profiles: Sequence[tuple[Profile, frozenset[str] | None]], secret: bytes | None, names: frozenset[str]
) -> list[Profile]:
    found: list[Profile] = []
    for profile, wanted in profiles:  # All of them, so that time tells nothing.
        same = _same(profile.secret, secret)
        if same and (wanted is None or not wanted.isdisjoint(names)):
            found.append(profile)
    return found


def _same(known: bytes | None, shown: bytes | None) -> bool:
    """A secret that nobody asked for is as wrong as another one."""
    if known is None or shown is None:
        return known is shown
    return compare_digest(known, shown)


def _wanted(profile: Profile) -> frozenset[str] | None:
    """The names, any of which its certificate must have; None: it needs none."""
    return profile.certificate_names or None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate names, as profiles write it, and for how long. Microseconds since the epoch."""

    names: frozenset[str]
    begins: int
    expires: int


@lru_cache(1_024)
def identity(certificate: bytes) -> Identity:
    """Exact names only: `sha256:` of all of it, `spiffe://..` where it is the only URI, each `dns:`. No common name, no
    wildcard. What cannot be parsed names nobody.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        begins, ends = parsed.not_valid_before_utc.timestamp(), parsed.not_valid_after_utc.timestamp()
        extension = next(
            (each for each in parsed.extensions if each.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME), None
        )
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return Identity(NO_NAMES, 0, 0)
    names = {f"sha256:{sha256(certificate).hexdigest()}"}
    if extension is not None and isinstance(extension.value, x509.SubjectAlternativeName):
        uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) == 1 and uris[0].startswith("spiffe://"):
            names.add(uris[0])
        dns = extension.value.get_values_for_type(x509.DNSName)
        names |= {f"dns:{each}" for each in dns if "*" not in each}
    return Identity(frozenset(names), int(begins * 1_000_000), int(ends * 1_000_000))


def names_in(certificate: bytes, now: int = 0) -> frozenset[str]:
    """The names; none outside the time that the certificate is for."""
    found = identity(certificate)
    return found.names if now == 0 or found.begins <= now < found.expires else NO_NAMES


def expires(certificate: bytes) -> int:
    """When it ends, microseconds since the epoch; 0 for what is none."""
    return identity(certificate).expires


def api_secret(headers: Headers) -> bytes | None:
    """The secret a request to an API door carries; `AMBIGUOUS` for one given twice."""
    found = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, value = value.partition(b" ")
            value = value.strip() if scheme.lower() == b"bearer" else AMBIGUOUS
        elif name != b"x-pdp-secret":
            continue
        if found is not None and found != value:
            return AMBIGUOUS
        found = value
    return found


def proxy_secret(headers: Headers) -> bytes | None:
    """The secret a proxy has added; `AMBIGUOUS` where the client sent one too and the proxy did not replace it."""
    values = [value for name, value in headers if name == b"x-pdp-secret"]
    return None if not values else values[0] if len(values) == 1 else AMBIGUOUS
