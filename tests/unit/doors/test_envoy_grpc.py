"""Envoy's gRPC check: what is read, what is refused, and the one way to say yes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors import envoy_grpc
from pdp.doors.envoy_messages import CheckRequest, CheckResponse
from pdp.doors.original import Original, Refused
from pdp.doors.verdict import Verdict, denial
from pdp.model.decision import Decision, Effect, Fields, Obligation, Reason
from tests.unit.doors.asking import check_request

ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("a",))
NINA = Verdict(ALLOW, "id-1", "user", "nina")
IDENTITY = {"x-pdp-decision", "x-pdp-subject", "x-pdp-subject-type", "x-pdp-fields", "x-pdp-obligations"}


def read(request: Any, certificate: str = "none") -> Original:
    return envoy_grpc.read(request.SerializeToString(), certificate)


def kind(request: Any, certificate: str = "none") -> str:
    with pytest.raises(Refused) as refused:
        read(request, certificate)
    return refused.value.kind


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("raw", [True, False])
def test_a_request_is_read_without_its_pseudo_headers(raw: bool) -> None:
    request = check_request("/fhir/Record/r1?a=1?b", ("x-user", b"nina"), ("Accept", b"*/*"), raw=raw)
    request.attributes.context_extensions["service"] = "ehr"
    original = read(request)
    assert (original.method, original.path, original.query) == ("GET", b"/fhir/Record/r1", b"a=1?b")
    assert sorted(original.headers) == [(b"accept", b"*/*"), (b"x-user", b"nina")]
    assert (original.host, original.certificate) == ("ehr.example", None)
    assert original.extensions == {"service": "ehr"}


def test_every_line_of_a_header_is_kept_as_it_was_sent() -> None:
    lines = (("authorization", b"Bearer a"), ("x", b"\xff\xfe"), ("authorization", b"Bearer b"))
    original = read(check_request("/", *lines))
    assert original.lines(b"authorization") == (b"Bearer a", b"Bearer b")
    assert original.lines(b"x") == (b"\xff\xfe",)


def test_checklist_15_lines_that_envoy_joined_stay_joined_for_whoever_reads_them() -> None:
    original = read(check_request("/", ("authorization", b"Bearer a"), ("authorization", b"Bearer b"), raw=False))
    assert original.lines(b"authorization") == (b"Bearer a,Bearer b",)


def test_raw_lines_are_preferred_where_both_are_told() -> None:
    request = check_request("/", ("x-user", b"nina"))
    request.attributes.request.http.headers["x-user"] = "dora"
    assert read(request).lines(b"x-user") == (b"nina",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        CheckRequest(attributes={}).SerializeToString(),
        CheckRequest(attributes={"request": {}}).SerializeToString(),
        CheckRequest(attributes={"request": {"http": {}}}).SerializeToString(),
        CheckRequest(attributes={"source": {"certificate": "x"}}).SerializeToString(),
    ],
)
def test_checklist_04_an_empty_request_or_one_of_a_connection_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        envoy_grpc.read(data, "peer")
    assert (refused.value.reason, refused.value.kind) == (Reason.BAD_REQUEST, "no-http-request")


@pytest.mark.parametrize("missing", ["method", "path", "host"])
def test_checklist_04_a_request_without_method_path_or_host_is_refused(missing: str) -> None:
    request = check_request()
    request.attributes.request.http.ClearField(missing)
    del request.attributes.request.http.header_map.headers[:]
    assert kind(request) == "no-http-request"


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05x", b"\x0a\x07\x22\x05\x12\x03\x22\x01\xff", b"{}", b"\0" * 9])
def test_checklist_02_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        envoy_grpc.read(data, "none")
    assert refused.value.reason is Reason.BAD_REQUEST


@pytest.mark.parametrize(
    "path",
    [
        "fhir/Record/r1",
        "http://ehr.example/fhir/Record/r1",
        "*",
        "/fhir/Record/r1#x",
        "/x#/../fhir",
        "/fhir/Record/é",
        "/a b",
        "/a\tb",
        "/a\r\nx: y",
        "/\x00",
        "/" + "a" * 40_000,
        "?/fhir/Record/r1",
    ],
)
def test_checklist_13_a_target_that_is_not_a_plain_path_is_refused(path: str) -> None:
    assert kind(check_request(path)) == "malformed-target"


@pytest.mark.parametrize("name", ["query", "fragment"])
def test_a_part_that_envoy_never_fills_in_is_refused(name: str) -> None:
    request = check_request()
    setattr(request.attributes.request.http, name, "x")
    assert kind(request) == "malformed-target"


@pytest.mark.parametrize(
    "host",
    [
        "a,b",
        "ehr.example,evil.example",
        "user@ehr.example",
        "ehr.example.",
        "ehr example",
        "a/b",
        "a:b",
        "a:123456",
        ":80",
    ],
)
def test_checklist_13_an_odd_host_is_refused(host: str) -> None:
    assert kind(check_request(host=host)) == "malformed-host"


def test_checklist_13_a_host_is_read_in_lower_case_with_its_port() -> None:
    assert read(check_request(host="EHR.Example:8443")).host == "ehr.example:8443"


@pytest.mark.parametrize(
    ("name", "value"),
    [(":method", b"DELETE"), (":path", b"/other"), (":authority", b"evil.example"), (":Path", b"/other")],
)
def test_two_requests_in_one_are_refused(name: str, value: bytes) -> None:
    assert kind(check_request("/", (name, value))) == "two-requests"


@pytest.mark.parametrize("raw", [True, False])
def test_checklist_13_a_host_line_that_says_another_host_is_refused(raw: bool) -> None:
    assert kind(check_request("/", ("host", b"evil.example"), raw=raw)) == "malformed-host"


@pytest.mark.parametrize("line", ["x-http-method-override", "x-http-method", "x-method-override", "x_http_method"])
def test_checklist_14_a_method_override_is_but_a_header(line: str) -> None:
    assert read(check_request("/", (line, b"GET"), method="DELETE")).method == "DELETE"


@pytest.mark.parametrize(("method", "found"), [("get", "get"), ("PROPFIND", "PROPFIND"), ("a b", ""), ("GET\n", "")])
def test_checklist_14_a_method_is_never_folded(method: str, found: str) -> None:
    """No route has it."""
    assert read(check_request(method=method)).method == found


def body(length: int, size: int, *lines: tuple[str, bytes], packed: bool = False, raw: bool = True) -> Any:
    request = check_request("/", *lines, raw=raw)
    http = request.attributes.request.http
    http.size = size
    if packed:
        http.raw_body = b"\xff" * length
    else:
        http.body = "x" * length
    return request


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_checklist_17_a_truncated_body_is_refused(packed: bool, raw: bool) -> None:
    for value in (b"true", b"True", b"yes", b""):
        said = ("x-envoy-auth-partial-body", value)
        assert kind(body(64, 65, said, packed=packed, raw=raw)) == "truncated-body"
    assert kind(body(64, 65, packed=packed, raw=raw)) == "truncated-body"


def test_checklist_17_a_client_cannot_outvote_envoy() -> None:
    """Envoy's own line stands beside the client's."""
    for lines in ((b"false", b"true"), (b"true", b"false")):
        said = [("x-envoy-auth-partial-body", each) for each in lines]
        assert kind(body(64, 65, *said)) == "truncated-body"
        assert kind(body(64, 65, *said, raw=False)) == "truncated-body"


def test_checklist_17_a_whole_body_is_fine_and_without_one_the_header_is_the_clients() -> None:
    whole = ("x-envoy-auth-partial-body", b"false")
    assert read(body(64, 64, whole)).path == b"/"
    assert read(body(64, 64, packed=True)).path == b"/"
    assert read(check_request("/", ("x-envoy-auth-partial-body", b"true"))).path == b"/"


def test_checklist_19_a_certificate_is_read_where_the_profile_says_and_a_principal_never() -> None:
    lines = (("x-forwarded-client-cert", b"Hash=00"), ("x-client-certificate", b"header"))
    request = check_request("/", *lines)
    request.attributes.source.certificate = "peer"
    # What an Envoy also tells: field 4 of the peer, here a DNS name that was chosen to look like an identity.
    principal = b"\x0a\x1e\x0a\x1c\x22\x1aspiffe://lab.example/admin"
    data = request.SerializeToString() + principal
    found = {each: envoy_grpc.read(data, each).certificate for each in ("none", "peer", "xfcc", "header")}
    assert found == {"none": None, "peer": b"peer", "xfcc": b"Hash=00", "header": b"header"}
    request.attributes.source.ClearField("certificate")
    assert envoy_grpc.read(request.SerializeToString() + principal, "peer").certificate is None


def test_two_certificates_are_none() -> None:
    lines = (("x-forwarded-client-cert", b"Hash=00"), ("x-forwarded-client-cert", b"Hash=01"))
    assert kind(check_request("/", *lines), "xfcc") == "two-certificates"


# ----------------------------------------------------------------------------------------------------------- answering


def sent(verdict: Verdict, *headers: tuple[bytes, bytes]) -> Any:
    """What arrives at Envoy."""
    return CheckResponse.FromString(envoy_grpc.answer(verdict, headers).SerializeToString())


def mutations(response: Any) -> dict[str, str]:
    options = [*response.ok_response.headers, *response.denied_response.headers]
    assert all(each.append_action == 2 for each in options), "checklist 6: always OVERWRITE_IF_EXISTS_OR_ADD"
    assert all(each.header.raw_value == b"" for each in options)
    return {each.header.key: each.header.value for each in options}


def test_checklist_07_every_identity_header_is_set_on_allow() -> None:
    response = sent(NINA)
    assert response.status.code == 0
    assert response.WhichOneof("http_response") == "ok_response"
    found = mutations(response)
    assert set(found) == IDENTITY
    assert found["x-pdp-subject"] == "nina"
    assert found["x-pdp-fields"] == "{}"


def test_checklist_07_the_header_that_named_the_subject_is_replaced_too() -> None:
    response = sent(replace(NINA, echo=b"x-user"), (b"x_user", b"dora"), (b"x.user", b"dora"))
    assert mutations(response)["x-user"] == "nina"
    assert {"x_user", "x.user"} <= set(response.ok_response.headers_to_remove)


@pytest.mark.parametrize(
    "name",
    [
        b"x_pdp_subject",
        b"x-pdp_subject",
        b"x.pdp.subject",
        b"x-pdp-anything",
        b"x_pdp_anything",
        b"x-pdp-secret",
        b"x_pdp_secret",
        b"x-http-method-override",
        b"x_http_method_override",
        b"x-original-url",
        b"x-rewrite-url",
        b"x.forwarded.uri",
        b"x-envoy-auth-failure-mode-allowed",
        b"x_envoy_auth_failure_mode_allowed",
        b"x-envoy-auth-failure_mode.allowed",
    ],
)
def test_checklist_07_whatever_could_be_taken_for_ours_is_removed(name: bytes) -> None:
    assert name.decode() in sent(NINA, (name, b"1"), (b"accept", b"*/*")).ok_response.headers_to_remove


def test_checklist_07_what_we_set_is_never_removed() -> None:
    """Envoy removes after it has set."""
    client = [(name.encode(), b"forged") for name in (*IDENTITY, "accept", "authorization", "x-pdp")]
    response = sent(NINA, *client)
    removed = set(response.ok_response.headers_to_remove)
    assert not removed & set(mutations(response))
    assert not removed & {"accept", "authorization", "host", "x-pdp"}


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        (Reason.UNAUTHENTICATED, 16, 401),
        (Reason.SESSION_ENDED, 16, 401),
        (Reason.STEP_UP, 16, 401),
        (Reason.OVERLOADED, 8, 429),
        (Reason.RATE_LIMITED, 8, 429),
        (Reason.NO_RULE, 7, 403),
        (Reason.BAD_REQUEST, 7, 403),
        (Reason.FAULT, 7, 403),
        (Reason.AUDIT_UNAVAILABLE, 7, 403),
    ],
)
def test_checklist_03_a_deny_has_its_code_and_status(reason: Reason, code: int, status: int) -> None:
    response = sent(denial(reason, "id-1", retry_after=3))
    assert (response.status.code, response.denied_response.status.code) == (code, status)
    found = mutations(response)
    assert found["x-pdp-decision"] == "id-1"
    assert ("www-authenticate" in found) == (status == 401)
    assert found.get("retry-after") == ("3" if status == 429 else None)


class Odd(Verdict):
    """A verdict with a status that no denial may have."""

    status = 200


@pytest.mark.parametrize("status", [0, 100, 200, 204, 302, 413, 500, 503, 999, -1])
def test_checklist_03_no_other_status_leaves(status: int) -> None:
    verdict = Odd(Decision(Effect.DENY, Reason.NO_RULE), "id-1")
    kind = type("Odder", (Odd,), {"status": status})
    for each in (verdict, kind(verdict.decision, "id-1")):
        response = sent(each)
        assert (response.status.code, response.denied_response.status.code) == (7, 403)


def test_checklist_09_a_deny_says_nothing_of_the_policy() -> None:
    decision = Decision(Effect.DENY, Reason.FORBIDDEN, ("sealed-records",), refusals=())
    text = str(sent(Verdict(decision, "id-1", "user", "patient-7")))
    assert "sealed-records" not in text
    assert "patient-7" not in text
    assert sent(Verdict(decision, "id-1")).denied_response.body == "denied id-1"


def test_dynamic_metadata_tells_the_decision_and_nobody() -> None:
    told = MessageToDict(sent(NINA).dynamic_metadata)
    assert told == {"decision_id": "id-1", "effect": "allow", "reason": "permitted", "subject_type": "user"}
    told = MessageToDict(sent(denial(Reason.NO_ROUTE, "id-2")).dynamic_metadata)
    assert told == {"decision_id": "id-2", "effect": "deny", "reason": "no_route"}


class Saying(Verdict):
    """A verdict that opens, with other headers."""

    said: tuple[tuple[bytes, bytes], ...] = ()

    def identity_headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().identity_headers(), *self.said]


def saying(name: bytes, value: bytes, echo: bytes = b"") -> Verdict:
    return type("Saying", (Saying,), {"said": ((name, value),)})(ALLOW, "id-1", "user", "nina", echo=echo)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b":path", b"/other"),
        (b":method", b"DELETE"),
        (b"host", b"evil.example"),
        (b"Host", b"evil.example"),
        (b"", b"x"),
        (b"authorization", b"Bearer x"),
        (b"X-Pdp-Subject", b"x"),
        (b"x-pdp-", b"x"),
        (b"x-pdp-a b", b"x"),
        (b"x-pdp-a\n", b"x"),
        (b"x-pdp-a", b"x\r\nset-cookie: evil=1"),
        (b"x-pdp-a", b"x\n"),
        (b"x-pdp-a", b"x\0"),
        (b"x-pdp-a", b"\xff"),
        (b"x-pdp-a", b"\x7f"),
        (b"x-pdp-a", b"x" * 16_384),
        (b"x-pdp-" + b"a" * 100, b"x"),
    ],
)
def test_checklist_06_a_mutation_that_is_not_sound_turns_the_answer_into_a_deny(name: bytes, value: bytes) -> None:
    response = sent(saying(name, value))
    assert (response.status.code, response.denied_response.status.code) == (7, 403)
    assert "x-pdp-subject" not in mutations(response)


@pytest.mark.parametrize("echo", [b"host", b":path", b"content-length", b"transfer-encoding", b"X-User", b"x user"])
def test_checklist_06_the_header_that_named_a_subject_is_never_one_that_frames_a_request(echo: bytes) -> None:
    assert sent(replace(NINA, echo=echo)).status.code == 7


def test_checklist_06_a_denial_carries_no_line_break() -> None:
    response = sent(denial(Reason.UNAUTHENTICATED, "id-1", challenge=b"Bearer\r\nset-cookie: evil=1"))
    assert response.status.code == 16
    assert "www-authenticate" not in mutations(response)
    assert "evil" not in str(response)


ids = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
texts = st.text(max_size=12)
decisions = st.builds(
    Decision,
    st.sampled_from([*Effect, "allow", "ALLOW", "permit", "", None, True, 1]),
    st.sampled_from(list(Reason)),
    fields=st.builds(Fields, st.none() | st.frozensets(texts, max_size=3), st.frozensets(texts, max_size=3)),
    obligations=st.lists(st.builds(Obligation, texts, st.just(()), texts), max_size=2).map(tuple),
)
verdicts = st.builds(
    Verdict,
    decisions,
    ids,
    texts,
    texts,
    st.binary(max_size=12),
    st.integers(-3, 5),
    st.sampled_from([b"", b"x-user", b"host", b":path"]),
)
headers = st.lists(
    st.tuples(st.sampled_from([b"x_pdp_subject", b"x-pdp-fields", b"x-user", b"x_user", b"a"]), st.binary(max_size=4)),
    max_size=5,
)


@given(verdicts, headers)
def test_checklist_01_code_0_is_an_explicit_permit_for_somebody_and_nothing_else(
    verdict: Verdict, client: list[tuple[bytes, bytes]]
) -> None:
    data = envoy_grpc.answer(verdict, client).SerializeToString()
    assert data, "the default message is a permit"
    response = CheckResponse.FromString(data)
    opens = verdict.decision.effect is Effect.ALLOW and bool(verdict.subject_type) and bool(verdict.subject_id)
    sound = verdict.echo in (b"", b"x-user")
    assert (response.status.code == 0) == (opens and sound)
    assert envoy_grpc.allows(response) == (opens and sound)
    assert response.HasField("status")
    if opens and sound:
        assert response.WhichOneof("http_response") == "ok_response"
        assert set(mutations(response)) >= IDENTITY
    else:
        assert response.WhichOneof("http_response") == "denied_response"
        assert response.denied_response.status.code in (401, 403, 429)
        assert response.status.code in (16, 7, 8)
    for name, value in mutations(response).items():
        assert name
        assert name != "host"
        assert not name.startswith(":")
        assert not {"\r", "\n", "\0"} & set(name + value)


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("reason", list(Reason))
def test_checklist_01_no_reason_but_only_the_effect_opens(effect: Effect, reason: Reason) -> None:
    decision = Decision(effect, reason)
    assert (sent(Verdict(decision, "id", "user", "nina")).status.code == 0) is (effect is Effect.ALLOW)
    for nobody in (Verdict(decision, "id"), Verdict(decision, "id", "user", ""), Verdict(decision, "id", "", "nina")):
        assert sent(nobody).status.code != 0


# ----------------------------------------------------------------------------------------------------------- any bytes


@given(st.binary(max_size=200))
def test_checklist_02_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    for each in ("none", "peer", "xfcc", "header"):
        with suppress(Refused):
            sound(envoy_grpc.read(data, each))


odd_texts = st.text(max_size=6) | st.sampled_from(["GET", "/a", "/a?b", "/a#b", "h", "h:1", "a,b", "true", "false"])
names = (
    st.sampled_from([":path", ":method", ":authority", "host", "x", "X", "x-envoy-auth-partial-body", ""]) | odd_texts
)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    request = CheckRequest()
    http = request.attributes.request.http
    for name in ("method", "path", "host", "scheme", "query", "fragment", "body"):
        if draw(st.booleans()):
            setattr(http, name, draw(odd_texts))
    for name, value in draw(st.dictionaries(names, odd_texts, max_size=3)).items():
        http.headers[name] = value
    for name, value in draw(st.lists(st.tuples(names, st.binary(max_size=6)), max_size=4)):
        http.header_map.headers.add(key=name, raw_value=value)
    http.raw_body = draw(st.binary(max_size=3))
    http.size = draw(st.integers(-1, 5))
    request.attributes.source.certificate = draw(odd_texts)
    return request


@given(messages())
def test_checklist_04_any_message_is_a_sound_request_or_refused(request: Any) -> None:
    with suppress(Refused):
        original = envoy_grpc.read(request.SerializeToString(), "peer")
        sound(original)
        http = request.attributes.request.http
        assert original.path + (b"?" + original.query if "?" in http.path else b"") == http.path.encode()
        assert original.host == http.host.lower()
        assert original.method in (http.method, "")


def sound(original: Original) -> None:
    assert original.path.startswith(b"/")
    assert b"?" not in original.path
    assert b"#" not in original.path + original.query
    assert original.host
    assert not set(original.host) & set(", @/\\?#\r\n\0")
    assert not [name for name, _ in original.headers if name.startswith(b":") or name != name.lower()]
