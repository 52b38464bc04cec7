"""RFC 5424 over TLS or TCP with octet counting (RFC 5425, 6587), or to a socket of this machine.

Syslog has no acknowledgement. What we wait for is that the other side's kernel has everything (`SIOCOUTQ` is 0): a
collector that dies with it unread loses it. Where none may be lost, another kind of target is the one to take.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from pdp.audit.ship.destination import Syslog
from pdp.audit.ship.target import Item, ShipError
from pdp.audit.ship.trust import context

INFORMATIONAL: Final = 6
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
POLL_SECONDS: Final = 0.01


class Collector:
    """One connection, made again after an error."""

    def __init__(self, where: Syslog, timeout_seconds: int) -> None:
        self._where = where
        self._seconds = timeout_seconds
        self._host = socket.gethostname() or "-"
        self._line: socket.socket | None = None
        self._datagrams = False

    def put(self, batch: Sequence[Item]) -> None:
        try:
            line = self._line or self._connected()
            _still_open(line)
            for each in batch:
                text = message(each, self._where.facility, self._host, os.getpid())
                line.sendall(text if self._datagrams else b"%d %s" % (len(text), text))
            self._drained(line)
        except (OSError, ssl.SSLError, ValueError) as error:
            self.close()
            raise ShipError(f"the collector does not take it: {type(error).__name__}") from None

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _connected(self) -> socket.socket:
        parts = urlsplit(self._where.url)
        if parts.scheme == "unix":
            self._line = self._local(parts.path)
            return self._line
        host = parts.hostname or ""
        line = socket.create_connection((host, parts.port or 6514), self._seconds)
        if parts.scheme == "tls":
            self._line = line  # Closed with us, whatever the handshake does.
            line = context(self._where.trust).wrap_socket(line, server_hostname=host)
        self._line = line
        return line

    def _local(self, path: str) -> socket.socket:
        """Either kind of socket: /dev/log is one for datagrams."""
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            line = socket.socket(socket.AF_UNIX, kind)
            line.settimeout(self._seconds)
            try:
                line.connect(path)
            except OSError as error:
                line.close()
                if error.errno != 91 or kind == socket.SOCK_STREAM:  # EPROTOTYPE: it is one of the other kind.
                    raise
            else:
                self._datagrams = kind == socket.SOCK_DGRAM
                return line
        raise OSError("no socket")

    def _drained(self, line: socket.socket) -> None:
        deadline = time.monotonic() + self._seconds
        while _unsent(line):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(POLL_SECONDS)
        _still_open(line)


def message(item: Item, facility: int, host: str, pid: int) -> bytes:
    """One syslog message. Its content is the record; what it is known by stands before it as structured data."""
    stamp = (EPOCH + timedelta(microseconds=item.time)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if item.time else "-"
    kind = item.kind if item.kind.isascii() and item.kind.isprintable() and " " not in item.kind else ""
    stream = item.stream.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
    head = f"<{facility * 8 + INFORMATIONAL}>1 {stamp} {host[:255]} chaperone {pid} {kind[:32] or '-'} "
    return f'{head}[record@32473 stream="{stream}" seq="{item.seq}"] '.encode() + item.body


def _unsent(line: socket.socket) -> int:
    """How many bytes the other side's kernel has not taken, or, on this machine, its process."""
    found: int = struct.unpack("i", fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
    return found


def _still_open(line: socket.socket) -> None:
    """A collector says nothing; what can be read is its end."""
    if line.type == socket.SOCK_DGRAM or not select.select([line], [], [], 0)[0]:
        return
    if isinstance(line, ssl.SSLSocket):
        seconds = line.gettimeout()
        line.settimeout(0.0)
        try:
            if line.recv(1):
                return
        except ssl.SSLWantReadError:  # Session tickets of TLS 1.3.
            return
        finally:
            line.settimeout(seconds)  # Of what is sent next, too.
    elif line.recv(1, socket.MSG_PEEK):
        return
    raise ConnectionResetError("the collector has ended the connection")
