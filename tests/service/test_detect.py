"""`pdp serve` with [detect]: what happens at the door is a case and an alert some seconds later, also after a kill."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.leaf import leaves
from tests.service.server import Server, serving, until, write_policies

pytestmark = pytest.mark.service

SETTINGS = """
[detect]
every_seconds = 1
rules_file = "{rules}"

[alert.file]
kind = "file"
file = "{alerts}"
"""


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def probe(server: Server, who: str) -> None:
    for number in range(12):
        assert not server.decide(who, "read", f"none-{number * 7}")


def detecting(server: Server) -> int:
    """The process, once it has looked."""
    found = list(server.directory.glob("pdp-*/children")) + list(server.directory.glob("**/children"))
    for path in found:
        said = json.loads(path.read_text())
        if said.get("detect", {}).get("alive"):
            return int(said["detect"]["pid"])
    return 0


def test_somebody_who_tries_doors_is_told_of_also_by_a_process_that_was_killed(tmp_path: Path) -> None:
    rules, alerts = tmp_path / "rules.toml", tmp_path / "alerts.jsonl"
    rules.write_text('[settings]\nmargin = "1s"\n')
    policies = write_policies(tmp_path / "policies", SETTINGS.format(rules=rules, alerts=alerts))
    with serving(tmp_path, policies) as server:
        probe(server, "mallory")
        (first, *_) = until(lambda: told(alerts), "told")
        assert {each["rule"] for each in first["parts"]} <= {"M1", "M2"}
        assert "mallory" not in alerts.read_text()
        pid = until(lambda: detecting(server), "looks")
        os.kill(pid, signal.SIGKILL)
        until(lambda: detecting(server) not in (0, pid), "looks again")
        probe(server, "trudy")
        until(lambda: len({each["case"] for each in told(alerts)}) == 2, "told of the other one too")
        findings = [each for each in leaves(server.audit) if each.kind == "finding"]
        keys = [each.members["finding"] for each in findings]
        assert len(keys) == len(set(keys))
        assert {each.members["rule"] for each in findings} == {"M1", "M2"}
