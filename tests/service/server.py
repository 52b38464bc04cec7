"""A real `pdp serve` on free ports, for tests that need sockets, processes and time of their own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc

from tests.audited import records

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 20.0

POLICY = """\
module little

entity User as "user" { role: Text }
entity Record as "record" { open: Bool }

action read, write, erase on Record by User

route GET "/fhir/Record/{record}" does read on Record record
route PUT "/fhir/Record/{record}" does read, write on Record record

permit read on Record as readers-read
    "Nurses and doctors read"
    cites "45 CFR 164.506(c)"
    when subject.role == "nurse" or subject.role == "doctor"

permit write on Record as doctors-write
    "Doctors write"
    cites "45 CFR 164.506(c)"
    when subject.role == "doctor"
"""

FORBID = """\
module little.sealed
use little

forbid any on any as sealed-records
    "A sealed record is closed to everybody"
    cites "45 CFR 164.522(a)"
    unless resource.open
"""

DATA = [
    {"type": "user", "id": "nina", "attributes": {"role": "nurse"}},
    {"type": "user", "id": "dora", "attributes": {"role": "doctor"}},
    {"type": "record", "id": "r1", "attributes": {"open": True}},
    {"type": "record", "id": "sealed", "attributes": {"open": False}},
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_policies(directory: Path, settings: str = "") -> Path:
    """A policy directory with a permit, a forbid in a file of its own, and data."""
    (directory / "data").mkdir(parents=True)
    (directory / "a-permits.ward").write_text(POLICY)
    (directory / "b-forbids.ward").write_text(FORBID)
    (directory / "data/world.json").write_text(json.dumps(DATA))
    if settings:
        (directory / "pdp.toml").write_text(settings)
    return directory


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of the condition; fails loudly when there is none in time."""
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            found = condition()
        except (OSError, http.client.HTTPException, grpc.RpcError) as error:  # Nobody answers yet, or no longer.
            found, last = None, f" ({type(error).__name__})"
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError(f"not in {seconds} s: {what}{last}")


class Server:
    """A running service. `ask` sends one HTTP request, the path exactly as written."""

    def __init__(self, directory: Path, policies: Path, **settings: str) -> None:
        self.port, self.management, self.grpc = free_port(), free_port(), free_port()
        self.audit = directory / "audit"
        self.log = directory / "serve.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(directory),
            "PDP_POLICIES": str(policies),
            "PDP_HTTP_LISTEN": f"127.0.0.1:{self.port}",
            "PDP_MANAGEMENT_LISTEN": f"127.0.0.1:{self.management}",
            "PDP_GRPC_LISTEN": f"127.0.0.1:{self.grpc}",
            "PDP_AUDIT_DIR": str(self.audit),
            "PDP_AUDIT_SEGMENT_MEGABYTES": "1",
            "PDP_SCAN_MILLISECONDS": "50",
            "PDP_SETTLE_MILLISECONDS": "100",
            "PYTHONPATH": str(ROOT),
        } | settings
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> Server:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pdp", "serve"],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            until(self.is_ready, f"ready; its log:\n{self.log.read_text()}")
        return self

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"ended: {self.log.read_text()}"
        try:
            state = self.ready()
            amiss = set(state["problems"]) - {"the settings and the policy set disagree"}  # It decides all the same.
            return state["status"] != "unavailable" and not amiss and "management" in state["children"]
        except (OSError, http.client.HTTPException):
            return False

    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", "/ready").json
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> SimpleNamespace:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return SimpleNamespace(
            status=response.status,
            headers=response.headers,
            body=content,
            json=json.loads(content) if is_json and content else None,
        )

    def post(self, path: str, payload: object, **headers: str) -> SimpleNamespace:
        named = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        return self.ask("POST", path, json.dumps(payload).encode(), named)

    def decide(self, user: str, action: str, record: str, **headers: str) -> bool:
        """One evaluation; True only for an explicit permit."""
        payload = {
            "subject": {"type": "user", "id": user},
            "action": {"name": action},
            "resource": {"type": "record", "id": record},
        }
        answer = self.post("/access/v1/evaluation", payload, **headers)
        return answer.status == 200 and answer.json["decision"] is True

    def records(self) -> list[dict[str, Any]]:
        return records(self.audit)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end. The exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                os.kill(pid, signal.SIGKILL)
            raise


def descendants(pid: int) -> list[int]:
    """The processes below this one, deepest last."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [found for child in children for found in (child, *descendants(child))]


def alive(pid: int) -> bool:
    """Is it there, and not only a zombie that waits for its parent?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def serving(directory: Path, policies: Path, **settings: str) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(directory, policies, **settings)
    try:
        yield server.start()
    finally:
        if server.process is not None:
            server.stop()
