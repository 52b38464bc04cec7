"""gRPC's own health service: `Check` and `Watch` of grpc.health.v1. It says whether this worker can decide.

No secret is asked for: it says no more than `/ready`, and Envoy's health checks send none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import grpc

from pdp.doors.envoy_grpc import SERVICE
from pdp.doors.envoy_messages import DecodeError, HealthCheckRequest, HealthCheckResponse

NAME: Final = "grpc.health.v1.Health"
SERVING: Final = 1
NOT_SERVING: Final = 2
SERVICE_UNKNOWN: Final = 3
KNOWN: Final = frozenset({"", SERVICE})
MAX_WATCHERS: Final = 64
LOOK_SECONDS: Final = 0.5

Send = Callable[[bytes | None], None]


class Health:
    """`able`: can this worker decide? Asked from threads of its own and of the server."""

    def __init__(self, able: Callable[[], bool]) -> None:
        self._able = able
        self._watchers: dict[int, _Watcher] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self.check),
            "Watch": grpc.unary_stream_rpc_method_handler(_not_holding_a_thread(self.watch)),
        }
        return grpc.method_handlers_generic_handler(NAME, methods)

    def check(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        if _service(data) not in KNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _said(self._status())

    def watch(self, data: bytes, context: grpc.ServicerContext, send: Send) -> None:
        """The status now, and again whenever it changes, until the caller leaves or we end."""
        known = _service(data) in KNOWN
        watcher = _Watcher(send, self._status() if known else SERVICE_UNKNOWN, known)
        with self._lock:
            if self._ended.is_set() or len(self._watchers) >= MAX_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watchers")
            if not self._watchers:
                threading.Thread(target=self._tell, name="health", daemon=True).start()
            self._watchers[id(watcher)] = watcher
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)
        watcher.say(watcher.last)

    def end(self) -> None:
        """Nothing is served any more: every watcher is told, and its stream ends."""
        self._ended.set()
        with self._lock:
            left = list(self._watchers.values())
            self._watchers.clear()
        for each in left:
            each.say(NOT_SERVING)
            with suppress(Exception):  # It has gone.
                each.send(None)

    def _status(self) -> int:
        with suppress(Exception):  # Whatever cannot be told is not health.
            if not self._ended.is_set() and self._able():
                return SERVING
        return NOT_SERVING

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.pop(id(watcher), None)

    def _tell(self) -> None:
        """In a thread, while there are watchers."""
        while not self._ended.wait(LOOK_SECONDS):
            status = self._status()
            with self._lock:
                if not self._watchers:
                    return
                changed = [each for each in self._watchers.values() if each.known and each.last != status]
            for each in changed:
                each.say(status)


class _Watcher:
    def __init__(self, send: Send, last: int, known: bool) -> None:
        self.send = send
        self.last = last
        self.known = known

    def say(self, status: int) -> None:
        self.last = status
        with suppress(Exception):  # It has gone.
            self.send(_said(status))


def _not_holding_a_thread(behavior: Callable[..., None]) -> Any:
    """As grpcio's own health service does it: the server hands a function to send with, and the call goes on without a
    thread.
    """

    def watch(data: bytes, context: grpc.ServicerContext, send: Send) -> None:
        behavior(data, context, send)

    watch.experimental_non_blocking = True  # type: ignore[attr-defined]
    return watch


def _service(data: bytes) -> str | None:
    """The service that is asked about; None for what cannot be read."""
    try:
        name: str = HealthCheckRequest.FromString(data).service
    except DecodeError:
        return None
    return name


def _said(status: int) -> bytes:
    data: bytes = HealthCheckResponse(status=status).SerializeToString()
    return data
