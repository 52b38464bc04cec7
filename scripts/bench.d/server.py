"""Starts servers for a row and ends them; loads them with `wrk`, or with a small client of our own."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
Process = subprocess.Popen[bytes]
_LIBC = ctypes.CDLL(None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int | None, command: Sequence[str]) -> list[str]:
    if core is None or shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return list(command)
    return ["taskset", "-c", str(core), *command]


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[Process]:
    """A process that ends with the block, or with us."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env=clean() | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: _LIBC.prctl(1, signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clean() -> dict[str, str]:
    """Our environment, without settings of the service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PDP_")}
    return kept | {"PYTHONPATH": str(ROOT)}


@contextmanager
def chaperone(policies: Path, directory: Path, core: int | None = None, **more: str) -> Iterator[tuple[Process, int]]:
    """`pdp serve` with one worker. Gives the process and the port; it may not listen yet."""
    port = free_port()
    directory.mkdir(exist_ok=True)
    settings = {
        "PDP_POLICIES": str(policies),
        "PDP_HTTP_LISTEN": f"127.0.0.1:{port}",
        "PDP_MANAGEMENT_LISTEN": f"127.0.0.1:{free_port()}",
        "PDP_GRPC_LISTEN": f"127.0.0.1:{free_port()}",
        "PDP_AUDIT_DIR": str(directory / "audit"),
        "PDP_STATE_DIR": str(directory / "state"),
        "PDP_WORKERS": "1",
    } | more
    command = pinned(core, [sys.executable, "-m", "pdp", "serve"])
    with running(command, settings, directory / "chaperone.log") as process:
        yield process, port


@contextmanager
def echo(directory: Path, core: int | None = None) -> Iterator[tuple[Process, int]]:
    port = free_port()
    command = pinned(core, [sys.executable, str(HERE / "echo.py"), str(port)])
    with running(command, {}, directory / "echo.log") as process:
        yield process, port


def first_answer(port: int, path: str, body: bytes, seconds: float = 30) -> bytes:
    """Ask until there is an answer of 200. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            if response.status == 200:
                return answer
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise TimeoutError(f"nobody answers on port {port}")


def lua(path: str, bodies: Sequence[bytes]) -> str:
    """A script of wrk: one body after the other."""
    listed = ",\n".join(json.dumps(each.decode()) for each in bodies)
    return f"""
local bodies = {{ {listed} }}
local at = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  at = at % #bodies + 1
  return wrk.format("POST", "{path}", nil, bodies[at])
end
"""


def wrk(port: int, script: Path, seconds: float, connections: int = 16) -> tuple[float, int]:
    """Requests a second, and how many there were. Raises RuntimeError when any answer was not 200."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    done = subprocess.run(pinned(1, [*command, f"http://127.0.0.1:{port}"]), capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    found = re.search(r"(\d+) requests in .*Requests/sec:\s+([\d.]+)", done.stdout, re.DOTALL)
    if found is None:
        raise RuntimeError(done.stdout)
    return float(found[2]), int(found[1])


class Client:
    """One connection, one request after the other: plain sockets, so that the client costs little."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = (f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", "Content-Length: ")
        self._head = "\r\n".join(lines).encode()

    def ask(self, body: bytes) -> bytes:
        self._socket.sendall(self._head + b"%d\r\n\r\n" % len(body) + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(head.decode("latin-1"))
        while len(rest) < int(length[1]):
            rest += self._more()
        return rest

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()
