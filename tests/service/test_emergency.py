"""The first disk fails under a running service: who is permitted all the same, and that the record of it verifies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.leaf import PLAIN, leaves
from pdp.audit.tree.keys import published
from tests.service.server import ROOT, Server, until

pytestmark = pytest.mark.service

SETTINGS = """
audit_details = "clear"

[emergency]
audit_dir = "{second}"
purposes = ["ETREAT"]

[pep.app]
door = "authzen"
secret_file = "app.secret"
may_assert = ["context.purpose"]
fields = true

[pep.mute]
door = "authzen"
secret_file = "mute.secret"
may_assert = []
fields = true
"""
SECRETS = {"app": "a-secret-of-the-app", "mute": "a-secret-of-the-mute"}


def asked(server: Server, purpose: str = "", pep: str = "app") -> tuple[int, bool, str]:
    body = {
        "subject": {"type": "user", "id": "dr-osei"},
        "action": {"name": "read"},
        "resource": {"type": "Record", "id": "rec-1001"},
        "context": {"purpose": purpose} if purpose else {},
    }
    answer = server.post("/access/v1/evaluation", body, Authorization=f"Bearer {SECRETS[pep]}")
    permitted = answer.status == 200 and answer.json["decision"] is True
    return answer.status, permitted, answer.headers.get("x-pdp-receipt", "")


def test_a_disk_that_fails_leaves_the_emergency_and_nothing_else(tmp_path: Path) -> None:
    policies, second = tmp_path / "policies", tmp_path / "second"
    shutil.copytree(ROOT / "policies/hospital", policies)
    (policies / "pdp.toml").write_text(SETTINGS.format(second=second))
    for name, secret in SECRETS.items():
        (policies / f"{name}.secret").write_text(secret)
    server = Server(tmp_path, policies)
    try:
        server.start()
        assert "[emergency] is on" in server.log.read_text()
        assert asked(server, "ETREAT")[1]
        server.audit.rename(tmp_path / "moved")
        server.audit.write_text("a file is in the way")
        until(lambda: asked(server)[0] == 500, "the log cannot be written")
        status, permitted, receipt = asked(server, "ETREAT")
        assert (status, permitted) == (200, True)
        assert asked(server, "TREAT")[0] == 500
        assert asked(server)[0] == 500
        assert asked(server, "ETREAT", "mute")[0] == 500, "whoever may not say a purpose has none"
        metrics = server.ask("GET", "/metrics", port=server.management).body.decode()
        assert "pdp_audit_emergencies_total" in metrics
        server.audit.unlink()
        (tmp_path / "moved").rename(server.audit)
        until(lambda: asked(server)[0] == 200, "the log can be written again")
        until(lambda: used(server.audit) and used(second), "both logs say that it was used")
    finally:
        server.stop()
    for where, receipts in ((server.audit, []), (second, [receipt])):
        report = verify(where, published(where / "keys"), receipts=receipts)
        assert ([str(each) for each in report.findings], report.waiting) == ([], 0)
    assert "ALARM: the log cannot be written, and permits in an emergency are given" in server.log.read_text()
    decisions = [each for each in leaves(second, PLAIN) if each.kind == "decision"]
    assert {each.members["pou"]["asserted"] for each in decisions} == {"ETREAT"}


def used(directory: Path) -> list[dict[str, object]]:
    found = [
        json.loads(each.payload) for each in leaves(directory, PLAIN, unsealed=True) if each.kind == "audit.status"
    ]
    return [each for each in found if each["event"] == "emergency-used"]
