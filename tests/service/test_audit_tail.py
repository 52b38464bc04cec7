"""Whoever follows the log of a service under load sees every decision once, in the order of each worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.service.server import ROOT, serving, until, write_policies

pytestmark = pytest.mark.service
CALLERS, CALLS = 4, 150


def test_nothing_is_missed_and_nothing_shown_twice_while_a_service_decides_and_seals(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies")
    out = tmp_path / "tailed.jsonl"
    with serving(tmp_path, policies, PDP_WORKERS="2") as server:
        audit = Path(server.environment["PDP_AUDIT_DIR"])
        command = [sys.executable, "-m", "pdp", "audit", "tail", "-f", "-n", "0", "--directory", str(audit)]
        with out.open("wb") as file:
            tail = subprocess.Popen(
                [*command, "--output", "json"],
                stdout=file,
                stderr=subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            )
        try:
            # A first decision that it shows says that it follows.
            def seen() -> bool:
                server.decide("nina", "read", "r1")
                return bool(out.stat().st_size)

            until(seen, "the first line")
            before = {each["decision_id"] for each in server.records()}

            def call() -> None:
                for _ in range(CALLS):
                    server.decide("nina", "read", "r1")

            threads = [threading.Thread(target=call) for _ in range(CALLERS)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            written = {each["decision_id"] for each in server.records()} - before
            assert len(written) >= CALLERS * CALLS
            until(lambda: written <= shown(out), "all lines")
        finally:
            tail.send_signal(signal.SIGINT)
            error = tail.communicate(timeout=20)[1]
    assert (tail.returncode, error) == (0, b"")
    lines = [json.loads(line) for line in out.read_bytes().splitlines()]
    places = [(each["stream"].rpartition("/")[0], each["seq"]) for each in lines]
    assert len(places) == len(set(places))
    for lane in {lane for lane, _ in places}:
        mine = [seq for each, seq in places if each == lane]
        assert mine == sorted(mine)


def shown(path: Path) -> set[str]:
    found = set()
    for line in path.read_bytes().split(b"\n")[:-1]:
        found.add(json.loads(line)["decision"])
    return found
