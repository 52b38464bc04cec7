"""Envoy's HTTP check: exactly one way to say yes, and everything else an explicit no."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors import envoy
from pdp.doors.original import Original, Refused, checked_host
from pdp.doors.verdict import Verdict, together
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason

ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("b", "a"))
NINA = Verdict(ALLOW, "id-1", "user", "nina")


def read(
    path: bytes, *headers: tuple[bytes, bytes], method: str = "GET", query: bytes = b"", certificate: str = "none"
) -> Original:
    return envoy.read(method, b"/ext_authz" + path, query, [(b"host", b"ehr.example"), *headers], certificate)


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
def test_checklist_11_the_prefix_ends_at_a_slash(path: bytes, covered: bool) -> None:
    assert envoy.covers(path) is covered


def test_the_client_is_read_without_what_the_proxy_added() -> None:
    original = read(b"/fhir/Record/r1", (b"x-user", b"nina"), (b"x-pdp-secret", b"s"), query=b"a=1")
    assert (original.method, original.path, original.query) == ("GET", b"/fhir/Record/r1", b"a=1")
    assert original.headers == [(b"host", b"ehr.example"), (b"x-user", b"nina")]
    assert original.host == "ehr.example"


@pytest.mark.parametrize("kind", ["none", "peer"])
def test_a_certificate_that_the_profile_does_not_announce_is_not_read(kind: str) -> None:
    headers = ((b"x-forwarded-client-cert", b"Hash=00"), (b"x-client-certificate", b"pem"))
    assert read(b"/", *headers, certificate=kind).certificate is None


def test_a_certificate_is_read_where_the_profile_says() -> None:
    headers = ((b"x-forwarded-client-cert", b"Hash=00"), (b"x-client-certificate", b"pem"))
    assert read(b"/", *headers, certificate="xfcc").certificate == b"Hash=00"
    assert read(b"/", *headers, certificate="header").certificate == b"pem"


def test_checklist_18_two_certificates_are_none() -> None:
    with pytest.raises(Refused) as refused:
        read(b"/", (b"x-forwarded-client-cert", b"a"), (b"x-forwarded-client-cert", b"b"), certificate="xfcc")
    assert refused.value.kind == "two-certificates"


@pytest.mark.parametrize("value", [b"true", b"True", b"", b"1", b"false,true"])
def test_checklist_17_a_body_that_was_cut_is_refused(value: bytes) -> None:
    with pytest.raises(Refused):
        read(b"/", (b"x-envoy-auth-partial-body", value))


@pytest.mark.parametrize(
    "host",
    [
        b"a,b",
        b"",
        b"user@ehr.example",
        b"ehr.example.",
        b"-x",
        b"ehr..example",
        b"ehr.example:x",
        b"e h",
        b"[::1",
        b"a/b",
    ],
)
def test_checklist_13_an_odd_host_is_refused(host: bytes) -> None:
    with pytest.raises(Refused):
        checked_host([host])


def test_checklist_13_one_host_in_lower_case() -> None:
    assert checked_host([b"EHR.example:8443"]) == "ehr.example:8443"
    assert checked_host([b"[::1]:80"]) == "[::1]:80"
    for hosts in ([], [b"a", b"a"]):
        with pytest.raises(Refused):
            checked_host(hosts)


@given(
    st.sampled_from(list(Effect)),
    st.sampled_from(list(Reason)),
    st.booleans(),
    st.sampled_from(["", "nina"]),
)
def test_checklist_05_only_an_explicit_allow_for_a_known_subject_is_200(
    effect: Effect, reason: Reason, limited: bool, subject: str
) -> None:
    decision = Decision(effect, reason, fields=Fields(frozenset({"/a"})) if limited else Fields())
    status, headers, body = envoy.answer(Verdict(decision, "id-1", "user", subject), ())
    allowed = effect is Effect.ALLOW and subject != ""
    assert (status == 200) is allowed
    assert status in ((200,) if allowed else (401, 403, 429))
    assert dict(headers)[b"x-pdp-decision"] == b"id-1"
    assert dict(headers)[b"cache-control"] == b"no-store"
    assert body in (b"", b"denied id-1")


def test_checklist_07_every_identity_header_is_set_on_allow_and_its_aliases_are_removed() -> None:
    _, headers, body = envoy.answer(replace(NINA, echo=b"x-user"), ())
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
    _, headers, _ = envoy.answer(replace(NINA, echo=b"user"), ())
    said = dict(headers)
    assert said[b"user"] == b"nina"
    assert b"user" not in said[b"x-envoy-auth-headers-to-remove"].split(b", ")


def test_checklist_06_field_limits_and_duties_are_carried_in_headers_of_plain_ascii() -> None:
    decision = replace(
        ALLOW,
        fields=Fields(frozenset({"/näme"}), frozenset({"/a\r\nb"})),
        obligations=(Obligation("notify", (("to", "x\r\ny"),), "rule"),),
    )
    _, headers, _ = envoy.answer(replace(NINA, decision=together([decision])), ())
    said = dict(headers)
    assert json.loads(said[b"x-pdp-fields"]) == {"masked": ["/a\r\nb"], "released": ["/näme"]}
    assert json.loads(said[b"x-pdp-obligations"])[0]["properties"] == {"to": "x\r\ny"}
    for value in said.values():
        assert all(0x20 <= byte <= 0x7E for byte in value)


def test_checklist_07_forged_headers_of_any_spelling_are_removed() -> None:
    _, headers, _ = envoy.answer(NINA, [(b"x-pdp-admin", b"1"), (b"x_pdp-subject", b"x"), (b"x-pdp-subject", b"x")])
    removed = dict(headers)[b"x-envoy-auth-headers-to-remove"].split(b", ")
    assert {b"x-pdp-admin", b"x_pdp-subject"} <= set(removed)
    assert b"x-pdp-subject" not in removed


def test_a_name_that_is_no_header_text_is_percent_encoded() -> None:
    said = dict(replace(NINA, subject_id="n\u00e4\r\n%").identity_headers())
    assert said[b"x-pdp-subject"] == b"n%C3%A4%0D%0A%25"


def test_what_is_too_long_for_a_header_is_denied() -> None:
    decision = replace(ALLOW, fields=Fields(frozenset(f"/field-{n}" for n in range(1_000))))
    assert together([decision]).effect is Effect.DENY


def test_semantics_07_every_action_must_be_permitted() -> None:
    deny = Decision(Effect.DENY, Reason.FORBIDDEN, ("c",))
    assert together([ALLOW, deny]) is deny
    assert together([deny, ALLOW]) is deny
    assert together([ALLOW, ALLOW]).effect is Effect.ALLOW


def test_several_permits_release_only_what_all_of_them_release() -> None:
    one = replace(ALLOW, fields=Fields(frozenset({"/name", "/id"}), frozenset({"/ssn"})), valid_until=9)
    other = replace(ALLOW, fields=Fields(frozenset({"/name/given", "/x"}), frozenset({"/dob"})), valid_until=5)
    found = together([one, other, ALLOW])
    assert found.fields == Fields(frozenset({"/name/given"}), frozenset({"/ssn", "/dob"}))
    assert found.valid_until == 5
    assert found.rules == ("a", "b")
