"""SMART scopes: what each spelling grants, for which patient, and that they only ever narrow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import Caller
from pdp.identity.scopes import (
    CONSTRAINED,
    LETTERS,
    NO_MAPPING,
    NOT_GRANTED,
    OTHER_PATIENT,
    UNKNOWN_PATIENT,
    Asked,
    Need,
    Smart,
    allow,
    is_need,
    needs_of,
    parse,
    queried,
    refused,
)

READ = Need("Observation", "r")
SEARCH = Need("Observation", "s")
MINE = Asked("pat-100")


def letters(scope: str) -> str:
    """What the scope grants on Observation, for the launch patient's own data."""
    needs = [Need("Observation", letter) for letter in LETTERS]
    return "".join(each.letter for each in needs if allow((scope,), (each,), "pat-100", MINE) == "")


def caller(*scopes: str, patient: str = "") -> Caller:
    return Caller("user", "anna", "token", scopes=scopes, patient=patient)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("user/Observation.r", "r"),
        ("user/Observation.rs", "rs"),
        ("user/Observation.cruds", "cruds"),
        ("system/*.cud", "cud"),
        ("patient/*.s", "s"),
        ("user/Observation.d", "d"),
        ("user/Observation.read", "rs"),
        ("user/Observation.write", "cud"),
        ("patient/Observation.*", "cruds"),
        ("system/*.*", "cruds"),
    ],
)
def test_checklist_25_the_letters_and_the_forms_of_version_1(scope: str, expected: str) -> None:
    assert letters(scope) == "".join(letter for letter in LETTERS if letter in expected)


@pytest.mark.parametrize(
    "scope",
    [
        "user/Observation.dus",
        "user/Observation.rd?",
        "user/Observation.sr",
        "user/Observation.dr",
        "user/Observation.rr",
        "user/Observation.rsx",
        "user/Observation.R",
        "user/Observation.READ",
        "user/Observation.Read",
        "user/Observation.readwrite",
        "user/Observation.read.write",
        "user/Observation.writ",
        "user/Observation.",
        "user/Observation",
        "user/.r",
        "user/Observations.r",
        "user/observation.r",
        "user/Obs*.r",
        "user/**.r",
        "user/Observation,Patient.r",
        "user/Observation.r,s",
        "user/Observation.r ",
        " user/Observation.r",
        "user/Observation.r\n",
        "user//Observation.r",
        "user/../Observation.r",
        "User/Observation.r",
        "users/Observation.r",
        "admin/Observation.r",
        "*/Observation.r",
        "*/*.*",
        "user/Observation.*r",
        "user/Observation.r*",
        "user/Observation.read?category=lab",
        "user/Observation.*?category=lab",
        "user/Observation.r?",
        "user:Observation.r",
        "user/Оbservation.r",
        "user/Observation.ｒ",
        "openid",
        "launch/patient",
        "offline_access",
        "",
        "*",
        "user/Observation.r" + "?category=" + "a" * 600,
    ],
)
def test_checklist_25_a_scope_that_is_not_written_so_grants_nothing(scope: str) -> None:
    assert letters(scope) == ""


def test_checklist_25_read_is_not_the_letters_r_and_d() -> None:
    assert "d" not in letters("user/Observation.read")
    assert letters("user/Observation.rd") == "rd"


def test_scopes_add_up_and_every_need_has_to_be_granted() -> None:
    both = (READ, Need("Patient", "r"))
    assert allow(("user/Observation.r",), both, "", Asked()) == NOT_GRANTED
    assert allow(("user/Observation.r", "user/Patient.rs"), both, "", Asked()) == ""
    assert allow((), both, "", Asked()) == NOT_GRANTED


def test_checklist_25_nothing_needed_is_nothing_granted() -> None:
    assert allow(("system/*.cruds",), (), "", Asked()) == NO_MAPPING


# ------------------------------------------------------------------------------------------------------------- patients


@pytest.mark.parametrize(
    ("launch", "asked", "expected"),
    [
        ("pat-100", "pat-100", ""),
        ("pat-100", "pat-200", OTHER_PATIENT),
        ("pat-100", "pat-1000", OTHER_PATIENT),
        ("pat-100", "PAT-100", OTHER_PATIENT),
        ("Patient/pat-100", "pat-100", OTHER_PATIENT),
        ("pat-100", "", UNKNOWN_PATIENT),
        ("", "pat-100", UNKNOWN_PATIENT),
        ("", "", UNKNOWN_PATIENT),
    ],
)
def test_checklist_25_a_patient_scope_is_for_the_launch_patient_alone(launch: str, asked: str, expected: str) -> None:
    for scope in ("patient/Observation.r", "patient/*.read", "patient/*.*"):
        assert allow((scope,), (READ,), launch, Asked(asked)) == expected


def test_checklist_25_a_patient_scope_never_widens_what_a_user_scope_narrows() -> None:
    granted = ("user/Patient.r", "patient/Observation.r")
    assert allow(granted, (READ,), "pat-100", Asked("pat-200")) == OTHER_PATIENT
    assert allow(granted, (Need("Patient", "r"),), "pat-100", Asked("pat-200")) == ""


# ---------------------------------------------------------------------------------------------------------- constraints

LAB = "user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
LAB_QUERY = b"category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def test_checklist_25_a_constrained_scope_covers_only_the_search_that_says_the_same() -> None:
    assert allow((LAB,), (SEARCH,), "", Asked(query=queried(LAB_QUERY))) == ""
    assert allow((LAB,), (SEARCH,), "", Asked(query=queried(LAB_QUERY + b"&code=718-7&_count=5"))) == ""
    assert (
        allow((LAB,), (SEARCH,), "", Asked(query=queried(LAB_QUERY.replace(b"|", b"%7C").replace(b":", b"%3a")))) == ""
    )
    assert allow((LAB,), (READ,), "", Asked(query=queried(LAB_QUERY))) == CONSTRAINED
    assert allow((LAB,), (SEARCH,), "", Asked()) == CONSTRAINED


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"category=laboratory",
        b"category=vital-signs",
        LAB_QUERY + b",vital-signs",
        LAB_QUERY + b"%2Cvital-signs",
        LAB_QUERY.replace(b"category", b"category:not"),
        LAB_QUERY.replace(b"category", b"category:below"),
        LAB_QUERY.replace(b"category", b"Category"),
        LAB_QUERY.replace(b"category=", b"category=ne"),
        LAB_QUERY.upper(),
        LAB_QUERY + b"%00",
        LAB_QUERY + b"+",
    ],
)
def test_checklist_25_a_search_that_does_not_provably_satisfy_the_constraint_is_refused(query: bytes) -> None:
    assert allow((LAB,), (SEARCH,), "", Asked(query=queried(query))) == CONSTRAINED


@pytest.mark.parametrize(
    "constraint",
    [
        "category:not=lab",
        "category:in=http://x",
        "category=lab,vital",
        "category=lab%2Cvital",
        "category=lab&category=vital",
        "category=lab&unknown=1",
        "patient.name=x",
        "subject:Patient.name=x",
        "_has:Observation:patient:code=1",
        "_filter=category eq lab",
        "_include=*",
        "status=final",
        "category",
        "category=",
        "=lab",
        "category=lab&",
        "category=lab;code=x",
        "category=%zz",
        "category=%ff",
        "category=%00",
        "category=a+b",
        "category=a?b",
        "category=lab#x",
    ],
)
def test_checklist_25_a_constraint_that_is_not_understood_grants_nothing(constraint: str) -> None:
    assert parse(f"user/Observation.rs?{constraint}") is None
    assert allow((f"user/Observation.s?{constraint}",), (SEARCH,), "", Asked(query=queried(constraint.encode()))) != ""


def test_a_constraint_beside_a_plain_scope_takes_nothing_away() -> None:
    assert allow((LAB, "user/Observation.r"), (READ,), "", Asked()) == ""


def test_several_constraints_have_to_be_met_together() -> None:
    scope = ("user/Observation.s?category=lab&code=718-7",)
    assert allow(scope, (SEARCH,), "", Asked(query=queried(b"category=lab&code=718-7"))) == ""
    assert allow(scope, (SEARCH,), "", Asked(query=queried(b"category=lab"))) == CONSTRAINED


# -------------------------------------------------------------------------------------------------- requests and needs

SMART = Smart(
    {
        ("list", "Chart"): (Need("Observation", "s"), Need("Condition", "s")),
        ("everything", "Patient"): (Need("Patient", "r"), Need("Observation", "s")),
        ("read", "note"): (Need("DocumentReference", "r"),),
    }
)


@pytest.mark.parametrize(
    ("action", "letter"), [*zip(["create", "read", "update", "delete", "search"], LETTERS, strict=True)]
)
def test_an_action_needs_its_letter_on_its_own_type(action: str, letter: str) -> None:
    assert needs_of(Smart(), (action,), "Observation") == (Need("Observation", letter),)


def test_what_the_settings_say_replaces_the_default() -> None:
    assert needs_of(SMART, ("list",), "Chart") == (Need("Observation", "s"), Need("Condition", "s"))
    assert needs_of(SMART, ("read",), "note") == (Need("DocumentReference", "r"),)
    assert needs_of(SMART, ("read", "update"), "Observation") == (READ, Need("Observation", "u"))


@pytest.mark.parametrize(
    ("actions", "resource_type"),
    [
        (("disclose",), "Observation"),
        (("export",), "Patient"),
        (("transaction",), "Server"),
        (("batch",), "Bundle"),
        (("Read",), "Observation"),
        (("read",), "observation"),
        (("read",), "*"),
        (("read",), "my-record"),
        (("read", "disclose"), "Observation"),
        ((), "Observation"),
    ],
)
def test_checklist_25_an_operation_or_batch_that_maps_to_no_scope_is_refused(
    actions: tuple[str, ...], resource_type: str
) -> None:
    everything = caller("system/*.cruds", "user/*.*", "patient/*.*", patient="pat-100")
    assert refused(SMART, everything, actions, resource_type, "pat-100") == NO_MAPPING


def test_checklist_25_everything_of_a_patient_needs_all_that_it_returns() -> None:
    granted = caller("patient/Patient.r", patient="pat-100")
    assert refused(SMART, granted, ("everything",), "Patient", "pat-100") == NOT_GRANTED
    granted = caller("patient/Patient.r", "patient/Observation.s", patient="pat-100")
    assert refused(SMART, granted, ("everything",), "Patient", "pat-100") == ""


def test_checklist_25_a_put_that_may_create_needs_u() -> None:
    assert refused(SMART, caller("user/Observation.c"), ("update",), "Observation", "") == NOT_GRANTED
    assert refused(SMART, caller("user/Observation.u"), ("update",), "Observation", "") == ""
    both = Smart({("update", "Observation"): (Need("Observation", "c"), Need("Observation", "u"))})
    assert refused(both, caller("user/Observation.u"), ("update",), "Observation", "") == NOT_GRANTED


def test_scopes_do_not_apply_to_a_caller_who_has_none_of_that_kind() -> None:
    assert refused(Smart(), Caller("service", "lab", "certificate"), ("anything",), "x", "") == ""


def test_checklist_25_a_token_without_any_scope_is_not_a_caller_without_scopes() -> None:
    assert refused(Smart(), caller(), ("read",), "Observation", "") == NOT_GRANTED
    assert refused(Smart(), caller("openid", "fhirUser"), ("read",), "Observation", "") == NOT_GRANTED


@pytest.mark.parametrize(
    "query",
    [
        b"_include=Observation:patient",
        b"_count=5&_include:iterate=*",
        b"_revinclude=Provenance:target",
        b"%5Finclude=*",
        b"_has:Group:member:_id=1",
        b"_contained=true",
        b"_filter=x",
        b"_type=Patient",
    ],
)
def test_checklist_25_a_search_that_brings_in_other_types_is_refused(query: bytes) -> None:
    assert refused(Smart(), caller("user/*.cruds"), ("search",), "Observation", "", query) == NO_MAPPING


def test_a_plain_search_is_covered() -> None:
    assert refused(Smart(), caller("user/Observation.s"), ("search",), "Observation", "", b"code=1&_count=5") == ""


@pytest.mark.parametrize(
    "text", ["Observation.rs", "Observation.", "Observation", ".r", "observation.r", "*.r", "A.r.s", ""]
)
def test_a_need_is_one_letter_on_one_type(text: str) -> None:
    assert is_need("Observation.r")
    assert not is_need(text)


# ------------------------------------------------------------------------------------------------------------- the laws

TEXTS = st.text(max_size=40) | st.text("patientusersystem/*.cruds?=&categoryObservation", max_size=60)
SCOPES = st.one_of(
    TEXTS,
    st.builds(
        "{}/{}.{}".format,
        st.sampled_from(["patient", "user", "system"]),
        st.sampled_from(["*", "Observation", "Patient"]),
        st.lists(st.sampled_from(LETTERS), unique=True).map("".join) | st.sampled_from(["read", "write", "*"]),
    ),
)
NEEDS = st.builds(Need, st.sampled_from(["Observation", "Patient", "Record"]), st.sampled_from(LETTERS))


@given(st.lists(SCOPES, max_size=4), SCOPES, st.lists(NEEDS, max_size=3), st.sampled_from(["", "a", "b"]))
def test_taking_a_scope_away_never_opens(scopes: list[str], more: str, needs: list[Need], patient: str) -> None:
    fewer = allow(tuple(scopes), tuple(needs), "a", Asked(patient))
    if fewer == "":
        assert allow((*scopes, more), tuple(needs), "a", Asked(patient)) == ""


@given(TEXTS)
def test_any_text_is_a_scope_or_grants_nothing(text: str) -> None:
    scope = parse(text)
    if scope is not None:
        assert text.startswith(f"{scope.level}/{scope.type}.")
        assert set(scope.letters) <= set(LETTERS)
        assert scope.letters


@given(st.binary(max_size=80))
def test_any_query_is_read(raw: bytes) -> None:
    assert all("," not in value for _, value in queried(raw))
    assert refused(Smart(), caller("patient/*.cruds", patient="a"), ("read",), "Observation", "b", raw) != ""
