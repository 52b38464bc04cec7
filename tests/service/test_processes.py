"""Processes and files as they really behave: reload, death, disks. Waits are for conditions, never for a time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.service.server import FORBID, POLICY, Server, alive, descendants, serving, until, write_policies

pytestmark = pytest.mark.service

MORE = 'module little.more\nuse little\npermit erase on Record as all-erase "x" cites "y"\n'
SETTINGS = """
[pep.portal]
door = "authzen"
[pep.envoy]
door = "ext_authz"
may_assert = []
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return write_policies(tmp_path / "policies", SETTINGS)


@pytest.fixture
def server(tmp_path: Path, policies: Path) -> Iterator[Server]:
    with serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as running:
        yield running


def test_it_decides_records_and_drains(tmp_path: Path, policies: Path) -> None:
    with serving(tmp_path, policies) as server:
        assert server.decide("nina", "read", "r1")
        assert not server.decide("nina", "write", "r1")
        assert not server.decide("nina", "read", "sealed")
        assert not server.decide("nobody", "read", "r1")
        assert [each["effect"] for each in server.records()] == ["allow", "deny", "deny", "deny"]
        for file in server.audit.rglob("*"):
            assert file.stat().st_mode & 0o077 == 0
        below = descendants(server.process.pid)  # type: ignore[union-attr]
        assert server.stop() == 0
    assert not any(map(alive, below))
    assert not list(tmp_path.glob("chaperone-*"))


def test_a_change_is_taken_without_a_restart(server: Server, policies: Path) -> None:
    assert not server.decide("nina", "erase", "r1")
    before = server.ready()["program"]["digest"]
    (policies / "c.ward").write_text(MORE)
    until(lambda: server.decide("nina", "erase", "r1"), "the new rule decides")
    until(lambda: server.ready()["program"]["digest"] != before, "the new digest is shown")


def test_hup_builds_at_once_what_is_there(tmp_path: Path, policies: Path) -> None:
    with serving(tmp_path, policies, PDP_SETTLE_MILLISECONDS="60000", PDP_SCAN_MILLISECONDS="500") as server:
        (policies / "c.ward").write_text(MORE)
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.decide("nina", "erase", "r1"), "the new rule decides")


def test_what_does_not_check_leaves_the_last_good_set_and_is_shown(server: Server, policies: Path) -> None:
    (policies / "a-permits.ward").write_text(POLICY.replace("subject.role", "subject.rloe"))
    state = until(lambda: "check" in (found := server.ready()).get("stale_reason", "") and found, "staleness is shown")
    assert state["stale"] is True
    assert state["status"] == "degraded"
    assert state["stale_seconds"] >= 0
    assert server.decide("nina", "read", "r1")
    assert not server.decide("nina", "read", "sealed")
    page = server.ask("GET", "/", headers={"Host": f"127.0.0.1:{server.management}"}, port=server.management)
    assert b"rloe" in page.body
    (policies / "a-permits.ward").write_text(POLICY)
    until(lambda: not server.ready()["stale"], "it is fresh again")


def test_data_that_do_not_fit_leave_the_last_good_set(server: Server, policies: Path) -> None:
    (policies / "data/world.json").write_text(json.dumps([{"type": "user", "id": "nina", "attributes": {"role": 1}}]))
    until(lambda: server.ready()["stale"], "staleness is shown")
    assert server.decide("nina", "read", "r1")


def test_a_directory_that_vanishes_or_is_empty_leaves_the_last_good_set(server: Server, policies: Path) -> None:
    policies.rename(policies.parent / "away")
    until(lambda: server.ready()["stale"], "staleness is shown")
    assert server.decide("nina", "read", "r1")
    policies.mkdir()
    assert server.ready()["stale"]
    assert server.decide("nina", "read", "r1")
    policies.rmdir()
    (policies.parent / "away").rename(policies)
    until(lambda: not server.ready()["stale"], "what is active is back")


def test_a_half_copied_directory_never_activates_permits_without_their_forbids(
    tmp_path: Path, server: Server, policies: Path
) -> None:
    """A new set arrives file by file, permits first, slower than the scans: its forbids must never be missing."""
    manifest = "".join(f"{sha256(text.encode()).hexdigest()}  {name}\n" for name, text in new_set(policies).items())
    (policies / "MANIFEST").write_text(manifest)
    for name, text in sorted(new_set(policies).items()):
        for _ in range(5):
            assert not server.decide("nina", "read", "sealed")
        (policies / name).write_text(text)
    until(lambda: server.decide("nina", "write", "r1"), "the whole new set is active")
    assert not server.decide("nina", "read", "sealed")
    opened = [each for each in server.records() if each["effect"] == "allow" and each["resource"]["id"] == "sealed"]
    assert opened == []


def test_a_copy_that_stands_still_without_its_forbids_is_not_taken_for_whole(tmp_path: Path, policies: Path) -> None:
    with serving(tmp_path, policies, PDP_SETTLE_MILLISECONDS="60000") as server:
        (policies / "b-forbids.ward").unlink()
        (policies / "c.ward").write_text(MORE)
        for _ in range(30):
            assert not server.decide("nina", "read", "sealed")
            assert not server.decide("nina", "erase", "r1")
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)  # The operator says that it is whole.
        until(lambda: server.decide("nina", "erase", "r1"), "HUP takes what is there")


def test_a_change_that_drops_a_forbid_rests_longer_and_says_so(server: Server, policies: Path) -> None:
    (policies / "b-forbids.ward").unlink()
    state = until(lambda: "drops" in (found := server.ready()).get("stale_reason", "") and found, "it waits, visibly")
    assert "sealed-records" not in state["stale_reason"]  # Everybody may read it; the operator's log names the rule.
    assert "it would drop sealed-records" in server.log.read_text()
    until(lambda: server.decide("nina", "read", "sealed"), "it was meant")
    until(lambda: not server.ready()["stale"], "it is fresh")


def new_set(policies: Path) -> dict[str, str]:
    return {
        "a-permits.ward": POLICY.replace('when subject.role == "doctor"', 'when subject.role == "nurse"'),
        "b-forbids.ward": FORBID.replace("closed", "closed for ever"),
        "data/world.json": (policies / "data/world.json").read_text(),
        "pdp.toml": (policies / "pdp.toml").read_text(),
    }


def test_a_symlink_swap_is_taken_whole(tmp_path: Path) -> None:
    one, two = write_policies(tmp_path / "one"), write_policies(tmp_path / "two")
    (two / "a-permits.ward").write_text(POLICY.replace('when subject.role == "doctor"', 'when subject.role == "nurse"'))
    current = tmp_path / "current"
    current.symlink_to(one)
    with serving(tmp_path, current) as server:
        assert not server.decide("nina", "write", "r1")
        (tmp_path / "next").symlink_to(two)
        os.replace(tmp_path / "next", current)
        until(lambda: server.decide("nina", "write", "r1"), "the other set is active")


def test_a_first_set_that_does_not_check_ends_with_3_and_its_diagnostics(tmp_path: Path, policies: Path) -> None:
    (policies / "b-forbids.ward").write_text(FORBID.replace("resource.open", "resource.opne"))
    server = Server(tmp_path, policies).start(wait=False)
    assert server.process is not None
    assert server.process.wait(timeout=20) == 3
    assert "opne" in server.log.read_text()


def test_checklist_30_a_port_in_use_is_said_at_once(tmp_path: Path, policies: Path) -> None:
    server = Server(tmp_path, policies)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.start(wait=False)
        assert server.process is not None
        assert server.process.wait(timeout=20) == 2
    assert "http_listen: cannot listen" in server.log.read_text()


def test_without_a_temporary_directory_it_says_so(tmp_path: Path, policies: Path) -> None:
    server = Server(tmp_path, policies)
    nowhere = tmp_path / "nowhere"
    nowhere.write_text("a file")
    program = "import sys, tempfile; tempfile.tempdir = sys.argv.pop(); from pdp.cli.main import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", program, "serve", str(nowhere)],
        env=server.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 2
    assert "TMPDIR" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_kill_9_of_the_parent_leaves_no_orphan(tmp_path: Path, policies: Path) -> None:
    server = Server(tmp_path, policies, PDP_WORKERS="2").start()
    assert server.process is not None
    parent = server.process.pid
    # Builder, two gunicorn parents, two decision workers, the management worker.
    until(lambda: len(descendants(parent)) >= 6, "all six are there")
    below = descendants(parent)
    server.stop(signal.SIGKILL)
    until(lambda: not any(map(alive, below)), "every child has ended", 5)
    with pytest.raises(OSError, match="refused"):
        server.ask("GET", "/live")


def test_a_dead_worker_is_replaced_and_shows(server: Server) -> None:
    (worker,) = descendants(child_of(server, "decisions"))
    os.kill(worker, signal.SIGKILL)
    until(lambda: answers(server) and server.ready()["workers"]["restarts"] == 1, "another worker answers")
    assert server.decide("nina", "read", "r1")


@pytest.mark.parametrize("child", ["builder", "decisions", "management"])
def test_a_dead_child_is_restarted_and_shows(server: Server, child: str) -> None:
    pid = child_of(server, child)
    below = descendants(pid)
    os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        if not answers(server):
            return False
        found = server.ready()["children"][child]
        return bool(found["alive"] and found["restarts"] == 1 and found["last_exit"] == "signal 9")

    until(again, f"{child} is back and /ready says that it was gone")
    until(lambda: not any(map(alive, below)), "what was below it has ended", 5)
    assert server.decide("nina", "read", "r1")


def child_of(server: Server, name: str) -> int:
    """The process of one child, as the parent tells it to its other children."""
    runtime = next(server.directory.glob("chaperone-*"))
    return int(json.loads((runtime / "children").read_text())[name]["pid"])


def answers(server: Server) -> bool:
    try:
        return bool(server.ask("GET", "/live").status == 200)
    except OSError:
        return False


def test_an_audit_directory_that_cannot_be_written_denies_until_it_can(server: Server) -> None:
    assert server.decide("nina", "read", "r1")
    shutil.rmtree(server.audit)
    server.audit.write_text("a file is in the way")
    answer = server.post(
        "/access/v1/evaluation",
        {
            "subject": {"type": "user", "id": "nina"},
            "action": {"name": "read"},
            "resource": {"type": "record", "id": "r1"},
        },
    )
    assert answer.status == 500
    assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers={"x-user": "nina"}).status == 403
    assert server.ask("GET", "/ready").status == 503
    server.audit.unlink()
    until(lambda: server.decide("nina", "read", "r1"), "it decides again")
    assert len(server.records()) == 1


def test_checklist_29_the_secret_is_asked_for_at_every_door(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies", '[pep.portal]\nsecret_file = "portal.secret"\n')
    (policies / "portal.secret").write_text("a-secret-that-is-long-enough\n")
    with serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user") as server:
        assert not server.decide("nina", "read", "r1")
        assert not server.decide("nina", "read", "r1", Authorization="Bearer wrong")
        assert server.decide("nina", "read", "r1", Authorization="Bearer a-secret-that-is-long-enough")
        assert server.decide("nina", "read", "r1", X_PDP_Secret="a-secret-that-is-long-enough")
        proxied = {"x-user": "nina", "Authorization": "Bearer a-secret-that-is-long-enough"}
        assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers=proxied).status == 403
        proxied = {"x-user": "nina", "x-pdp-secret": "a-secret-that-is-long-enough"}
        assert server.ask("GET", "/ext_authz/fhir/Record/r1", headers=proxied).status == 200
        assert "a-secret" not in server.log.read_text()
