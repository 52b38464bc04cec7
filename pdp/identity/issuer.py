"""Who issues tokens, and what of theirs counts: `[issuer.NAME]` of the settings as nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

KINDS: Final = ("access", "jwt", "opaque", "svid")
"""What an issuer's tokens are: RFC 9068 access tokens; JWTs that do not say what they are; texts that only their issuer
understands (RFC 7662); SPIFFE's JWT-SVIDs. One kind for one issuer, so that nothing passes as something else.
"""

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Asymmetric ones only."""

USUAL_ALGORITHMS: Final = frozenset({"RS256", "PS256", "ES256", "EdDSA"})


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where an issuer's public keys are: exactly one of the first three."""

    inline: tuple[Mapping[str, Any], ...] = ()
    file: Path | None = None
    url: str = ""
    discovery: bool = False  # `url` is the issuer itself, whose metadata names the keys
    refresh_seconds: int = 300  # older keys are asked for again
    cooldown_seconds: int = 30  # between two fetches, whatever the tokens say
    keep_seconds: int = 86_400  # for how long keys count that could not be refreshed


@dataclass(frozen=True, slots=True)
class Access:
    """How an identity provider is spoken to."""

    timeout_milliseconds: int = 3_000  # of one whole exchange
    max_bytes: int = 262_144  # of an answer
    ca_file: Path | None = None  # None: the public authorities
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Introspection:
    url: str
    client: str
    secret: bytes | None = field(default=None, repr=False)  # None: the client's certificate is its proof
    cache_seconds: int = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """One attribute of a token: where in the claims it is, and what is made of it (`pdp.identity.claims`)."""

    path: tuple[str, ...]
    read: str = "as-is"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer. Never taken from a request."""

    name: str
    issuer: str  # `iss`, exactly; of an "svid" kind: the trust domain
    audiences: frozenset[str]
    kind: str = "access"
    algorithms: frozenset[str] = USUAL_ALGORITHMS
    keys: KeySource = KeySource()
    access: Access = Access()
    introspection: Introspection | None = None
    profile: str = "oidc"  # a key of `claims.PROFILES`
    claims: Mapping[str, Reading] = field(default_factory=dict)  # beyond the profile, or instead of it
    codes: Mapping[str, str] = field(default_factory=dict)  # a code as the token writes it -> "system|code"
    smart_scopes: bool | None = None  # do scopes narrow? None: as the profile says
    subject_claim: tuple[str, ...] = ("sub",)
    subject_prefix: str = ""
    subject_type: str = "user"
    subject_type_claim: tuple[str, ...] = ()
    subject_types: Mapping[str, str] = field(default_factory=dict)
    sender_constrained: bool = False
    max_token_bytes: int = 16_384
    max_lifetime_seconds: int = 86_400
    leeway_seconds: int = 30  # for `nbf`, `iat` and `auth_time`; never for `exp`
    shares_subjects: bool = False  # other issuers name the same people by the same identifiers
    reserved_prefixes: tuple[str, ...] = ()  # of other issuers' subjects: nobody of this one may be called so

    def types(self) -> frozenset[str]:
        """Every subject type that a token of this issuer can have."""
        return frozenset(self.subject_types.values()) if self.subject_type_claim else frozenset({self.subject_type})
