"""TLS as it is served: real processes, real files, real handshakes, and those who do not play by the rules."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.service.certificates import Authority, Leaf
from tests.service.server import ROOT, Server, descendants, until, write_policies

pytestmark = pytest.mark.service

SPIFFE = "spiffe://hospital.example/envoy"
PROFILES = """
trust_unverified_subject_header = "x-user"

[pep.envoy]
certificate = ["spiffe://hospital.example/envoy"]
door = "ext_authz"

[pep.portal]
certificate = ["dns:portal.hospital.example"]
secret_file = "portal.secret"
door = "authzen"
"""
BODY = {
    "subject": {"type": "user", "id": "dora"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "r1"},
}


class Secured(Server):
    """A service with TLS, asked by whoever has which certificate."""

    def __init__(self, directory: Path, **settings: str) -> None:
        policies = write_policies(directory / "policies", PROFILES)
        (policies / "portal.secret").write_text("the-secret-of-the-portal")
        self.authority = Authority(directory / "ca")
        self.files = directory / "tls"
        self.files.mkdir()
        self.install(self.authority.server())
        self.trust(self.authority)
        self.proxy = self.authority.leaf(uris=[SPIFFE])
        super().__init__(
            directory,
            policies,
            PDP_TLS_CERTIFICATE_FILE=str(self.files / "cert.pem"),
            PDP_TLS_KEY_FILE=str(self.files / "key.pem"),
            PDP_TLS_CLIENT_CA_FILE=str(self.files / "clients.pem"),
            PDP_GRPC_LISTEN="127.0.0.1:0",
            **settings,
        )

    def install(self, leaf: Leaf) -> None:
        for source, name in ((leaf.certificate_file, "cert.pem"), (leaf.key_file, "key.pem")):
            whole = self.files / f".{name}"
            whole.write_bytes(source.read_bytes())
            whole.chmod(0o600)
            whole.replace(self.files / name)

    def trust(self, *authorities: Authority) -> None:
        content = b"".join(each.certificate_file.read_bytes() for each in authorities)
        (self.files / ".clients.pem").write_bytes(content)
        (self.files / ".clients.pem").replace(self.files / "clients.pem")

    def context(self, leaf: Leaf | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        if leaf is not None:
            made.load_cert_chain(leaf.certificate_file, leaf.key_file)
        return made

    def tell(
        self, leaf: Leaf | None, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> SimpleNamespace:
        """One request over a connection of its own. Raises OSError where there is none."""
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=self.context(leaf))
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return SimpleNamespace(status=answer.status, headers=answer.headers, body=answer.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended: {self.log.read_text()}"
        try:
            return self.tell(self.proxy, "GET", "/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def check(self, leaf: Leaf | None, **headers: str) -> int:
        status: int = self.tell(leaf, "GET", "/ext_authz/fhir/Record/r1", x_user="dora", **headers).status
        return status

    def reaches(self, leaf: Leaf) -> bool:
        try:
            return self.tell(leaf, "GET", "/live").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def shown(self) -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            self.context(self.proxy).wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return secured.getpeercert(True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("tls"), PDP_WORKERS="2")
    try:
        yield made.start()  # type: ignore[misc]
    finally:
        made.stop()


def test_a_proxy_is_known_by_its_certificate_and_by_nothing_else(server: Secured) -> None:
    assert server.check(server.proxy) == 200
    for other in (
        server.authority.leaf(uris=["spiffe://hospital.example/envoy/x"]),
        server.authority.leaf(uris=[SPIFFE, "spiffe://hospital.example/other"]),
        server.authority.leaf(dns=[SPIFFE]),
        server.authority.leaf(cn=SPIFFE),
        server.authority.leaf(),
    ):
        assert server.check(other) == 403
    assert server.check(server.proxy, x_pdp_secret="some-secret-or-other") == 403


def test_who_has_to_show_both_shows_both(server: Secured) -> None:
    portal = server.authority.leaf(dns=["portal.hospital.example"])
    secret, body = "Bearer the-secret-of-the-portal", json.dumps(BODY).encode()
    path, kind = "/access/v1/evaluation", "application/json"
    asked = [
        server.tell(leaf, "POST", path, body, content_type=kind, **given).status
        for leaf, given in (
            (portal, {"authorization": secret}),
            (portal, {}),
            (server.proxy, {"authorization": secret}),
            (portal, {"authorization": secret + "x"}),
        )
    ]
    assert asked == [200, 401, 401, 401]
    refused = [each for each in server.records() if each["reason"] == "unknown_pep" and each["door"] == "authzen"]
    assert {each["detail"] for each in refused} == {"no-secret", "unknown-certificate", "wrong-secret"}


def test_without_a_certificate_there_is_no_answer(server: Secured, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "stranger")
    expired = server.authority.leaf(uris=[SPIFFE], days=-1)
    for leaf in (None, stranger.leaf(uris=[SPIFFE]), expired):
        with pytest.raises((OSError, http.client.HTTPException)):
            server.check(leaf)

    def told() -> bool:
        metrics = server.ask("GET", "/metrics", port=server.management).body.decode()
        line = next(each for each in metrics.splitlines() if each.startswith("pdp_tls_handshake_failures_total "))
        return float(line.split()[1]) >= 3

    until(told, "the failed handshakes are counted")


def test_a_new_certificate_and_other_authorities_are_in_force_within_seconds(server: Secured, tmp_path: Path) -> None:
    second = server.authority.server()
    server.install(second)
    until(lambda: all(server.shown() == second.der for _ in range(6)), "the new certificate, in every worker", 5)
    other = Authority(tmp_path / "other", "other")
    newcomer = other.leaf(uris=[SPIFFE])
    assert not server.reaches(newcomer)
    server.trust(server.authority, other)
    until(lambda: all(server.reaches(newcomer) for _ in range(6)), "the new authority", 5)
    server.trust(server.authority)
    until(lambda: not any(server.reaches(newcomer) for _ in range(6)), "the authority is gone", 5)
    assert server.check(server.proxy) == 200


def test_a_broken_pair_is_said_and_changes_nothing_also_for_workers_that_start_anew(server: Secured) -> None:
    before = server.shown()
    (server.files / "key.pem").write_text("no key at all")
    try:
        until(lambda: "holds no private key in PEM" in server.log.read_text(), "it is said", 6)
        assert server.check(server.proxy) == 200
        assert server.process is not None
        state = json.loads(server.tell(server.proxy, "GET", "/ready").body)
        arbiter = state["children"]["decisions"]
        assert arbiter["alive"]
        workers = decision_workers(server)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(workers) & set(decision_workers(server)), "other workers", 10)
        until(lambda: server.reaches(server.proxy), "they answer", 10)
        assert server.shown() == before  # Not what was there when the service began.
        assert server.log.read_text().count("holds no private key in PEM") == 1
    finally:
        server.install(server.authority.server())


def decision_workers(server: Server) -> list[int]:
    (children,) = server.directory.glob("chaperone-*/children")
    return descendants(json.loads(children.read_bytes())["decisions"]["pid"])


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda files: (files / "key.pem").unlink(), "tls_key_file"),
        (lambda files: (files / "cert.pem").write_text("nothing"), "holds no certificate in PEM"),
        (lambda files: (files / "clients.pem").write_text("nothing"), "tls_client_ca_file"),
    ],
)
def test_what_cannot_be_served_is_said_at_start(tmp_path: Path, break_it: object, sentence: str) -> None:
    made = Secured(tmp_path)
    break_it(made.files)  # type: ignore[operator]
    ended = subprocess.run(
        [sys.executable, "-m", "pdp", "serve"],
        env={**made.environment, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert sentence in ended.stderr.decode()


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    made = Secured(tmp_path)
    (made.files / "key.pem").chmod(0o644)
    try:
        made.start()
        assert "may be read or written by others" in made.log.read_text()
    finally:
        made.stop()


def test_checklist_31_two_thousand_silent_connections_keep_nobody_out(server: Secured) -> None:
    held = []
    try:
        for number in range(2_000):
            each = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            if number % 2:
                each.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # The beginning of a handshake.
            held.append(each)
        for _ in range(20):
            assert server.check(server.proxy) == 200
        # And they are let go of: a handshake has its time, silence too.
        until(lambda: sum(map(closed, held)) > 1_900, "they are closed", 15)
    finally:
        for each in held:
            each.close()
    assert server.check(server.proxy) == 200


def closed(held: socket.socket) -> bool:
    held.setblocking(False)
    try:
        return held.recv(4_096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_no_renegotiation_and_no_resumption(server: Secured) -> None:
    context = server.context(server.proxy)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    sessions = []
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        with context.wrap_socket(plain, server_hostname="localhost") as secured:
            assert secured.session is None or not secured.session.has_ticket
            sessions.append(secured.session)
    program = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-quiet", "-no_ign_eof"]
    files = ["-cert", str(server.proxy.certificate_file), "-key", str(server.proxy.key_file)]
    try:
        asked = subprocess.run([*program[:-2], *files], input=b"R\n", capture_output=True, timeout=15, check=False)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    said = (asked.stdout + asked.stderr).lower()
    assert b"no renegotiation" in said or b"alert" in said or b"error" in said
