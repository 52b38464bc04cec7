"""What `scripts/bench --only audit` measures is a log that holds: written, sealed, verified, read and searched."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "bench.d"))

import audit_probe

RECORDS = 120


def test_what_the_probes_write_verifies_and_is_found(tmp_path: Path) -> None:
    written = audit_probe.batches(tmp_path, RECORDS, 40)
    assert written["records"] >= RECORDS
    verified = audit_probe.verified(tmp_path)
    assert verified["findings"] == 0
    assert audit_probe.read(tmp_path)["records"] >= RECORDS
    assert audit_probe.patient(tmp_path, "pat-100")["found"] >= RECORDS
    assert audit_probe.patient(tmp_path, "pat-999")["found"] == 0


def test_every_record_of_the_writer_was_waited_for(tmp_path: Path) -> None:
    written = audit_probe.write(tmp_path, 0.2, 4, "synced", "encrypted")
    assert written["records"] > 0
    assert 1 <= written["batch"] <= 4 + 1
    assert audit_probe.read(tmp_path)["records"] >= written["records"]
