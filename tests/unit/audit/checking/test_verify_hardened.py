"""What somebody with root may leave for a verifier: it is found, and never believed, crashed on or waited for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.streams import stamp
from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.segment import name_of, numbers
from pdp.audit.tree import checkpoint
from pdp.audit.tree.pruned import Pruned, of_record, read
from pdp.audit.tree.tiles import place, records, unpacked
from tests.unit.audit.checking.test_verify import keys_of, looked, receipt, size_of
from tests.unit.audit.checking.test_verify import there as there
from tests.unit.audit.checking.test_verify import whole as whole
from tests.unit.audit.hosts import NOW, SECOND, Writer, sealed


def kinds(directory: Path, **more: object) -> set[Kind]:
    return {each.kind for each in looked(directory, **more).findings}


def prune_record(what: Pruned) -> str:
    said = {"id": "told-1", "kind": "prune", "ts": "2027-01-15T08:00:00.000000Z", "by": "root", **what.said()}
    return "," + json.dumps(said, separators=(",", ":"))[1:-1]


def without_signature(directory: Path) -> None:
    """Seal what waits, and take every signature back that was made for it: as who has no key leaves it."""
    shutil.copytree(directory / "log/checkpoints", directory / "kept")
    saved = {name: (directory / name).read_bytes() for name in ("log/checkpoint", "keys/promise.json")}
    sealed(directory, NOW + 60 * SECOND)
    shutil.rmtree(directory / "log/checkpoints")
    (directory / "kept").rename(directory / "log/checkpoints")
    for name, data in saved.items():
        (directory / name).write_bytes(data)


def test_a_pruning_on_a_record_that_no_checkpoint_covers_is_not_believed(there: Path) -> None:
    earlier = (there / "log" / checkpoint.place(size_of(there))).read_bytes()
    what = Pruned(256, (), True, {}, "told-1", 0, "2027-01-15T08:00:00.000000Z", "root", "2026-01-01T00:00:00Z")
    writer = Writer(there, 7)
    bare = writer.payload().replace(b'"id":"d-7-1","kind":"decision",', b"")
    writer.write_these([bare[:-1] + prune_record(what).encode() + b"}"])
    without_signature(there)
    assert looked(there, earlier=[earlier]).code == 0  # One step ahead, as after a crash.
    (there / "log/pruned").write_bytes(what.encoded())
    (there / "log" / place("entries", 0)).unlink()
    assert Kind.MISSING in kinds(there, earlier=[earlier])


def test_two_receipts_of_one_place_cannot_both_be_true(there: Path) -> None:
    record = next(record for index, record in records(there / "log", size_of(there)) if index == 5)
    found = stamp(record)
    assert found is not None
    other = f"{found.stream}:{found.seq}:{'0' * 16}"
    assert kinds(there, receipts=[receipt(record), receipt(record)]) == set()
    assert kinds(there, receipts=[other, receipt(record)]) == {Kind.RECEIPT}
    assert kinds(there, receipts=[receipt(record), other]) == {Kind.RECEIPT}


@pytest.mark.parametrize("number", ["1e400", "-1e400", "Infinity", "NaN", "9" * 5000])
def test_a_number_that_is_none_is_no_pruning_and_no_crash(number: str, there: Path) -> None:
    said = f'"kept":[[{number},1]],"hashes":"kept","before":"","streams":{{}},"index":0'
    record = f'{{"kind":"prune","id":"","ts":"","by":"","min_index":256,{said}}}'
    assert of_record(300, record.encode()) is None
    for text in (record, record.replace('"index":0', f'"index":{number}'), record.replace("256", number)):
        (there / "log/pruned").write_text(text)
        with pytest.raises(EvidenceError):
            read(there / "log")
        assert Kind.MISSING in kinds(there)


def beat(ts: str, more: str = "") -> str:
    return f',"kind":"heartbeat","ts":"{ts}","state":"serving","every":60{more}'


def test_a_clock_at_the_end_of_time_is_no_crash(tmp_path: Path) -> None:
    one, two = Writer(tmp_path, 0), Writer(tmp_path, 1)
    for ts in ("2026-03-01T00:00:00.000000Z", "9999-12-31T23:00:00.000000Z", "9999-12-31T23:59:59.000000Z"):
        one.write(1, beat(ts))
        two.write(1, beat(ts, ',"mono":1e308'))
    one.write(1, beat("0001-01-01T00:00:00.000000", ',"mono":1'))
    sealed(tmp_path)
    assert looked(tmp_path).size == 7


@pytest.mark.parametrize(
    "name", ["log/checkpoint", "log/tile/entries/001", "log/tile/0/001", "log/pruned", "state/tree.json"]
)
def test_what_is_no_file_is_neither_waited_for_nor_read_without_end(name: str, there: Path) -> None:
    (there / name).unlink(missing_ok=True)
    os.mkfifo(there / name)
    assert looked(there).code != 0
    (there / name).unlink()
    (there / name).symlink_to("/dev/zero")
    assert looked(there).code != 0
    (there / name).unlink()
    with (there / name).open("wb") as file:
        file.truncate(1 << 40)
    assert looked(there).code != 0


def test_kept_checkpoints_that_lead_in_a_circle_are_not_followed(there: Path) -> None:
    kept = list(checkpoint.kept(there / "log"))
    for number in range(1, 40):
        (there / f"log/checkpoints/{number:03}").symlink_to(".")
    assert list(checkpoint.kept(there / "log")) == kept


def test_a_bundle_of_very_many_empty_records_is_not_taken_apart(there: Path) -> None:
    with pytest.raises(EvidenceError):
        unpacked(bytes(2 * 100_000))
    (there / "log/tile/entries/001").write_bytes(bytes(2 * 100_000))
    assert looked(there).code != 0


def test_a_state_that_was_set_back_is_found(there: Path) -> None:
    old = (there / "state/tree.json").read_bytes()
    Writer(there, 7).write(3)
    sealed(there, NOW + 60 * SECOND)
    assert verify(there, keys_of(there)).code == 0
    (there / "state/tree.json").write_bytes(old)
    assert Kind.STATE in kinds(there)


def test_a_pipe_in_the_write_ahead_log_is_not_waited_for(there: Path) -> None:
    segment = there / "wal/0" / name_of(numbers(there / "wal/0")[-1])
    segment.unlink()
    os.mkfifo(segment)
    assert looked(there).code != 0
