"""A real Envoy asks over gRPC: what it lets through, and what it does not, whatever a client or a fault does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.attacks import AMBIGUOUS, Attacks
from tests.service.behind import IDENTITY, Behind, Impostor, Service, got
from tests.service.envoys import checking, cluster, envoy, listener
from tests.service.server import Server, descendants, free_port, serving, until, write_policies

pytestmark = pytest.mark.service

SECRET = "a-secret-that-only-envoy-knows"
SETTINGS = '[pep.envoy]\ndoor = "grpc"\nsecret_file = "envoy.secret"\nmay_assert = []\n'
BODY = {"max_request_bytes": 64, "allow_partial_message": True}
MORE_PATHS = [
    "/public/../fhir/Record/r1",
    "/public%2f..%2ffhir%2fRecord%2fr1",
    "//evil.example/fhir/Record/r1",
    "/fhir/Record/r1/..;/r1",
    "/fhir/Record/r1%c0%afb",
    "/fhir/Record/%E2%80%AEr1",
    "/x#/../fhir/Record/r1",
    "/fhir/Record/r1?",
]
"""The path matrix of Envoy, as far as it is not among the attacks on every proxy."""


class Gateway:
    """One Envoy with a listener for each way of asking."""

    def __init__(self, directory: Path, server: Server, service: Service) -> None:
        self.directory = directory
        self.server = server
        self.service = service
        self.impostor = Impostor()
        checks: dict[str, dict[str, Any]] = {
            "raw": checking(secret=SECRET, encode_raw_headers=True),
            "joined": checking(secret=SECRET),
            "body": checking(secret=SECRET, with_request_body=BODY),
            "packed": checking(
                secret=SECRET, encode_raw_headers=True, with_request_body={**BODY, "pack_as_bytes": True}
            ),
            "open": checking(secret=SECRET, failure_mode_allow=True, failure_mode_allow_header_add=True),
            "open-body": checking(secret=SECRET, failure_mode_allow=True, with_request_body=BODY),
            "stranger": checking(secret="another-secret-than-ours", encode_raw_headers=True),
            "no-secret": checking(encode_raw_headers=True),
            "nobody": checking("nobody", SECRET),
            "impostor": checking("impostor", SECRET, timeout="0.3s"),
            "hasty": checking(secret=SECRET, timeout="0.3s"),
        }
        self.ports = {name: free_port() for name in checks}
        self.listeners = [listener(self.ports[name], name, check) for name, check in checks.items()]
        self.clusters = [
            cluster("pdp", server.grpc, grpc=True),
            cluster("nobody", free_port(), grpc=True),
            cluster("impostor", self.impostor.port, grpc=True),
            cluster("service", service.port),
        ]

    def behind(self, name: str) -> Behind:
        return Behind(self.server, self.service, self.ports[name], self.directory / "envoy.log")

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory / "access.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("envoy-grpc")
    policies = write_policies(directory / "policies", SETTINGS)
    (policies / "envoy.secret").write_text(SECRET)
    service = Service()
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        gateway = Gateway(directory, server, service)
        with envoy(directory, gateway.listeners, gateway.clusters):
            yield gateway
        gateway.impostor.stop()
    service.stop()


@pytest.fixture(scope="module")
def world(gateway: Gateway) -> Behind:
    return gateway.behind("raw")


@pytest.fixture(scope="module")
def alone(gateway: Gateway) -> Behind:
    return gateway.behind("nobody")


@pytest.fixture(scope="module")
def misled(gateway: Gateway) -> Behind:
    found = gateway.behind("impostor")
    found.impostor = gateway.impostor
    return found


class TestEnvoy(Attacks):
    @pytest.mark.parametrize("target", MORE_PATHS)
    def test_checklist_10_no_path_of_envoys_matrix_gets_through(self, world: Behind, target: str) -> None:
        answer = world.get(target)
        if target.endswith("?"):
            assert answer.status == 200, "an empty query is none"
        else:
            world.untouched(target, "X-User: nina")

    @pytest.mark.parametrize("line", ["X-User: nina, dora", "X-User: nina\r\nx_user: dora"])
    def test_checklist_15_no_second_subject_is_heard(self, world: Behind, line: str) -> None:
        answer = world.raw("/fhir/Record/r1", line)
        assert answer.status == 401 or got(answer, "x-user") == ["nina"]


@pytest.mark.parametrize("target", [*AMBIGUOUS, *MORE_PATHS[:-1]])
@pytest.mark.parametrize("name", ["joined", "open"])
def test_checklist_10_no_spelling_gets_through_however_envoy_asks(gateway: Gateway, name: str, target: str) -> None:
    """Also not where Envoy lets pass what it cannot ask about: it can always ask."""
    gateway.behind(name).untouched(target, "X-User: nina")


@pytest.mark.parametrize("name", ["raw", "joined", "open", "body", "packed"])
def test_checklist_07_an_allow_has_every_identity_header_once(gateway: Gateway, name: str) -> None:
    forged = ("X-Pdp-Subject: dora", "x_pdp_subject: dora", "X-Pdp-Fields: []", "x-pdp_anything: 1", "x_user: dora")
    answer = gateway.behind(name).get("/fhir/Record/r1", *forged)
    assert answer.status == 200
    for each in IDENTITY:
        assert len(got(answer, each)) == 1, each
    assert (got(answer, "x-pdp-subject"), got(answer, "x-user")) == (["nina"], ["nina"])
    assert not got(answer, "x-pdp-anything")
    assert not got(answer, "x-pdp-secret")


def test_envoys_own_word_for_failing_open_is_not_the_clients_to_say(gateway: Gateway) -> None:
    for line in ("x-envoy-auth-failure-mode-allowed: true", "x_envoy_auth_failure_mode_allowed: true"):
        answer = gateway.behind("open").get("/fhir/Record/r1", line)
        assert answer.status == 200
        assert not got(answer, "x-envoy-auth-failure-mode-allowed")


@pytest.mark.parametrize("name", ["stranger", "no-secret"])
def test_checklist_29_an_envoy_that_nobody_knows_lets_nobody_through(gateway: Gateway, name: str) -> None:
    world = gateway.behind(name)
    assert world.untouched("/fhir/Record/r1", "X-User: nina").status == 403
    assert world.untouched("/fhir/Record/r1", "X-User: nina", f"X-Pdp-Secret: {SECRET}").status == 403


def test_dynamic_metadata_leads_from_envoys_log_to_the_record(gateway: Gateway) -> None:
    world = gateway.behind("raw")
    world.get("/fhir/Record/r1", "Host: allowed.example")
    world.get("/fhir/Record/sealed", "Host: denied.example")

    def logged() -> dict[str, dict[str, Any]]:
        found = {each["listener"]: each for each in gateway.logged()}
        return found if {"allowed.example", "denied.example"} <= set(found) else {}

    found = until(logged, "Envoy's log", 30)
    allowed, denied = found["allowed.example"], found["denied.example"]
    assert (allowed["effect"], allowed["reason"], allowed["subject_type"]) == ("allow", "permitted", "user")
    assert (denied["effect"], denied["reason"], denied["status"]) == ("deny", "forbidden", 403)
    assert denied["details"] == "ext_authz_denied", "a deny, and no error"
    records = {each["decision_id"]: each["effect"] for each in gateway.server.records()}
    assert (records[allowed["decision"]], records[denied["decision"]]) == ("allow", "deny")
    assert "nina" not in str(found)


# --------------------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize("name", ["body", "packed", "open-body"])
def test_checklist_17_a_truncated_body_is_denied(gateway: Gateway, name: str) -> None:
    world = gateway.behind(name)
    whole = world.get("/fhir/Record/r1", user="dora", method="PUT", body=b"x" * 64)
    assert whole.status == 200
    for line in ("X: y", "X-Envoy-Auth-Partial-Body: false"):
        answer = world.untouched("/fhir/Record/r1", "X-User: dora", line, method="PUT", body=b"x" * 65)
        assert answer.status == 403
        assert gateway.server.records()[-1]["detail"] == "truncated-body"


@pytest.mark.parametrize("name", ["raw", "joined", "body", "packed"])
def test_checklist_17_without_a_body_the_word_is_the_clients(gateway: Gateway, name: str) -> None:
    assert gateway.behind(name).get("/fhir/Record/r1", "X-Envoy-Auth-Partial-Body: true").status == 200


@pytest.mark.parametrize("name", ["body", "packed"])
def test_checklist_17_a_body_that_is_no_text_is_no_fault(gateway: Gateway, name: str) -> None:
    answer = gateway.behind(name).get("/fhir/Record/r1", user="dora", method="PUT", body=b"\xff\xfe\0")
    assert answer.status == 200


# --------------------------------------------------------------------------------------------------------------- faults


def workers(server: Server) -> list[int]:
    assert server.process is not None
    found = descendants(server.process.pid)
    return [pid for pid in found if "cygrpc" in Path(f"/proc/{pid}/maps").read_text()]


def denied(answer: SimpleNamespace) -> bool:
    """By Chaperone, in so many words."""
    return bool(answer.status == 403 and answer.headers["x-pdp-decision"])


def test_checklist_02_a_fault_is_denied_also_where_envoy_fails_open(gateway: Gateway) -> None:
    """No record can be written: an explicit deny, and so nothing for `failure_mode_allow` to let pass."""
    audit, world = gateway.server.audit, gateway.behind("open")
    assert world.get("/fhir/Record/r1").status == 200
    audit.rename(audit.with_name("moved"))
    audit.write_text("not a directory")
    try:
        until(lambda: denied(world.get("/fhir/Record/r1")), "denied")
    finally:
        audit.unlink()
        audit.with_name("moved").rename(audit)
    until(lambda: world.get("/fhir/Record/r1").status == 200, "and again")


def test_checklist_31_what_is_long_is_denied_also_where_envoy_fails_open(gateway: Gateway) -> None:
    world = gateway.behind("open")
    for lines in (
        [f"X-Forwarded-For: {'10.0.0.1, ' * 4_000}"],
        [f"X-Filler-{number}: {'a' * 500}" for number in range(90)],
        [f"Authorization: Bearer {'t' * 50_000}"],
    ):
        answer = world.raw("/fhir/Record/sealed", "X-User: nina", *lines)
        assert answer.status in (403, 431), "seen by Chaperone, or refused by Envoy before"
        assert answer.status == 431 or answer.headers["x-pdp-decision"]


def test_checklist_02_a_chaperone_that_does_not_answer_is_no_access(gateway: Gateway) -> None:
    world = gateway.behind("hasty")
    assert world.get("/fhir/Record/r1").status == 200
    (worker,) = workers(gateway.server)
    os.kill(worker, signal.SIGSTOP)
    try:
        assert world.untouched("/fhir/Record/r1", "X-User: nina").status == 503
    finally:
        os.kill(worker, signal.SIGCONT)
    until(lambda: world.get("/fhir/Record/r1").status == 200, "goes on")


def test_checklist_02_a_chaperone_that_died_is_no_access_until_it_is_back(gateway: Gateway) -> None:
    world = gateway.behind("raw")
    assert world.get("/fhir/Record/r1").status == 200
    (worker,) = workers(gateway.server)
    os.kill(worker, signal.SIGKILL)
    before = len(gateway.service.seen)
    answers = []

    def back() -> bool:
        answers.append(world.get("/fhir/Record/r1").status)
        return bool(answers[-1] == 200)

    until(back, "back")
    assert set(answers) <= {200, 503}
    assert len(gateway.service.seen) == before + 1
