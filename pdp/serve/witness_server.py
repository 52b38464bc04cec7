"""The HTTP of a witness: few routes, small bodies, and an end to every exchange however slowly it drips."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from pdp.audit.checking.witness import MAX_BODY, Answer, Witness
from pdp.config.reading import Address
from pdp.serve.process import say

MAX_AT_ONCE: Final = 64
EXCHANGE_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0
_CHECKPOINT: Final = re.compile(r"/([0-9a-f]{64})/checkpoint")


class WitnessServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, where: Address, witness: Witness, clock: Callable[[], float] = time.time) -> None:
        self.address_family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        self.witness = witness
        self.clock = clock
        self._free = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__((where.host, where.port), _Exchange)

    def server_bind(self) -> None:
        """Without the name of the host, which is a question to a resolver."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Whoever went away went away; anything else is worth a line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            say(f"the witness: {type(error).__name__}")


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "pdp-witness"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: WitnessServer

    def handle_one_request(self) -> None:
        self._end = self._in(IDLE_SECONDS)
        try:
            super().handle_one_request()
        finally:
            self._end.cancel()

    def parse_request(self) -> bool:
        """From its first line on, an exchange has `EXCHANGE_SECONDS`; then its connection is cut."""
        self._end.cancel()
        self._end = self._in(EXCHANGE_SECONDS)
        return super().parse_request()

    def _in(self, seconds: float) -> threading.Timer:
        end = threading.Timer(seconds, self._cut)
        end.daemon = True
        end.start()
        return end

    def _cut(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        try:
            if self.path == "/add-checkpoint":
                self._say(self.server.witness.add_checkpoint(body, int(self.server.clock())))
            elif self.path == "/add-key":
                self._say(self.server.witness.add_key(body))
            else:
                self._say(Answer(404, "there is nothing here\n"))
        except OSError as error:
            say(f"ALARM: the witness cannot keep what it saw: {error.strerror}")
            self._say(Answer(500, "it cannot be kept\n"))

    def do_GET(self) -> None:
        found = _CHECKPOINT.fullmatch(self.path)
        if self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers:
            self.close_connection = True
        self._say(self.server.witness.checkpoint(found[1]) if found else Answer(404, "there is nothing here\n"))

    def _body(self) -> bytes | None:
        """None: it was answered already."""
        lengths = self.headers.get_all("content-length", [])
        self.close_connection = True
        if "transfer-encoding" in self.headers or len(lengths) != 1:
            self._say(Answer(411, "its length has to be said, once\n"))
        elif not re.fullmatch("[0-9]{1,9}", lengths[0]):
            self._say(Answer(400, "its length is no number\n"))
        elif int(lengths[0]) > MAX_BODY:
            self._say(Answer(413, "it is too long\n"))
        else:
            body = self.rfile.read(int(lengths[0]))
            if len(body) == int(lengths[0]):
                self.close_connection = self.headers.get("connection", "").lower() == "close"
                return body
        return None

    def _say(self, answer: Answer) -> None:
        data = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """What is asked of a witness is nobody's secret, and nobody's log."""


def run(where: Address, witness: Witness) -> None:
    """Until TERM or INT; what was begun is ended first. Raises OSError where it cannot listen."""
    server = WitnessServer(where, witness)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # For the threads too: none of them but this one hears of it.
    threading.Thread(target=server.serve_forever, name="witness", daemon=True).start()
    host = f"[{where.host}]" if ":" in where.host else where.host
    say(f"the witness listens on {host}:{server.server_port}")
    signal.sigwait(signals)
    server.shutdown()
    server.server_close()
    witness.close()
