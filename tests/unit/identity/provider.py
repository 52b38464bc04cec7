"""An identity provider on loopback whose answers a test sets: good, huge, slow, redirecting, silent. It counts."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[
            str, Any
        ] = {}  # path -> what to answer: JSON, bytes, (status, headers, bytes), or a callable
        self.asked: list[tuple[str, Mapping[str, str], dict[str, list[str]]]] = []
        self.release = threading.Event()  # what drips or hangs, ends then

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self._answer(parse_qs(body))

    def _answer(self, form: dict[str, list[str]]) -> None:
        self.server.asked.append((self.path, dict(self.headers), form))
        answer = self.server.answers.get(self.path, (404, {}, b""))
        answer = answer(form) if callable(answer) else answer
        if answer == "drip":
            return self._drip()
        if answer == "hang":
            self.server.release.wait(10)
            return None
        status, headers, body = answer if isinstance(answer, tuple) else (200, {}, answer)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        return None

    def _drip(self) -> None:
        """A byte now and then, from the first of the status line on: no single read ever times out."""
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000:
            try:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            except OSError:
                return
            if self.server.release.wait(0.02):
                return

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def providing(tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """With `tls`: over https, by that context."""
    server = Provider()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
