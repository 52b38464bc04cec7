"""`pdp revoke` at several hosts: in force only when each has taken it, and whoever has not is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from .conftest import Pdp


class Host(HTTPServer):
    """A management listener that answers every revocation with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.told: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Host

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append(body)
        said = {"id": 1, "kind": "subject", "value": "dora", "issuer": "i", "not_before": "forever"}
        answer = json.dumps(said if self.server.status == 201 else {"error": {"message": "the disk is full"}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    servers = [Host(201), Host(201), Host(503)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,)) for each in servers]
    for thread in threads:
        thread.start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "management.secret"
    path.write_text("a-secret-of-this-test-0123456789")
    path.chmod(0o600)
    return path


def at(hosts: list[Host], secret: Path) -> list[str | Path]:
    urls = [part for host in hosts for part in ("--url", host.url)]
    return ["revoke", "--issuer", "i", "--subject", "dora", "--secret-file", secret, *urls]


def test_all_of_them_are_told(pdp: Pdp, hosts: list[Host], secret: Path) -> None:
    ran = pdp(*at(hosts[:2], secret))
    assert ran.code == 0, ran.err
    assert [len(host.told) for host in hosts] == [1, 1, 0]
    assert all(host.url in ran.out for host in hosts[:2])


def test_one_that_did_not_take_it_is_named_and_the_others_are_told(pdp: Pdp, hosts: list[Host], secret: Path) -> None:
    ran = pdp(*at([hosts[2], hosts[0], hosts[1]], secret))
    assert ran.code == 1
    assert [len(host.told) for host in hosts] == [1, 1, 1]
    assert f"not in force at 1 of 3:\n  {hosts[2].url}: not revoked: the disk is full" in ran.err
    assert hosts[0].url in ran.out
    assert hosts[2].url not in ran.out


def test_one_that_cannot_be_asked_is_a_failure_too(pdp: Pdp, hosts: list[Host], secret: Path) -> None:
    silent = "http://127.0.0.1:1"
    ran = pdp(*at(hosts[:1], secret), "--url", silent)
    assert ran.code == 1
    assert f"{silent}/api/revocations cannot be asked" in ran.err


def test_json_is_a_list_where_there_are_several(pdp: Pdp, hosts: list[Host], secret: Path) -> None:
    ran = pdp(*at(hosts[:2], secret), "--output", "json")
    assert [each["url"] for each in json.loads(ran.out)] == [host.url for host in hosts[:2]]
    assert json.loads(pdp(*at(hosts[:1], secret), "--output", "json").out)["kind"] == "subject"
