"""Mutual TLS on both sides of a real Envoy: it proves itself to Chaperone, and clients prove themselves to it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.behind import Service
from tests.service.certificates import Authority, Leaf
from tests.service.envoys import as_client, as_server, checking, cluster, envoy, listener
from tests.service.server import Server, free_port, until
from tests.service.test_envoy_xfcc import ADMIN, LAB, POLICY, RECORD

pytestmark = pytest.mark.service

ENVOY = "spiffe://hospital.example/ns/edge/sa/envoy"
GREEDY = "spiffe://hospital.example/ns/prod/sa/greedy"
SETTINGS = f"""\
[pep.envoy]
door = "grpc"
certificate = ["{ENVOY}"]
may_assert = []
evidence = ["certificate"]
client_certificate = "peer"

[trust_domain."hospital.example"]
subject_type = "service"
paths = ["/ns/prod/sa/*"]
ca_file = "hospital.pem"

[limits.subject]
rate = 1
per_seconds = 3600
burst = 60
"""


class World:
    def __init__(self, directory: Path) -> None:
        policies = directory / "policies"
        policies.mkdir()
        self.authority = Authority(policies, "hospital")
        (policies / "mesh.ward").write_text(POLICY)
        (policies / "pdp.toml").write_text(SETTINGS)
        served = self.authority.server()
        self.server = Server(
            directory,
            policies,
            PDP_TLS_CERTIFICATE_FILE=str(served.certificate_file),
            PDP_TLS_KEY_FILE=str(served.key_file),
            PDP_TLS_CLIENT_CA_FILE=str(self.authority.certificate_file),
        )
        self.server.is_ready = lambda: "is active" in self.server.log.read_text()  # type: ignore[method-assign]
        self.service = Service()
        self.lab = self.authority.leaf(uris=[LAB], dns=["lab.hospital.example"])
        self.admin = self.authority.leaf(uris=[ADMIN])
        proxies = {
            "proven": as_client(self.authority, self.authority.leaf(uris=[ENVOY])),
            "liar": as_client(self.authority, self.authority.leaf(dns=[ENVOY], cn=ENVOY)),
            "another": as_client(self.authority, self.lab),
            "without": as_client(self.authority, None),
            "plaintext": None,
        }
        self.ports = {name: free_port() for name in [*proxies, "unannounced"]}
        tls = as_server(self.authority.server(), self.authority)
        checks = {name: checking(name, include_peer_certificate=True, encode_raw_headers=True) for name in proxies}
        checks["unannounced"] = checking("proven", encode_raw_headers=True)
        self.listeners = [listener(self.ports[name], name, check, tls) for name, check in checks.items()]
        self.clusters = [cluster(name, self.server.grpc, grpc=True, tls=each) for name, each in proxies.items()]
        self.clusters.append(cluster("service", self.service.port))

    def ask(self, leaf: Leaf | None, name: str = "proven", method: str = "GET", **headers: str) -> SimpleNamespace:
        """One request over TLS; `subject`: whom the service is told of, or in parentheses why nobody got there."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        if leaf is not None:
            context.load_cert_chain(leaf.certificate_file, leaf.key_file)
        before = len(self.service.seen)
        connection = http.client.HTTPSConnection("localhost", self.ports[name], context=context, timeout=10)
        try:
            connection.request(method, RECORD, headers={key.replace("_", "-"): value for key, value in headers.items()})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        reached = len(self.service.seen) > before
        assert reached == (response.status == 200)
        told: dict[str, str] = dict(json.loads(body)["headers"]) if reached else {}
        records = self.server.records()
        subject = told["x-pdp-subject"] if told else f"({records[-1].get('detail', '') if records else ''})"
        return SimpleNamespace(status=response.status, headers=response.headers, told=told, subject=subject)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("envoy-mtls")
    world = World(directory)
    try:
        world.server.start()
        with envoy(directory, world.listeners, world.clusters):
            until(lambda: world.ask(world.lab).status == 200, "Envoy's first allow")
            yield world
    finally:
        world.server.stop()
        world.service.stop()


def test_a_client_is_who_its_certificate_says(world: World) -> None:
    answer = world.ask(world.lab)
    assert (answer.status, answer.subject, answer.told["x-pdp-subject-type"]) == (200, LAB, "service")
    assert world.ask(world.admin).subject == ADMIN
    assert world.ask(world.lab, method="DELETE").status == 403
    assert world.ask(world.admin, method="DELETE").status == 200


def test_nobody_without_a_certificate(world: World) -> None:
    answer = world.ask(None)
    assert (answer.status, answer.subject) == (401, "(no-evidence)")
    assert answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "names",
    [
        {"dns": ["spiffe://lab.example/admin"]},
        {"dns": [ADMIN]},
        {"cn": ADMIN},
        {"dns": [ADMIN], "cn": ADMIN},
        {"uris": [LAB, ADMIN]},
        {"uris": ["spiffe://hospital.example.evil/ns/prod/sa/admin"]},
        {"uris": ["spiffe://hospital.example/ns/prod/sa/../sa/admin"]},
        {"uris": ["https://hospital.example/ns/prod/sa/admin"]},
        {"uris": [ENVOY]},
        {},
    ],
)
def test_checklist_19_a_certificate_that_lies_gets_nothing(world: World, names: dict[str, Any]) -> None:
    """Envoy's `source.principal` is the lie itself, for some of these. Nobody reads it."""
    answer = world.ask(world.authority.leaf(**names))
    assert answer.status == 401


@pytest.mark.parametrize("value", ["Hash=00", "URI={admin}", 'Subject="abc', "By=x;URI={admin},By=y;URI={admin}"])
def test_checklist_18_what_a_client_says_of_its_certificate_says_nothing(world: World, value: str) -> None:
    spoofed = {"X_Forwarded_Client_Cert": value.format(admin=ADMIN), "X_Client_Certificate": value}
    assert world.ask(None, **spoofed).status == 401
    assert world.ask(world.lab, **spoofed).subject == LAB


def test_an_envoy_that_does_not_tell_the_certificate_has_no_clients(world: World) -> None:
    assert world.ask(world.lab, "unannounced").status == 401


@pytest.mark.parametrize(("name", "status"), [("liar", 403), ("another", 403), ("without", 503), ("plaintext", 503)])
def test_checklist_29_only_an_envoy_with_its_own_certificate_is_heard(world: World, name: str, status: int) -> None:
    assert world.ask(world.lab, name).status == status
    assert world.ask(world.admin, name).status == status


def test_checklist_03_too_many_requests_are_429_with_a_time_to_wait(world: World) -> None:
    greedy = world.authority.leaf(uris=[GREEDY])
    answer = until(lambda: (found := world.ask(greedy)).status == 429 and found, "too many")
    assert int(answer.headers["retry-after"]) >= 1
    assert world.ask(world.lab).status == 200
