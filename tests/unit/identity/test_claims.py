"""What a token says, by profile: which attributes a policy sees, in which words, and who the subject is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pdp.identity.caller import Caller, Evidence, Unknown
from pdp.identity.claims import at, code, path
from pdp.identity.identify import Identify
from pdp.identity.issuer import Issuer, Reading
from tests.unit.identity.tokens import NOW, NOW_SECONDS, assemble, claims, issuer, signer, token

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_REASON_OID = "2.16.840.1.113883.5.8"


def said(settings: Mapping[str, Any] | None = None, **claims: Any) -> Caller:
    by: Issuer = replace(issuer(), **(settings or {}))
    return Identify([by]).caller(Evidence((b"Bearer " + token(**claims),)), ("token",), None, NOW)


def told(profile: str, settings: Mapping[str, Any] | None = None, **claims: Any) -> Mapping[str, Any]:
    found = said({"profile": profile, **(settings or {})}, **claims).token
    assert found is not None
    return found


def why(settings: Mapping[str, Any] | None = None, **claims: Any) -> str:
    with pytest.raises(Unknown) as refused:
        said(settings, **claims)
    return refused.value.kind


# ------------------------------------------------------------------------------------------------------------ profiles


def test_oidc_tells_only_what_its_table_and_the_settings_name() -> None:
    claims = {"name": "Dora", "groups": ["a"], "email_verified": True, "is_admin": True, "realm": {"role": "nurse"}}
    assert told("oidc", **claims) == {"name": "Dora", "groups": ["a"], "email_verified": True}
    more = {"claims": {"role": Reading(("realm", "role")), "name": Reading(("is_admin",))}}
    assert told("oidc", more, **claims)["role"] == "nurse"
    assert told("oidc", more, **claims)["name"] is True  # the settings win over the table


def test_values_stay_the_json_that_they_are_and_null_is_nothing() -> None:
    reading = {"claims": {"x": Reading(("x",))}}
    for value in (0, False, "", [], {}, [1, None], {"a": [True]}, "é\U0001f600"):
        assert told("oidc", reading, x=value)["x"] == value
    assert "x" not in told("oidc", reading)


def test_iua_tells_roles_and_purposes_as_codes() -> None:
    extension = {
        "subject_name": "Dr Dora",
        "subject_organization": "Clinic",
        "subject_organization_id": "http://example.org/clinic",
        "subject_role": [{"system": "urn:oid:2.16.840.1.113883.6.96", "code": "158965000", "display": "Doctor"}],
        "purpose_of_use": [{"system": f"urn:oid:{ACT_REASON_OID}", "code": "TREAT"}],
        "home_community_id": "urn:oid:1.2.3",
        "national_provider_identifier": "npi",
        "person_id": "p-1",
    }
    consent = {"patient_id": "pat-1", "doc_id": "c-1", "acp": "urn:oid:1.2"}
    assert told("iua", extensions={"ihe_iua": extension, "ihe_bppc": consent}) == {
        "subject_name": "Dr Dora",
        "organization": "Clinic",
        "organization_id": "http://example.org/clinic",
        "role": "http://snomed.info/sct|158965000",
        "roles": ["http://snomed.info/sct|158965000"],
        "purpose": f"{ACT_REASON}|TREAT",
        "purposes": [f"{ACT_REASON}|TREAT"],
        "home_community": "urn:oid:1.2.3",
        "national_provider": "npi",
        "person": "p-1",
        "consent_patient": "pat-1",
        "consent": "c-1",
        "consent_policy": "urn:oid:1.2",
    }


def test_udap_tells_its_purpose_as_a_code() -> None:
    extension = {
        "version": "1",
        "subject_name": "Dora",
        "subject_id": "npi-1",
        "organization_id": "https://example.org",
        "organization_name": "Clinic",
        "purpose_of_use": [f"urn:oid:{ACT_REASON_OID}#TREAT"],
        "consent_policy": ["urn:oid:1.2.3"],
    }
    found = told("udap", extensions={"hl7-b2b": extension})
    assert found["purpose"] == f"{ACT_REASON}|TREAT"
    assert found["purposes"] == [f"{ACT_REASON}|TREAT"]
    assert (found["organization"], found["person"]) == ("Clinic", "npi-1")


@pytest.mark.parametrize("profile", ["iua", "udap"])
def test_several_purposes_are_no_single_purpose(profile: str) -> None:
    """They are handed on as a list, which fits no single code: unknown where a rule reads it (SEMANTICS 21)."""
    several = [{"system": ACT_REASON, "code": "TREAT"}, {"system": ACT_REASON, "code": "HRESCH"}]
    inside = {"iua": "ihe_iua", "udap": "hl7-b2b"}[profile]
    found = told(profile, extensions={inside: {"purpose_of_use": several}})
    assert isinstance(found["purpose"], list)
    assert found["purposes"] == [f"{ACT_REASON}|TREAT", f"{ACT_REASON}|HRESCH"]
    assert told(profile, extensions={inside: {"purpose_of_use": []}})["purpose"] == []
    assert told(profile, extensions={inside: "x"}) == told(profile, extensions=[]) == told(profile)


def test_smart_has_scopes_and_a_launch_patient() -> None:
    found = said({"profile": "smart"}, scope="patient/Observation.rs  openid", patient="p-1", fhirUser="Practitioner/7")
    assert found.scopes == ("patient/Observation.rs", "openid")
    assert found.patient == "p-1"
    assert found.token == {"patient": "p-1", "fhir_user": "Practitioner/7"}


@pytest.mark.parametrize("scope", [None, 7, ["user/*.rs"], {}, "", "x " * 501])
def test_checklist_25_a_smart_token_without_readable_scopes_has_none(scope: Any) -> None:
    assert said({"profile": "smart"}, scope=scope).scopes == ()


def test_scopes_narrow_only_where_they_are_smart_scopes() -> None:
    assert said(scope="openid profile").scopes is None
    assert said({"smart_scopes": True}, scope="user/*.rs").scopes == ("user/*.rs",)
    assert said({"profile": "smart", "smart_scopes": False}, scope="user/*.rs").scopes is None


def test_smart_scopes_that_an_issuers_profile_passes_over_are_on_record() -> None:
    """Whoever forgot the profile sees that the tokens were meant to open less."""
    ignored = ("smart-scopes-ignored",)
    assert said(scope="openid patient/Observation.rs").warnings == ignored
    assert said({"profile": "iua"}, scope="user/*.*").warnings == ignored
    assert said(scope="openid profile patient/observation.rs").warnings == ()
    assert said({"profile": "smart"}, scope="user/*.rs").warnings == ()
    assert said({"smart_scopes": False}, scope="user/*.rs").warnings == (), "that was said on purpose"


@pytest.mark.parametrize("patient", [7, "", ["p-1"], "a\0"])
def test_a_launch_patient_is_an_identifier(patient: Any) -> None:
    assert why({"profile": "smart"}, patient=patient) == "malformed-claims"


def test_assurance_that_is_ill_formed_assures_of_nothing() -> None:
    found = said(acr=3, amr="mfa")
    assert (found.acr, found.amr, found.warnings) == ("", (), ("acr-ignored", "amr-ignored"))


# --------------------------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"system": ACT_REASON, "code": "TREAT"}, f"{ACT_REASON}|TREAT"),
        ({"system": f"urn:oid:{ACT_REASON_OID}", "code": "TREAT"}, f"{ACT_REASON}|TREAT"),
        ({"system": ACT_REASON_OID, "code": "TREAT", "display": "x"}, f"{ACT_REASON}|TREAT"),
        (f"urn:oid:{ACT_REASON_OID}#TREAT", f"{ACT_REASON}|TREAT"),
        ("T-TREAT", f"{ACT_REASON}|TREAT"),
        ({"system": "urn:nhin", "code": "TREATMENT"}, f"{ACT_REASON}|TREAT"),
        ("urn:nhin#TREATMENT", f"{ACT_REASON}|TREAT"),
        ("TREAT", "TREAT"),
        ("#TREAT", "#TREAT"),
        ("a|b#TREAT", "a|b#TREAT"),
        (7, 7),
        (None, None),
        ({"system": ACT_REASON}, {"system": ACT_REASON}),
        ({"system": 7, "code": "x"}, {"system": 7, "code": "x"}),
        ({"system": "a|b", "code": "c"}, {"system": "a|b", "code": "c"}),
        ({"system": "a", "code": "b|c"}, {"system": "a", "code": "b|c"}),
    ],
)
def test_a_code_in_each_way_of_writing_it(value: Any, written: Any) -> None:
    table = {"T-TREAT": f"{ACT_REASON}|TREAT", "urn:nhin|TREATMENT": f"{ACT_REASON}|TREAT"}
    assert code(value, table) == written


def test_readings() -> None:
    claims = {"one": ["a"], "two": ["a", "b"], "text": "a b", "none": ""}
    settings = {
        "claims": {
            "only": Reading(("one",), "one"),
            "not_only": Reading(("two",), "one"),
            "words": Reading(("text",), "words"),
            "no_words": Reading(("none",), "words"),
        }
    }
    assert told("oidc", settings, **claims) == {
        "only": "a",
        "not_only": ["a", "b"],
        "words": ["a", "b"],
        "no_words": "",
    }


# --------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("role", ("role",)),
        ("realm_access.roles", ("realm_access", "roles")),
        (r"https://hospital\.example/role", ("https://hospital.example/role",)),
        (r"a\.b.c\\d", ("a.b", "c\\d")),
    ],
)
def test_paths(text: str, steps: tuple[str, ...]) -> None:
    assert path(text) == steps


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a\\", r"a\b", "a.b.c.d.e.f.g.h.i"])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        path(text)


def test_a_path_ends_where_there_is_no_object() -> None:
    assert at({"a": {"b": 1}}, ("a", "b")) == 1
    for said_there in ({}, {"a": None}, {"a": [{"b": 1}]}, {"a": "b"}, []):
        assert at(said_there, ("a", "b")) is None


# ------------------------------------------------------------------------------------------------------------- subject


def test_the_subject_is_the_claim_that_the_settings_name_with_their_prefix() -> None:
    settings = {"subject_claim": ("ids", "staff"), "subject_prefix": "clinic:"}
    found = said(settings, ids={"staff": "7"})
    assert (found.subject_id, found.sub) == ("clinic:7", "dora")
    assert said().sub == ""  # nothing else than the subject's identifier
    assert why(settings) == "missing-claim"
    assert why(settings, ids={"staff": 7}) == "malformed-claims"
    assert why({"subject_prefix": "x"}, sub="s" * 512) == "malformed-claims"


def test_the_subject_type_comes_from_a_table_and_never_from_the_token_alone() -> None:
    settings = {"subject_type_claim": ("kind",), "subject_types": {"employee": "user", "robot": "service"}}
    assert said(settings, kind="robot").subject_type == "service"
    for kind in ("user", None, 7, ["robot"], {"robot": 1}, ""):
        assert why(settings, kind=kind) == "unknown-subject-type"


def test_checklist_19_a_token_cannot_name_a_workload_of_a_trust_domain() -> None:
    assert why(sub="spiffe://hospital.example/ehr") == "imitates-spiffe"


def test_nobody_can_be_called_as_another_issuers_people_are() -> None:
    settings = {"reserved_prefixes": ("partner:",)}
    assert why(settings, sub="partner:7") == "imitates-another-issuer"
    assert said(settings, sub="partner").subject_id == "partner"
    assert why({"subject_prefix": "a:", "reserved_prefixes": ("a:b:",)}, sub="b:7") == "imitates-another-issuer"


def test_actors_are_named_outermost_first() -> None:
    act = {"sub": "ehr", "act": {"sub": "portal", "iss": "x"}}
    found = said(act=act)
    assert found.actors == ("ehr", "portal")
    assert found.token == {"actor": "ehr"}
    assert found.subject_id == "dora"
    assert said(may_act={"sub": "x"}).actors == ()


@pytest.mark.parametrize(
    "act", [{}, [], "ehr", 7, {"act": {"sub": "a"}}, {"sub": "a", "act": {}}, {"sub": "a", "act": "b"}]
)
def test_an_actor_chain_that_is_none_is_refused(act: Any) -> None:
    assert why(act=act) == "actor-chain"


def test_an_actor_chain_is_bounded() -> None:
    act: dict[str, Any] = {"sub": "a"}
    for _ in range(7):
        act = {"sub": "a", "act": act}
    assert len(said(act=act).actors) == 8
    assert why(act={"sub": "a", "act": act}) == "actor-chain"
    assert why(act={"sub": 7}) == "malformed-claims"
    null = assemble({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}, {**claims(), "act": None}, signer())
    with pytest.raises(Unknown, match="actor-chain"):
        Identify([issuer()]).caller(Evidence((b"Bearer " + null,)), ("token",), None, NOW)


def test_without_auth_time_the_token_does_not_tell_of_an_authentication() -> None:
    assert not said().tells_authentication
    found = said(auth_time=NOW_SECONDS - 100)
    assert found.tells_authentication
    assert found.authenticated == (NOW_SECONDS - 100) * 1_000_000
