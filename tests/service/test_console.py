"""The management listener over real HTTP: what it shows, and to whom."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from tests.service.server import POLICY, Server, serving, until, write_policies

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("console")
    policies = write_policies(directory / "policies")
    hostile = POLICY.replace("Nurses and doctors read", "<script>alert(1)</script>")
    (policies / "a-permits.ward").write_text(hostile)
    with serving(directory, policies) as running:
        yield running


def page(
    server: Server, path: str, method: str = "GET", form: dict[str, str] | None = None, **more: str
) -> SimpleNamespace:
    headers = {"Host": f"127.0.0.1:{server.management}"} | {
        name.replace("_", "-"): value for name, value in more.items()
    }
    body = urlencode(form).encode() if form is not None else None
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    return server.ask(method, path, body, headers, server.management)


def test_the_rules_are_shown_with_their_citations_and_escaped(server: Server) -> None:
    answer = page(server, "/")
    assert answer.status == 200
    assert b"sealed-records" in answer.body
    assert b"45 CFR 164.522(a)" in answer.body
    assert b"<script>" not in answer.body
    assert b"&lt;script&gt;" in answer.body
    assert server.ready()["program"]["digest"].encode() in answer.body


def test_the_pages_need_nothing_from_elsewhere_and_allow_nothing(server: Server) -> None:
    answer = page(server, "/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    for found in re.findall(rb'(?:src|href)="([^"]*)"', answer.body):
        assert found.startswith((b"/", b"#"))
    assert page(server, "/static/console.css").status == 200


def test_a_request_is_tried_and_explained(server: Server) -> None:
    request = '{"subject":{"type":"user","id":"nina"},"action":{"name":"read"},"resource":{"type":"record","id":"%s"}}'
    allowed = page(server, "/try", "POST", {"request": request % "r1", "profile": "default"})
    assert allowed.status == 200
    assert b"readers-read" in allowed.body
    assert b"allow" in allowed.body
    denied = page(server, "/try", "POST", {"request": request % "sealed", "profile": "default"})
    assert b"sealed-records" in denied.body
    assert b"Why" in denied.body
    broken = page(server, "/try", "POST", {"request": '{"subject":"<b>"', "profile": "default"})
    assert broken.status == 400
    assert b"<b>" not in broken.body
    assert page(server, "/try").status == 200


def test_another_host_name_or_site_is_turned_away(server: Server) -> None:
    assert page(server, "/", Host="evil.example:80").status == 403
    assert page(server, "/try", "POST", {"request": "{}"}, Sec_Fetch_Site="cross-site").status == 403


def test_metrics_add_up_over_the_workers(server: Server) -> None:
    assert server.decide("nina", "read", "r1")
    assert not server.decide("nina", "read", "sealed")

    def counted() -> bool:
        text = page(server, "/metrics").body.decode()
        return (
            'pdp_decisions_total{door="authzen",effect="allow",reason="permitted"}' in text
            and 'pdp_decisions_total{door="authzen",effect="deny",reason="forbidden"}' in text
            and "pdp_request_seconds_bucket" in text
            and "pdp_policy_set_age_seconds" in text
            and 'pdp_child_alive{child="builder"} 1.0' in text
            and "pdp_audit_failures_total 0.0" in text
        )

    until(counted, "the counters are there")


def test_what_is_loaded_is_told_to_machines_too(server: Server) -> None:
    found = page(server, "/api/policy-set").json
    assert found["active"] is True
    assert {each["id"] for each in found["rules"]} == {"readers-read", "doctors-write", "sealed-records"}


def test_off_loopback_or_with_a_secret_it_asks_for_it(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies")
    (tmp_path / "management.secret").write_text("a-secret-that-is-long-enough")
    with serving(tmp_path, policies, PDP_MANAGEMENT_SECRET_FILE=str(tmp_path / "management.secret")) as server:
        assert page(server, "/metrics").status == 401
        assert page(server, "/metrics", Authorization="Bearer wrong").status == 401
        assert page(server, "/metrics", Authorization="Bearer a-secret-that-is-long-enough").status == 200
        assert page(server, "/", Authorization="Basic YTphLXNlY3JldC10aGF0LWlzLWxvbmctZW5vdWdo").status == 200
        assert page(server, "/live").status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST /events/x HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/revocations HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
        b"POST /api/revocations HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "no body, and nobody", "half a body"],
)
def test_slow_callers_do_not_keep_a_revocation_out(server: Server, said: bytes) -> None:
    said = said % server.management if b"%d" in said else said
    slow = [socket.create_connection(("127.0.0.1", server.management)) for _ in range(100)]
    try:
        for each in slow:
            each.sendall(said)
        headers = {"Host": f"127.0.0.1:{server.management}", "Content-Type": "application/json"}
        revocation = b'{"issuer": "*", "subject": "anna"}'
        began = time.monotonic()
        assert server.ask("POST", "/api/revocations", revocation, headers, server.management).status == 201
        assert time.monotonic() - began < 8
    finally:
        for each in slow:
            each.close()


def test_a_large_answer_to_a_slow_reader_is_whole(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.management)) as slow:
        host = f"127.0.0.1:{server.management}".encode()
        slow.sendall(b"GET /api/policy-set HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        time.sleep(0.5)
        found = b"".join(iter(lambda: slow.recv(64), b""))
    head, _, body = found.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
