"""Receipts of real answers: each is matched by the log, and one whose record was cut off is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.journal.reader import slots
from pdp.audit.tree.keys import published
from tests.service.asker import asker
from tests.service.server import ROOT, Server, alive, serving, write_policies

pytestmark = pytest.mark.service

SETTINGS = """
[pep.portal]
door = "authzen"
[pep.envoy-grpc]
door = "grpc"
may_assert = []
[pep.envoy]
door = "ext_authz"
may_assert = []
[pep.nginx]
door = "forward_auth"
convention = "nginx"
may_assert = []
[pep.sidecar]
door = "opa"
opa_input = "authzen"
may_assert = []
"""
READ = {
    "subject": {"type": "user", "id": "nina"},
    "action": {"name": "read"},
    "resource": {"type": "record", "id": "r1"},
}
DENIED = READ | {"action": {"name": "write"}}


def given(server: Server) -> list[tuple[str, str]]:
    """One answer of every door, allow and deny: ids and receipts."""
    answers = [
        server.post("/access/v1/evaluation", READ),
        server.post("/access/v1/evaluation", READ),  # From the cache.
        server.post("/access/v1/evaluation", DENIED),
        server.post("/access/v1/evaluation", {}),
        server.post("/access/v1/evaluations", READ | {"evaluations": [{}, {"action": {"name": "write"}}, {}]}),
        server.post("/v1/data/chaperone", {"input": READ}),
        server.post("/v1/data/chaperone/allow", {"input": DENIED}),
        *(server.ask("GET", "/ext_authz" + path, headers={"x-user": "nina"}) for path in ("/fhir/Record/r1", "/else")),
        *(
            server.ask(
                "GET",
                "/forward-auth",
                headers={
                    "x-user": "nina",
                    "x-original-method": "GET",
                    "x-original-uri": path,
                    "x-original-host": "ehr.example",
                },
            )
            for path in ("/fhir/Record/r1", "/fhir/Record/sealed")
        ),
    ]
    assert [each.status for each in answers] == [200, 200, 200, 400, 200, 200, 200, 200, 403, 200, 403]
    found = [(each.headers["x-pdp-decision"], each.headers["x-pdp-receipt"]) for each in answers]
    with asker(server.grpc) as envoy:
        for path in ("/fhir/Record/r1", "/fhir/Record/sealed"):
            fields = envoy.ask(path=path).dynamic_metadata.fields
            found.append((fields["decision_id"].string_value, fields["receipt"].string_value))
    return found


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(
        tmp_path, write_policies(tmp_path / "policies", SETTINGS), PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user"
    )


def verified(server: Server, receipts: list[str], file: Path) -> subprocess.CompletedProcess[str]:
    """By the command, as an auditor does it."""
    file.write_text("\n".join(receipts))
    command = [sys.executable, "-m", "pdp", "audit", "verify", str(server.audit), "--receipts", str(file)]
    return subprocess.run(
        command, env=server.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_receipt_of_every_door_is_the_one_of_its_record(server: Server, tmp_path: Path) -> None:
    try:
        server.start()
        found = given(server)
        by_place = {}
        for slot in slots(server.audit):
            for _, frame in slot.frames():
                members = json.loads(frame.payload)
                by_place[f"{members['stream']}:{members['seq']}"] = members
        for identifier, receipt in found:
            place = receipt.rpartition(":")[0]
            if place in by_place:  # Else it is sealed already, and its segment may be gone.
                assert by_place[place]["id"] in (identifier, f"{identifier}.0")
        report = verify(server.audit, published(server.audit / "keys"), receipts=[each for _, each in found])
        assert report.findings == []  # While it runs, sealed or not.
    finally:
        server.stop()
    done = verified(server, [each for _, each in found], tmp_path / "receipts")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stdout + done.stderr
    swapped = [each.rpartition(":")[0] + ":" + "0" * 16 for _, each in found[:1]]
    assert verified(server, swapped, tmp_path / "receipts").returncode == 28


def test_a_receipt_whose_record_was_cut_off_is_found(server: Server, tmp_path: Path) -> None:
    """By root, before it was sealed, without any other trace: what is left is sound."""
    server.start()
    try:
        children = next(server.directory.glob("*/children"))
        pid = json.loads(children.read_text())["sealer"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        found = [receipt for _, receipt in given(server)]
    finally:
        server.stop(signal.SIGKILL)
        while alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert verified(server, found, tmp_path / "receipts").returncode == 0
    seqs = {int(receipt.split(":")[-2]) for receipt in found}
    cut(server.audit, max(seqs))
    done = verified(server, found, tmp_path / "receipts")
    assert done.returncode == 28, done.stdout
    assert f"number {max(seqs)} of " in done.stdout
    assert verified(server, found[:-1], tmp_path / "receipts").returncode == 0, "nothing else tells it"


def cut(audit: Path, seq: int) -> None:
    """Zeros from a record on, as if it had never been written."""
    slot = next(each for each in slots(audit) if each.number == 0)  # The one that decides; others tell.
    before = None
    for position, frame in slot.frames():
        if frame.seq == seq:
            break
        before = position
    assert before is not None
    path = slot.path / f"seg-{before.segment:08d}.wal"
    data = path.read_bytes()
    path.write_bytes(data[: before.offset].ljust(len(data), b"\0"))


def test_a_service_that_was_stopped_has_every_receipt_sealed(tmp_path: Path) -> None:
    policies = write_policies(tmp_path / "policies", SETTINGS)
    with serving(tmp_path, policies, PDP_TRUST_UNVERIFIED_SUBJECT_HEADER="x-user", PDP_WORKERS="2") as server:
        found = [receipt for _ in range(5) for _, receipt in given(server)]
    assert len(set(found)) == len(found)
    report = verify(server.audit, published(server.audit / "keys"), receipts=found)
    assert (report.findings, report.waiting) == ([], 0)
