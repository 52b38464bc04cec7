"""A real witness beside a real service: cosignatures come, through kill -9 too; one that is gone stops nothing."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.tree import checkpoint, cosign, merkle, note
from pdp.audit.tree.keys import published
from tests.service.server import ROOT, Server, free_port, serving, until, write_policies
from tests.unit.audit.checking.test_witness import Tree, body

pytestmark = pytest.mark.service

ORIGIN = "pdp.example/host-1"
NAME = "witness.example/w1"
READ = {
    "subject": {"type": "user", "id": "nina"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "r1"},
}


class Running:
    """`pdp audit witness`, as somebody starts it."""

    def __init__(self, directory: Path, origins: list[str], port: int | None = None) -> None:
        self.directory, self.origins, self.port = directory, origins, port or free_port()
        self.log = directory / "witness.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Running:
        options = [each for origin in self.origins for each in ("--origin", origin)]
        command = [sys.executable, "-m", "pdp", "audit", "witness", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--state", "seen", "--key", "witness.key", "--name", NAME, *options]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self.directory.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: self.ask("GET", "/")[0] == 404, f"the witness answers; {self.log.read_text()}")
        return self

    def stop(self, by: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(by)
        self.process.wait(10)

    @property
    def vkey(self) -> str:
        return re.findall(r"the witness is (\S+)", self.log.read_text())[-1]

    def ask(self, method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, data, {name.replace("_", "-"): each for name, each in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("content-type", "")
        finally:
            connection.close()


@contextmanager
def running(directory: Path, *origins: str, port: int | None = None) -> Iterator[Running]:
    witness = Running(directory, list(origins), port).start()
    try:
        yield witness
    finally:
        if witness.process is not None and witness.process.poll() is None:
            witness.stop()


SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(32))
WATCHED = f"{ORIGIN}={note.verifier(ORIGIN, SIGNING)}"
TREE = Tree()


def test_the_wire_is_the_one_of_the_specification(tmp_path: Path) -> None:
    with running(tmp_path / "w", WATCHED) as witness:
        assert (tmp_path / "w/witness.key").stat().st_mode & 0o777 == 0o600
        status, said, content_type = witness.ask("POST", "/add-checkpoint", TREE.asked(0, 9))
        assert status == 200
        key = cosign.cosigner(witness.vkey)
        assert cosign.cosignatures(note.parse(TREE.at(9) + said), [key])
        status, said, content_type = witness.ask("POST", "/add-checkpoint", TREE.asked(0, 20))
        assert (status, said, content_type) == (409, b"9\n", "text/x.tlog.size")
        digest = sha256(ORIGIN.encode()).hexdigest()
        assert witness.ask("GET", f"/{digest}/checkpoint")[0] == 200
        assert witness.ask("GET", "/else")[0] == 404
        assert witness.ask("POST", "/add-checkpoint", b"garbage")[0] == 400
        assert witness.ask("POST", "/add-checkpoint", b"x", Content_Length="2000000")[0] == 413
        assert witness.ask("POST", "/add-checkpoint", b"", Content_Length="-1")[0] == 400
        assert witness.ask("POST", "/add-checkpoint", b"0\r\n\r\n", Transfer_Encoding="chunked")[0] == 411
        assert witness.ask("PUT", "/add-checkpoint", b"")[0] == 501
        first = witness.vkey
        witness.stop()
        assert witness.start().vkey == first


def test_whoever_drips_or_holds_lines_open_does_not_keep_others_out(tmp_path: Path) -> None:
    with running(tmp_path / "w", WATCHED) as witness:
        held = [socket.create_connection(("127.0.0.1", witness.port)) for _ in range(40)]
        for each in held:
            each.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1000\r\n\r\nold")
        assert witness.ask("POST", "/add-checkpoint", TREE.asked(0, 9))[0] == 200
        held[0].settimeout(20)
        assert held[0].recv(1) == b""  # Its time was over.
        for each in held:
            each.close()


def test_kill_9_at_any_moment_sets_nothing_back(tmp_path: Path) -> None:
    """Two that ask at once, and a witness that dies again and again: sizes that were cosigned only grow."""
    draw, answered = Random(11), [0]
    with running(tmp_path / "w", WATCHED) as witness:
        for number in range(6):
            stop = threading.Event()

            def asking(stop: threading.Event = stop) -> None:
                old = 0
                while not stop.is_set():
                    size = min(600, max(answered) + draw.randrange(1, 4))
                    try:
                        status, said, _ = witness.ask("POST", "/add-checkpoint", TREE.asked(min(old, size), size))
                    except (OSError, http.client.HTTPException):
                        return
                    if status == 200:
                        answered.append(size)
                    old = int(said) if status == 409 else size

            threads = [threading.Thread(target=asking) for _ in range(2)]
            for each in threads:
                each.start()
            enough = len(answered) + draw.randrange(1, 6)
            until(lambda enough=enough: len(answered) > enough or max(answered) == 600, "it cosigns")
            witness.stop(signal.SIGKILL)
            stop.set()
            for each in threads:
                each.join()
            witness.start()
            status, said, _ = witness.ask("POST", "/add-checkpoint", TREE.asked(0, 600))
            assert status == 409, number
            assert int(said) >= max(answered)
            fork = Tree("another", 1)
            path = merkle.consistency(int(said), 600, fork.perfect)
            assert witness.ask("POST", "/add-checkpoint", body(int(said), path, fork.at(600)))[0] == 422


# ------------------------------------------------------------------------------------------------- beside a service


def settings(witness: Running, vkey: str) -> str:
    return f"""
[witness.one]
url = "http://127.0.0.1:{witness.port}"
vkey = "{vkey}"
interval_seconds = 1
timeout_seconds = 2
"""


def first_key(directory: Path, origin: str) -> str:
    """The key of a log before it is one, so that the witness can be told of it."""
    from pdp.audit.journal.files import Files
    from pdp.audit.tree.keys import Keys

    return str(Keys(directory / "audit/keys", origin, Files()).make(1))


def pdp(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pdp", "audit", *arguments]
    return subprocess.run(
        command, env=server.environment, cwd=server.directory, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Server, Running]]:
    key = first_key(tmp_path, ORIGIN)
    with running(tmp_path / "w", f"{ORIGIN}={key}") as witness:
        policies = write_policies(tmp_path / "policies", settings(witness, witness.vkey))
        with serving(tmp_path, policies, PDP_AUDIT_ORIGIN=ORIGIN) as server:
            yield server, witness


def cosigned(server: Server) -> int:
    return int(server.ready()["log"].get("cosigned", 0))


def test_a_service_is_cosigned_verified_and_proven(both: tuple[Server, Running]) -> None:
    server, witness = both
    decision = server.post("/access/v1/evaluation", READ).headers["x-pdp-decision"]
    until(lambda: cosigned(server) and cosigned(server) == server.ready()["log"]["sealed"], "all of it is cosigned")
    key = ["--vkey", str(published(server.audit / "keys")[0]), "--witness", witness.vkey]
    verified = pdp(server, "verify", *key)
    assert (verified.returncode, "cosigned by enough witnesses" in verified.stdout) == (0, True), verified
    assert pdp(server, "verify", *key, "--within", "0").returncode in (0, 42)
    other = str(cosign.named("another", Ed25519PrivateKey.generate()))
    assert pdp(server, "verify", *key, "--witness", other).returncode == 41
    assert pdp(server, "verify", *key, "--witness", other, "--quorum", "1").returncode == 0
    assert pdp(server, "prove", decision, *key).returncode == 0
    checked = pdp(server, "check-proof", f"{decision}.tlog-proof", *key)
    assert (checked.returncode, f"cosigned by {NAME}" in checked.stdout) == (0, True), checked
    policy = server.directory / "trust.policy"
    policy.write_text(f"log {key[1]}\nwitness W {witness.vkey}\nwitness X {other}\ngroup G all W X\nquorum G\n")
    assert pdp(server, "check-proof", f"{decision}.tlog-proof", "--policy", str(policy)).returncode == 1
    policy.write_text(policy.read_text().replace("all", "any"))
    assert pdp(server, "check-proof", f"{decision}.tlog-proof", "--policy", str(policy)).returncode == 0
    assert pdp(server, "verify", "--policy", str(policy)).returncode == 0
    _by_another_tool(server, witness.vkey, key[1])


def _by_another_tool(server: Server, witness: str, log: str) -> None:
    """What was stored is what somebody else's verifier takes for it."""
    pytest.importorskip("aics_tlog")
    from aics_tlog.checkpoint import verify_checkpoint
    from aics_tlog.note import parse_note, parse_vkey

    keys = [parse_vkey(each) for each in (log, witness)]
    newest = next(
        data
        for size in checkpoint.kept_backwards(server.audit / "log")
        if cosign.likely(note.parse(data := (server.audit / "log" / checkpoint.place(size)).read_bytes()))
    )
    found: Any = verify_checkpoint(parse_note(newest), keys[0], [keys[1]], 1, expected_origin=ORIGIN)
    assert (found.ok, found.cosignature_count) == (True, 1), found


def test_a_witness_that_is_gone_is_said_and_stops_nothing(both: tuple[Server, Running]) -> None:
    server, witness = both
    until(lambda: cosigned(server) > 0, "something is cosigned")
    witness.stop(signal.SIGKILL)
    server.post("/access/v1/evaluation", READ)
    until(lambda: "a witness does not cosign the audit log" in server.ready()["problems"], "it is said")
    state = server.ready()
    assert state["status"] == "degraded"
    sealed = state["log"]["sealed"]
    assert server.post("/access/v1/evaluation", READ).status == 200
    until(lambda: server.ready()["log"]["sealed"] > sealed, "it is sealed all the same")
    witness.start()
    until(lambda: "[witness.one] cosigns again" in server.log.read_text(), "it cosigns again", 60)
    until(lambda: "a witness does not cosign the audit log" not in server.ready()["problems"], "and it is seen")
    assert "ALARM: [witness.one]" in server.log.read_text()


def test_a_witness_that_never_answers_holds_up_no_sealing(tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    key = cosign.named(NAME, Ed25519PrivateKey.generate())
    said = (
        f'[witness.silent]\nurl = "http://127.0.0.1:{silent.getsockname()[1]}"\nvkey = "{key}"\ntimeout_seconds = 60\n'
    )
    policies = write_policies(tmp_path / "policies", said)
    with serving(tmp_path, policies) as server:
        for _ in range(3):
            sealed = server.ready()["log"]["sealed"]
            server.post("/access/v1/evaluation", READ)
            until(lambda before=sealed: server.ready()["log"]["sealed"] > before, "it is sealed", 10)
    silent.close()


def test_a_log_that_was_set_back_is_an_alarm(tmp_path: Path) -> None:
    """Root restores yesterday's directory, keys and all: only the witness remembers."""
    import shutil

    key = first_key(tmp_path, ORIGIN)
    with running(tmp_path / "w", f"{ORIGIN}={key}") as witness:
        policies = write_policies(tmp_path / "policies", settings(witness, witness.vkey))
        with serving(tmp_path, policies, PDP_AUDIT_ORIGIN=ORIGIN) as server:
            until(lambda: cosigned(server) > 0, "something is cosigned")
        shutil.copytree(tmp_path / "audit", tmp_path / "yesterday")
        with serving(tmp_path, policies, PDP_AUDIT_ORIGIN=ORIGIN) as server:
            before = server.ready()["log"]["sealed"]
            for _ in range(40):
                server.post("/access/v1/evaluation", READ)
            until(lambda: cosigned(server) >= before + 40, "all of it is cosigned")
        shutil.rmtree(tmp_path / "audit")
        (tmp_path / "yesterday").rename(tmp_path / "audit")
        server = Server(tmp_path, policies, PDP_AUDIT_ORIGIN=ORIGIN).start(wait=False)  # It is never quite ready.
        try:
            until(lambda: re.search("set back|forked", server.log.read_text()), "it is said")
            until(lambda: "a witness does not cosign the audit log" in server.ready()["problems"], "and shown")
            assert server.post("/access/v1/evaluation", READ).status == 200
        finally:
            server.stop()
