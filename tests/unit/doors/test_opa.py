"""The OPA data API: what each plugin says, and answers in which only a permit is true."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.config.peps import OPA_INPUTS
from pdp.doors import opa
from pdp.doors.original import Original, Refused
from pdp.doors.path import AmbiguousPath, query_names
from pdp.doors.verdict import Verdict, denial
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import RequestError

NINA = Verdict(Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",)), "id-1", "user", "nina")
PROXIED = ("envoy", "kong", "apisix")


def said(style: str, **http: Any) -> dict[str, Any]:
    """A plugin's input."""
    path = {"path": "/fhir/Record/r1?a=1" if style == "envoy" else "/fhir/Record/r1"}
    query = {"kong": "querystring", "apisix": "query"}.get(style)
    if query:
        http[query] = http.pop("query", {"a": "1"})
    request = {"method": "GET", "host": "ehr.example", "headers": {"x-user": "nina"}} | path | http
    return {
        "envoy": {"attributes": {"request": {"http": request}}, "parsed_path": ["elsewhere"]},
        "kong": {"request": {"http": request}},
        "apisix": {"type": "http", "request": request, "var": {}},
    }[style]


def refused(style: str, **http: Any) -> str:
    with pytest.raises(Refused) as caught:
        opa.read(said(style, **http), style)
    return caught.value.kind


@pytest.mark.parametrize(
    ("path", "covered"),
    [(b"/v1/data", True), (b"/v1/data/x", True), (b"/v1/data/", True), (b"/v1/dataX", False), (b"/v1/datax/", False)],
)
def test_the_prefix_ends_at_a_slash(path: bytes, covered: bool) -> None:
    assert opa.covers(path) is covered


def test_every_input_that_a_profile_may_choose_is_known() -> None:
    assert {*opa.READERS, "authzen"} == set(OPA_INPUTS)


@pytest.mark.parametrize("style", PROXIED)
def test_what_a_plugin_holds_is_read(style: str) -> None:
    headers = {"X-User": "nina", "accept": ["a", "b"], ":path": "/x", "Authorization": "Bearer t"}
    original = opa.read(said(style, headers=headers, method="PUT", host="EHR.example:443"), style)
    assert (original.method, original.path, original.query) == ("PUT", b"/fhir/Record/r1", b"a=1")
    assert original.host == "ehr.example:443"
    assert original.headers == [
        (b"x-user", b"nina"),
        (b"accept", b"a"),
        (b"accept", b"b"),
        (b"authorization", b"Bearer t"),
    ]


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize("name", ["method", "path", "host"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}])
def test_checklist_04_what_is_missing_or_of_another_type_is_named(style: str, name: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        opa.read(said(style, **{name: value}), style)
    assert caught.value.field.endswith(f".{name}")


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize("given", [{}, {"request": 1}, {"attributes": []}, {"request": {"http": None}}])
def test_checklist_04_another_input_is_named(style: str, given: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        opa.read(given, style)


def test_an_input_must_be_there() -> None:
    for payload in ({}, {"input": None}, {"input": []}, {"input": "x"}):
        with pytest.raises(RequestError) as caught:
            opa.input_of(payload)
        assert caught.value.field == "input"


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize("headers", [1, "x", {"a": 1}, {"a": None}, {"a": ["x", 1]}, {"a": {}}])
def test_headers_are_texts(style: str, headers: object) -> None:
    with pytest.raises(RequestError):
        opa.read(said(style, headers=headers), style)


@pytest.mark.parametrize("style", PROXIED)
def test_no_headers_are_no_headers(style: str) -> None:
    for none in (None, [], {}):
        assert opa.read(said(style, headers=none), style).headers == []


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"a": "x\r\nb: y"}, {"a": "x\0"}, {"\xe4": "x"}])
def test_a_header_that_cannot_have_been_sent_is_refused(style: str, headers: dict[str, str]) -> None:
    assert refused(style, headers=headers) == "malformed-header"


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x-pdp-subject", "forged-identity"),
        ("X-Pdp-Fields", "forged-identity"),
        ("x_pdp_subject", "aliased-header"),
        ("x.pdp.subject", "aliased-header"),
    ],
)
def test_checklist_07_forged_identity_is_refused_since_a_plugin_may_leave_it(style: str, name: str, kind: str) -> None:
    assert refused(style, headers={name: "dora"}) == kind


def test_checklist_07_connection_may_not_name_a_header_of_ours() -> None:
    assert refused("kong", headers={"connection": "close, X-Pdp-Fields"}) == "hop-by-hop"


@pytest.mark.parametrize("style", PROXIED)
def test_checklist_14_a_method_is_kept_or_refused(style: str) -> None:
    assert opa.read(said(style, method="get"), style).method == "get"
    for method in ("", "GET,PUT", "GE T", "G\xc4T"):
        assert refused(style, method=method) == "malformed-method"


@pytest.mark.parametrize("style", PROXIED)
@pytest.mark.parametrize("host", ["", "a,b", "u@h", "h.", "h/x"])
def test_checklist_13_an_odd_host_is_refused(style: str, host: str) -> None:
    assert refused(style, host=host) == "malformed-host"


@pytest.mark.parametrize("path", ["//fhir/Record/r1", "/a/../b", "/a%2Fb", "/a;x", "/a%zz"])
def test_checklist_11_the_raw_path_of_envoy_is_handed_on(path: str) -> None:
    assert opa.read(said("envoy", path=path), "envoy").path == path.encode()


@pytest.mark.parametrize("path", ["", "*", "x", "http://h/x", "/x#y", "/x y", "/\xe4", "/x\n"])
def test_checklist_13_a_target_of_envoy_is_in_origin_form(path: str) -> None:
    assert refused("envoy", path=path) == "malformed-target"


@pytest.mark.parametrize("style", ["kong", "apisix"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "//fhir/Record/r1",
        "/fhir/Record/r1/",
        "/fhir/Record/a%2Fb",
        "/fhir/Record/a b",
        "/fhir/Record/a;b",
        "/fhir/Record/a\\b",
        "/fhir/Record/a?b",
        "/fhir/Record/a#b",
        "/fhir/Record/100%",
        "/fhir/Record/\xe4",
        "/fhir/Record/r1\n",
    ],
)
def test_checklist_10_a_decoded_path_with_more_than_one_spelling_is_refused(style: str, path: str) -> None:
    assert refused(style, path=path) == "decoded-path"


@pytest.mark.parametrize("style", ["kong", "apisix"])
def test_checklist_12_parameters_are_encoded_again(style: str) -> None:
    query = {"_id": "1&admin=1", "flag": True, "empty": "", "a b": "c=d;e"}
    original = opa.read(said(style, query=query), style)
    assert original.query == b"_id=1%26admin%3D1&flag&empty=&a%20b=c%3Dd%3Be"
    assert query_names(original.query) == {"_id", "flag", "empty", "a b"}
    with pytest.raises(AmbiguousPath):
        query_names(opa.read(said(style, query={"a&b": "1"}), style).query)
    assert refused(style, query={"a": ["1", "2"]}) == "duplicate-parameter"
    assert opa.read(said(style, query=[]), style).query == b""
    for odd in ("a=1", {"a": 1}, {"a": False}, {"a": None}, ["a"]):
        with pytest.raises(RequestError):
            opa.read(said(style, query=odd), style)


@pytest.mark.parametrize("truncated", [True, "true", 1, None, 0])
def test_checklist_17_a_truncated_body_is_refused(truncated: object) -> None:
    with pytest.raises(Refused) as caught:
        opa.read(said("envoy") | {"truncated_body": truncated}, "envoy")
    assert caught.value.kind == "truncated-body"
    assert opa.read(said("envoy") | {"truncated_body": False}, "envoy").method == "GET"


# ----------------------------------------------------------------------------------------------------------- answering


def test_an_allow_is_true_with_every_identity_header() -> None:
    assert json.loads(opa.answer(NINA, "kong", True)) == {"result": True, "decision_id": "id-1"}
    for style in PROXIED:
        result = json.loads(opa.answer(NINA, style, False))["result"]
        assert result["allow"] is True
        assert result["headers"] == {
            "x-pdp-decision": "id-1",
            "x-pdp-subject": "nina",
            "x-pdp-subject-type": "user",
            "x-pdp-fields": "{}",
            "x-pdp-obligations": "[]",
        }
        assert set(result) == {"allow", "headers"} | ({"allowed"} if style == "envoy" else set())


@pytest.mark.parametrize(
    ("style", "status", "body"),
    [("envoy", "http_status", "body"), ("kong", "status", "message"), ("apisix", "status_code", "reason")],
)
def test_a_deny_is_said_in_the_words_of_the_plugin(style: str, status: str, body: str) -> None:
    result = json.loads(opa.answer(denial(Reason.UNAUTHENTICATED, "id-1"), style, False))["result"]
    assert result["allow"] is False
    assert (result[status], result[body]) == (401, "denied id-1")
    assert result["headers"]["www-authenticate"] == "Bearer"
    assert "x-pdp-subject" not in result["headers"]
    assert result.get("allowed", False) is False


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("subject", ["nina", ""])
@pytest.mark.parametrize("style", PROXIED)
def test_only_a_permit_for_somebody_is_true(reason: Reason, effect: Effect, subject: str, style: str) -> None:
    verdict = Verdict(Decision(effect, reason), "id-1", "user" if subject else "", subject)
    opens = effect is Effect.ALLOW and bool(subject)
    assert json.loads(opa.answer(verdict, style, True))["result"] is opens
    assert json.loads(opa.answer(verdict, style, False))["result"]["allow"] is opens


@pytest.mark.parametrize("effect", list(Effect))
def test_a_question_in_authzens_words_has_its_context(effect: Effect) -> None:
    decision = Decision(effect, Reason.FORBIDDEN)
    assert json.loads(opa.decided(decision, "id-1", True))["result"] is (effect is Effect.ALLOW)
    result = json.loads(opa.decided(decision, "id-1", False))["result"]
    assert result["allow"] is (effect is Effect.ALLOW)
    assert result["context"]["decision_id"] == "id-1"


def test_an_unknown_document_has_no_result() -> None:
    assert json.loads(opa.undefined("id-1")) == {"decision_id": "id-1"}


# -------------------------------------------------------------------------------------------------------------- fuzzed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["method", "path", "host", "headers", "query", "querystring"]),
    JSON | st.sampled_from(["GET", "/fhir/Record/r1", "ehr.example"]),
)


@given(st.sampled_from(PROXIED), MEMBERS, JSON)
def test_any_input_is_read_or_refused(style: str, http: dict[str, Any], beside: Any) -> None:
    for asked in (said(style, **http), {"attributes": beside, "request": beside}, {"request": {"http": beside}}):
        try:
            original = opa.read(asked, style)
        except (Refused, RequestError):
            continue
        assert isinstance(original, Original)
        assert original.path.startswith(b"/")
        assert not any(name.startswith(b"x-pdp-") for name, _ in original.headers)
