"""The management process: a WSGI application under a gunicorn of its own, so that no page delays a decision.

The application is handed in by the command line: the console and the service do not know each other. Identity providers
reach this listener too, and revocations arrive here, so nobody may keep its threads by being slow.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from time import monotonic
from typing import Any, Final

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from pdp.config import Settings
from pdp.serve.decisions import common
from pdp.serve.process import die_with
from pdp.serve.runtime import Runtime
from pdp.serve.view import View

MakeApplication = Callable[[Settings, View], Any]

THREADS: Final = 32
TICK_SECONDS: Final = 0.2
SILENT_SECONDS: Final = 5.0
"""A connection that has not said anything for this long is closed."""
READ_SECONDS: Final = 10.0
"""For a whole request; `CROWDED_SECONDS` while all threads are taken."""
CROWDED_SECONDS: Final = 0.25
ANSWER_SECONDS: Final = 60.0
"""For a request and its answer, also where the answer is not read."""


class ManagementWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, which wait only for those who speak. What of gunicorn is leant on is named in
    tests/unit/serve/test_management.py.
    """

    def init_process(self) -> None:
        self.held: dict[TConn, float] = {}  # since when each has its thread
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """A new connection gets a thread when it has said something; the oldest silent one makes room for it."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = monotonic() + SILENT_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        if self.nr_conns >= self.worker_connections and len(self.pending_conns) > 1:
            self.pending_conns[0].timeout = 0.0

    def handle(self, conn: TConn) -> Any:
        self.held[conn] = monotonic()
        try:
            return super().handle(conn)
        finally:
            del self.held[conn]

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(min(timeout, TICK_SECONDS))

    def murder_pending(self) -> None:
        """Called at each turn of gunicorn's loop."""
        super().murder_pending()
        now, held = monotonic(), list(self.held.items())
        allowed = CROWDED_SECONDS if len(held) >= self.cfg.threads else READ_SECONDS
        for conn, since in held:
            if now - since > allowed:  # Nothing more is read from it. What it is being answered still goes out.
                _shut(conn, socket.SHUT_RDWR if now - since > ANSWER_SECONDS else socket.SHUT_RD)


def _shut(conn: TConn, how: int) -> None:
    with suppress(OSError):
        conn.sock.shutdown(how)


class Management(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, runtime: Runtime, listener: int, make: MakeApplication) -> None:
        self._settings = settings
        self._runtime = runtime
        self._listener = listener
        self._make = make
        super().__init__()

    def load_config(self) -> None:
        chosen = common(self._listener, "pdp-management") | {
            "worker_class": "pdp.serve.management.ManagementWorker",
            "workers": 1,
            "threads": THREADS,
            "keepalive": 5,
            "timeout": 120,
            "post_fork": self._forked,
        }
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make(self._settings, View(self._runtime))

    def _forked(self, arbiter: Any, _worker: Any) -> None:
        die_with(arbiter.pid)


def main(settings: Settings, runtime: Runtime, listener: int, make: MakeApplication) -> int:
    Management(settings, runtime, listener, make).run()
    return 0
