"""Envoy's HTTP check: exactly one way to say yes, and everything else an explicit no."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors import envoy
from pdp.doors.route import NoRoute
from pdp.language.core import QueryParameter
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason
from tests.unit.doors.shop import route, table

IDENTITY = envoy.Identity(b"x-user", "user")
TABLE = table(
    route("GET", "/fhir/Record/{record}", query=(QueryParameter("name", True, frozenset({"/name"})),)),
    route("PUT", "/fhir/Record/{record}", "read share"),
)
ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("b", "a"))


def check(path: bytes, *headers: tuple[bytes, bytes], method: str = "GET", query: bytes = b"") -> envoy.Check:
    return envoy.read(method, b"/ext_authz" + path, query, headers, TABLE, IDENTITY)


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        (b"/ext_authz/fhir", True),
        (b"/ext_authz/", True),
        (b"/ext_authz", True),
        (b"/ext_authz/../live", True),
        (b"/ext_authz//x", True),
        (b"/ext_authzX", False),
        (b"/ext_authz%2Ffhir", False),
        (b"/EXT_AUTHZ/fhir", False),
        (b"//ext_authz/fhir", False),
        (b"/x/ext_authz/fhir", False),
        (b"http://h/ext_authz/fhir", False),
    ],
)
def test_the_prefix_ends_at_a_slash(path: bytes, covered: bool) -> None:
    assert envoy.covers(path) is covered


def test_a_proxied_request_is_one_question_for_each_action() -> None:
    found = check(b"/fhir/Record/r1", (b"x-user", b"nina"), method="PUT")
    assert [each.action for each in found.requests] == ["read", "share"]
    for each in found.requests:
        assert (each.subject_type, each.subject_id) == ("user", "nina")
        assert (each.resource_type, each.resource_id) == ("record", "r1")
        assert not each.subject_properties
        assert not each.context


def test_searched_fields_reach_the_question() -> None:
    found = check(b"/fhir/Record/r1", (b"x-user", b"nina"), query=b"name=x")
    assert found.requests[0].searched_fields == {"/name"}


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"x-user", b""),),
        ((b"x-user", b"nina,admin"),),
        ((b"x-user", b"nina"), (b"x-user", b"nina")),
        ((b"x-user", b"nina admin"),),
        ((b"x-user", b"n\x00"),),
        ((b"x-user", "ninä".encode()),),
        ((b"x-user", b"n" * 257),),
        ((b"x-users", b"nina"),),
    ],
)
def test_anything_but_one_clean_subject_is_unauthenticated(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(envoy.Refused) as refused:
        check(b"/fhir/Record/r1", *headers)
    assert refused.value.reason is Reason.UNAUTHENTICATED


def test_without_a_configured_header_nobody_is_believed() -> None:
    with pytest.raises(envoy.Refused):
        envoy.read(
            "GET",
            b"/ext_authz/fhir/Record/r1",
            b"",
            [(b"", b"nina"), (b"x-user", b"nina")],
            TABLE,
            envoy.Identity(b"", "user"),
        )


@pytest.mark.parametrize("path", [b"/fhir/../fhir/Record/r1", b"//fhir/Record/r1", b"/fhir/Record/a%2Fb", b"", b"/"])
def test_an_ambiguous_path_maps_to_nothing(path: bytes) -> None:
    with pytest.raises(NoRoute):
        check(path, (b"x-user", b"nina"))


def test_a_method_override_is_not_read() -> None:
    with pytest.raises(NoRoute):
        check(b"/fhir/Record/r1", (b"x-user", b"nina"), (b"x-http-method-override", b"GET"), method="DELETE")


@given(
    st.sampled_from(list(Effect)),
    st.sampled_from(list(Reason)),
    st.booleans(),
    st.sampled_from(["", "nina"]),
)
def test_only_an_explicit_allow_for_a_known_subject_is_200(
    effect: Effect, reason: Reason, limited: bool, subject: str
) -> None:
    decision = Decision(effect, reason, fields=Fields(frozenset({"/a"})) if limited else Fields())
    status, headers, body = envoy.answer(decision, "id-1", subject, IDENTITY)
    allowed = effect is Effect.ALLOW and subject != ""
    assert (status == 200) is allowed
    assert status in ((200,) if allowed else (401, 403, 429))
    assert dict(headers)[b"x-pdp-decision"] == b"id-1"
    assert dict(headers)[b"cache-control"] == b"no-store"
    assert body in (b"", b"denied id-1")


def test_every_identity_header_is_set_on_allow_and_its_aliases_are_removed() -> None:
    _, headers, body = envoy.answer(ALLOW, "id-1", "nina", IDENTITY)
    said = dict(headers)
    assert body == b""
    assert len(said) == len(headers)
    assert said[b"x-user"] == said[b"x-pdp-subject"] == b"nina"
    assert said[b"x-pdp-subject-type"] == b"user"
    assert said[b"x-pdp-fields"] == b"{}"
    assert said[b"x-pdp-obligations"] == b"[]"
    removed = said[b"x-envoy-auth-headers-to-remove"].split(b", ")
    assert {b"x_user", b"x_pdp_subject", b"x_pdp_fields"} <= set(removed)
    assert not set(removed) & set(said)


def test_a_header_without_a_hyphen_is_not_removed_again() -> None:
    _, headers, _ = envoy.answer(ALLOW, "id-1", "nina", envoy.Identity(b"user", "user"))
    said = dict(headers)
    assert said[b"user"] == b"nina"
    assert b"user" not in said[b"x-envoy-auth-headers-to-remove"].split(b", ")


def test_field_limits_and_duties_are_carried_in_headers_of_plain_ascii() -> None:
    decision = replace(
        ALLOW,
        fields=Fields(frozenset({"/näme"}), frozenset({"/a\r\nb"})),
        obligations=(Obligation("notify", (("to", "x\r\ny"),), "rule"),),
    )
    _, headers, _ = envoy.answer(envoy.together([decision]), "id-1", "nina", IDENTITY)
    said = dict(headers)
    assert json.loads(said[b"x-pdp-fields"]) == {"masked": ["/a\r\nb"], "released": ["/näme"]}
    assert json.loads(said[b"x-pdp-obligations"])[0]["properties"] == {"to": "x\r\ny"}
    for value in said.values():
        assert all(0x20 <= byte <= 0x7E for byte in value)


def test_what_is_too_long_for_a_header_is_denied() -> None:
    decision = replace(ALLOW, fields=Fields(frozenset(f"/field-{n}" for n in range(1_000))))
    assert envoy.together([decision]).effect is Effect.DENY


def test_semantics_07_every_action_must_be_permitted() -> None:
    deny = Decision(Effect.DENY, Reason.FORBIDDEN, ("c",))
    assert envoy.together([ALLOW, deny]) is deny
    assert envoy.together([deny, ALLOW]) is deny
    assert envoy.together([ALLOW, ALLOW]).effect is Effect.ALLOW


def test_several_permits_release_only_what_all_of_them_release() -> None:
    one = replace(ALLOW, fields=Fields(frozenset({"/name", "/id"}), frozenset({"/ssn"})), valid_until=9)
    other = replace(ALLOW, fields=Fields(frozenset({"/name/given", "/x"}), frozenset({"/dob"})), valid_until=5)
    found = envoy.together([one, other, ALLOW])
    assert found.fields == Fields(frozenset({"/name/given"}), frozenset({"/ssn", "/dob"}))
    assert found.valid_until == 5
    assert found.rules == ("a", "b")
