"""A service behind a real proxy, what reached it, and a client that can send anything."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service.server import ROOT, Server, free_port, serving, until, write_policies

DEPLOY = ROOT / "deploy"
SECRET = "a-secret-that-only-the-proxy-knows"
HOST = "ehr.example"
LOG = "proxy.log"
Proxy = Callable[[Path, int, int], AbstractContextManager[int]]
"""Starts a proxy in a directory, in front of Chaperone's port and the service's; gives its own."""

IDENTITY = ("x-pdp-decision", "x-pdp-subject", "x-pdp-subject-type", "x-pdp-fields", "x-pdp-obligations")


def settings(convention: str) -> str:
    return (
        f'[pep.{convention}]\ndoor = "forward_auth"\nconvention = "{convention}"\n'
        'secret_file = "proxy.secret"\nmay_assert = []\n'
    )


def program(name: str) -> str:
    """Where a proxy is; without it the tests are skipped."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"no {name}: apt-get install {name}")
    return found


# --------------------------------------------------------------------------------------------------------- the service


class Service:
    """Says what reached it, and remembers that something did. Whatever the method."""

    def __init__(self) -> None:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(length) if length else b""
                seen.append(self.requestline)
                headers = [[name.lower(), value] for name, value in self.headers.items()]
                told = {"line": self.requestline, "headers": headers, "body": content.decode("latin-1")}
                body = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.handle_one
                raise AttributeError(name)

            def log_message(self, *_: object) -> None:
                pass

        self.seen = seen

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A proxy may leave in the middle."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Impostor:
    """Stands where Chaperone should, and answers whatever it is told to; nothing at all for nothing."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.settimeout(5)
            client.recv(65536)
            if self.answer:
                client.sendall(self.answer)
                client.close()
            else:
                held.append(client)

    def stop(self) -> None:
        self._socket.close()


def said(status: str, *lines: str, body: bytes = b"") -> bytes:
    """An answer of an impostor."""
    whole = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(whole).encode() + body


ALLOWED = (
    "x-pdp-decision: d",
    "x-pdp-subject: n",
    "x-pdp-subject-type: u",
    "x-pdp-fields: {}",
    "x-pdp-obligations: []",
)


# ---------------------------------------------------------------------------------------------------------- the client


def send(port: int, raw: bytes, method: str = "GET") -> SimpleNamespace:
    """Bytes on a socket, and the answer to them: status, headers, and what the service says it got, if it did."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(raw)
        response = http.client.HTTPResponse(client, method=method)
        response.begin()
        body = response.read()
    told = json.loads(body) if body.startswith(b'{"line"') else None
    return SimpleNamespace(status=response.status, headers=response.headers, body=body, told=told)


class Behind:
    """One proxy in front of the service."""

    def __init__(self, server: Server, service: Service, port: int, log: Path) -> None:
        self.server = server
        self.log = log  # what the proxy says on standard output and standard error
        self.service = service
        self.port = port
        self.impostor: Impostor | None = None

    def raw(self, target: bytes | str, *lines: str | bytes, method: str = "GET", body: bytes = b"") -> SimpleNamespace:
        """One request, every byte as written."""
        target = target if isinstance(target, bytes) else target.encode("latin-1")
        out = BytesIO()
        out.write(method.encode() + b" " + target + b" HTTP/1.1\r\n")
        given = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
        if not any(line.lower().startswith(b"host:") for line in given):
            given.insert(0, f"Host: {HOST}".encode())
        if not any(line.lower().startswith(b"connection:") for line in given):
            given.append(b"Connection: close")
        if body:
            given.append(b"Content-Length: %d" % len(body))
        out.write(b"\r\n".join(given) + b"\r\n\r\n" + body)
        return send(self.port, out.getvalue(), method)

    def get(self, target: str, *lines: str, user: str | None = "nina", method: str = "GET", **more: Any) -> Any:
        named = [f"X-User: {user}"] if user else []
        return self.raw(target, *named, *lines, method=method, **more)

    def untouched(self, target: str | bytes, *lines: str | bytes, **more: Any) -> SimpleNamespace:
        """The answer to a request that must not reach the service."""
        before = len(self.service.seen)
        answer = self.raw(target, *lines, **more)
        assert self.service.seen[before:] == [], "the service behind was reached"
        assert answer.status >= 400
        return answer


def got(answer: SimpleNamespace, name: str) -> list[str]:
    """The values of a header as the service got it, under any spelling that a server could take for it."""
    assert answer.told is not None, answer.body
    fold = "".join(each if each.isalnum() else "-" for each in name)
    lines = [(key, value) for key, value in answer.told["headers"]]
    return [value for key, value in lines if "".join(c if c.isalnum() else "-" for c in key) == fold]


@contextmanager
def behind(convention: str, directory: Path, proxy: Proxy) -> Iterator[Behind]:
    """The service, Chaperone and a proxy in front."""
    policies = write_policies(directory / "policies", settings(convention))
    (policies / "proxy.secret").write_text(SECRET)
    service = Service()
    with (
        serving(directory, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server,
        proxy(directory, server.port, service.port) as port,
    ):
        yield Behind(server, service, port, directory / LOG)
    service.stop()


@contextmanager
def alone(world: Behind, directory: Path, proxy: Proxy) -> Iterator[Behind]:
    """The same with nobody where Chaperone should be."""
    with proxy(directory, free_port(), world.service.port) as port:
        yield Behind(world.server, world.service, port, directory / LOG)


@contextmanager
def misled(world: Behind, directory: Path, proxy: Proxy) -> Iterator[Behind]:
    """The same with an impostor for Chaperone."""
    impostor = Impostor()
    with proxy(directory, impostor.port, world.service.port) as port:
        misled = Behind(world.server, world.service, port, directory / LOG)
        misled.impostor = impostor
        yield misled
    impostor.stop()


@contextmanager
def running(command: list[str], port: int, directory: Path, **environment: str) -> Iterator[None]:
    """A proxy for the length of the block."""
    with (directory / LOG).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(directory)} | environment,
            cwd=directory,
        )
    try:
        until(lambda: listening(process, port), f"the proxy listens; {directory / LOG}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=15)


def listening(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "the proxy ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def replaced(text: str, changes: dict[str, str]) -> str:
    """A shipped configuration with the ports of a test. Each piece has to be there."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text
