from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.disk import Disk
from pdp.audit.journal.frames import MAX_PAYLOAD
from pdp.audit.journal.reader import START, Slot, slots
from pdp.audit.journal.wal import STAMP_ROOM, Wal
from tests.unit.audit.disks import RESERVE, SEGMENT, Faulty, numbers, opened, read, record

PATIENCE = 10.0


def put(wal: Wal, *which: int, size: int = 0) -> None:
    for each in which:
        wal.append([record(each, size)]).wait(PATIENCE)


def events(directory: Path) -> list[str]:
    return [found["event"] for found in map(json.loads, read(directory)) if "event" in found]


def settled(wal: Wal) -> None:
    """Wait until the side thread has made what is wanted."""
    with wal._files:
        assert wal._files.wait_for(lambda: not wal._wanted, PATIENCE)


# ------------------------------------------------------------------------------------------------- what is promised


def test_what_is_acknowledged_can_be_read_at_once_and_says_its_own_place(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    put(wal, 1, 2)
    (slot,) = slots(tmp_path)
    (_, started), (_, first), (_, second) = slot.frames()
    members = json.loads(second.payload)
    assert members["stream"] == wal.stream
    assert members["seq"] == second.seq == 3
    assert members["prev"] == first.chain.hex()
    assert json.loads(started.payload)["event"] == "started"
    assert members["i"] == 2
    wal.close()
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="no such policy on this system")
def test_who_waits_for_work_leaves_the_core_to_whoever_wakes_it_and_who_waits_for_the_disk_does_not(
    tmp_path: Path,
) -> None:
    policies: list[int] = []

    class Seen(Disk):
        def fdatasync(self, file: int) -> None:
            policies.append(os.sched_getscheduler(0))
            super().fdatasync(file)

    wal = opened(tmp_path, Seen())
    put(wal, 1)
    thread = wal._committer.native_id
    assert thread is not None
    until = time.monotonic() + PATIENCE
    while os.sched_getscheduler(thread) != os.SCHED_BATCH and time.monotonic() < until:
        time.sleep(0)
    assert os.sched_getscheduler(thread) == os.SCHED_BATCH
    put(wal, 2)
    wal.close()
    assert set(policies) == {os.SCHED_OTHER}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="no such policy on this system")
def test_a_policy_that_an_operator_chose_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_FIFO)
    monkeypatch.setattr(os, "sched_setscheduler", lambda _, policy, __: chosen.append(policy))
    wal = opened(tmp_path)
    put(wal, 1, 2)
    wal.close()
    assert not chosen


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="no such policy on this system")
def test_a_system_that_refuses_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(_process: int, policy: int, _more: object) -> None:
        asked.append(policy)
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    wal = opened(tmp_path)
    put(wal, 1, 2)
    wal.close()
    assert asked == [os.SCHED_BATCH]


def test_an_acknowledgement_comes_after_the_sync_of_what_it_is_for(tmp_path: Path) -> None:
    disk, entered, go = Faulty(), threading.Event(), threading.Event()
    wal = opened(tmp_path, disk)
    sync = disk.fdatasync

    def held(file: int) -> None:
        entered.set()
        assert go.wait(PATIENCE)
        sync(file)

    disk.fdatasync = held  # type: ignore[method-assign]
    ticket = wal.append([record(1)])
    assert entered.wait(PATIENCE)
    assert not ticket.done
    with pytest.raises(EvidenceError):
        ticket.wait(0.01)
    go.set()
    wal.append([record(2)]).wait(PATIENCE)
    assert ticket.done
    wal.close()


def test_all_that_is_queued_meanwhile_is_one_write_and_one_sync(tmp_path: Path) -> None:
    disk, entered, go = Faulty(), threading.Event(), threading.Event()
    wal = opened(tmp_path, disk)
    settled(wal)
    sync = disk.fdatasync

    def held(file: int) -> None:
        entered.set()
        assert go.wait(PATIENCE)
        sync(file)

    disk.fdatasync = held  # type: ignore[method-assign]
    first = wal.append([record(0)])
    assert entered.wait(PATIENCE)
    disk.calls.clear()
    rest = [wal.append([record(each)]) for each in range(1, 21)]
    go.set()
    first.wait(PATIENCE)
    for each in rest:
        each.wait(PATIENCE)
    assert [call for call in disk.calls if call in ("pwrite", "fdatasync")].count("pwrite") == 1
    assert disk.calls.count("fdatasync") == 2  # of the first batch, still under way, and of all the rest
    wal.close()
    assert numbers(tmp_path) == list(range(21))


def test_a_ticket_of_several_records_is_whole(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    wal.append([record(each) for each in range(5)]).wait(PATIENCE)
    wal.close()
    assert numbers(tmp_path) == list(range(5))


def test_an_event_loop_awaits_without_being_held_up(tmp_path: Path) -> None:
    wal = opened(tmp_path)

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        tickets = [wal.append([record(each)]) for each in range(50)]
        await asyncio.gather(*(each.future(loop) for each in tickets))
        late = wal.append([record(50)])
        late.wait(PATIENCE)
        await late.future(loop)  # Settled before anybody asked.

    asyncio.run(ask())
    wal.close()
    assert numbers(tmp_path) == list(range(51))


def test_a_future_that_nobody_awaits_any_more_does_no_harm(tmp_path: Path) -> None:
    wal = opened(tmp_path)

    async def ask() -> None:
        future = wal.append([record(1)]).future(asyncio.get_running_loop())
        assert isinstance(future, asyncio.Future)
        future.cancel()
        await wal.append([record(2)]).future(asyncio.get_running_loop())

    asyncio.run(ask())
    wal.close()
    assert numbers(tmp_path) == [1, 2]


def test_many_threads_append_and_every_record_is_there_once(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    threads = [
        threading.Thread(target=put, args=(wal, *range(start, start + 50)), kwargs={"size": 300})
        for start in range(0, 400, 50)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    wal.close()
    assert sorted(numbers(tmp_path)) == list(range(400))


def test_what_is_queued_is_written_before_it_closes(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    tickets = [wal.append([record(each)]) for each in range(50)]
    wal.close()
    assert all(each.done for each in tickets)
    assert numbers(tmp_path) == list(range(50))
    assert events(tmp_path) == ["started", "closed"]
    with pytest.raises(EvidenceError, match="closed"):
        wal.append([record(1)])
    wal.close()


def test_written_is_acknowledged_without_a_sync_and_says_so(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk, durability="written")
    settled(wal)
    disk.calls.clear()
    put(wal, 1)
    assert "pwrite" in disk.calls
    assert "fdatasync" not in disk.calls
    assert json.loads(read(tmp_path)[0])["durability"] == "written"
    wal.close()


# ----------------------------------------------------------------------------------------------------- what is shed


def test_a_full_queue_sheds_by_records_and_by_bytes(tmp_path: Path) -> None:
    disk, entered, go = Faulty(), threading.Event(), threading.Event()
    wal = opened(tmp_path, disk, max_queued=3, max_queued_bytes=20_000)

    def held(file: int) -> None:
        entered.set()
        assert go.wait(PATIENCE)

    disk.fdatasync = held  # type: ignore[method-assign]
    tickets = [wal.append([record(0)])]
    assert entered.wait(PATIENCE)
    tickets += [wal.append([record(each)]) for each in (1, 2, 3)]
    with pytest.raises(EvidenceError, match="overloaded"):
        wal.append([record(4)])
    assert wal.effort.shed == 1
    go.set()
    for each in tickets:
        each.wait(PATIENCE)
    with pytest.raises(EvidenceError, match="overloaded"):
        wal.append([record(5, 10_000), record(6, 10_000)])
    put(wal, 7)
    wal.close()
    assert numbers(tmp_path) == [0, 1, 2, 3, 7]


def test_a_record_that_is_too_long_is_refused_and_the_longest_is_not(tmp_path: Path) -> None:
    wal = opened(tmp_path, segment_bytes=4 * SEGMENT)
    longest = MAX_PAYLOAD - STAMP_ROOM - len(record(1))
    put(wal, 1, size=longest)
    with pytest.raises(EvidenceError, match="too long"):
        wal.append([record(2, longest + 1)])
    with pytest.raises(EvidenceError):
        wal.append([b"{}"])
    wal.close()
    assert numbers(tmp_path) == [1]
    assert max(map(len, read(tmp_path))) <= MAX_PAYLOAD


# --------------------------------------------------------------------------------------------- segments, one by one


def test_segments_follow_one_another_and_a_spare_is_always_there(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    put(wal, *range(200), size=1_000)
    settled(wal)
    names = sorted(each.name for each in (tmp_path / "wal/0").iterdir())
    assert {"lock", "reserve.wal", "spare.wal", "seg-00000001.wal", "seg-00000004.wal"} <= set(names)
    assert (tmp_path / "wal/0/spare.wal").stat().st_size == SEGMENT
    assert (tmp_path / "wal/0/reserve.wal").stat().st_size == RESERVE
    wal.close()
    assert numbers(tmp_path) == list(range(200))


def test_a_segment_names_the_one_before_it_and_its_last_chain_hash(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    put(wal, *range(60), size=1_000)
    wal.close()
    (slot,) = slots(tmp_path)
    first, second = slot.header(1), slot.header(2)
    last = [frame for position, frame in slot.frames() if position.segment == 1][-1]
    assert second.previous_id == first.id
    assert second.previous_chain == last.chain
    assert second.first_seq == last.seq + 1
    assert first.previous_id == bytes(16)


def test_the_next_writer_goes_on_with_seq_and_chain(tmp_path: Path) -> None:
    for each in range(3):
        wal = opened(tmp_path)
        put(wal, each)
        wal.close()
    (slot,) = slots(tmp_path)
    assert [frame.seq for _, frame in slot.frames()] == list(range(1, 10))
    assert numbers(tmp_path) == [0, 1, 2]
    assert "recovered" not in events(tmp_path)


def test_two_writers_have_a_slot_each_and_the_next_takes_the_one_that_is_free(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert (first.slot, second.slot) == (0, 1)
    assert all(each.owned for each in slots(tmp_path))
    first.close()
    assert [each.owned for each in slots(tmp_path)] == [False, True]
    third = opened(tmp_path)
    assert third.slot == 0
    second.close()
    third.close()


def test_a_fork_may_not_write_to_the_log_of_its_parent(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    wal._pid += 1
    with pytest.raises(EvidenceError, match="another process"):
        wal.append([record(1)])
    wal.close()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    wal = opened(directory)
    put(wal, 1)
    settled(wal)
    for each in directory.rglob("*"):
        assert each.stat().st_mode & 0o077 == 0, each
    wal.close()


def test_a_link_in_the_place_of_the_spare_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "wal/0").mkdir(parents=True)
    (tmp_path / "victim").write_bytes(bytes(SEGMENT))
    (tmp_path / "wal/0/spare.wal").symlink_to(tmp_path / "victim")
    wal = opened(tmp_path)
    put(wal, 1)
    wal.close()
    assert (tmp_path / "victim").read_bytes() == bytes(SEGMENT)
    assert numbers(tmp_path) == [1]


# ------------------------------------------------------------------------------------------------------ what fails


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("pwrite", errno.EIO),
        ("pwrite", errno.ENOSPC),
        ("pwrite", errno.EINTR),
        ("fdatasync", errno.EIO),
        ("fdatasync", errno.ENOSPC),
        ("fdatasync", errno.EINTR),
        ("short", errno.EIO),
    ],
)
def test_a_segment_that_fails_is_given_up_and_the_batch_goes_to_the_spare(
    tmp_path: Path, call: str, number: int
) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk)
    settled(wal)
    put(wal, 1, 2)
    disk.fail(call, number, of="seg-00000001")
    put(wal, 3, 4)
    wal.close()
    assert wal.effort.poisoned == 1
    assert numbers(tmp_path) == [1, 2, 3, 4]
    assert events(tmp_path) == ["started", "segment-poisoned", "closed"]
    (slot,) = slots(tmp_path)
    assert [frame.seq for _, frame in slot.frames()] == list(range(1, 8))


def test_a_sync_is_never_tried_again_on_the_same_file(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk)
    settled(wal)
    put(wal, 1)
    disk.fail("fdatasync", of="seg-00000001")
    seen: list[str] = []
    sync = disk.fdatasync

    def noted(file: int) -> None:
        seen.append(disk.name(file).rpartition("/")[2])
        sync(file)

    disk.fdatasync = noted  # type: ignore[method-assign]
    put(wal, 2)
    wal.close()
    assert seen.count("seg-00000001.wal") == 1
    assert seen[0] == "seg-00000001.wal"
    assert seen[1] == "spare.wal"


@pytest.mark.parametrize("call", ["open", "pwrite", "fdatasync", "rename", "fsync"])
def test_a_spare_that_fails_is_passed_over(tmp_path: Path, call: str) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk)
    settled(wal)
    put(wal, 1)
    disk.fail("pwrite", of="seg-00000001")
    of = {"rename": "seg-00000002", "fsync": "/wal/0"}.get(call, "spare.wal")
    disk.fail(call, of=of)
    put(wal, 2, 3)
    wal.close()
    assert numbers(tmp_path) == [1, 2, 3]
    assert "spare-failed" in events(tmp_path)


def test_what_was_read_from_a_segment_that_failed_is_not_read_twice(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk)
    settled(wal)
    put(wal, 1)
    (slot,) = slots(tmp_path)
    before, positions = slot.frames, []
    sync = disk.fdatasync

    def read_then_fail(file: int) -> None:
        if not positions:
            positions.extend(position for position, _ in before())  # The batch stands in the page cache already.
            raise OSError(errno.EIO, "EIO")
        sync(file)

    disk.fdatasync = read_then_fail  # type: ignore[method-assign]
    put(wal, 2, 3)
    wal.close()
    assert positions[-1].seq == 3
    rest = [json.loads(frame.payload) for _, frame in slot.frames(positions[-1])]
    assert [each.get("i", each.get("event")) for each in rest] == ["segment-poisoned", 3, "closed"]


def full(disk: Faulty, on: bool) -> None:
    """No new file can be filled any more."""
    disk.mend()
    if on:
        disk.fail("pwrite", errno.ENOSPC, 1_000_000, of=".tmp")


def fill(wal: Wal, start: int) -> list[int]:
    """Append until it is refused; which were acknowledged."""
    there = []
    for each in range(start, start + 1_000):
        try:
            put(wal, each, size=1_000)
        except EvidenceError:
            return there
        there.append(each)
    raise AssertionError("never refused")


def test_a_full_disk_uses_up_the_spare_and_the_reserve_then_refuses_all_until_there_is_space(tmp_path: Path) -> None:
    disk, said = Faulty(), list[str]()
    wal = opened(tmp_path, disk, alarm=said.append, retry_seconds=3_600.0)
    settled(wal)
    full(disk, True)
    there = fill(wal, 0)
    assert len(there) > 100  # the segment, the spare, the reserve
    with pytest.raises(EvidenceError, match="no space"):
        wal.append([record(-1)])
    with pytest.raises(EvidenceError, match="no space"):
        wal.probe()
    assert any("no space" in each for each in said)
    full(disk, False)
    back(wal)
    put(wal, 5_000)
    wal.close()
    assert numbers(tmp_path) == [*there, 5_000]
    assert [each for each in events(tmp_path) if each != "started"] == ["reserve", "no-space", "space-again", "closed"]


def back(wal: Wal) -> None:
    """Nudge until it works again."""
    for _ in range(1_000):
        wal.retry()
        try:
            return wal.probe()
        except EvidenceError:
            threading.Event().wait(0.01)
    raise AssertionError("never works again")


def test_what_may_be_on_a_disk_keeps_its_seq_and_is_written_first_when_there_is_space(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk, retry_seconds=3_600.0)
    settled(wal)
    put(wal, 1)
    (slot,) = slots(tmp_path)
    disk.fail("fdatasync", times=1_000_000)
    with pytest.raises(EvidenceError):
        put(wal, 2)
    *_, (position, frame) = slot.frames()
    assert json.loads(frame.payload)["i"] == 2  # Refused, and whoever reads the segment that failed sees it.
    disk.mend()
    back(wal)
    put(wal, 3)
    wal.close()
    assert numbers(tmp_path) == [1, 2, 3]
    assert next(slot.frames(position))[1].seq == position.seq + 1
    (told,) = (each for each in map(json.loads, read(tmp_path)) if each.get("event") == "unacknowledged")
    assert (told["first"], told["last"]) == (3, 3)


def test_a_disk_that_fails_for_good_refuses_and_does_not_spin(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk, retry_seconds=3_600.0)
    settled(wal)
    disk.fail("fdatasync", times=1_000_000)
    for _ in range(20):
        with pytest.raises(EvidenceError):
            put(wal, 1)
    assert disk.calls.count("fdatasync") < 10
    wal.close()


def test_a_deleted_segment_takes_no_acknowledged_record_with_it(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    settled(wal)
    put(wal, 1)
    (tmp_path / "wal/0/seg-00000001.wal").unlink()
    put(wal, 2)
    wal.close()
    assert b'"i":2' in (tmp_path / "wal/0/seg-00000002.wal").read_bytes()


def test_a_segment_that_has_another_name_hides_no_acknowledged_record(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    settled(wal)
    put(wal, 1)
    (tmp_path / "wal/0/seg-00000001.wal").rename(tmp_path / "hidden")
    put(wal, 2)
    wal.close()
    assert b'"i":2' in (tmp_path / "wal/0/seg-00000002.wal").read_bytes()


def test_who_was_moved_away_takes_no_files_of_who_came_after(tmp_path: Path) -> None:
    moved = opened(tmp_path / "audit", retry_seconds=0.01)
    settled(moved)
    put(moved, 1)
    (tmp_path / "audit").rename(tmp_path / "old")
    after = opened(tmp_path / "audit")
    settled(after)
    put(after, 2)
    put(moved, 3)  # It was moved with all that it has.
    before = sorted(each.name for each in (tmp_path / "audit/wal/0").iterdir())
    with pytest.raises(EvidenceError):
        put(moved, *range(1_000), size=1_000)
    assert sorted(each.name for each in (tmp_path / "audit/wal/0").iterdir()) == before
    put(after, 4)
    assert b'"i":3' in b"".join(read(tmp_path / "old"))
    assert b'"i":4' in b"".join(read(tmp_path / "audit"))
    moved.close()
    after.close()


@pytest.mark.parametrize("call", ["open", "fsync", "pwrite", "rename"])
def test_a_log_that_cannot_be_opened_is_an_error_and_leaves_its_slot(tmp_path: Path, call: str) -> None:
    disk = Faulty()
    disk.fail(call, times=1_000_000)
    with pytest.raises(EvidenceError):
        opened(tmp_path / "audit", disk, retry_seconds=0.01)
    disk.mend()
    wal = opened(tmp_path / "audit", disk)
    assert wal.slot == 0
    put(wal, 1)
    wal.close()


def test_a_file_in_the_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")
    with pytest.raises(EvidenceError):
        opened(tmp_path / "audit")


def test_a_fault_of_ours_leaves_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    wal = opened(tmp_path)
    monkeypatch.setattr(wal, "_frames", lambda *_: 1 / 0)
    ticket = wal.append([record(1)])
    with pytest.raises(EvidenceError, match="closed"):
        ticket.wait(PATIENCE)
    with pytest.raises(EvidenceError, match="closed"):
        wal.append([record(2)])
    with pytest.raises(EvidenceError):
        wal.probe()


def test_a_disk_that_hangs_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdp.audit.journal.wal.HANGING_SECONDS", 0.0)
    disk, entered, go = Faulty(), threading.Event(), threading.Event()
    wal = opened(tmp_path, disk)
    settled(wal)
    sync = disk.fdatasync

    def held(file: int) -> None:
        entered.set()
        assert go.wait(PATIENCE)
        sync(file)

    disk.fdatasync = held  # type: ignore[method-assign]
    ticket = wal.append([record(1)])
    assert entered.wait(PATIENCE)
    with pytest.raises(EvidenceError, match="does not answer"):
        wal.append([record(2)])
    with pytest.raises(EvidenceError, match="does not answer"):
        wal.probe()
    go.set()
    ticket.wait(PATIENCE)
    wal.close()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_in_whatever_order_nothing_acknowledged_is_lost_and_nothing_is_read_twice(
    tmp_path: Path, seed: int
) -> None:
    """Random failures and restarts, beside a reader that reads all the while and one that reads all at the end."""
    draw, acknowledged, given = random.Random(seed), set[int](), 0
    position, followed = START, list[int]()
    for _ in range(4):
        disk = Faulty()
        wal = opened(tmp_path, disk, retry_seconds=0.001)
        for _ in range(25):
            if draw.random() < 0.3:
                call = draw.choice(["pwrite", "fdatasync", "short", "fsync", "rename", "open", "unlink"])
                number = draw.choice([errno.EIO, errno.ENOSPC, errno.EINTR])
                disk.fail(call, number, draw.choice([1, 1, 2, 4]), of=draw.choice(["", "seg-", "spare", ".tmp"]))
            tickets = {}
            for _ in range(draw.randrange(1, 6)):
                given += 1
                with contextlib.suppress(EvidenceError):
                    tickets[given] = wal.append([record(given, draw.randrange(4_000))])
            for number, ticket in tickets.items():
                with contextlib.suppress(EvidenceError):
                    ticket.wait(PATIENCE)
                    acknowledged.add(number)
            if draw.random() < 0.3:
                disk.mend()
            for position, frame in Slot(tmp_path / "wal/0", 0).frames(position):  # noqa: B020, B007
                followed.append(json.loads(frame.payload).get("i", 0))
        if draw.random() < 0.5:
            for call in ("pwrite", "fdatasync", "rename"):
                disk.fail(call, times=1_000_000)
        wal.close()
    opened(tmp_path).close()  # What a writer had still to move when it ended stands in the log from the next one on.
    for position, frame in Slot(tmp_path / "wal/0", 0).frames(position):  # noqa: B020, B007
        followed.append(json.loads(frame.payload).get("i", 0))
    slot = Slot(tmp_path / "wal/0", 0)
    frames = [frame for _, frame in slot.frames()]
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    found = [each for each in (json.loads(frame.payload).get("i", 0) for frame in frames) if each]
    assert sorted(set(found)) == sorted(found)
    assert acknowledged <= set(found)
    assert len(acknowledged) > 10
    assert [each for each in followed if each] == found


# --------------------------------------------------------------------------------------------------------- recovery


def cut(directory: Path, name: str, change: Any) -> None:
    path = directory / "wal/0" / name
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def abandoned(directory: Path, *which: int) -> Slot:
    """A log whose writer was killed: no `closed` at its end."""
    wal = opened(directory)
    put(wal, *which)
    settled(wal)
    with wal._mutex:
        wal._refusal = "killed"  # Nothing more is written.
    wal._again = lambda: None  # type: ignore[method-assign]
    wal.close()
    return Slot(directory / "wal/0", 0)


def test_what_a_killed_writer_left_is_kept_and_told(tmp_path: Path) -> None:
    abandoned(tmp_path, 1, 2)
    wal = opened(tmp_path)
    put(wal, 3)
    wal.close()
    assert numbers(tmp_path) == [1, 2, 3]
    (told,) = (each for each in map(json.loads, read(tmp_path)) if each.get("event") == "recovered")
    assert (told["first"], told["last"], told["torn"]) == (3, 3, False)


def test_what_a_killed_writer_had_still_to_move_keeps_its_seq(tmp_path: Path) -> None:
    """A sync fails, the next segment is begun, and there it ends: what a reader has seen by then stays what it is."""
    disk = Faulty()
    wal = opened(tmp_path, disk, retry_seconds=3_600.0)
    settled(wal)
    put(wal, 1)
    disk.fail("fdatasync", of="seg-")
    disk.fail("pwrite", of="seg-00000002", times=1_000_000)
    disk.fail("pwrite", of=".tmp", times=1_000_000)
    disk.fail("pwrite", of="seg-00000003", times=1_000_000)
    with pytest.raises(EvidenceError):
        put(wal, 2)
    slot = Slot(tmp_path / "wal/0", 0)
    seen = [frame for _, frame in slot.frames()]
    wal.close()
    wal = opened(tmp_path)
    put(wal, 3)
    wal.close()
    frames = [frame for _, frame in slot.frames()]
    assert numbers(tmp_path) == [1, 2, 3]
    assert [each[:4] for each in frames[:3]] == [each[:4] for each in [*seen, frames[2]][:3]]
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))


def test_a_torn_end_is_normal_and_the_next_writer_goes_on_after_what_is_whole(tmp_path: Path) -> None:
    slot = abandoned(tmp_path, 1, 2, 3)
    *_, (before, _), (last, _) = slot.frames()

    def tear(data: bytearray) -> None:
        data[before.offset + 60 : last.offset] = bytes(last.offset - before.offset - 60)

    cut(tmp_path, "seg-00000001.wal", tear)
    wal = opened(tmp_path)
    put(wal, 4)
    wal.close()
    assert numbers(tmp_path) == [1, 2, 4]
    (told,) = (each for each in map(json.loads, read(tmp_path)) if each.get("event") == "recovered")
    assert told["torn"] is True
    assert "corruption" not in events(tmp_path)


def test_damage_is_told_a_copy_is_kept_and_no_seq_is_given_twice(tmp_path: Path) -> None:
    slot = abandoned(tmp_path, 1, 2, 3)
    positions = [position for position, _ in slot.frames()]

    def flip(data: bytearray) -> None:
        data[positions[0].offset + 60] ^= 1

    cut(tmp_path, "seg-00000001.wal", flip)
    said: list[str] = []
    wal = opened(tmp_path, alarm=said.append)
    assert wal.seq > positions[-1].seq
    assert any("damaged" in each for each in said)
    wal.close()
    assert (tmp_path / "quarantine/0-seg-00000001.wal").exists()
    text = (tmp_path / "wal/0/seg-00000002.wal").read_bytes()
    assert b'"event":"corruption"' in text
    assert b'"prev":"%s"' % positions[-1].chain.hex().encode() in text


def test_a_spare_that_was_begun_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "wal/0").mkdir(parents=True)
    (tmp_path / "wal/0/spare.wal").write_bytes(b"PDPW1".ljust(SEGMENT, b"x"))
    wal = opened(tmp_path)
    put(wal, 1)
    wal.close()
    assert numbers(tmp_path) == [1]


def test_the_real_disk_writes_zeros_and_leaves_nothing_behind_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    disk.zeroed(tmp_path / "spare.wal", 2_500_000)
    assert (tmp_path / "spare.wal").read_bytes() == bytes(2_500_000)
    monkeypatch.setattr(os, "pwrite", lambda *_: 1)
    with pytest.raises(OSError):
        disk.zeroed(tmp_path / "other.wal", 2_500_000)
    assert [each.name for each in tmp_path.iterdir()] == ["spare.wal"]


def test_signals_do_not_interrupt_a_sync(tmp_path: Path) -> None:
    disk, masks = Faulty(), list[set[Any]]()
    wal = opened(tmp_path, disk)
    sync = disk.fdatasync

    def noted(file: int) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        sync(file)

    disk.fdatasync = noted  # type: ignore[method-assign]
    put(wal, 1)
    wal.close()
    assert {signal.SIGTERM, signal.SIGHUP, signal.SIGALRM} <= masks[0]
