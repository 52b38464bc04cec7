"""The access log of a real Envoy and a real nginx against the log of decisions: what went around the check is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.behind import Behind, Service
from tests.service.envoys import checking, cluster, envoy, listener
from tests.service.server import Server, free_port, serving, until, write_policies

pytestmark = pytest.mark.service

SECRET = "a-secret-that-only-envoy-knows"
SETTINGS = '[pep.envoy]\ndoor = "grpc"\nsecret_file = "envoy.secret"\nmay_assert = []\n'
SAID = {
    "time": "%START_TIME%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "decision": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision_id)%",
    "receipt": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:receipt)%",
}


def logging(made: dict[str, Any]) -> dict[str, Any]:
    """A listener whose log is as our deployment writes it."""
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"][0]["typed_config"]["log_format"] = {"json_format": SAID}
    return made


class Gateway:
    def __init__(self, directory: Path, server: Server, service: Service) -> None:
        self.directory, self.server, self.service = directory, server, service
        checks = {
            "checked": checking(secret=SECRET, encode_raw_headers=True),
            "around": None,
            "open": checking("nobody", SECRET, failure_mode_allow=True),
        }
        self.ports = {name: free_port() for name in checks}
        self.listeners = [logging(listener(self.ports[name], name, check)) for name, check in checks.items()]
        self.clusters = [
            cluster("pdp", server.grpc, grpc=True),
            cluster("nobody", free_port(), grpc=True),
            cluster("service", service.port),
        ]

    def get(self, name: str, target: str, **more: Any) -> int:
        behind = Behind(self.server, self.service, self.ports[name], self.directory / "envoy.log")
        return int(behind.get(target, **more).status)

    def lines(self) -> list[bytes]:
        return (self.directory / "access.log").read_bytes().splitlines(keepends=True)

    def reconciled(self, lines: list[bytes], *more: str) -> tuple[int, dict[str, Any]]:
        (self.directory / "some.log").write_bytes(b"".join(lines))
        command = [sys.executable, "-m", "pdp", "audit", "reconcile", "--access-log", "some.log", "--output", "json"]
        done = subprocess.run(
            [*command, "--pep", "envoy", *more],
            env=self.server.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("reconcile")
    policies = write_policies(directory / "policies", SETTINGS)
    (policies / "envoy.secret").write_text(SECRET)
    service = Service()
    with serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        made = Gateway(directory, server, service)
        with envoy(directory, made.listeners, made.clusters):
            for number in range(6):
                assert made.get("checked", "/fhir/Record/r1", user="nina") == 200, number
            assert made.get("checked", "/fhir/Record/sealed") == 403
            assert made.get("around", "/fhir/Record/sealed") == 200
            assert made.get("open", "/fhir/Record/sealed") == 200
            until(lambda: len(made.lines()) == 9, "Envoy has written its log")
            yield made
    service.stop()


def kinds(found: dict[str, Any]) -> Counter[str]:
    return Counter(found["counts"])


def through(gateway: Gateway) -> list[bytes]:
    """The lines of those that were asked about."""
    return [each for each in gateway.lines() if json.loads(each)["decision"]]


def test_what_went_around_the_check_is_found_and_nothing_else(gateway: Gateway) -> None:
    """A listener without the filter, and one that lets pass what it cannot ask about."""
    code, found = gateway.reconciled(gateway.lines())
    assert (code, kinds(found)) == (1, Counter({"no-decision": 2})), found
    assert (found["lines"], found["passed"], found["matched"], found["peps"]) == (9, 8, 6, ["envoy"])
    assert sorted(each["line"] for each in found["findings"]) == [8, 9]


def test_the_lines_of_the_listener_that_asks_all_fit(gateway: Gateway) -> None:
    code, found = gateway.reconciled(through(gateway))
    assert (code, found["counts"]) == (0, {}), found


def test_a_line_that_somebody_took_out_is_found(gateway: Gateway) -> None:
    lines = through(gateway)
    gone = json.loads(lines[2])["decision"]
    day = json.loads(lines[2])["time"][:10]
    asked = ("--from", day, "--to", day, "--delay", "1")  # What is younger than that is not judged.
    until(lambda: gateway.reconciled(lines[:2] + lines[3:], *asked)[1]["counts"], "it is old enough")
    code, found = gateway.reconciled(lines[:2] + lines[3:], *asked)
    assert (code, kinds(found)) == (1, Counter({"allowed-but-not-seen": 1})), found
    assert found["findings"][0]["decision"] == gone


def test_lines_that_somebody_changed_are_found(gateway: Gateway) -> None:
    lines = [json.loads(each) for each in through(gateway)]
    denied = next(each for each in lines if each["status"] == 403)
    changed = [dict(each) for each in lines]
    changed[lines.index(denied)] |= {"status": 200, "details": "via_upstream"}
    changed[0]["receipt"] = lines[1]["receipt"]
    changed[2]["decision"], changed[2]["receipt"] = lines[3]["decision"], lines[3]["receipt"]
    code, found = gateway.reconciled([json.dumps(each).encode() + b"\n" for each in changed])
    assert code == 1
    assert kinds(found) >= Counter({"denied-but-served": 1, "receipt-unmatched": 1, "duplicate": 1}), found


def test_that_it_was_compared_is_on_record(gateway: Gateway) -> None:
    from pdp.audit.leaf import leaves

    gateway.reconciled(through(gateway))
    reads = [each for each in leaves(gateway.server.audit) if each.kind == "audit.read"]
    assert reads[-1].members["verb"] == "reconcile"
