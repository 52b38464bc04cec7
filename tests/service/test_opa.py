"""The OPA data API over a real socket, asked as the plugins ask."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.server import Server, serving, write_policies

pytestmark = pytest.mark.service

SECRETS = {name: f"a-secret-of-{name}-and-nobody-else" for name in ("envoy", "kong", "apisix", "authzen", "none")}
HTTP = {"method": "GET", "path": "/fhir/Record/r1", "host": "ehr.example", "headers": {"x-user": "nina"}}
OBJECT, BOOLEAN = "/v1/data/chaperone", "/v1/data/chaperone/allow"
ASKED: dict[str, dict[str, Any]] = {
    "envoy": {"attributes": {"request": {"http": HTTP}}},
    "kong": {"request": {"http": HTTP | {"querystring": {}, "port": "8000", "scheme": "http"}}, "service": {}},
    "apisix": {"type": "http", "request": HTTP | {"query": {}, "port": 9080}, "var": {"server_port": "9080"}},
    "authzen": {
        "subject": {"type": "user", "id": "nina"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "r1"},
    },
}


def changed(style: str, **http: Any) -> dict[str, Any]:
    """The question with another request in it."""
    if style == "authzen":
        user = http.get("headers", {}).get("x-user", "nina")
        path = http.get("path", "/fhir/Record/r1")
        method = {"GET": "read", "PUT": "write"}.get(http.get("method", "GET"), "erase")
        given = ASKED["authzen"]
        return given | {
            "subject": {"type": "user", "id": user},
            "action": {"name": method},
            "resource": {"type": "record", "id": path.rpartition("/")[2]},
        }
    if style == "envoy":
        return {"attributes": {"request": {"http": HTTP | http}}}
    request = (ASKED["kong"]["request"]["http"] if style == "kong" else ASKED["apisix"]["request"]) | http
    return {"request": {"http": request} if style == "kong" else request}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("opa")
    profiles = "".join(
        f'[pep.{name}]\ndoor = "opa"\nopa_input = "{name}"\nsecret_file = "{name}.secret"\nmay_assert = []\n'
        for name in ASKED
    )
    profiles += '[pep.none]\nsecret_file = "none.secret"\n'  # every door, and no input
    policies = write_policies(directory / "policies", profiles)
    for name, secret in SECRETS.items():
        (policies / f"{name}.secret").write_text(secret)
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as running:
        yield running


def ask(server: Server, style: str, given: object, path: str = OBJECT, **headers: str) -> SimpleNamespace:
    return server.post(path, {"input": given}, **({"X_Pdp_Secret": SECRETS[style]} | headers))


@pytest.mark.parametrize("style", ASKED)
def test_a_permit_is_true(server: Server, style: str) -> None:
    answer = ask(server, style, ASKED[style], BOOLEAN)
    assert (answer.status, answer.json["result"]) == (200, True)
    assert answer.json["decision_id"] == answer.headers["x-pdp-decision"]
    assert answer.json["decision_id"] in {each["decision_id"] for each in server.records()}
    answer = ask(server, style, ASKED[style])
    assert answer.json["result"]["allow"] is True
    if style != "authzen":
        assert answer.json["result"]["headers"]["x-pdp-subject"] == "nina"


@pytest.mark.parametrize("style", ASKED)
@pytest.mark.parametrize(
    "http",
    [
        {"path": "/fhir/Record/sealed"},
        {"method": "PUT"},
        {"method": "get"},
        {"headers": {"x-user": "nobody"}},
        {"path": "/fhir/Record/elsewhere"},
    ],
)
def test_checklist_05_a_deny_is_200_and_false(server: Server, style: str, http: dict[str, Any]) -> None:
    answer = ask(server, style, changed(style, **http), BOOLEAN)
    assert (answer.status, answer.json["result"]) == (200, False)
    answer = ask(server, style, changed(style, **http))
    assert (answer.status, answer.json["result"]["allow"]) == (200, False)
    assert "sealed-records" not in str(answer.json)


@pytest.mark.parametrize("style", ["envoy", "kong", "apisix"])
def test_nobody_is_a_401_in_the_result(server: Server, style: str) -> None:
    result = ask(server, style, changed(style, headers={})).json["result"]
    word = {"envoy": "http_status", "kong": "status", "apisix": "status_code"}[style]
    assert (result["allow"], result[word], result["headers"]["www-authenticate"]) == (False, 401, "Bearer")


@pytest.mark.parametrize("style", ["envoy", "kong", "apisix"])
@pytest.mark.parametrize(
    "path",
    [
        "//fhir/Record/r1",
        "/fhir/Record/x/../r1",
        "/fhir%2FRecord/r1",
        "/fhir/Record/r1;x",
        "/fhir/Record/%2572",
        "",
        "*",
    ],
)
def test_checklist_10_an_ambiguous_path_is_a_deny(server: Server, style: str, path: str) -> None:
    answer = ask(server, style, changed(style, path=path), BOOLEAN)
    assert (answer.status, answer.json["result"]) == (200, False)


@pytest.mark.parametrize("style", ["envoy", "kong", "apisix"])
@pytest.mark.parametrize(
    "headers",
    [
        {"x-user": ["nina", "dora"]},
        {"x-user": "nina,dora"},
        {"x-user": "nina", "X-User": "nina"},
        {"x-user": "nina", "x-pdp-subject": "dora"},
        {"x-user": "nina", "x_pdp_subject": "dora"},
    ],
)
def test_checklist_15_two_identities_are_none(server: Server, style: str, headers: dict[str, Any]) -> None:
    answer = ask(server, style, changed(style, headers=headers), BOOLEAN)
    assert (answer.status, answer.json["result"]) == (200, False)


@pytest.mark.parametrize("style", ASKED)
@pytest.mark.parametrize(
    "path",
    [
        "/v1/data",
        "/v1/data/",
        "/v1/data/chaperone/",
        "/v1/data/chaperone/deny",
        "/v1/data/chaperone/allow/x",
        "/v1/data//chaperone/allow",
        "/v1/data/CHAPERONE",
        "/v1/data/chaperone%2Fallow",
        "/v1/data/system/authz",
    ],
)
def test_another_document_is_undefined(server: Server, style: str, path: str) -> None:
    answer = ask(server, style, ASKED[style], path)
    assert answer.status == 200
    assert answer.json.keys() == {"decision_id"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"{", b'{"input":1}', b'{"input":{}}', b'{"input":{},"input":{}}', b'{"input":null}', b"\xff"],
)
@pytest.mark.parametrize("style", ASKED)
def test_checklist_27_what_cannot_be_read_is_400_without_a_result(server: Server, style: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "X-Pdp-Secret": SECRETS[style]}
    answer = server.ask("POST", OBJECT, body, headers)
    assert answer.status == 400
    assert "result" not in answer.json


def test_the_input_of_another_plugin_is_not_read(server: Server) -> None:
    for style in ("envoy", "kong", "apisix", "authzen"):
        for other in ASKED:
            if other != style:
                answer = ask(server, style, ASKED[other])
                assert answer.status == 400
                assert "result" not in answer.json


def test_checklist_29_an_unknown_point_gets_401_and_no_result(server: Server) -> None:
    for secret in ({"X_Pdp_Secret": "guess"}, {"X_Pdp_Secret": SECRETS["none"]}, {"Authorization": "Bearer guess"}):
        for path in (OBJECT, BOOLEAN, "/v1/data/x"):
            answer = ask(server, "kong", ASKED["kong"], path, **secret)
            assert answer.status == 401
            assert "result" not in answer.json
    assert server.post(BOOLEAN, {"input": ASKED["kong"]}).status == 401
    bearer = {"Authorization": f"Bearer {SECRETS['kong']}"}
    assert server.post(BOOLEAN, {"input": ASKED["kong"]}, **bearer).json["result"] is True


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_only_post_asks(server: Server, method: str) -> None:
    answer = server.ask(method, BOOLEAN, headers={"X-Pdp-Secret": SECRETS["kong"]})
    assert answer.status == 405


def test_checklist_31_a_long_body_is_413(server: Server) -> None:
    headers = {"Content-Type": "application/json", "X-Pdp-Secret": SECRETS["kong"], "Content-Length": "2000000"}
    answer = server.ask("POST", BOOLEAN, headers=headers)  # Refused for what it announces, before any of it is there.
    assert answer.status == 413
    assert "result" not in answer.json


def test_checklist_28_what_the_question_says_of_the_subject_is_not_believed(server: Server) -> None:
    """The profile may assert nothing: the role of `nobody` stays unknown."""
    given = ASKED["authzen"] | {"subject": {"type": "user", "id": "nobody", "properties": {"role": "doctor"}}}
    answer = ask(server, "authzen", given, BOOLEAN)
    assert (answer.status, answer.json["result"]) == (200, False)


@pytest.mark.parametrize("path", [OBJECT, BOOLEAN])
def test_a_token_that_nobody_here_reads_is_refused_and_not_passed_over(server: Server, path: str) -> None:
    """Whoever sends it wants its scopes, its end and its revocation to count."""
    answer = ask(server, "authzen", ASKED["authzen"], path, X_Pdp_Subject_Token="expired")
    assert answer.status == 400
    assert answer.json["error"]["field"] == "x-pdp-subject-token"
    assert "result" not in answer.json
