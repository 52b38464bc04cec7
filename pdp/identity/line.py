"""The connection of one exchange, which another thread can cut: however slowly a handshake, a header or a body drips.

A timeout of a socket is one of each read. What ends an exchange as a whole is that its connection is shut down.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Lock, local
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import TimeoutError

_HERE: Final = local()


class Line:
    """One exchange. `open` and `close` belong to its thread, `cut` to any other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._over = False
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """What this thread connects, or uses again, from now on, is this exchange's."""
        _HERE.line = self

    def close(self) -> None:
        _HERE.line = None
        with self._lock:
            self._let_go()

    def cut(self) -> None:
        """Whatever is read ends now, and nothing is connected any more."""
        with self._lock:
            self._over = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def hold(self, connected: socket.socket) -> None:
        """A descriptor of our own for the same connection: TLS takes the socket over, a response may close it."""
        with self._lock:
            self._let_go()
            if self._over:
                raise TimeoutError
            self._socket = socket.socket(fileno=os.dup(connected.fileno()))

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _hold(connected: socket.socket | None) -> None:
    line: Line | None = getattr(_HERE, "line", None)
    if line is not None and connected is not None:
        line.hold(connected)


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _hold(connected)
        return connected

    def request(self, *args: Any, **named: Any) -> None:
        _hold(self.sock)  # It may have been connected for another exchange.
        super().request(*args, **named)


class _Secured(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        _hold(connected)
        return connected

    def request(self, *args: Any, **named: Any) -> None:
        _hold(self.sock)
        super().request(*args, **named)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecuredPool(HTTPSConnectionPool):
    ConnectionCls = _Secured


class Adapter(HTTPAdapter):
    """Of `requests`: its connections are held by the exchange of the thread that uses them."""

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        super().init_poolmanager(*args, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecuredPool}
