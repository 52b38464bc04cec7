"""A writer that is killed at any moment loses nothing that it has acknowledged; nor does a disk that is full."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.reader import slots
from pdp.audit.journal.wal import Wal
from pdp.audit.tree.keys import published
from tests.service.server import Server, descendants, serving, until, write_policies

pytestmark = pytest.mark.service
ROUNDS = int(os.environ.get("PDP_TEST_KILL_ROUNDS", "20"))
ROOT = Path(__file__).parents[2]

WRITER = """
import sys, threading
from pathlib import Path
from pdp.audit.journal.wal import Wal
from tests.service.server import Server, descendants, serving, until, write_policies

wal = Wal(Path(sys.argv[1]), "host.example", segment_bytes=131_072, reserve_bytes=32_768)
lock = threading.Lock()

def write(name):
    for number in range(1_000_000):
        wal.append([b'{"i":"%d-%d","x":"%s"}' % (name, number, b"x" * (number * 37 % 900))]).wait(60)
        with lock:
            sys.stdout.write(f"{name}-{number}\\n")
            sys.stdout.flush()

threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
for each in threads:
    each.start()
"""


def test_every_acknowledged_record_outlives_kill_9(tmp_path: Path) -> None:
    """The same log in all rounds, so that every start is a recovery; new names in each, so that none counts twice."""
    draw = random.Random(9)
    acknowledged = 0
    for number in range(ROUNDS):
        known = set(payloads(tmp_path))
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(draw.random() * 0.15)  # The moment is the point.
        process.send_signal(signal.SIGKILL)
        lines = first + process.stdout.read()
        process.wait()
        said = [line for line in lines.decode().split("\n")[:-1] if line]
        there = payloads(tmp_path)
        found = [each for place, each in there.items() if place not in known]
        assert set(said) <= set(found), f"lost in round {number}"
        assert len(found) == len(set(found)), f"twice in round {number}"
        acknowledged += len(said)
    assert acknowledged > 10 * ROUNDS


def payloads(directory: Path) -> dict[int, str]:
    """Which of the writers' records are in the log, by seq. The log must be sound: nothing but its end may be torn."""
    found = {}
    for slot in slots(directory):
        expected = 1
        for _, frame in slot.frames():
            assert frame.seq == expected
            expected += 1
            members = json.loads(frame.payload)
            if "i" in members:
                found[frame.seq] = members["i"]
    return found


def test_what_clients_were_told_outlives_the_worker_that_told_them(tmp_path: Path) -> None:
    """The whole service under load, its workers killed again and again: each answer that a client has is on record."""
    policies = write_policies(tmp_path / "policies")
    told: list[str] = []
    over = threading.Event()
    body = {
        "subject": {"type": "user", "id": "nina"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "r1"},
    }

    def ask(server: Server) -> None:
        while not over.is_set():
            try:
                answer = server.post("/access/v1/evaluation", body)
            except (OSError, http.client.HTTPException):
                continue  # The worker that had the question is gone.
            if answer.status == 200:
                told.append(answer.headers["x-pdp-decision"])

    with serving(tmp_path, policies, PDP_WORKERS="2") as server:
        assert server.process is not None
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(6)]
        for each in clients:
            each.start()
        for _ in range(4):
            before = len(told)
            until(lambda before=before: len(told) > before + 50, "answers")
            for pid in workers(server.process.pid):
                os.kill(pid, signal.SIGKILL)
        until(server.is_ready, "ready again")
        over.set()
        for each in clients:
            each.join()
        assert set(told) <= {each["decision_id"] for each in server.records()}
        assert len(told) > 200


def test_reloads_and_kills_under_load_leave_a_log_that_is_whole(tmp_path: Path) -> None:
    """New policies, HUP, and workers that are killed, all at once: every receipt is matched, no slot is left over."""
    policies = write_policies(tmp_path / "policies")
    rule = policies / "b-forbids.ward"
    text = rule.read_text()
    receipts: list[str] = []
    over = threading.Event()
    body = {
        "subject": {"type": "user", "id": "nina"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "r1"},
    }

    def ask(server: Server) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = server.post("/access/v1/evaluation", body)
                if answer.status == 200:
                    receipts.append(answer.headers["x-pdp-receipt"])

    with serving(tmp_path, policies, PDP_WORKERS="2", PDP_AUDIT_HEARTBEAT_SECONDS="5") as server:
        assert server.process is not None
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for each in clients:
            each.start()
        for turn in range(6):
            before = len(receipts)
            rule.write_text(f"{text}# turn {turn}\n")
            server.process.send_signal(signal.SIGHUP)
            until(lambda before=before: len(receipts) > before + 30, "answers")
            if turn % 2:
                os.kill(draw_one(workers(server.process.pid), turn), signal.SIGKILL)
        until(server.is_ready, "ready again")
        over.set()
        for each in clients:
            each.join()
        metrics = server.ask("GET", "/metrics", port=server.management).body.decode()
        assert "pdp_audit_free_bytes" in metrics
    report = verify(server.audit, published(server.audit / "keys"), receipts=receipts)
    assert [str(each) for each in report.findings] == []
    assert report.waiting == 0
    assert len(receipts) > 180
    taken = [each.name for each in (server.audit / "wal").iterdir() if int(each.name) < 200]
    assert len(taken) <= 3, "who is started again takes the slot that is free"


def draw_one(pids: list[int], turn: int) -> int:
    return pids[turn % len(pids)]


def workers(pid: int) -> list[int]:
    """The processes that decide: those below gunicorn's."""
    return [found for child in descendants(pid) for found in descendants(child)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system of 16 MiB."""
    image, mount = tmp_path / "image", tmp_path / "mount"
    image.write_bytes(b"")
    os.truncate(image, 16 * 1_048_576)
    mount.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("PDP_TEST_REQUIRE_LOOP"):
            raise
        pytest.skip(f"no file system can be mounted on a loop device here: {error}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_file_system_that_is_full_denies_and_loses_nothing_and_works_again_with_space(small: Path) -> None:
    wal = Wal(small / "audit", "host.example", segment_bytes=1_048_576, reserve_bytes=262_144, retry_seconds=0.05)
    there = []
    rest = small / "rest"
    said = ""
    for number in range(100_000):
        try:
            wal.append([b'{"i":%d,"x":"%s"}' % (number, b"x" * 1_000)]).wait(60)
        except EvidenceError as error:
            said = str(error)
            break
        there.append(number)
        if number == 100:
            fill(rest)
    assert "no space" in said
    assert len(there) > 1_000  # The rest of the segment, the spare, the reserve.
    with pytest.raises(EvidenceError):
        wal.append([b'{"i":-1}'])
    rest.unlink()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            wal.append([b'{"i":-2}']).wait(60)
            break
        except EvidenceError:
            time.sleep(0.02)
    wal.close()
    (slot,) = slots(small / "audit")
    found = [members["i"] for _, frame in slot.frames() if "i" in (members := json.loads(frame.payload))]
    assert found == [*there, -2]


def fill(path: Path) -> None:
    """Until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    assert shutil.disk_usage(path.parent).free < 65_536
