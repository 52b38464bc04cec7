"""Sender constraint: a token that is bound to a key opens nothing for whoever does not hold the key.

Bound to a certificate (RFC 8705) or to a DPoP key (RFC 9449), as the token's `cnf` says. The numbers are those of
RFC 9449 section 4.3.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

from pdp.identity import jose
from pdp.identity.bearer import DPOP, DPOP_ALGORITHMS
from pdp.identity.caller import Evidence, Unknown
from pdp.identity.jwk import AnotherKey, KeyRefused, key
from pdp.identity.proofs import Proofs

SECOND: Final = 1_000_000
WINDOW_SECONDS: Final = 60
EARLY_SECONDS: Final = 5
MAX_PROOF_BYTES: Final = 4_096
MAX_JTI: Final = 256
BY_CERTIFICATE: Final = "x5t#S256"
BY_KEY: Final = "jkt"


def confirmation(claims: Mapping[str, Any]) -> Mapping[str, str]:
    """What a token is bound to; empty where it is not. Raises Unknown for a binding that nobody here can check."""
    if "cnf" not in claims:
        return {}
    bound = claims["cnf"]
    if not isinstance(bound, dict) or not bound or not {BY_CERTIFICATE, BY_KEY}.issuperset(bound):
        raise Unknown("unknown-confirmation")
    if not all(isinstance(each, str) and len(each) == 43 and each.isascii() for each in bound.values()):
        raise Unknown("unknown-confirmation")
    return bound


def proven(
    bound: Mapping[str, str], required: bool, evidence: Evidence, scheme: str, token: bytes, proofs: Proofs, now: int
) -> None:
    """Return when whoever sent the token holds what it is bound to. Raises Unknown."""
    if required and not bound:
        raise Unknown("not-sender-constrained")
    if BY_CERTIFICATE in bound:
        _same_certificate(bound[BY_CERTIFICATE], evidence.certificate)
    if (BY_KEY in bound) != (scheme == DPOP):
        raise Unknown("wrong-scheme")
    if BY_KEY in bound:
        _proof(bound[BY_KEY], evidence, token, proofs, now)


def _same_certificate(thumbprint: str, certificate: bytes | None) -> None:
    if certificate is None:
        raise Unknown("certificate-missing")
    if not compare_digest(_digest(certificate), thumbprint):
        raise Unknown("certificate-mismatch")


def _proof(thumbprint: str, evidence: Evidence, token: bytes, proofs: Proofs, now: int) -> None:
    if len(evidence.dpop) != 1:  # (1)
        raise Unknown("dpop-missing" if not evidence.dpop else "dpop-several")
    try:
        jws = jose.parse(evidence.dpop[0], MAX_PROOF_BYTES, frozenset({"typ", "alg", "jwk"}))  # (2)
        if jws.header.get("typ") != "dpop+jwt" or jws.header["alg"] not in DPOP_ALGORITHMS:  # (4), (5)
            raise Unknown("malformed-proof")
        jose.verify(jws, key(jws.header.get("jwk"), only=thumbprint))  # (7), the key's part of (12), (6)
    except AnotherKey:
        raise Unknown("dpop-wrong-key") from None
    except (Unknown, KeyRefused) as error:
        raise Unknown("dpop-malformed") from error
    identifier, issued = _for_this(jws.claims, evidence, token, now)
    if issued <= proofs.began + EARLY_SECONDS * SECOND:  # It may have been used before this service began.
        raise Unknown("dpop-before-start")
    proofs.use(thumbprint, identifier, issued + WINDOW_SECONDS * SECOND, now)


def _for_this(claims: Mapping[str, Any], evidence: Evidence, token: bytes, now: int) -> tuple[str, int]:
    """The `jti` of a proof that is for this request and this token, and when it was issued. Raises Unknown."""
    jti, issued = claims.get("jti"), claims.get("iat")  # (3)
    if type(jti) is not str or not 0 < len(jti) <= MAX_JTI or type(issued) is not int or not 0 <= issued < 2**40:
        raise Unknown("dpop-malformed")
    if not evidence.method or claims.get("htm") != evidence.method:  # (8)
        raise Unknown("dpop-wrong-method")
    if not evidence.url:  # Its `htu` cannot be compared.
        raise Unknown("dpop-no-origin")
    if _bare(claims.get("htu")) != evidence.url:  # (9)
        raise Unknown("dpop-wrong-url")
    if not (now - WINDOW_SECONDS * SECOND < issued * SECOND <= now + EARLY_SECONDS * SECOND):  # (11)
        raise Unknown("dpop-expired")
    proof_of = claims.get("ath")  # (12)
    if not isinstance(proof_of, str) or not proof_of.isascii() or not compare_digest(proof_of, _digest(token)):
        raise Unknown("dpop-wrong-token")
    return jti, issued * SECOND


def _bare(url: object) -> str:
    """Without query and fragment. Nothing else is made equal: the client has to name what the proxy is reached by."""
    return url.partition("#")[0].partition("?")[0] if isinstance(url, str) else ""


def _digest(data: bytes) -> str:
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode("ascii")
