"""The original request in headers: each convention alone counts, and whatever contradicts it is a deny."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.config.peps import CONVENTIONS as CONFIGURED
from pdp.doors import forward_auth
from pdp.doors.conventions import CONVENTIONS
from pdp.doors.original import Original, Refused
from pdp.doors.verdict import Verdict, denial
from pdp.model.decision import Decision, Effect, Reason

ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",))
NINA = Verdict(ALLOW, "id-1", "user", "nina")

Header = tuple[bytes, bytes]


def said(
    convention: str, method: bytes = b"GET", target: bytes = b"/fhir/Record/r1", host: bytes = b"ehr.example"
) -> list[Header]:
    """What the proxy says."""
    named = CONVENTIONS[convention]
    return [(named.method, method), (named.target, target), (named.host, host)]


def read(headers: list[Header], convention: str = "nginx", certificate: str = "none") -> Original:
    return forward_auth.read([(b"host", b"pdp.example"), *headers], convention, certificate)


def refused(headers: list[Header], convention: str = "nginx") -> str:
    with pytest.raises(Refused) as caught:
        read(headers, convention)
    return caught.value.kind


def test_every_convention_that_a_profile_may_choose_is_known() -> None:
    assert set(CONVENTIONS) == set(CONFIGURED)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_request_that_the_proxy_holds_is_read_from_its_own_headers(convention: str) -> None:
    client = [(b"x-user", b"nina"), (b"authorization", b"Bearer t"), (b"x-user", b"again")]
    headers = [
        *said(convention, b"PUT", b"/fhir/Record/r1?a=1?b", b"EHR.example:8443"),
        (b"x-pdp-secret", b"s"),
        (b"connection", b"keep-alive"),
        *client,
    ]
    original = read(headers, convention)
    assert (original.method, original.path, original.query) == ("PUT", b"/fhir/Record/r1", b"a=1?b")
    assert original.host == "ehr.example:8443"
    assert original.headers == client
    assert original.certificate is None


def test_without_a_convention_nothing_is_read() -> None:
    assert refused(said("nginx"), "") == "no-convention"
    assert refused(said("nginx"), "envoy") == "no-convention"


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_checklist_16_each_header_of_the_convention_stands_exactly_once(convention: str, at: int) -> None:
    whole = said(convention)
    assert refused([*whole[:at], *whole[at + 1 :]], convention) == "convention-missing"
    assert refused([*whole, whole[at]], convention) == "convention-twice"
    assert refused([*whole, (whole[at][0], b"/other")], convention) == "convention-twice"


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        (b"x-original-method", b"DELETE"),
        (b"x-forwarded-method", b"DELETE"),
        (b"x-original-uri", b"/public"),
        (b"x-forwarded-uri", b"/public"),
        (b"x-forwarded-uri", b""),
        (b"x-original-url", b"/public"),
        (b"x-rewrite-url", b"/public"),
        (b"x-original-host", b"evil.example"),
        (b"x-forwarded-host", b"evil.example"),
    ],
)
def test_checklist_16_two_conventions_that_disagree_are_a_deny(convention: str, header: bytes, value: bytes) -> None:
    assert refused([*said(convention), (header, value)], convention) in ("conventions-disagree", "convention-twice")


def test_checklist_16_two_conventions_that_agree_are_one() -> None:
    assert read([*said("nginx"), *said("traefik")]).path == b"/fhir/Record/r1"


def test_checklist_16_the_headers_of_another_convention_are_not_read() -> None:
    assert refused(said("traefik"), "nginx") == "convention-missing"
    assert refused(said("nginx"), "caddy") == "convention-missing"


@pytest.mark.parametrize("method", [b"", b"GET,DELETE", b"GET, GET", b"GE T", b"GET\t", b"G" * 33, b"G\xc3\x84T"])
def test_checklist_14_a_method_that_is_none_is_refused(method: bytes) -> None:
    assert refused(said("nginx", method)) == "malformed-method"


@pytest.mark.parametrize("method", [b"get", b"Get", b"PROPFIND", b"M-SEARCH", b"OPTIONS", b"TRACE"])
def test_checklist_14_the_case_of_a_method_is_kept(method: bytes) -> None:
    assert read(said("nginx", method)).method == method.decode()


@pytest.mark.parametrize("override", [b"x-http-method-override", b"x-http-method", b"x-method-override"])
def test_checklist_14_a_method_override_is_a_header_like_any_other(override: bytes) -> None:
    assert read([*said("nginx", b"DELETE"), (override, b"GET")]).method == "DELETE"


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"*",
        b"fhir/Record/r1",
        b"?a=1",
        b"http://ehr.example/fhir/Record/r1",
        b"ehr.example:443",
        b"/fhir/Record/r1#/../sealed",
        b"/fhir/Record/r1#",
        b"/fhir/Record/r 1",
        b"/fhir/Record/r1 HTTP/1.1",
        b"/fhir/Record/\xc3\xa9",
        b"/fhir/Record/r1\x00",
        b"/fhir/Record/r1\x7f",
        b"/" + b"a" * 40_000,
    ],
)
def test_checklist_13_only_an_origin_form_target_is_read(target: bytes) -> None:
    assert refused(said("nginx", target=target)) == "malformed-target"


@pytest.mark.parametrize(
    "target", [b"//admin", b"/a/../b", b"/a%2Fb", b"/a;x=1/b", b"/a\\b", b"/%2561", b"/a%00b", b"/a%zz", b"/a/"]
)
def test_checklist_11_the_raw_path_is_handed_on_as_it_was_sent(target: bytes) -> None:
    assert read(said("nginx", target=target + b"?q=%26?#"[:-1])).path == target


@pytest.mark.parametrize(
    "host", [b"", b"a,b", b"a, a", b"user@ehr.example", b"ehr.example.", b"ehr.example/x", b"ehr.example:http", b"a b"]
)
def test_checklist_13_an_odd_host_is_refused(host: bytes) -> None:
    assert refused(said("caddy", host=host), "caddy") == "malformed-host"


@pytest.mark.parametrize(
    "name",
    [
        b"x_pdp_subject",
        b"x-pdp_subject",
        b"x.pdp.subject",
        b"x_pdp_fields",
        b"x_pdp-secret",
        b"x_forwarded_uri",
        b"x_original_method",
        b"x-forwarded_host",
        b"x_client_certificate",
        b"x_forwarded_client_cert",
    ],
)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_checklist_07_an_alias_of_a_header_of_ours_is_refused(convention: str, name: bytes) -> None:
    assert refused([*said(convention), (name, b"dora")], convention) == "aliased-header"


def test_an_underscore_elsewhere_is_no_matter() -> None:
    assert read([*said("nginx"), (b"x_request_tag", b"1")]).lines(b"x_request_tag") == (b"1",)


@pytest.mark.parametrize("line", [b"X-Pdp-Subject", b"close, X-Pdp-Fields", b"x_pdp_fields", b"te ,\tx-pdp-secret "])
def test_checklist_07_a_header_of_ours_may_not_be_called_hop_by_hop(line: bytes) -> None:
    assert refused([*said("caddy"), (b"connection", line)], "caddy") == "hop-by-hop"


def test_a_certificate_is_read_where_the_profile_says() -> None:
    headers = [*said("nginx"), (b"x-client-certificate", b"pem"), (b"x-forwarded-client-cert", b"Hash=00")]
    assert read(headers).certificate is None
    assert read(headers, certificate="header").certificate == b"pem"
    assert not read(headers, certificate="header").headers
    headers.append((b"x-client-certificate", b"other"))
    with pytest.raises(Refused):
        read(headers, certificate="header")


# ----------------------------------------------------------------------------------------------------------- answering


@pytest.mark.parametrize("convention", [*CONVENTIONS, ""])
def test_checklist_05_allow_is_exactly_200_with_every_identity_header(convention: str) -> None:
    status, headers, body = forward_auth.answer(NINA, convention)
    assert (status, body) == (200, b"")
    assert dict(headers) == {
        b"x-pdp-decision": b"id-1",
        b"x-pdp-subject": b"nina",
        b"x-pdp-subject-type": b"user",
        b"x-pdp-fields": b"{}",
        b"x-pdp-obligations": b"[]",
        b"cache-control": b"no-store",
    }


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("subject", ["nina", ""])
@pytest.mark.parametrize("convention", [*CONVENTIONS, "", "envoy"])
def test_checklist_05_only_a_permit_for_somebody_is_200(
    reason: Reason, effect: Effect, subject: str, convention: str
) -> None:
    verdict = Verdict(Decision(effect, reason), "id-1", "user" if subject else "", subject)
    status, headers, body = forward_auth.answer(verdict, convention)
    if effect is Effect.ALLOW and subject:
        assert status == 200
    else:
        assert status in ({401, 403, 429} if convention not in ("nginx", "", "envoy") else {401, 403})
        assert body == b"denied id-1"
        assert b"x-pdp-subject" not in dict(headers)


def test_nginx_gets_403_where_it_would_make_500_of_429() -> None:
    verdict = denial(Reason.RATE_LIMITED, "id-1", retry_after=7)
    for convention, expected in (("nginx", 403), ("haproxy", 429), ("traefik", 429), ("caddy", 429), ("", 403)):
        status, headers, _ = forward_auth.answer(verdict, convention)
        assert status == expected
        assert dict(headers)[b"retry-after"] == b"7"


def test_checklist_09_a_deny_says_nothing_of_the_policy() -> None:
    verdict = Verdict(Decision(Effect.DENY, Reason.FORBIDDEN, ("sealed-records",)), "id-1", "user", "nina")
    status, headers, body = forward_auth.answer(verdict, "nginx")
    assert (status, body) == (403, b"denied id-1")
    assert dict(headers).keys() == {b"x-pdp-decision", b"cache-control", b"content-type"}


# -------------------------------------------------------------------------------------------------------------- fuzzed


NAMES = st.one_of(
    st.sampled_from(
        sorted(
            {header for each in CONVENTIONS.values() for header in (each.method, each.target, each.host)}
            | {b"x_forwarded_uri", b"x-original-url", b"connection", b"x-pdp-subject", b"x_pdp_subject", b"host"}
        )
    ),
    st.binary(min_size=1, max_size=20).map(bytes.lower),
)
VALUES = st.one_of(st.binary(max_size=40), st.sampled_from([b"GET", b"/fhir/Record/r1", b"ehr.example", b"/x?a#b"]))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12), st.sampled_from([*CONVENTIONS, ""]))
@example([*said("nginx"), (b"x-forwarded-uri", b"/fhir/Record/r1")], "nginx")
def test_whatever_is_sent_what_is_read_is_what_the_convention_said(headers: list[Header], convention: str) -> None:
    try:
        original = forward_auth.read(headers, convention, "none")
    except Refused:
        return
    named = CONVENTIONS[convention]
    assert original.lines(named.target) == ()
    target = original.path + (b"?" + original.query if original.query else b"")
    assert [value.rstrip(b"?") for name, value in headers if name == named.target] == [target.rstrip(b"?")]
    assert [value.decode() for name, value in headers if name == named.method] == [original.method]
    assert original.path.startswith(b"/")
    assert not {b"#", b"?", b" "} & {bytes([byte]) for byte in original.path}
    assert not any(name.startswith(b"x_pdp") for name, _ in original.headers)
