"""Who asks: the first evidence that is shown, of those that the enforcement point's profile allows, names the subject.

A bad token never falls back to a certificate: whoever shows something is judged by it. A token is verified by the one
issuer whose name it bears, with that issuer's keys and rules alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from pdp.identity import bearer, certificate, claims, dpop, jose, registered, spiffe
from pdp.identity.bearer import BEARER
from pdp.identity.caller import Caller, Evidence, Suspect, Unknown
from pdp.identity.introspection import Introspected
from pdp.identity.issuer import Issuer
from pdp.identity.jose import Jws
from pdp.identity.keys import Keys, Source, file_source, of_keys
from pdp.identity.proofs import Proofs
from pdp.identity.registered import Validity
from pdp.identity.spiffe import TrustDomains
from pdp.identity.tokencache import TokenCache, Verified

FILE_SECONDS: Final = 2
"""How often a key file is read again."""


class Identify:
    """One worker's. Safe for threads; reads no clock, and touches the world only in `Waiting.work`."""

    def __init__(
        self,
        issuers: Sequence[Issuer] = (),
        trust_domains: TrustDomains | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self._domains: TrustDomains = trust_domains or {}
        self._proofs = proofs or Proofs()
        self._cache = TokenCache()
        self._opaque = [each for each in issuers if each.kind == "opaque"]
        # One that signs is verified, also where it could be asked.
        self._by_issuer = {each.issuer: each for each in self._opaque}
        self._by_issuer |= {each.issuer: each for each in issuers if each.kind in ("access", "jwt")}
        self._by_domain = {each.issuer: each for each in issuers if each.kind == "svid"}
        self._keys = {each.name: keys_of(each) for each in issuers if each.kind != "opaque"}
        self._introspected = {each.name: _introspected(each) for each in self._opaque}

    def caller(self, evidence: Evidence, allowed: Iterable[str], issuers: frozenset[str] | None, now: int) -> Caller:
        """Who asks. `issuers`: the names of those whose tokens count here, None for all. Raises Unknown or Waiting."""
        for kind in allowed:
            if kind == "token" and evidence.authorization:
                return self._by_token(evidence, issuers, now)
            if kind == "certificate" and evidence.certificate is not None:
                return certificate.caller(certificate.peer(evidence.certificate, self._domains, now), self._domains)
        raise Unknown("no-evidence")

    def problems(self) -> dict[str, str]:
        """What issuers, by name, have to say and did not when they were last asked. For the operator."""
        asked: dict[str, Keys | Introspected] = {**self._keys, **self._introspected}
        return {name: each.problem for name, each in asked.items() if each.problem}

    # ------------------------------------------------------------------------------------------------------- a token

    def _by_token(self, evidence: Evidence, names: frozenset[str] | None, now: int) -> Caller:
        scheme, bound, verified = BEARER, False, None
        try:
            scheme, token = bearer.credentials(evidence.authorization)
            verified = self._verified(token, names, now)
            bound = dpop.BY_KEY in verified.bound
            required = verified.issuer.sender_constrained
            dpop.proven(verified.bound, required, evidence, scheme, token, self._proofs, now)
        except Unknown as unknown:
            if verified is not None:  # The token is good, and whoever shows it cannot prove that it is theirs.
                about = verified.caller
                unknown.suspect = Suspect(verified.issuer.name, about.subject_type, about.subject_id)
            bearer.refuse(unknown, scheme, bound)
        return self._with_certificate(self._warned(verified, now), evidence, now)

    def _verified(self, token: bytes, names: frozenset[str] | None, now: int) -> Verified:
        """The token, verified now or before by keys that still are in force. Raises Unknown or Waiting."""
        digest = sha256(token).digest()
        kept = self._cache.get(digest, now)
        if kept is not None:
            _counts(kept.issuer, names)
            if self._keys[kept.issuer.name].current(now) is kept.keys:
                return kept
            self._cache.drop(digest)
        if not _looks_like_jwt(token):
            return self._asked(self._only_opaque(names), token, digest, now)
        jws = jose.parse(token)
        issuer = self._named(jws, names)
        try:
            if len(token) > issuer.max_token_bytes:
                raise Unknown("token-too-long")
            if issuer.kind == "opaque":
                return self._asked(issuer, token, digest, now)
            verified = self._proven(issuer, jws, now)
        except Unknown as unknown:
            unknown.suspect = unknown.suspect or Suspect(issuer.name)
            raise
        self._cache.put(digest, verified)
        return verified

    def _named(self, jws: Jws, names: frozenset[str] | None) -> Issuer:
        """The configured issuer that a token claims to be of. Nothing of the token is believed by that."""
        said, subject = jws.claims.get("iss"), jws.claims.get("sub")
        issuer = self._by_issuer.get(said) if isinstance(said, str) else None
        if issuer is None and self._by_domain and isinstance(subject, str) and subject.startswith(spiffe.SCHEME):
            domain = spiffe.jwt_svid_domain(jws.header, jws.claims, self._domains)
            issuer = self._by_domain.get(domain.name)
        return _counts(issuer, names)

    def _proven(self, issuer: Issuer, jws: Jws, now: int) -> Verified:
        if jws.header["alg"] not in issuer.algorithms:
            raise Unknown("algorithm")
        key, keys = self._keys[issuer.name].find(jws.header, now)
        jose.verify(jws, key)
        try:
            caller, validity = self._accepted(issuer, jws, now)
            return Verified(issuer, caller, dpop.confirmation(jws.claims), validity.since, validity.until, keys)
        except Unknown as unknown:
            unknown.suspect = claims.suspect(issuer, jws.claims)
            raise

    def _accepted(self, issuer: Issuer, jws: Jws, now: int) -> tuple[Caller, Validity]:
        """Whom a token that is well signed speaks of, and for how long."""
        if issuer.kind == "svid":
            validity = registered.held(issuer, jws.claims, now)
            audiences, leeway = issuer.audiences, issuer.leeway_seconds
            caller = spiffe.jwt_svid(jws.header, jws.claims, self._domains, now, audiences, leeway)
            return replace(caller, expires=validity.until), validity
        validity = registered.accepted(issuer, jws.header, jws.claims, now)
        return claims.caller(issuer, jws.claims, validity, now), validity

    # ----------------------------------------------------------------------------------------------- an opaque token

    def _only_opaque(self, names: frozenset[str] | None) -> Issuer:
        found = [each for each in self._opaque if names is None or each.name in names]
        if len(found) != 1:
            raise Unknown("malformed-token" if not found else "ambiguous-issuer")
        return found[0]

    def _asked(self, issuer: Issuer, token: bytes, digest: bytes, now: int) -> Verified:
        if len(token) > issuer.max_token_bytes:
            raise Unknown("token-too-long")
        said, validity = self._introspected[issuer.name].claims(token, digest, now)
        caller = claims.caller(issuer, said, validity, now)
        return Verified(issuer, caller, dpop.confirmation(said), validity.since, validity.until)

    # -------------------------------------------------------------------------------------------------- what is added

    def _warned(self, verified: Verified, now: int) -> Caller:
        keys = self._keys.get(verified.issuer.name)
        if keys is None or not keys.stale(now):
            return verified.caller
        return replace(verified.caller, warnings=(*verified.caller.warnings, "stale-keys"))

    def _with_certificate(self, caller: Caller, evidence: Evidence, now: int) -> Caller:
        """The certificate that came with a token says what `from certificate` attributes are; it names nobody."""
        if evidence.certificate is None:
            return caller
        try:
            peer = certificate.peer(evidence.certificate, self._domains, now)
        except Unknown as unknown:
            return replace(caller, warnings=(*caller.warnings, unknown.kind))
        return replace(caller, certificate=peer.attributes, expires=min(caller.expires, peer.expires))


def keys_of(issuer: Issuer) -> Keys:
    """The keys of an issuer, as its settings say where they are."""
    where, use = issuer.keys, "jwt-svid" if issuer.kind == "svid" else "sig"
    if where.inline:
        return Keys(initial=of_keys(where.inline, use), use=use)
    if where.file is not None:
        keep = where.keep_seconds
        source = file_source(where.file)
        return Keys(
            source,
            refresh_seconds=FILE_SECONDS,
            cooldown_seconds=FILE_SECONDS,
            keep_seconds=keep,
            use=use,
            whose=issuer.name,
        )
    return Keys(
        _fetched(issuer),
        refresh_seconds=where.refresh_seconds,
        cooldown_seconds=where.cooldown_seconds,
        keep_seconds=where.keep_seconds,
        use=use,
        whose=issuer.name,
    )


def _fetched(issuer: Issuer) -> Source:
    from pdp.identity.fetch import Wire, discovered_source, url_source  # Heavy; only where something is fetched.

    wire = Wire(issuer.access)
    return discovered_source(wire, issuer.issuer) if issuer.keys.discovery else url_source(wire, issuer.keys.url)


def _introspected(issuer: Issuer) -> Introspected:
    from pdp.identity.fetch import Wire

    assert issuer.introspection is not None
    return Introspected(issuer, issuer.introspection, Wire(issuer.access))


def _counts(issuer: Issuer | None, names: frozenset[str] | None) -> Issuer:
    if issuer is None or (names is not None and issuer.name not in names):
        raise Unknown("unknown-issuer")
    return issuer


def _looks_like_jwt(token: bytes) -> bool:
    """What begins like a JWT is judged as one, and never shown to an issuer of opaque tokens instead."""
    return token.startswith(b"eyJ") and token.count(b".") == 2
