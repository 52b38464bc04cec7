"""A segment that is lost, foreign or swapped does not stop its slot for good; nothing that is there is passed over."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.segment import name_of
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import LOST_SECONDS, Sealed, Sealer
from tests.unit.audit.hosts import NOW, SECOND, Writer, sealer
from tests.unit.audit.tree.test_sealer import log_of

GRACE = LOST_SECONDS * SECOND


def written(directory: Path, segments: int = 5) -> tuple[Writer, list[list[bytes]]]:
    """Four records in each segment, in two batches."""
    writer = Writer(directory)
    found = [writer.write(2) + writer.write(2)]
    for _ in range(segments - 1):
        writer.next_segment()
        found.append(writer.write(2) + writer.write(2))
    return writer, found


def drained(ours: Sealer, now: int) -> Sealed:
    while (found := ours.step(now)).more:
        pass
    return found


def waited(directory: Path) -> list[bytes]:
    """What is sealed once the grace is over. Before it, there is an alarm and nothing is gone past."""
    ours = sealer(directory)
    assert drained(ours, NOW).alarms
    before = log_of(directory)
    assert drained(ours, NOW + GRACE - SECOND).alarms
    assert log_of(directory) == before
    drained(ours, NOW + GRACE)
    assert drained(ours, NOW + GRACE + SECOND).alarms == ()
    ours.close()
    return log_of(directory)


def at(directory: Path, number: int) -> Path:
    return directory / "wal/0" / name_of(number)


def swap(directory: Path, one: int, other: int) -> None:
    kept = directory / "kept"
    at(directory, one).rename(kept)
    at(directory, other).rename(at(directory, one))
    kept.rename(at(directory, other))


def flat(parts: list[list[bytes]]) -> list[bytes]:
    return list(chain.from_iterable(parts))


def records(entries: list[bytes]) -> list[bytes]:
    return [each for each in entries if b"/sealer/" not in each]


def kinds(directory: Path) -> set[Kind]:
    report = verify(directory, published(directory / "keys"))
    return {each.kind for each in report.findings}


def quarantined(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.glob("quarantine/*"))


def test_a_segment_that_was_deleted_is_gone_past_after_a_while_and_verify_finds_it_each_time(tmp_path: Path) -> None:
    writer, parts = written(tmp_path)
    at(tmp_path, 3).unlink()
    entries = waited(tmp_path)
    assert records(entries) == flat(parts[:2] + parts[3:])
    (said,) = [each for each in entries if b"/sealer/" in each]
    for each in (b'"event":"corruption"', b'"lost":4', b'"before":13'):
        assert each in said
    assert kinds(tmp_path) == {Kind.DROPPED}
    writer.write(3)
    ours = sealer(tmp_path)
    assert ours.step(NOW + 2 * GRACE).alarms == ()
    ours.close()
    assert kinds(tmp_path) == {Kind.DROPPED}
    assert quarantined(tmp_path) == []


def test_two_segments_that_were_deleted_and_one_between_them(tmp_path: Path) -> None:
    _, parts = written(tmp_path, 6)
    at(tmp_path, 2).unlink()
    at(tmp_path, 4).unlink()
    assert records(waited(tmp_path)) == parts[0] + parts[2] + parts[4] + parts[5]
    assert kinds(tmp_path) == {Kind.DROPPED}
    assert quarantined(tmp_path) == ["0-seg-00000003.wal"]


def test_the_segment_that_is_being_read_is_deleted(tmp_path: Path) -> None:
    writer, parts = written(tmp_path, 2)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    writer.write(1)
    writer.next_segment()
    last = writer.write(2)
    at(tmp_path, 2).unlink()
    drained(ours, NOW)
    drained(ours, NOW + GRACE)
    ours.close()
    assert records(log_of(tmp_path)) == flat(parts) + last
    assert kinds(tmp_path) == {Kind.DROPPED}


def test_behind_a_damaged_header_everything_is_still_there(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    for place in (8, 60, 4_000):
        directory = tmp_path / str(place)
        shutil.copytree(tmp_path / "wal", directory / "wal")
        data = bytearray(at(directory, 3).read_bytes())
        data[place] ^= 1
        at(directory, 3).write_bytes(data)
        entries = waited(directory)
        assert records(entries) == flat(parts)
        assert any(b'"what":"bad-header"' in each and b'"lost":0' in each for each in entries)
        assert kinds(directory) == set()
        assert quarantined(directory) == ["0-seg-00000003.wal"]


def test_a_header_that_is_damaged_while_its_segment_is_read(tmp_path: Path) -> None:
    writer, parts = written(tmp_path, 2)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    more = writer.write(2)
    data = bytearray(at(tmp_path, 2).read_bytes())
    data[10] ^= 1
    at(tmp_path, 2).write_bytes(data)
    drained(ours, NOW)
    assert drained(ours, NOW + GRACE).alarms  # Nothing tells yet what it was.
    writer.next_segment()
    more += writer.write(2)
    drained(ours, NOW + 2 * GRACE)
    ours.close()
    assert records(log_of(tmp_path)) == flat(parts) + more
    assert kinds(tmp_path) == set()


def test_a_segment_of_another_slot_is_kept_and_not_read(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    other = Writer(tmp_path / "else", 1)
    other.write(3)
    shutil.copy(other.file, at(tmp_path, 2))
    kept = at(tmp_path, 2).read_bytes()
    assert records(waited(tmp_path)) == parts[0] + flat(parts[2:])
    assert kinds(tmp_path) == {Kind.DROPPED}
    assert (tmp_path / "quarantine/0-seg-00000002.wal").read_bytes() == kept


def test_a_segment_of_another_log_takes_the_place_of_none(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    for origin in ("pdp.example/host-2", "pdp.example/host-1"):
        directory = tmp_path / origin
        shutil.copytree(tmp_path / "wal", directory / "wal")
        other = Writer(tmp_path / "else" / origin, 0, origin)
        other.write(4, ',"else":1')
        other.id, other.segment = b"x" * 16, 40
        other.next_segment()
        other.write(9)
        shutil.copy(other.file, at(directory, 2))
        assert records(waited(directory)) == parts[0] + flat(parts[2:])
        assert kinds(directory) == {Kind.DROPPED}
        assert quarantined(directory) == ["0-seg-00000002.wal"]


def test_swapped_segments_are_sealed_in_the_order_of_their_records(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    for number, (one, other) in enumerate([(1, 2), (2, 3), (3, 4), (2, 4), (4, 5), (2, 5), (1, 5), (1, 3)]):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "wal", directory / "wal")
        swap(directory, one, other)
        assert records(waited(directory)) == flat(parts), (one, other)
        assert kinds(directory) == set(), (one, other)


def test_segments_that_are_swapped_while_one_is_read(tmp_path: Path) -> None:
    writer, parts = written(tmp_path, 2)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    more = writer.write(2)
    for _ in range(2):
        writer.next_segment()
        more += writer.write(2)
    swap(tmp_path, 2, 3)
    assert drained(ours, NOW).alarms
    drained(ours, NOW + GRACE)
    ours.close()
    assert records(log_of(tmp_path)) == flat(parts) + more
    assert kinds(tmp_path) == set()


def test_a_segment_that_comes_back_in_time_is_sealed_as_if_nothing_had_been(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    kept = tmp_path / "kept"
    at(tmp_path, 3).rename(kept)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    assert drained(ours, NOW + GRACE - SECOND).alarms
    kept.rename(at(tmp_path, 3))
    assert drained(ours, NOW + 2 * GRACE).alarms == ()
    ours.close()
    assert log_of(tmp_path) == flat(parts)
    assert kinds(tmp_path) == set()
    assert quarantined(tmp_path) == []


def test_a_second_loss_has_a_grace_of_its_own(tmp_path: Path) -> None:
    writer, parts = written(tmp_path, 3)
    kept = tmp_path / "kept"
    at(tmp_path, 2).rename(kept)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    kept.rename(at(tmp_path, 2))
    drained(ours, NOW + SECOND)
    writer.next_segment()
    lost = writer.file
    writer.write(2)
    writer.next_segment()
    last = writer.write(2)
    lost.unlink()
    assert drained(ours, NOW + GRACE).alarms
    assert records(log_of(tmp_path)) == flat(parts)
    drained(ours, NOW + 2 * GRACE)
    ours.close()
    assert records(log_of(tmp_path)) == flat(parts) + last


def test_a_crash_before_the_state_is_written_finds_everything_again(tmp_path: Path) -> None:
    _, parts = written(tmp_path)
    data = bytearray(at(tmp_path, 3).read_bytes())
    data[60] ^= 1
    at(tmp_path, 3).write_bytes(data)
    ours = sealer(tmp_path)
    drained(ours, NOW)
    put = ours._files.put_all

    def fails(_: object) -> None:
        raise OSError(5, "gone")

    ours._files.put_all = fails  # type: ignore[assignment]
    with pytest.raises(EvidenceError):
        ours.step(NOW + GRACE)
    ours._files.put_all = put  # type: ignore[method-assign]
    assert at(tmp_path, 3).exists()
    assert quarantined(tmp_path) == ["0-seg-00000003.wal"]
    ours.close()
    assert records(waited(tmp_path)) == flat(parts)
    assert quarantined(tmp_path) == ["0-seg-00000003.wal"]


@pytest.mark.parametrize("seed", range(12))
def test_of_whatever_mixture_of_damage_all_that_is_there_is_sealed_in_order(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    writer, parts = written(tmp_path, 5)
    gone: list[bytes] = []
    for _ in range(3):
        there = [number for number in range(1, 6) if at(tmp_path, number).exists()]
        one, other = draw.sample(there, 2)
        deed = draw.choice(("swap", "header", "delete"))
        data = bytearray(at(tmp_path, one).read_bytes())
        if deed == "swap":
            swap(tmp_path, one, other)
        elif deed == "header":
            data[60] ^= 1
            at(tmp_path, one).write_bytes(data)
        else:
            gone += [record for record in flat(parts) if record in data]
            at(tmp_path, one).unlink()
    writer.segment = 5
    writer.next_segment()
    parts.append(writer.write(2))
    ours = sealer(tmp_path)
    for turn in range(5):
        drained(ours, NOW + turn * GRACE)
    assert drained(ours, NOW + 5 * GRACE).alarms == ()
    ours.close()
    assert records(log_of(tmp_path)) == [record for record in flat(parts) if record not in gone]
    assert kinds(tmp_path) == ({Kind.DROPPED} if gone else set())
