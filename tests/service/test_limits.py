"""Limits as they are served: several workers, one count; connections without end; heads that never come."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.asker import asker
from tests.service.server import PATIENCE_SECONDS, Server, serving, until, write_policies
from tests.service.test_tls import decision_workers

pytestmark = pytest.mark.service

SETTINGS = """
trust_unverified_subject_header = "x-user"

[limits]
head_seconds = 2
[limits.subject]
rate = 20
per_seconds = 1
burst = 40
[pep.default]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("limits")
    policies = write_policies(directory / "policies", SETTINGS)
    with serving(directory, policies, PDP_WORKERS="3") as found:
        yield found


def status(server: Server, user: str) -> int:
    found: int = server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"x-user": user}).status
    return found


def test_several_workers_count_as_one(server: Server) -> None:
    """Ten clients at once, over connections that the kernel spreads: never more than the burst and the rate."""
    seen: list[int] = []
    began = time.monotonic()

    def hammer() -> None:
        while time.monotonic() - began < 2:
            seen.append(status(server, "dora"))

    threads = [threading.Thread(target=hammer) for _ in range(10)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    passed = time.monotonic() - began
    granted = seen.count(200)
    assert set(seen) == {200, 429}
    assert 40 + 20 * 1.5 < granted <= 40 + 20 * passed + 1
    assert {each["decision_id"].partition("-")[0] for each in server.records() if each["effect"] == "allow"}
    assert status(server, "nina") == 200


def test_a_refusal_says_when_to_come_back_and_is_counted(server: Server) -> None:
    answers = [server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"x-user": "dora"}) for _ in range(100)]
    refused = [each for each in answers if each.status == 429]
    assert refused
    assert all(int(each.headers["retry-after"]) == 1 for each in refused)
    ids = {each["decision_id"] for each in server.records() if each["reason"] == "rate_limited"}
    assert {each.headers["x-pdp-decision"] for each in refused} <= ids
    line = 'pdp_limited_total{limit="subject-limit"}'
    until(lambda: line in server.ask("GET", "/metrics", port=server.management).body.decode(), "it is counted")


def test_a_worker_that_is_killed_takes_no_lock_and_no_count_with_it(server: Server) -> None:
    for _ in range(60):
        status(server, "erin")
    workers = decision_workers(server)
    assert len(workers) == 3
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    until(lambda: status_or_none(server, "nina") == 200, "another worker answers")


def status_or_none(server: Server, user: str) -> int | None:
    try:
        return status(server, user)
    except OSError:
        return None


# ------------------------------------------------------------------------------------------------------ malformed ones


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /ext_authz/fhir/Record/r1 HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /ext_authz/" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET /ext_authz/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n",
        b"GET /ext_authz/x HTTP/1.1\r\nhost: h\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(200)) + b"\r\n",
        b"GET /ext_authz/x HTTP/1.1\r\nhost: h\r\nhost: i\r\n\r\n",
        b"GET /ext_authz/x HTTP/9.9\r\nhost: h\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ],
)
def test_checklist_02_05_31_what_cannot_be_parsed_is_a_deny_on_record(server: Server, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall(sent)
        answer = plain.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 403 "), answer[:60]
    identifier = (
        next(line for line in answer.split(b"\r\n") if line.startswith(b"x-pdp-decision: ")).split()[1].decode()
    )
    # Nobody waits for the record of what the HTTP parser refuses, which is a deny in any case.
    (record,) = until(lambda: [each for each in server.records() if each["decision_id"] == identifier], "the record")
    assert (record["effect"], record["reason"]) == ("deny", "bad_request")
    assert record["detail"].startswith("http-")


def test_checklist_31_a_head_that_never_comes_holds_nothing(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        plain.sendall(b"GET /ext_authz/fhir/Record/r1 HTTP/1.1\r\nhost: h\r\n")
        began = time.monotonic()
        assert plain.recv(100) == b""
        assert 1 < time.monotonic() - began < 6


def test_checklist_33_34_a_stream_is_refused_on_record(server: Server) -> None:
    wish = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "x"}
    answer = server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"x-user": "nina", **wish})
    assert answer.status == 403
    identifier = answer.headers["x-pdp-decision"]
    (record,) = until(lambda: [each for each in server.records() if each["decision_id"] == identifier], "the record")
    assert (record["effect"], record["detail"]) == ("deny", "websocket")


# ------------------------------------------------------------------------------------------------- more than there is


def test_checklist_31_more_connections_than_files_can_be_open_end_nothing(tmp_path: Path) -> None:
    """A worker that may open few files loses no listener: it answers again when others have gone."""
    policies = write_policies(tmp_path / "policies", SETTINGS)
    made = Server(tmp_path, policies)
    with made.log.open("ab") as log:
        made.process = subprocess.Popen(
            [sys.executable, "-m", "pdp", "serve"],
            env=made.environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),
        )
    held: list[socket.socket] = []
    try:
        until(made.is_ready, f"ready; its log:\n{made.log.read_text()}", PATIENCE_SECONDS)
        for _ in range(400):
            held.append(socket.create_connection(("127.0.0.1", made.port), timeout=5))
        time.sleep(0.5)
        for each in held:
            each.close()
        until(lambda: status_or_none(made, "dora") == 200, "it answers again", 15)
        assert [each["effect"] for each in made.records()][-1] == "allow"
    finally:
        made.stop()


HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty settings


def stays_open(held: socket.socket) -> bool:
    """Has an HTTP/2 server answered, and not closed?"""
    held.settimeout(2)
    try:
        return held.recv(9) != b""
    except OSError:
        return False


def test_checklist_31_connections_to_the_grpc_door_take_no_files_from_the_other(tmp_path: Path) -> None:
    settings = SETTINGS.replace("[limits]", "[limits]\nconnections = 40")
    policies = write_policies(tmp_path / "policies", settings)
    with serving(tmp_path, policies, PDP_WORKERS="1") as server:
        held = [socket.create_connection(("127.0.0.1", server.grpc), timeout=5) for _ in range(100)]
        for each in held:
            each.sendall(HTTP2_PREFACE)
        assert sum(map(stays_open, held)) == 40
        assert status(server, "dora") == 200
        for each in held:
            each.close()
        with asker(server.grpc) as envoy:
            until(lambda: envoy.health() == 1, "there is room again")
