"""Real nginx, HAProxy and Caddy, as shipped, with their lines for client certificates in force: who is who?"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from tests.service import behind
from tests.service.behind import DEPLOY, SECRET, Service
from tests.service.certificates import Authority, Leaf
from tests.service.server import Server, free_port, serving
from tests.service.test_envoy_xfcc import ADMIN, LAB, POLICY, RECORD, envoy_xfcc

pytestmark = pytest.mark.service

SETTINGS = """\
[pep.{name}]
door = "forward_auth"
convention = "{name}"
secret_file = "proxy.secret"
may_assert = []
evidence = ["certificate"]
client_certificate = "header"

[trust_domain."hospital.example"]
subject_type = "service"
paths = ["/ns/*/sa/*"]
ca_file = "hospital.pem"
"""


def nginx(directory: Path, tls: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "listen 127.0.0.1:8000;": f"listen 127.0.0.1:{port} ssl;",
        "listen 127.0.0.1:8000 default_server;": "listen unix:nobody.sock;",
        "# ssl_certificate     /etc/nginx/tls": f"ssl_certificate     {tls}",
        "# ssl_certificate_key /etc/nginx/tls": f"ssl_certificate_key {tls}",
        "# ssl_client_certificate /etc/nginx/tls/clients-ca.pem": f"ssl_client_certificate {tls}/hospital.pem",
        "# ssl_verify_client      optional": "ssl_verify_client      optional",
        "access_log /dev/stdout": "access_log access.log",
    }
    temporary = "".join(f"{kind}_temp_path {kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = behind.replaced((DEPLOY / "nginx/nginx.conf").read_text(), changes)
    (directory / "nginx.conf").write_text(text.replace("http {", "http { " + temporary))
    (directory / "chaperone-secret.conf").write_text(f'proxy_set_header X-Pdp-Secret "{SECRET}";\n')
    program = behind.program("nginx")
    command = [program, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    return behind.running(command, port, directory)


def haproxy(directory: Path, tls: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    (tls / "both.pem").write_bytes((tls / "server.pem").read_bytes() + (tls / "server.key").read_bytes())
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "    bind 127.0.0.1:8000\n": "",
        "# bind :443 ssl crt /etc/haproxy/server.pem": f"bind 127.0.0.1:{port} ssl crt {tls}/both.pem",
        "/etc/haproxy/clients-ca.pem": f"{tls}/hospital.pem",
        "# http-request set-header X-Client-Certificate": "http-request set-header X-Client-Certificate",
    }
    (directory / "haproxy.cfg").write_text(behind.replaced((DEPLOY / "haproxy/haproxy.cfg").read_text(), changes))
    (directory / "chaperone.lua").write_text((DEPLOY / "haproxy/chaperone.lua").read_text())
    command = [behind.program("haproxy"), "-db", "-f", "haproxy.cfg"]
    return behind.running(command, port, directory, CHAPERONE_SECRET=SECRET)


def caddy(directory: Path, tls: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    asks = f"tls {tls}/server.pem {tls}/server.key {{\nclient_auth {{\nmode verify_if_given\n"
    asks += f"trusted_ca_cert_file {tls}/hospital.pem\n}}\n}}\n"
    certificate = "header_up X-Client-Certificate {http.request.tls.client.certificate_der_base64}"
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "http://:8000 {": f"http://:{free_port()} {{",
        "http://localhost:8000, http://ehr.example:8000 {": f"https://localhost:{port} {{\n{asks}",
        "header_up X-Pdp-Secret {env.CHAPERONE_SECRET}": "header_up X-Pdp-Secret {env.CHAPERONE_SECRET}\n"
        + certificate,
    }
    (directory / "Caddyfile").write_text(behind.replaced((DEPLOY / "caddy/Caddyfile").read_text(), changes))
    command = [behind.program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    return behind.running(command, port, directory, CHAPERONE_SECRET=SECRET)


PROXIES: dict[str, Callable[[Path, Path, int, int, int], AbstractContextManager[None]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
}


class World:
    def __init__(self, name: str, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory
        self.policies = directory / "policies"
        self.policies.mkdir()
        (self.policies / "mesh.ward").write_text(POLICY)
        (self.policies / "pdp.toml").write_text(SETTINGS.format(name=name))
        (self.policies / "proxy.secret").write_text(SECRET)
        self.authority = Authority(self.policies, "hospital")
        self.authority.server("server")
        self.lab = self.authority.leaf(uris=[LAB])
        self.admin = self.authority.leaf(uris=[ADMIN])
        self.server = Server(directory, self.policies)
        # Caddy sends the name of its variable where it has no value: refused, and not taken for no certificate.
        self.nobody = "(malformed-certificate)" if name == "caddy" else "(no-evidence)"

    def ask(self, leaf: Leaf | None, *headers: tuple[str, str]) -> SimpleNamespace:
        context = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        if leaf is not None:
            context.load_cert_chain(leaf.certificate_file, leaf.key_file)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=10)
        try:
            connection.putrequest("GET", RECORD, skip_host=True)
            connection.putheader("Host", "localhost")
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        told = dict(json.loads(body)["headers"]) if response.status == 200 else {}
        return SimpleNamespace(status=response.status, told=told)

    def subject(self, leaf: Leaf | None, *headers: tuple[str, str]) -> str:
        """Whom the service is told of; in parentheses, why nobody got there."""
        answer = self.ask(leaf, *headers)
        return str(answer.told["x-pdp-subject"]) if answer.told else f"({self.server.records()[-1]['detail']})"


@pytest.fixture(scope="module", params=PROXIES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    name = request.param
    behind.program(name)
    world, service = World(name, tmp_path_factory.mktemp(name)), Service()
    with (
        serving(world.directory, world.policies) as world.server,
        PROXIES[name](world.directory, world.policies, world.port, world.server.port, service.port),
    ):
        yield world
    service.stop()


def test_a_workload_is_who_its_certificate_says(world: World) -> None:
    assert world.subject(world.lab) == LAB
    assert world.subject(world.admin) == ADMIN


def test_nobody_without_a_certificate(world: World) -> None:
    assert world.subject(None) == world.nobody


def test_checklist_18_a_forged_certificate_header_changes_nothing(world: World) -> None:
    encoded = quote(world.admin.pem, safe="")
    assert world.subject(None, ("X-Client-Certificate", encoded)) == world.nobody
    assert world.subject(world.lab, ("X-Client-Certificate", encoded)) == LAB
    # Other spellings are removed by the proxy, or refused behind it.
    for name in ("x_client_certificate", "X-Client_Certificate", "X.Client.Certificate"):
        assert world.subject(None, (name, encoded)) in (world.nobody, "(aliased-header)")
        assert world.subject(world.lab, (name, encoded)) in (LAB, "(aliased-header)")
    forged = ("X-Forwarded-Client-Cert", envoy_xfcc(world.admin, ADMIN))
    assert world.subject(None, forged) == world.nobody
    assert world.subject(world.lab, forged) == LAB


def test_the_service_gets_no_certificate_that_the_client_has_written(world: World) -> None:
    told = world.ask(world.lab, ("X-Client-Certificate", "forged")).told
    assert told.get("x-client-certificate", "") != "forged"


def test_checklist_19_a_name_that_only_looks_like_an_identity_is_nobody(world: World) -> None:
    assert world.subject(world.authority.leaf(dns=[ADMIN], cn=ADMIN)) == "(certificate-is-nobody)"
    assert world.subject(world.authority.leaf(uris=[LAB, ADMIN])) == "(certificate-is-nobody)"
    evil = world.authority.leaf(uris=["spiffe://hospital.example.evil/ns/prod/sa/admin"])
    assert world.subject(evil) == "(certificate-is-nobody)"


def test_a_certificate_of_another_authority_s_is_not_passed_on(world: World) -> None:
    stranger = Authority(world.directory / "stranger", "hospital").leaf(uris=[ADMIN])
    try:
        answer = world.ask(stranger)
    except OSError:
        return
    assert answer.status in (400, 401, 403)
