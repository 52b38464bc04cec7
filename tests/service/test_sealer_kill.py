"""Sealers that die by kill -9, at a chosen call or at any moment, beside writers that do not stop for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.journal.wal import Wal
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import Sealer
from pdp.audit.tree.tiles import records
from tests.service.server import ROOT, Server, until, write_policies

pytestmark = pytest.mark.service

ORIGIN = "pdp.example/host-1"
ROUNDS = 25
MEGABYTE = 1_048_576

# A sealer that kills itself at the call with the number that it is given, if it comes to that.
DYING = """
import os, signal, sys, time
from pathlib import Path
from pdp.audit.journal.files import Files
from pdp.audit.tree.sealer import Sealer

class Dying(Files):
    left = int(sys.argv[2])

def dying(name):
    def call(self, *arguments):
        Dying.left -= 1
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(Files, name)(self, *arguments)
    return call

for name in ("open", "close", "pwrite", "fsync", "rename", "unlink", "mkdir", "sync_directory"):
    setattr(Dying, name, dying(name))
sealer = Sealer(Path(sys.argv[1]), sys.argv[3], files=Dying(), epoch_seconds=1)
while True:
    sealer.step(time.time_ns())
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


def test_kill_9_at_many_calls_loses_doubles_and_forks_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """Each round a sealer dies at another call, keys are followed by others every second, and two writers go on."""
    draw = Random(7)
    writers = [Wal(tmp_path, ORIGIN, segment_bytes=MEGABYTE, reserve_bytes=MEGABYTE // 4) for _ in range(2)]
    written: list[str] = []
    kept: list[bytes] = []
    for number in range(ROUNDS):
        arguments = [sys.executable, "-c", DYING, str(tmp_path), str(draw.randrange(1, 400)), ORIGIN]
        dying = subprocess.Popen(arguments, env=environment, cwd=tmp_path, stderr=subprocess.PIPE)
        try:
            while dying.poll() is None:
                name = f"{number}-{len(written)}"
                filler = "x" * draw.randrange(1, 900)
                payload = json.dumps({"v": 1, "kind": "decision", "id": name, "filler": filler}).encode()
                writers[draw.randrange(2)].append([payload]).wait(10)
                written.append(name)
        finally:
            dying.kill()
            error = dying.communicate()[1]
        assert dying.returncode == -signal.SIGKILL, error.decode()
        path = tmp_path / "log/checkpoint"
        kept += [path.read_bytes()] if path.exists() else []
    for each in writers:
        each.close()
    ours = Sealer(tmp_path, ORIGIN)
    while ours.step(10**18).records:
        pass
    ours.close()
    report = verify(tmp_path, published(tmp_path / "keys")[:1], earlier=kept)
    assert report.findings == []
    assert report.waiting == 0
    said = [json.loads(record) for _, record in records(tmp_path / "log", report.size)]
    assert sorted(each["id"] for each in said if each["kind"] == "decision") == sorted(written)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, write_policies(tmp_path / "policies")).start()
    yield running
    running.stop()


def sealer_of(server: Server) -> int:
    (path,) = server.directory.glob("chaperone-*/children")
    return int(json.loads(path.read_text()).get("sealer", {}).get("pid", 0))


def ask(server: Server) -> str:
    """The id of a decision that was given, and so is on disk."""
    body = {
        "subject": {"type": "user", "id": "nina"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "r1"},
    }
    answer = server.ask(
        "POST", "/access/v1/evaluation", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    return str(answer.headers["x-pdp-decision"])


def test_the_service_seals_what_it_decides_over_kills_of_its_sealer(server: Server) -> None:
    until(lambda: sealer_of(server), "a sealer")
    given = []
    for _ in range(3):
        given += [ask(server) for _ in range(20)]
        pid = until(lambda: sealer_of(server), "a sealer again")
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: sealer_of(server) not in (0, pid), "another sealer")  # type: ignore[misc]
    size = until(lambda: server.ready()["log"]["sealed"] >= len(given), "all of it sealed")
    assert size
    until(server.is_ready, "ready")
    keys = published(server.audit / "keys")
    assert verify(server.audit, keys).findings == []  # While it is in use.
    server.stop()
    report = verify(server.audit, keys)
    assert (report.findings, report.waiting) == ([], 0)
    sealed = {json.loads(record).get("id") for _, record in records(server.audit / "log", report.size)}
    assert set(given) <= sealed


def test_a_log_that_cannot_be_sealed_shows_and_decisions_go_on(server: Server) -> None:
    ask(server)
    until(lambda: server.ready()["log"]["sealed"], "something is sealed")
    (server.audit / "keys/1.key").chmod(0o644)
    ask(server)
    problem = "the audit log is not sealed as it should be"
    until(lambda: problem in server.ready()["problems"], "the problem is shown")
    assert server.ready()["status"] == "degraded"
    (server.audit / "keys/1.key").chmod(0o600)
    until(server.is_ready, "ready again")
