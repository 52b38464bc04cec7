"""Which evidence names the subject; what the caches may keep; what needs a look each time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pdp.identity import jose
from pdp.identity.caller import Caller, Evidence, Suspect, Unknown
from pdp.identity.identify import Identify
from pdp.identity.issuer import Issuer, KeySource
from pdp.identity.spiffe import TrustDomain
from tests.unit.identity.tokens import (
    AUDIENCE,
    NOW,
    NOW_SECONDS,
    SECOND,
    assemble,
    certificate,
    identify,
    issuer,
    signer,
    token,
)

DOMAIN = "hospital.example"
DOMAINS = {DOMAIN: TrustDomain(DOMAIN, "service", (("portal",), ("ehr",)))}
BOTH = ("token", "certificate")


def by() -> Identify:
    return Identify([issuer()], DOMAINS)


def kind(evidence: Evidence, allowed: tuple[str, ...] = BOTH, asked: Identify | None = None, now: int = NOW) -> str:
    with pytest.raises(Unknown) as refused:
        (asked or by()).caller(evidence, allowed, None, now)
    return refused.value.kind


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "malformed-authorization"),
        (b"Bearer", "malformed-authorization"),
        (b"Bearer ", "malformed-authorization"),
        (b"Bearer  x", "malformed-authorization"),
        (b" Bearer x", "malformed-authorization"),
        (b"Bearer x ", "malformed-authorization"),
        (b"Bearer\tx", "malformed-authorization"),
        (b"Bearer x y", "malformed-authorization"),
        (b"Bearer x\xff", "malformed-authorization"),
        (b"Bearer x\0", "malformed-authorization"),
        (b"Bearer x\r\nBearer y", "malformed-authorization"),
        (b"Bearer x\n", "malformed-authorization"),
        (b"Bearer a,b", "several-authorizations"),
        (b"Bearer a,Bearer b", "several-authorizations"),
        (b"Bearer a, Bearer b", "several-authorizations"),
        (b"Basic ZG9yYTp4", "unsupported-scheme"),
        (b"Negotiate abc", "unsupported-scheme"),
    ],
)
def test_checklist_15_one_authorization_with_one_token(line: bytes, why: str) -> None:
    assert kind(Evidence((line,), certificate=certificate())) == why


def test_checklist_15_two_authorizations_are_none() -> None:
    good = b"Bearer " + token()
    assert kind(Evidence((good, good))) == "several-authorizations"
    assert kind(Evidence((good, b""))) == "several-authorizations"
    assert kind(Evidence((good + b"," + good,))) == "several-authorizations"
    with pytest.raises(Unknown) as refused:
        by().caller(Evidence((good, good)), BOTH, None, NOW)
    assert refused.value.challenge == b'Bearer error="invalid_request"'


def test_the_scheme_is_any_case() -> None:
    for scheme in (b"Bearer", b"bearer", b"BEARER"):
        assert by().caller(Evidence((scheme + b" " + token(),)), BOTH, None, NOW).subject_id == "dora"


def test_the_first_evidence_that_is_shown_names_the_subject() -> None:
    both = Evidence((b"Bearer " + token(),), certificate=certificate())
    assert by().caller(both, BOTH, None, NOW).via == "token"
    found = by().caller(both, ("certificate", "token"), None, NOW)
    assert (found.via, found.subject_type, found.token) == ("certificate", "service", None)
    assert by().caller(both, ("certificate",), None, NOW).via == "certificate"
    assert by().caller(Evidence(certificate=certificate()), BOTH, None, NOW).via == "certificate"


def test_a_bad_token_never_falls_back_to_a_certificate() -> None:
    for bad in (b"Bearer " + token(exp=1), b"Bearer x", b"Basic eDp5", b"", b"DPoP " + token()):
        assert kind(Evidence((bad,), certificate=certificate()))


def test_a_bad_certificate_never_falls_back_to_a_token() -> None:
    evidence = Evidence((b"Bearer " + token(),), certificate=certificate("spiffe://hospital.example.evil/ehr"))
    assert kind(evidence, ("certificate", "token"))


def test_nothing_shown_is_nobody_and_only_what_is_allowed_is_looked_at() -> None:
    with pytest.raises(Unknown, match="no-evidence") as refused:
        by().caller(Evidence(), BOTH, None, NOW)
    assert refused.value.challenge == b"Bearer"
    assert kind(Evidence(certificate=certificate()), ("token",)) == "no-evidence"
    assert kind(Evidence((b"Bearer " + token(),)), ("certificate",)) == "no-evidence"
    assert kind(Evidence((b"Bearer " + token(),)), ()) == "no-evidence"
    assert kind(Evidence(dpop=(b"x",))) == "no-evidence"


def test_without_issuers_no_token_counts() -> None:
    for given in (token(), b"opaque"):
        assert kind(Evidence((b"Bearer " + given,)), asked=Identify()) in ("unknown-issuer", "malformed-token")


def test_a_certificate_beside_a_token_speaks_for_itself_and_names_nobody() -> None:
    found = by().caller(Evidence((b"Bearer " + token(),), certificate=certificate()), BOTH, None, NOW)
    assert found.certificate is not None
    assert found.certificate["spiffe_id"] == "spiffe://hospital.example/portal"
    assert (found.subject_id, found.client) == ("dora", "portal")
    late = NOW + 90_000 * SECOND  # the certificate is over by then
    given = token(iat=NOW_SECONDS + 89_000, exp=NOW_SECONDS + 90_100)
    found = by().caller(Evidence((b"Bearer " + given,), certificate=certificate()), BOTH, None, late)
    assert (found.certificate, found.warnings) == (None, ("certificate-expired",))
    soon = token(iat=NOW_SECONDS, exp=NOW_SECONDS + 86_400)
    found = by().caller(Evidence((b"Bearer " + soon,), certificate=certificate()), BOTH, None, NOW)
    assert found.expires <= NOW + 86_400 * SECOND


# --------------------------------------------------------------------------------------------------------------- cache


class Counted:
    """How often a signature was verified."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        verify = jose.verify

        def counted(*args: Any) -> None:
            self.times += 1
            verify(*args)

        monkeypatch.setattr(jose, "verify", counted)


def test_checklist_23_a_token_is_verified_once_and_never_past_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, asked, evidence = Counted(monkeypatch), by(), Evidence((b"Bearer " + token(),))
    for second in range(300):
        assert asked.caller(evidence, BOTH, None, NOW + second * SECOND).subject_id == "dora"
    assert counted.times == 1
    assert kind(evidence, asked=asked, now=NOW + 300 * SECOND) == "expired"


def test_checklist_23_a_cached_token_is_not_valid_before_its_time() -> None:
    asked, evidence = by(), Evidence((b"Bearer " + token(nbf=NOW_SECONDS),))
    assert asked.caller(evidence, BOTH, None, NOW)
    assert kind(evidence, asked=asked, now=NOW - 31 * SECOND) == "not-yet-valid"


def test_checklist_23_each_spelling_is_another_token_to_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, asked = Counted(monkeypatch), by()
    first, second = token(), token()  # ECDSA: the same claims, another signature
    assert first != second
    found = [asked.caller(Evidence((b"Bearer " + each,)), BOTH, None, NOW) for each in (first, second)]
    assert counted.times == 2
    assert found[0] == found[1]  # What is revoked by is the same: issuer, subject, session, `jti`.
    for spelled in (first + b"=", first + b"=="):
        assert kind(Evidence((b"Bearer " + spelled,)), asked=asked) == "malformed-token"


def test_checklist_23_what_was_refused_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, asked = Counted(monkeypatch), by()
    evidence = Evidence((b"Bearer " + token(nbf=NOW_SECONDS + 60),))
    assert kind(evidence, asked=asked) == "not-yet-valid"
    assert asked.caller(evidence, BOTH, None, NOW + 60 * SECOND).subject_id == "dora"
    assert counted.times == 2


def test_many_threads_find_what_one_finds() -> None:
    asked, found = by(), []
    tokens = [token(sub=f"user-{number}", jti=f"t-{number}") for number in range(40)]

    def run() -> None:
        found.extend(asked.caller(Evidence((b"Bearer " + each,)), BOTH, None, NOW).subject_id for each in tokens)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted([f"user-{number}" for number in range(40)] * 6)


# --------------------------------------------------------------------------------------------------------------- SVIDs


def svid_issuer(*kids: str, **more: Any) -> Issuer:
    keys = tuple(signer("ES256", kid).jwk(**{"use": "jwt-svid", **more}) for kid in kids)
    return Issuer("mesh", DOMAIN, frozenset({AUDIENCE}), "svid", keys=KeySource(inline=keys))


def svid(by: str = "svid-1", header: dict[str, Any] | None = None, **changed: Any) -> bytes:
    good = {"sub": "spiffe://hospital.example/ehr", "aud": [AUDIENCE], "exp": NOW_SECONDS + 300, "iat": NOW_SECONDS}
    full = {"alg": "ES256", "kid": by, "typ": "JWT", **(header or {})}
    said = {name: value for name, value in {**good, **changed}.items() if value is not None}
    return assemble({name: value for name, value in full.items() if value is not None}, said, signer("ES256", by))


def named(given: bytes, asked: Identify) -> Caller:
    return asked.caller(Evidence((b"Bearer " + given,)), ("token",), None, NOW)


def test_a_jwt_svid_names_a_workload_of_a_listed_trust_domain() -> None:
    asked = Identify([issuer(), svid_issuer("svid-1")], DOMAINS)
    found = named(svid(), asked)
    assert (found.subject_type, found.subject_id) == ("service", "spiffe://hospital.example/ehr")
    assert found.expires == NOW + 300 * SECOND
    assert named(token(), asked).subject_id == "dora"


@pytest.mark.parametrize(
    "given",
    [
        svid(sub="spiffe://hospital.example.evil/ehr"),
        svid(sub="spiffe://hospital.example/nobody"),
        svid(sub="dora"),
        svid(aud=["https://else.example"]),
        svid(aud=None),
        svid(exp=None),
        svid(exp=NOW_SECONDS),
        svid(header={"typ": "at+jwt"}),
        svid(header={"x5t": "a"}),
        svid("unlisted"),
        svid(header={"kid": "k1"}),
        svid(iss="https://idp.hospital.example"),
    ],
)
def test_checklist_19_a_jwt_svid_that_is_none(given: bytes) -> None:
    with pytest.raises(Unknown):
        named(given, Identify([issuer(), svid_issuer("svid-1")], DOMAINS))


def test_checklist_20_svids_and_tokens_have_keys_of_their_own() -> None:
    for more in ({"use": "sig"}, {"use": "x509-svid"}, {"use": None}):
        with pytest.raises(Unknown, match="unknown-key"):
            named(svid(), Identify([svid_issuer("svid-1", **more)], DOMAINS))
    with pytest.raises(Unknown, match="unknown-issuer"):
        named(svid(), identify(signer("ES256", "svid-1")))


# ------------------------------------------------------------------------------- whose token it is that does not count


def suspect(given: bytes, now: int = NOW) -> Suspect | None:
    with pytest.raises(Unknown) as refused:
        by().caller(Evidence((b"Bearer " + given,)), BOTH, None, now)
    return refused.value.suspect


def test_of_a_token_that_is_well_signed_issuer_and_subject_are_named() -> None:
    name = issuer().name
    assert suspect(token(), NOW + 86_400 * SECOND) == Suspect(name, "user", "dora")  # expired
    assert suspect(token(aud="https://elsewhere.example")) == Suspect(name, "user", "dora")
    assert suspect(token(cnf={"jkt": "x" * 43})) == Suspect(name, "user", "dora")
    assert suspect(token(sub=7)) == Suspect(name)


def test_of_one_that_is_not_only_the_issuer_that_we_know_is() -> None:
    good = token()
    assert suspect(good[:-8] + (b"AAAAAAAA" if good[-8:] != b"AAAAAAAA" else b"BBBBBBBB")) == Suspect(issuer().name)
    assert suspect(token(iss="https://nobody.example")) is None
    assert suspect(b"opaque") is None
