"""nginx, Caddy and HAProxy ask Chaperone over TLS, with the lines that their pages give for it."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.service import behind
from tests.service.behind import DEPLOY, HOST, SECRET, Service
from tests.service.certificates import Authority
from tests.service.server import ROOT, Server, free_port, write_policies

pytestmark = pytest.mark.service

NAME = "chaperone.hospital.example"
SHOWS_A_CERTIFICATE = ("nginx", "caddy")  # HAProxy's HTTP client cannot.


def snippet(name: str, files: Path, pdp: int) -> str:
    """What the page says, with this test's files and port."""
    page = (ROOT / f"docs/proxies/{name}.md").read_text("utf-8")
    found = re.search(rf"^```{name}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    authority = "/etc/haproxy/chaperone-ca.pem" if name == "haproxy" else "chaperone-ca.pem"
    changes = {"127.0.0.1:8181": f"127.0.0.1:{pdp}", authority: f"{files}/authority.pem"}
    for end in ("pem", "key"):
        changes[f" {name}.{end}"] = f" {files}/proxy.{end}"
    return behind.replaced(found[1], {old: new for old, new in changes.items() if old in found[1]})


def nginx(directory: Path, files: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    changes = {
        "127.0.0.1:8181": f"127.0.0.1:{pdp}",
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "listen 127.0.0.1:8000;": f"listen 127.0.0.1:{port};",
        "listen 127.0.0.1:8000 default_server;": "listen unix:nobody.sock;",
        "access_log /dev/stdout": "access_log access.log",
        "            proxy_pass http://chaperone/forward-auth;\n": snippet("nginx", files, pdp),
    }
    temporary = "".join(f"{kind}_temp_path {kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = behind.replaced((DEPLOY / "nginx/nginx.conf").read_text(), changes)
    (directory / "nginx.conf").write_text(text.replace("http {", "http { " + temporary))
    (directory / "chaperone-secret.conf").write_text(f'proxy_set_header X-Pdp-Secret "{SECRET}";\n')
    command = [behind.program("nginx"), "-p", str(directory), "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]
    return behind.running(command, port, directory)


def caddy(directory: Path, files: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    shipped = (DEPLOY / "caddy/Caddyfile").read_text()
    question = re.search(r"^\t\tforward_auth .*?^\t\t}\n", shipped, re.MULTILINE | re.DOTALL)
    assert question is not None
    text = shipped.replace(question[0], snippet("caddy", files, pdp))
    changes = {"127.0.0.1:8080": f"127.0.0.1:{service}", ":8000": f":{port}"}
    (directory / "Caddyfile").write_text(behind.replaced(text, changes))
    command = [behind.program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    return behind.running(command, port, directory, CHAPERONE_SECRET=SECRET)


def haproxy(directory: Path, files: Path, port: int, pdp: int, service: int) -> AbstractContextManager[None]:
    changes = {
        '    setenv CHAPERONE_URL "http://127.0.0.1:8181/forward-auth"\n': snippet("haproxy", files, pdp),
        "127.0.0.1:8080": f"127.0.0.1:{service}",
        "127.0.0.1:8000": f"127.0.0.1:{port}",
    }
    (directory / "haproxy.cfg").write_text(behind.replaced((DEPLOY / "haproxy/haproxy.cfg").read_text(), changes))
    (directory / "chaperone.lua").write_text((DEPLOY / "haproxy/chaperone.lua").read_text())
    command = [behind.program("haproxy"), "-db", "-f", "haproxy.cfg"]
    return behind.running(command, port, directory, CHAPERONE_SECRET=SECRET)


PROXIES: dict[str, Callable[[Path, Path, int, int, int], AbstractContextManager[None]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
}


class Encrypted(Server):
    """Ready over TLS, where the proxy's own certificate is shown."""

    files: Path

    def ready(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=str(self.files / "authority.pem"))
        context.check_hostname = False  # One of the tests gives it another name.
        context.load_cert_chain(self.files / "proxy.pem", self.files / "proxy.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        try:
            connection.request("GET", "/ready")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found


@contextmanager
def asked(name: str, directory: Path, certificate_name: str) -> Iterator[Callable[[str], int]]:
    """The status of a user's request, through a proxy that asks a Chaperone with this name in its certificate."""
    behind.program(name)
    files = directory / "files"
    authority = Authority(files)
    authority.leaf(dns=[certificate_name], name="chaperone")
    authority.leaf(dns=[f"{name}.hospital.example"], name="proxy")
    mutual = name in SHOWS_A_CERTIFICATE
    settings = f'tls_certificate_file = "{files}/chaperone.pem"\ntls_key_file = "{files}/chaperone.key"\n'
    settings += f'tls_client_ca_file = "{files}/authority.pem"\n' if mutual else ""
    settings += 'trust_unverified_subject_header = "x-user"\n' + behind.settings(name)
    settings += f'certificate = ["dns:{name}.hospital.example"]\n' if mutual else ""
    policies = write_policies(directory / "policies", settings)
    (policies / "proxy.secret").write_text(SECRET)
    server, service, port = Encrypted(directory, policies, PDP_WORKERS="1"), Service(), free_port()
    server.files = files

    def status(user: str) -> int:
        lines = f"GET /fhir/Record/r1 HTTP/1.1\r\nHost: {HOST}\r\nX-User: {user}\r\nConnection: close\r\n\r\n"
        return int(behind.send(port, lines.encode()).status)

    try:
        server.start()
        with PROXIES[name](directory, files, port, server.port, service.port):
            yield status
    finally:
        server.stop()
        service.stop()


@pytest.mark.parametrize("name", PROXIES)
def test_what_the_page_says_about_tls_asks_and_is_answered(name: str, tmp_path: Path) -> None:
    with asked(name, tmp_path, NAME) as status:
        assert status("nina") == 200
        assert status("nobody") == 403


@pytest.mark.parametrize("name", PROXIES)
def test_a_chaperone_of_another_name_opens_nothing(name: str, tmp_path: Path) -> None:
    with asked(name, tmp_path, "somebody-else.hospital.example") as status:
        assert status("nina") >= 500
