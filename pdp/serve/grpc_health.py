"""gRPC's own health service: `Check` and `Watch` of grpc.health.v1. It says whether this worker can decide.

No secret is asked for: it says no more than `/ready`, and Envoy's health checks send none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

import grpc

from pdp.doors.envoy_grpc import SERVICE
from pdp.doors.envoy_messages import DecodeError, HealthCheckRequest, HealthCheckResponse
from pdp.serve.arrivals import Arrivals

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

    def __init__(self, able: Callable[[], bool], arrivals: Arrivals) -> None:
        self._able = able
        self._arrivals = arrivals
        self._watchers: dict[int, _Watcher] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """As streams of requests (see `pdp.serve.arrivals`)."""
        check: Any = grpc.stream_unary_rpc_method_handler(self.check)
        watch: Any = grpc.stream_stream_rpc_method_handler(_not_holding_a_thread(self.watch))
        return grpc.method_handlers_generic_handler(NAME, {"Check": check, "Watch": watch})

    def check(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        if self._asked(messages, context) not in KNOWN:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _said(self._status())

    def watch(self, messages: Iterator[bytes], context: grpc.ServicerContext, send: Send) -> None:
        """The status now, and again whenever it changes, until the caller leaves or we end."""
        known = self._asked(messages, context) in KNOWN
        watcher = _Watcher(send, self._status() if known else SERVICE_UNKNOWN, known)
        with self._lock:
            if self._ended.is_set() or len(self._watchers) >= MAX_WATCHERS:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watchers")
            if not self._watchers:
                threading.Thread(target=self._tell, name="health", daemon=True).start()
            self._watchers[id(watcher)] = watcher
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)
        threading.Thread(target=watcher.tell, name="watcher", daemon=True).start()

    def end(self) -> None:
        """Nothing is served any more: every watcher is told, and its stream ends. At once."""
        self._ended.set()
        with self._lock:
            left = list(self._watchers.values())
            self._watchers.clear()
        for each in left:
            each.say(NOT_SERVING)
            each.end()

    def _asked(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> str | None:
        """The service that is asked about; None for what cannot be read."""
        try:
            data = self._arrivals.first(messages, context)
            name: str = HealthCheckRequest.FromString(data or b"").service
        except DecodeError:
            return None
        return name

    def _status(self) -> int:
        with suppress(Exception):  # Whatever cannot be told is not health.
            if not self._ended.is_set() and self._able():
                return SERVING
        return NOT_SERVING

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.pop(id(watcher), None)
        watcher.end()

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
    """Told in a thread of its own: a caller that does not read lets whoever sends to it wait."""

    def __init__(self, send: Send, last: int, known: bool) -> None:
        self.last = last
        self.known = known
        self._send = send
        self._news: SimpleQueue[int | None] = SimpleQueue()
        self._news.put(last)

    def say(self, status: int) -> None:
        self.last = status
        self._news.put(status)

    def end(self) -> None:
        self._news.put(None)

    def tell(self) -> None:
        """In that thread, until the end."""
        with suppress(Exception):  # It has gone.
            while (status := self._news.get()) is not None:
                self._send(_said(status))
            self._send(None)


def _not_holding_a_thread(behavior: Callable[..., None]) -> Any:
    """As grpcio's own health service does it: the server hands a function to send with, and the call goes on without a
    thread.
    """

    def watch(messages: Iterator[bytes], context: grpc.ServicerContext, send: Send) -> None:
        behavior(messages, context, send)

    watch.experimental_non_blocking = True  # type: ignore[attr-defined]
    return watch


def _said(status: int) -> bytes:
    data: bytes = HealthCheckResponse(status=status).SerializeToString()
    return data
