"""SPIFFE identities: their grammar, the list of trust domains, whom they name, and JWT-SVIDs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import Unknown
from pdp.identity.spiffe import NotSpiffe, TrustDomain, jwt_svid, jwt_svid_domain, parse, subject

NOW = 1_800_000_000_000_000
SECOND = 1_000_000


def domain(name: str = "hospital.example", *paths: str, subject_id: str = "spiffe-id") -> TrustDomain:
    patterns = tuple(tuple(each.split("/")[1:]) for each in paths or ("/ns/*/sa/*",))
    return TrustDomain(name, "service", patterns, subject_id)


DOMAINS = {"hospital.example": domain(), "lab.example": domain("lab.example", "/billing")}


def refusal(text: str, domains: dict[str, TrustDomain] | None = None) -> str:
    with pytest.raises(Unknown) as unknown:
        subject(parse(text), DOMAINS if domains is None else domains)
    return unknown.value.kind


def test_an_identity_has_a_trust_domain_and_a_path() -> None:
    found = parse("spiffe://hospital.example/ns/prod/sa/Lab_1.a-b")
    assert (found.trust_domain, found.path) == ("hospital.example", "/ns/prod/sa/Lab_1.a-b")
    assert found.segments == ("ns", "prod", "sa", "Lab_1.a-b")
    assert str(found) == "spiffe://hospital.example/ns/prod/sa/Lab_1.a-b"
    assert parse("spiffe://hospital.example").path == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe:",
        "spiffe://",
        "spiffe:///a",
        "SPIFFE://lab.example/a",
        "Spiffe://lab.example/a",
        "https://lab.example/a",
        " spiffe://lab.example/a",
        "spiffe://lab.example/a ",
        "spiffe://lab.example/a\n",
        "spiffe://lab.example\n",
        "spiffe://Lab.example/a",
        "spiffe://lab.example:443/a",
        "spiffe://user@lab.example/a",
        "spiffe://lab%2eexample/a",
        "spiffe://lab.exämple/a",
        "spiffe://lab.example/",
        "spiffe://lab.example/a/",
        "spiffe://lab.example//a",
        "spiffe://lab.example/a//b",
        "spiffe://lab.example/./a",
        "spiffe://lab.example/a/..",
        "spiffe://lab.example/a/../b",
        "spiffe://lab.example/a%2Fb",
        "spiffe://lab.example/%61",
        "spiffe://lab.example/a?b",
        "spiffe://lab.example?b",
        "spiffe://lab.example/a#b",
        "spiffe://lab.example#b",
        "spiffe://lab.example/a;b",
        "spiffe://lab.example/a,b",
        "spiffe://lab.example/a b",
        "spiffe://lab.example/a\0",
        "spiffe://lab.example\0.evil/a",
        "spiffe://lab.example/ä",
        "spiffe://lab.example/٣",
        "spiffe://lab.example/*",
        "spiffe://lab.example\\a",
        "spiffe://" + "a" * 256 + "/x",
        "spiffe://lab.example/" + "a" * 2_048,
    ],
)
def test_checklist_19_what_is_no_spiffe_id_is_refused(text: str) -> None:
    with pytest.raises(NotSpiffe):
        parse(text)


def test_a_segment_of_three_dots_is_plain() -> None:
    assert parse("spiffe://lab.example/...").segments == ("...",)


@given(st.text(max_size=60) | st.text("spiffe:/.a-_?#%@", max_size=40).map("spiffe://".__add__))
def test_any_text_is_an_identity_that_reads_back_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except NotSpiffe:
        return
    assert str(found) == text
    assert found.trust_domain == found.trust_domain.lower()
    assert not {"", ".", ".."} & set(found.segments)


@pytest.mark.parametrize(
    "name",
    [
        "hospital.example.evil",
        "hospital.exampl",
        "hospital.examplee",
        "evil.hospital.example",
        "evil-hospital.example",
        "hospital_example",
        ".hospital.example",
        "hospital.example.",
        "evil",
    ],
)
def test_checklist_19_a_look_alike_of_a_trust_domain_is_nobody(name: str) -> None:
    assert refusal(f"spiffe://{name}/ns/prod/sa/lab") == "unknown-trust-domain"


def test_checklist_19_no_trust_domain_is_trusted_unless_it_is_listed() -> None:
    assert refusal("spiffe://hospital.example/ns/prod/sa/lab", {}) == "unknown-trust-domain"


@pytest.mark.parametrize(
    "path",
    ["", "/ns/prod", "/ns/prod/sa/lab/x", "/x/prod/sa/lab", "/ns/prod/SA/lab", "/billing", "/a/ns/prod/sa/lab"],
)
def test_checklist_19_a_path_that_fits_no_pattern_is_nobody(path: str) -> None:
    assert refusal(f"spiffe://hospital.example{path}") == "spiffe-id-is-nobody"


def test_checklist_19_the_patterns_of_one_trust_domain_say_nothing_of_another() -> None:
    assert refusal("spiffe://hospital.example/billing") == "spiffe-id-is-nobody"
    assert subject(parse("spiffe://lab.example/billing"), DOMAINS) == ("service", "spiffe://lab.example/billing")


@pytest.mark.parametrize(
    ("subject_id", "expected"),
    [
        ("spiffe-id", "spiffe://hospital.example/ns/prod/sa/lab"),
        ("path", "/ns/prod/sa/lab"),
        ("last-segment", "lab"),
    ],
)
def test_a_subject_is_named_by_what_the_trust_domain_says(subject_id: str, expected: str) -> None:
    domains = {"hospital.example": domain(subject_id=subject_id)}
    assert subject(parse("spiffe://hospital.example/ns/prod/sa/lab"), domains) == ("service", expected)


# --------------------------------------------------------------------------------------------------------- JWT-SVIDs

HEADER = {"alg": "ES256", "kid": "k1", "typ": "JWT"}
SUBJECT = "spiffe://hospital.example/ns/prod/sa/lab"
CLAIMS = {"sub": SUBJECT, "aud": ["chaperone"], "exp": NOW // SECOND + 60, "iat": NOW // SECOND - 60}


def svid(header: dict[str, Any], claims: dict[str, Any], now: int = NOW) -> str:
    """Why it is refused; whom it names where it is not."""
    try:
        caller = jwt_svid(header, claims, DOMAINS, now, frozenset({"chaperone"}), 30)
    except Unknown as unknown:
        return unknown.kind
    return caller.subject_id


def test_a_jwt_svid_names_a_workload() -> None:
    caller = jwt_svid(HEADER, CLAIMS, DOMAINS, NOW, ["chaperone"], 30)
    assert (caller.subject_type, caller.subject_id, caller.via) == ("service", SUBJECT, "token")
    assert (caller.issuer, caller.client) == ("hospital.example", SUBJECT)
    assert caller.token == {"spiffe_id": SUBJECT, "trust_domain": "hospital.example", "path": "/ns/prod/sa/lab"}
    assert caller.expires == NOW + 90 * SECOND
    assert jwt_svid_domain(HEADER, CLAIMS, DOMAINS).name == "hospital.example"


@pytest.mark.parametrize("header", [{"alg": "PS512"}, {"alg": "RS256", "typ": "JOSE"}, {"alg": "ES384", "kid": "x"}])
def test_the_headers_of_a_jwt_svid(header: dict[str, Any]) -> None:
    assert svid(header, CLAIMS) == SUBJECT


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "EdDSA"},
        {"alg": "es256"},
        {"alg": ["ES256"]},
        {"alg": None},
        HEADER | {"typ": "at+jwt"},
        HEADER | {"typ": "jwt"},
        HEADER | {"typ": None},
        HEADER | {"typ": ["JWT"]},
        HEADER | {"kid": ""},
        HEADER | {"kid": 1},
        HEADER | {"kid": None},
        HEADER | {"jwk": {}},
        HEADER | {"jku": "https://evil.example"},
        HEADER | {"x5c": []},
        HEADER | {"crit": []},
        HEADER | {"cty": "JWT"},
    ],
)
def test_checklist_20_any_other_header_of_a_jwt_svid_is_refused(header: dict[str, Any]) -> None:
    assert svid(header, CLAIMS) in ("malformed-svid", "wrong-token-type")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"sub": None}, "malformed-svid"),
        ({"sub": 7}, "malformed-svid"),
        ({"sub": "admin"}, "malformed-svid"),
        ({"sub": "spiffe://hospital.example/ns/../sa/x"}, "malformed-svid"),
        ({"sub": "spiffe://hospital.example.evil/ns/prod/sa/lab"}, "unknown-trust-domain"),
        ({"sub": "spiffe://hospital.example"}, "spiffe-id-is-nobody"),
        ({"sub": "spiffe://hospital.example/admin"}, "spiffe-id-is-nobody"),
        ({"aud": None}, "malformed-svid"),
        ({"aud": []}, "wrong-audience"),
        ({"aud": {}}, "malformed-svid"),
        ({"aud": ["chaperone", 7]}, "malformed-svid"),
        ({"aud": "chaperone.evil"}, "wrong-audience"),
        ({"aud": "chaperon"}, "wrong-audience"),
        ({"aud": ["other"]}, "wrong-audience"),
        ({"exp": None}, "malformed-svid"),
        ({"exp": "2000000000"}, "malformed-svid"),
        ({"exp": True}, "malformed-svid"),
        ({"exp": 10**30}, "malformed-svid"),
        ({"exp": -1}, "malformed-svid"),
        ({"exp": NOW // SECOND - 30}, "expired-token"),
        ({"nbf": NOW // SECOND + 31}, "token-not-yet-valid"),
        ({"iat": NOW // SECOND + 31}, "token-not-yet-valid"),
        ({"iat": "now"}, "malformed-svid"),
        ({"nbf": None}, "malformed-svid"),
        ({"jti": 5}, "malformed-svid"),
    ],
)
def test_checklist_21_a_claim_of_a_jwt_svid_that_is_missing_or_wrong_is_refused(
    change: dict[str, Any], kind: str
) -> None:
    assert svid(HEADER, CLAIMS | change) == kind


@pytest.mark.parametrize("name", ["sub", "aud", "exp"])
def test_checklist_21_a_jwt_svid_without_its_claims_is_refused(name: str) -> None:
    assert svid(HEADER, {key: value for key, value in CLAIMS.items() if key != name}) == "malformed-svid"


def test_checklist_21_the_edges_of_the_leeway() -> None:
    edge = CLAIMS | {"exp": NOW // SECOND}
    assert svid(HEADER, edge, NOW + 30 * SECOND - 1) == SUBJECT
    assert svid(HEADER, edge, NOW + 30 * SECOND) == "expired-token"
    assert svid(HEADER, CLAIMS | {"nbf": NOW // SECOND + 30}) == SUBJECT


def test_one_audience_may_stand_alone() -> None:
    assert svid(HEADER, CLAIMS | {"aud": "chaperone"}) == SUBJECT
