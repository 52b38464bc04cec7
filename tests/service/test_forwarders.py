"""Traefik and APISIX, which are not among Debian's packages: exactly the requests that they make, over a real socket.

What they send is told in their own sources: Traefik's ForwardAuth with `trustForwardHeader: false`, and APISIX's
forward-auth.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.service.behind import HOST, SECRET, send, settings
from tests.service.server import Server, serving, write_policies

pytestmark = pytest.mark.service

PROXIES = ("traefik", "apisix")


@pytest.fixture(scope="module", params=PROXIES)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Server]]:
    directory = tmp_path_factory.mktemp(request.param)
    policies = write_policies(directory / "policies", settings(request.param))
    (policies / "proxy.secret").write_text(SECRET)
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        yield request.param, server


def lines_of(proxy: str, target: str, method: str, *client: str) -> list[str]:
    """The headers of the question. Traefik passes the client's on, APISIX those that it is told to."""
    forwarded = [
        f"X-Forwarded-Method: {method}",
        "X-Forwarded-Proto: http",
        f"X-Forwarded-Host: {HOST}",
        f"X-Forwarded-Uri: {target}",
        "X-Forwarded-For: 192.0.2.1",
    ]
    own = {
        "traefik": ["User-Agent: curl/8", "X-Forwarded-Port: 80", "X-Forwarded-Server: edge", "X-Real-Ip: 192.0.2.1"],
        "apisix": ["User-Agent: lua-resty-http/0.17 (Lua) ngx_lua/10026"],
    }
    return ["Host: chaperone", f"X-Pdp-Secret: {SECRET}", *own[proxy], *forwarded, *client]


def ask(
    asked: tuple[str, Server], target: str, *client: str, method: str = "GET", door: str = "GET"
) -> SimpleNamespace:
    proxy, server = asked
    lines = lines_of(proxy, target, method, *client)
    return question(server, door, *lines)


def question(server: Server, door: str, *lines: str, body: bytes = b"") -> SimpleNamespace:
    head = "\r\n".join([f"{door} /forward-auth HTTP/1.1", *lines, "Connection: close", "", ""])
    return send(server.port, head.encode("latin-1") + body, door)


def test_a_permit_is_200_with_every_identity_header(asked: tuple[str, Server]) -> None:
    answer = ask(asked, "/fhir/Record/r1", "X-User: nina")
    assert answer.status == 200
    assert answer.body == b""
    assert [answer.headers[f"x-pdp-{name}"] for name in ("subject", "subject-type", "fields", "obligations")] == [
        "nina",
        "user",
        "{}",
        "[]",
    ]


@pytest.mark.parametrize("door", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"])
def test_checklist_05_the_method_of_the_question_says_nothing(asked: tuple[str, Server], door: str) -> None:
    assert ask(asked, "/fhir/Record/r1", "X-User: nina", door=door).status == 200
    assert ask(asked, "/fhir/Record/sealed", "X-User: nina", door=door).status == 403
    assert ask(asked, "/fhir/Record/r1", "X-User: nina", method="PUT", door=door).status == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "get", "BREW"])
def test_checklist_05_every_method_reaches_the_rules(asked: tuple[str, Server], method: str) -> None:
    answer = ask(asked, "/fhir/Record/r1", "X-User: nina", method=method)
    assert answer.status == 403
    records = {each["decision_id"]: each for each in asked[1].records()}
    assert records[answer.headers["x-pdp-decision"]]["detail"] == "no-route-for-method"


def test_checklist_11_only_the_path_itself_is_the_door(asked: tuple[str, Server]) -> None:
    proxy, server = asked
    lines = lines_of(proxy, "/fhir/Record/r1", "GET", "X-User: nina")
    for path in ("/forward-auth/", "/forward-authX", "/forward%2Dauth", "//forward-auth", "/x/../forward-auth"):
        head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "Connection: close", "", ""])
        assert send(server.port, head.encode()).status == 404


def test_checklist_16_a_hop_by_hop_trick_that_removed_a_header_is_a_deny(asked: tuple[str, Server]) -> None:
    """CVE-2024-45410: with the header gone, whatever a client sent in its place would count."""
    proxy, server = asked
    whole = lines_of(proxy, "/fhir/Record/r1", "GET", "X-User: nina")
    for gone in ("X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host"):
        kept = [line for line in whole if not line.startswith(gone)]
        assert question(server, "GET", *kept).status == 403
        assert question(server, "GET", *kept, "X-Original-URI: /fhir/Record/r1").status == 403


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Uri: /fhir/Record/r1",
        "X-Forwarded-Method: GET",
        "X-Original-URI: /fhir/Record/sealed",
        "X-Original-Method: PUT",
        "X-Rewrite-URL: /fhir/Record/sealed",
        "X-Original-Host: evil.example",
        "X_Forwarded_Uri: /fhir/Record/r1",
        "X.Forwarded.Uri: /fhir/Record/r1",
        "X_Pdp_Subject: dora",
        "X.Pdp.Subject: dora",
    ],
)
def test_checklist_16_a_clients_word_that_disagrees_is_a_deny(asked: tuple[str, Server], line: str) -> None:
    assert ask(asked, "/fhir/Record/r1", "X-User: nina", line).status == 403


@pytest.mark.parametrize(
    "target",
    [
        "/fhir/Record//r1",
        "/fhir/Record/../Record/r1",
        "/fhir/Record%2Fr1",
        "/fhir/Record/%2572",
        "/x#/y",
        "*",
        "http://h/",
    ],
)
def test_checklist_10_what_is_ambiguous_is_a_deny(asked: tuple[str, Server], target: str) -> None:
    assert ask(asked, target, "X-User: nina").status == 403


def test_checklist_29_an_unknown_proxy_is_denied_without_a_challenge(asked: tuple[str, Server]) -> None:
    proxy, server = asked
    lines = lines_of(proxy, "/fhir/Record/r1", "GET", "X-User: nina")
    bare = [line for line in lines if not line.startswith("X-Pdp-Secret")]
    for shown in (
        bare,
        [*bare, "X-Pdp-Secret: guess-guess-guess-guess"],
        [*lines, "X-Pdp-Secret: guess"],
        [*lines, lines[1]],
    ):
        answer = question(server, "GET", *shown)
        assert answer.status == 403
        assert answer.headers["www-authenticate"] is None


def test_checklist_17_a_body_of_the_question_is_not_taken_for_the_next_one(asked: tuple[str, Server]) -> None:
    """Traefik can be told to send the body (`forwardBody`): here it asks for something else."""
    proxy, server = asked
    inner = "\r\n".join(
        ["GET /forward-auth HTTP/1.1", *lines_of(proxy, "/fhir/Record/r1", "GET", "X-User: nina"), "", ""]
    )
    lines = lines_of(proxy, "/fhir/Record/sealed", "POST", "X-User: nina", f"Content-Length: {len(inner)}")
    head = "\r\n".join(["POST /forward-auth HTTP/1.1", *lines, "", ""])
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall((head + inner + "GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").encode())
        answers = b""
        while part := client.recv(65536):
            answers += part
    assert answers.startswith(b"HTTP/1.1 403 ")
    assert b"x-pdp-subject" not in answers


@pytest.mark.parametrize("line", ["Authorization: Bearer a", "X-User: nina"])
def test_checklist_15_two_lines_of_an_identity_are_none(asked: tuple[str, Server], line: str) -> None:
    assert ask(asked, "/fhir/Record/r1", line, line).status == 401
