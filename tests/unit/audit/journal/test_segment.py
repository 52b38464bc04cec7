from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pdp.audit.journal import slots
from pdp.audit.journal.disk import Disk
from pdp.audit.journal.frames import HEADER_BYTES, Header, read_header
from pdp.audit.journal.segment import Segment, name_of, numbers, usable
from tests.unit.audit.disks import Faulty

SIZE = 32_768


def header() -> Header:
    return Header(b"i" * 16, "host.example", 0, bytes(16), 1, bytes(16), bytes(32), 0, 0)


def prepared(directory: Path, disk: Disk) -> Path:
    disk.zeroed(directory / "spare.wal", SIZE)
    return directory / "spare.wal"


def test_a_prepared_file_is_zeros_and_becomes_a_segment_under_its_number(tmp_path: Path) -> None:
    disk = Disk()
    path = prepared(tmp_path, disk)
    assert usable(path, SIZE)
    segment = Segment(disk, path, 12, header(), SIZE)
    segment.close()
    assert [each.name for each in tmp_path.iterdir()] == ["seg-00000012.wal"]
    assert (tmp_path / "seg-00000012.wal").stat().st_size == SIZE
    assert read_header((tmp_path / name_of(12)).read_bytes()) == header()
    assert numbers(tmp_path) == [12]


def test_the_header_is_on_disk_before_the_name_and_the_name_before_any_frame(tmp_path: Path) -> None:
    disk = Faulty()
    path = prepared(tmp_path, disk)
    disk.calls.clear()
    Segment(disk, path, 1, header(), SIZE).write(b"x" * 8, sync=True)
    order = [call for call in disk.calls if call in ("pwrite", "fdatasync", "rename", "fsync")]
    assert order == ["pwrite", "fdatasync", "rename", "fsync", "pwrite", "fdatasync"]


def test_a_write_is_one_call_at_the_end_of_the_one_before(tmp_path: Path) -> None:
    segment = Segment(Disk(), prepared(tmp_path, Disk()), 1, header(), SIZE)
    room = segment.room
    assert room == SIZE - HEADER_BYTES
    segment.write(b"a" * 16, sync=True)
    segment.write(b"b" * 8, sync=False)
    assert segment.room == room - 24
    assert segment.path.read_bytes()[HEADER_BYTES : HEADER_BYTES + 25] == b"a" * 16 + b"b" * 8 + b"\0"


@pytest.mark.parametrize("call", ["pwrite", "short", "fdatasync"])
def test_a_write_that_fails_says_so(tmp_path: Path, call: str) -> None:
    disk = Faulty()
    segment = Segment(disk, prepared(tmp_path, disk), 1, header(), SIZE)
    disk.fail(call, errno.EIO)
    with pytest.raises(OSError):
        segment.write(b"a" * 16, sync=True)


def test_a_segment_that_was_deleted_takes_nothing(tmp_path: Path) -> None:
    segment = Segment(Disk(), prepared(tmp_path, Disk()), 1, header(), SIZE)
    segment.path.unlink()
    with pytest.raises(FileNotFoundError):
        segment.write(b"a" * 16, sync=True)


def test_what_was_begun_or_has_another_size_is_not_usable(tmp_path: Path) -> None:
    path = prepared(tmp_path, Disk())
    assert not usable(path, SIZE + 1)
    path.write_bytes(b"\0" * 100 + b"x" + bytes(SIZE - 101))
    assert not usable(path, SIZE)
    assert not usable(tmp_path / "missing", SIZE)


def test_other_names_are_no_segments(tmp_path: Path) -> None:
    for name in ("seg-1.wal", "seg-00000002.wal", "seg-00000010.wal", "seg-00000003.wal.bak", "spare.wal"):
        (tmp_path / name).touch()
    assert numbers(tmp_path) == [2, 10]


def test_a_slot_has_one_owner_at_a_time(tmp_path: Path) -> None:
    disk = Disk()
    first, second = slots.take(tmp_path, disk), slots.take(tmp_path, disk)
    assert (first.number, second.number) == (0, 1)
    assert slots.owned(first.path)
    disk.close(first.lock)
    assert not slots.owned(first.path)
    assert slots.take(tmp_path, disk).number == 0
    disk.close(second.lock)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "wal/0").mkdir(parents=True)
    (tmp_path / "wal/0/lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        slots.take(tmp_path, Disk())
    assert not (tmp_path / "elsewhere").exists()
