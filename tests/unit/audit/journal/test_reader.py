from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pdp.audit.journal import frames, reader
from pdp.audit.journal.frames import HEADER_BYTES, Frame
from pdp.audit.journal.reader import START, Corrupt, Position, Slot, Torn, slots
from tests.unit.audit.disks import opened, record

PATIENCE = 10.0


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    """A closed log of two segments and some: 60 records of 1 KB, each a batch of its own."""
    wal = opened(tmp_path)
    for each in range(100):
        wal.append([record(each, 1_000)]).wait(PATIENCE)
    wal.close()
    (found,) = slots(tmp_path)
    return found


def positions(slot: Slot) -> list[tuple[Position, Frame]]:
    return list(slot.frames())


def change(slot: Slot, segment: int, how: Callable[[bytearray], object]) -> None:
    path = slot.path / f"seg-{segment:08d}.wal"
    data = bytearray(path.read_bytes())
    how(data)
    path.write_bytes(data)


def flip(slot: Slot, segment: int, offset: int) -> None:
    def one(data: bytearray) -> None:
        data[offset] ^= 1

    change(slot, segment, one)


def test_no_directory_has_no_slots(tmp_path: Path) -> None:
    assert slots(tmp_path) == []
    (tmp_path / "wal/x").mkdir(parents=True)
    (tmp_path / "wal/10").mkdir()
    (tmp_path / "wal/2").mkdir()
    assert [each.number for each in slots(tmp_path)] == [2, 10]
    assert list(slots(tmp_path)[0].frames()) == []


def test_reading_goes_on_after_any_position(slot: Slot) -> None:
    whole = positions(slot)
    assert [frame.seq for _, frame in whole] == list(range(1, 103))
    for index in (0, 1, 50, 56, 57, 58, 100, 101):
        position = whole[index][0]
        assert list(slot.frames(position)) == whole[index + 1 :]
    assert slot.torn is None


def test_reading_while_another_writes_finds_every_acknowledged_record_once(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    (slot,) = slots(tmp_path)
    done = threading.Event()

    def write() -> None:
        for each in range(0, 600, 3):
            for ticket in [wal.append([record(each + more, 700)]) for more in range(3)]:
                ticket.wait(PATIENCE)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    found: list[int] = []
    position = START
    while True:
        over = done.is_set()
        for read, frame in slot.frames(position, sync=True):
            position = read
            found.append(json.loads(frame.payload).get("i", -1))
        if over:
            break
    writer.join()
    wal.close()
    assert [each for each in found if each >= 0] == list(range(600))


@pytest.mark.parametrize("part", [0, 4, 5, 8, 20, 48, 60, 900])
def test_a_flipped_bit_before_a_later_batch_is_damage(slot: Slot, part: int) -> None:
    whole = positions(slot)
    before = whole[20][0]
    flip(slot, before.segment, before.offset + part)
    with pytest.raises(Corrupt) as caught:
        positions(slot)
    assert caught.value.kind == "broken-frame"
    assert caught.value.offset == before.offset
    resume = caught.value.resume
    assert resume is not None
    assert list(slot.frames(resume)) == whole[22:]


def test_zeros_in_the_middle_are_damage(slot: Slot) -> None:
    whole = positions(slot)
    before, after = whole[20][0], whole[22][0]

    def erase(data: bytearray) -> None:
        data[before.offset : after.offset] = bytes(after.offset - before.offset)

    change(slot, before.segment, erase)
    with pytest.raises(Corrupt, match="broken-frame"):
        positions(slot)


def test_a_record_that_is_taken_out_is_damage(slot: Slot) -> None:
    whole = positions(slot)
    before, after = whole[20][0], whole[21][0]

    def drop(data: bytearray) -> None:
        size = after.offset - before.offset
        data[before.offset :] = data[after.offset :] + bytes(size)

    change(slot, before.segment, drop)
    with pytest.raises(Corrupt, match="sequence"):
        positions(slot)


def test_two_records_that_changed_places_are_damage(slot: Slot) -> None:
    whole = positions(slot)
    a, b, c = (whole[index][0].offset for index in (20, 21, 22))

    def swap(data: bytearray) -> None:
        data[a:c] = data[b:c] + data[a:b]

    change(slot, 1, swap)
    with pytest.raises(Corrupt, match="sequence"):
        positions(slot)


def test_a_record_that_was_rewritten_with_its_checksum_breaks_the_chain(slot: Slot) -> None:
    whole = positions(slot)
    before, (after, frame) = whole[20][0], whole[21]
    forged = frame.payload.replace(b"xxxx", b"yyyy", 1)
    data = frames.encode([frame._replace(payload=forged)], slot.header(1).seed)
    assert len(data) == after.offset - before.offset
    change(slot, 1, lambda held: held.__setitem__(slice(before.offset, after.offset), data))
    with pytest.raises(Corrupt, match="chain"):
        positions(slot)


def test_a_chain_that_was_forged_to_the_end_of_a_segment_does_not_fit_the_next(slot: Slot) -> None:
    header = slot.header(1)
    first = [frame for position, frame in positions(slot) if position.segment == 1]
    chain, forged = header.previous_chain, list[Frame]()
    for frame in first:
        payload = frame.payload.replace(b"xxxx", b"yyyy", 1)
        chain = frames.chained(chain, frame.seq, payload)
        forged.append(frame._replace(payload=payload, chain=chain))
    data = frames.encode(forged, header.seed)
    change(slot, 1, lambda held: held.__setitem__(slice(HEADER_BYTES, HEADER_BYTES + len(data)), data))
    with pytest.raises(Corrupt, match="chain"):
        positions(slot)


def test_the_end_of_a_segment_that_is_cut_off_is_missed_by_the_next(slot: Slot) -> None:
    last = [position for position, _ in positions(slot) if position.segment == 1][-3]

    def cut(data: bytearray) -> None:
        data[last.offset :] = bytes(len(data) - last.offset)

    change(slot, 1, cut)
    with pytest.raises(Corrupt, match="missing-frames") as caught:
        positions(slot)
    assert caught.value.resume is not None
    assert next(slot.frames(caught.value.resume))[0].segment == 2


def test_a_segment_that_is_missing_or_is_another_one_is_damage(slot: Slot, tmp_path: Path) -> None:
    whole = positions(slot)
    middle = slot.path / "seg-00000002.wal"
    kept = tmp_path / "kept"
    shutil.copy(middle, kept)
    wal = opened(tmp_path / "other")
    for each in range(100):
        wal.append([record(each, 1_000)]).wait(PATIENCE)
    wal.close()
    shutil.copy(tmp_path / "other/wal/0/seg-00000002.wal", middle)
    with pytest.raises(Corrupt, match="not-the-next"):
        positions(slot)
    shutil.copy(kept, middle)
    (slot.path / "seg-00000001.wal").unlink()
    assert next(frame.seq for _, frame in slot.frames()) == whole[-1][1].seq - len(list(slot.frames())) + 1
    with pytest.raises(Corrupt, match="missing-segment"):
        list(slot.frames(whole[0][0]))


def test_a_broken_header_is_damage(slot: Slot) -> None:
    flip(slot, 1, 30)
    with pytest.raises(Corrupt, match="bad-header"):
        positions(slot)


def test_a_segment_of_another_slot_is_damage(slot: Slot) -> None:
    with pytest.raises(Corrupt, match="another-slot"):
        list(Slot(slot.path, 7).frames())


@pytest.mark.parametrize("keep", [0, 1, 30, 52, 60, 500])
def test_a_torn_end_is_normal_and_said(slot: Slot, keep: int) -> None:
    whole = positions(slot)
    before, after = whole[-2][0], whole[-1][0]

    def tear(data: bytearray) -> None:
        data[before.offset + keep : after.offset] = bytes(max(0, after.offset - before.offset - keep))

    change(slot, before.segment, tear)
    found = positions(slot)
    assert found[: len(whole) - 1] == whole[:-1]
    if 0 < keep < after.offset - before.offset:
        assert slot.torn == Torn(before.segment, before.offset)
    elif keep == 0:
        assert slot.torn is None


def test_a_batch_whose_pages_came_to_the_disk_in_another_order_is_torn_and_no_damage(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    wal.append([record(0)]).wait(PATIENCE)
    wal.append([record(each, 500) for each in range(1, 10)]).wait(PATIENCE)
    wal._refusal, wal._again = "killed", lambda: None  # type: ignore[method-assign]
    wal.close()
    (slot,) = slots(tmp_path)
    whole = positions(slot)
    before, after = whole[3][0], whole[4][0]

    def lose(data: bytearray) -> None:
        data[before.offset : after.offset] = bytes(after.offset - before.offset)

    change(slot, 1, lose)
    assert positions(slot) == whole[:4]
    assert slot.torn == Torn(1, before.offset)


def test_tail_is_where_the_next_writer_goes_on(slot: Slot) -> None:
    tail = slot.tail()
    last = positions(slot)[-1]
    assert (tail.segment, tail.seq, tail.chain) == (last[0].segment, last[1].seq, last[1].chain)
    assert tail.corrupt == ()
    assert Slot(slot.path.parent, 0).tail().seq == 0


def test_what_was_read_is_removed_but_never_the_newest(slot: Slot) -> None:
    whole = positions(slot)
    assert slot.remove_before(whole[0][0]) == 0
    last = whole[-1][0]
    assert slot.remove_before(last) == last.segment - 1
    assert list(slot.frames(last)) == []
    assert slot.remove_before(last._replace(segment=99)) == 0


def test_a_segment_that_failed_and_went_while_it_was_read_is_not_missed(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer deletes what failed before a frame stood in it; between our listing and our reading, too."""
    whole, real, seen = positions(slot), reader.numbers, list[int]()

    def listed(path: Path) -> list[int]:
        there = real(path)
        seen.append(len(there))
        return [*there, there[-1] + 1] if len(seen) == 1 else there

    monkeypatch.setattr(reader, "numbers", listed)
    assert positions(slot) == whole
    seen.clear()
    assert list(slot.frames(whole[-1][0])) == []
    monkeypatch.setattr(reader, "numbers", lambda path: [*real(path), 99])
    with pytest.raises(Corrupt, match="missing-segment"):
        positions(slot)
