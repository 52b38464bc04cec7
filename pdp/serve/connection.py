"""Connections of a decision worker: gunicorn's ASGI worker and protocol, with what they leave open closed.

What is added: TLS by what is in use at each handshake; the client certificate in the scope; a time for the head of a
request; a bound on open connections; and refusals of the parser become refusals of ours, on record and never 5xx.
What of gunicorn is leant on is named in tests/unit/serve/test_connection.py, which fails when gunicorn changes it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from itertools import chain
from typing import Any, Final

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]
from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]

from pdp.config.limits import Limiting
from pdp.serve import tls
from pdp.serve.http import ARRIVED, CERTIFICATE
from pdp.serve.pep import expires

LOOK_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 2.0
END_LOOK_SECONDS: Final = 0.05
END_LOOKS: Final = 100  # what takes longer than these is cut off
LONGEST_TIMER_SECONDS: Final = 86_400.0
PHRASES: Final = {400: "Bad Request", 403: "Forbidden", 413: "Content Too Large", 414: "URI Too Long", 431: "Too Large"}


class DecisionWorker(ASGIWorker):  # type: ignore[misc]
    """`self.app` is `pdp.serve.decisions.Decisions`, `self.asgi` is `pdp.serve.app.Application`."""

    def _setup_event_loop(self) -> None:
        super()._setup_event_loop()
        limiting: Limiting = self.app.settings.limits
        self.limiting = limiting
        self.open: set[Connection] = set()
        self.silent: dict[Connection, None] = {}  # Those that have not said a whole head yet, the oldest first.
        self.idle: dict[Connection, None] = {}  # Those that have had their answer, the longest idle first.
        self._tls: tls.Serving | None = self.app.tls
        if self._tls is not None:
            self._tls.quiet = True  # The arbiter looks too, and there is one of it.
        self._context = None if self._tls is None else tls.swapped(self._tls.material)
        self._create_server = self.loop.create_server
        self.loop.create_server = self._listen

    async def _listen(self, _factory: object, *, sock: socket.socket, **_given: object) -> asyncio.Server:
        """What gunicorn asks its loop for, with our protocol and our TLS."""
        secured: dict[str, Any] = {}
        if self._context is not None:
            secured = {
                "ssl": self._context,
                "ssl_handshake_timeout": self.limiting.handshake_seconds,
                "ssl_shutdown_timeout": SHUTDOWN_SECONDS,
            }
        self._following = self.loop.create_task(self._follow())
        server: asyncio.Server = await self._create_server(lambda: Connection(self), sock=sock, **secured)
        return server

    async def _follow(self) -> None:
        """Every second: a new certificate, key or authorities; and the records that refusals share."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.look()
                self.asgi.each_second()
            except Exception as error:  # What is in use stays; the next second is another one.
                self.asgi.worker.report(error, "-")

    async def _shutdown(self) -> None:
        """gunicorn first waits for the connections here; what is served beside them takes nothing new meanwhile."""
        self.asgi.worker.ending()
        await super()._shutdown()

    def look(self) -> None:
        serving, context = self._tls, self._context
        if serving is None or context is None:
            return
        authorities = serving.material.client_ca
        if serving.look():
            context.current = tls.context(serving.material)
            self.asgi.worker.metrics.tls_reloads += 1
            if serving.material.client_ca != authorities:
                for each in tuple(self.open):  # Whom the new ones would not let in does not stay in.
                    each.end()
        metrics = self.asgi.worker.metrics
        metrics.tls_reload_failures, metrics.tls_expires = serving.failures, serving.material.expires
        metrics.tls_handshake_failures = tls.Handshake.failed
        metrics.tls_seen = time.time_ns() // 1000

    def admits(self, connection: Connection) -> bool:
        """Is there room? The oldest connection that has not asked anything makes room for a new one, then the one that
        has been idle for longest.
        """
        if len(self.open) >= self.limiting.connections:
            self.asgi.worker.metrics.connections_refused += 1
            oldest = next((each for each in chain(self.silent, self.idle) if each.waits), None)
            if oldest is None:
                return False
            oldest.abort()
        self.open.add(connection)
        self.silent[connection] = None
        return True


class Connection(ASGIProtocol):  # type: ignore[misc]
    worker: DecisionWorker

    def __init__(self, worker: DecisionWorker) -> None:
        super().__init__(worker)
        self._certificate: bytes | None = None
        self._late: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------------------------------------- begin and end

    def connection_made(self, transport: Any) -> None:
        if not self.worker.admits(self):
            self._conn_lost_handled = self._closed = True
            transport.abort()
            return
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._certificate = secured.getpeercert(True)
            self._outlive_no_certificate()
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        for timer in (self._late, self._idle, self._expiry):
            if timer is not None:
                timer.cancel()
        self._late = self._idle = self._expiry = None
        super().connection_lost(exc)

    def end(self, patience: int = END_LOOKS) -> None:
        """Close, after the answer that is being given if one is."""
        if self._current_request is None or not patience:
            self._keepalive_timeout()
        elif not self._closed:
            self._keepalive = 0  # gunicorn 27 closes by itself then, and says so in the answer.
            self.worker.loop.call_later(END_LOOK_SECONDS, self.end, patience - 1)

    @property
    def waits(self) -> bool:
        """Is no request being answered?"""
        return self._current_request is None

    def abort(self) -> None:
        self._leave()
        self._closed = True
        self.transport.abort()

    def _leave(self) -> None:
        self.worker.open.discard(self)
        self.worker.silent.pop(self, None)
        self.worker.idle.pop(self, None)

    def _outlive_no_certificate(self) -> None:
        """A connection ends with the certificate that opened it."""
        self._expiry = None
        if self._certificate is not None:
            left = expires(self._certificate) / 1_000_000 - time.time()
            if left > 0:
                again = left > LONGEST_TIMER_SECONDS
                then = self._outlive_no_certificate if again else self.end
                self._expiry = self.worker.loop.call_later(min(left, LONGEST_TIMER_SECONDS), then)
            else:
                self.worker.loop.call_soon(self.end)

    # ------------------------------------------------------------------------------------------------------- heads

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._current_request is None and self._late is None and not self._closed:
            self._await_head()  # The first bytes of a further request, and not all of its head.

    def _await_head(self) -> None:
        if self._current_request is None:
            self._late = self.worker.loop.call_later(self.worker.limiting.head_seconds, self._too_slow)

    def _on_headers_complete(self) -> Any:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self.worker.silent.pop(self, None)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self.worker.idle.pop(self, None)
        return super()._on_headers_complete()

    def _arm_keepalive_timer(self) -> None:
        """Ours, since gunicorn 26 takes its own back at once."""
        if self._idle is not None:
            self._idle.cancel()
        if self in self.worker.open:
            self.worker.idle[self] = None
        self._idle = self.worker.loop.call_later(self.cfg.keepalive, self._too_long_idle)

    def _too_long_idle(self) -> None:
        self._idle = None
        if self._current_request is None:
            self._keepalive_timeout()

    def _too_slow(self) -> None:
        self._late = None
        if self._current_request is None and not self._closed:
            self.worker.asgi.worker.metrics.slow_heads += 1
            self._keepalive_timeout()

    # ---------------------------------------------------------------------------------------- what the app is told

    def _build_http_scope(self, request: Any, sockname: Any, peername: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_http_scope(request, sockname, peername)
        if self._certificate is not None:
            scope[CERTIFICATE] = self._certificate
        if getattr(self._body_receiver, "_complete", False):
            scope[ARRIVED] = True
        return scope

    # ------------------------------------------------------------------------------------------------ what is refused

    def _send_error_response(self, status: int, *_given: Any) -> None:
        """gunicorn's refusal: recorded, in the words of the door it was meant for, and without quoting the request."""
        path = getattr(self._callback_parser, "path", None) or b""
        self._refuse(path if isinstance(path, bytes) else path.encode("latin-1"), f"http-{status}", status)

    async def _handle_websocket(self, request: Any, *_given: Any) -> None:
        """A stream would outlive whatever is decided about its first request: refused before it opens."""
        self._refuse(request.raw_path, "websocket", 400)

    def _refuse(self, path: bytes, kind: str, status: int) -> None:
        if self._closed:
            return
        status, headers, body = self.app.malformed(path, kind, status)
        lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Refused')}".encode("ascii")]
        lines += [name + b": " + value for name, value in headers]
        lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
        with suppress(RuntimeError):
            self._safe_write(b"\r\n".join(lines))
