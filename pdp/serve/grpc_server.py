"""The gRPC server of a decision worker: its port, its TLS, its beginning and its end. Started after the fork.

Every worker binds the same port (`SO_REUSEPORT`) and the kernel spreads the connections; `pdp.serve.port` sees to it
that only our workers can. The server is grpcio's with threads: ARCHITECTURE.md has the figures.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from time import time_ns
from typing import Any, Final

os.environ["GRPC_VERBOSITY"] = "NONE"  # It would write to standard error, and wait for whoever reads that.

import grpc

from pdp.serve import tls
from pdp.serve.arrivals import Arrivals
from pdp.serve.check import Check
from pdp.serve.desk import Desk
from pdp.serve.grpc_door import Door, largest_message
from pdp.serve.grpc_health import Health
from pdp.serve.hands import Hands
from pdp.serve.process import say

THREADS: Final = 6  # the most requests a second, of 1 to 16
MOST_THREADS: Final = 256  # while calls wait for their message, or for an identity provider
DRAIN_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 300  # without a call; then whoever holds a connection makes room
PROBLEM: Final = "the gRPC port is not served"


class Server:
    """One worker's. `start`, `end` and `stop` are called in its event loop."""

    def __init__(self, desk: Desk, check: Check, serving: tls.Serving | None) -> None:
        self.problem = ""
        self._settings = desk.settings
        self._worker = desk.worker
        self._serving = serving
        self._hands = Hands(THREADS, MOST_THREADS)
        self._arrivals = Arrivals()
        self._door = Door(desk, check, self._hands, self._arrivals)
        self._health = Health(lambda: self._worker.able(time_ns() // 1000), self._arrivals)
        self._server: grpc.Server | None = None
        self._material: tls.Material | None = None
        self._ends: list[Any] = []  # events: each is set when a server has ended
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._look()
        self._following = asyncio.get_running_loop().create_task(self._follow())

    def end(self) -> None:
        """Take no new calls, let those that are open finish. At once; `stop` waits for it."""
        if self._following is not None:
            self._following.cancel()
            self._following = None
            self._health.end()
            self._close()

    async def stop(self) -> None:
        self.end()
        loop = asyncio.get_running_loop()
        for ended in self._ends:
            await loop.run_in_executor(None, ended.wait, DRAIN_SECONDS + 1)
        self._hands.shutdown()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._arrivals.end_silent()
            self._look()

    def _look(self) -> None:
        """Serve, with what is in use. Other authorities mean another server: whom they would not let in leaves."""
        material = None if self._serving is None else self._serving.material
        used = self._material
        if self._server is not None and (material is None or used is None or material.client_ca == used.client_ca):
            return
        before, self._server = self._server, None
        try:
            self._server = self._opened(material)
        except (RuntimeError, OSError) as error:
            if not self.problem:
                say(f"ALARM: {PROBLEM}: {error}; tried again and again")
            self.problem = PROBLEM
        else:
            self.problem = ""
        if before is not None:
            self._ends = [each for each in self._ends if not each.is_set()]
            self._ends.append(before.stop(DRAIN_SECONDS))

    def _close(self) -> None:
        if self._server is not None:
            self._ends.append(self._server.stop(DRAIN_SECONDS))
            self._server = None

    def _opened(self, material: tls.Material | None) -> grpc.Server:
        server = grpc.server(
            self._hands,  # type: ignore[arg-type]  # any executor will do
            options=self._options(),
        )
        server.add_generic_rpc_handlers((self._door.handlers(), self._health.handlers()))
        where = str(self._settings.grpc_listen)
        if material is None or self._serving is None:
            server.add_insecure_port(where)
        else:
            server.add_secure_port(where, _Credentials(self._serving, material).made)
        self._material = material
        server.start()
        return server

    def _options(self) -> list[tuple[str, Any]]:
        handshake = self._settings.limits.handshake_seconds * 1_000
        return [
            ("grpc.so_reuseport", 1),
            # Longer than what we read: what is a little too long shall get an answer, which denies.
            ("grpc.max_receive_message_length", 4 * largest_message(self._settings)),
            ("grpc.max_metadata_size", 65_536),
            ("grpc.absolute_max_metadata_size", 131_072),
            ("grpc.max_concurrent_streams", self._settings.max_in_flight),
            ("grpc.server_handshake_timeout_ms", handshake),
            # As many as at the HTTP door, so that neither takes the files that the other needs.
            ("grpc.max_allowed_incoming_connections", self._settings.limits.connections),
            ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1_000),
            # Proxies ask whether we are there, also when nothing is open: that is no abuse.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 10_000),
        ]


class _Credentials:
    """TLS 1.2 or newer (grpcio's floor), with whatever is in use when a handshake begins."""

    def __init__(self, serving: tls.Serving, material: tls.Material) -> None:
        self._serving = serving
        self._given = material
        self._authorities = material.client_ca
        self.made = grpc.dynamic_ssl_server_credentials(
            _configuration(material), self._next, require_client_authentication=material.client_ca is not None
        )

    def _next(self) -> Any:
        """Asked before every handshake, in a thread of grpcio's. None: nothing has changed."""
        material = self._serving.material
        if material is self._given or material.client_ca != self._authorities:
            return None
        self._given = material
        with suppress(ValueError):
            return _configuration(material)
        return None


def _configuration(material: tls.Material) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], root_certificates=material.client_ca
    )
