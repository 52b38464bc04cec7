"""Heartbeats: what a writer and the sealer say of themselves, and what a verifier makes of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import Report, verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import heartbeat
from pdp.audit.journal.wal import Wal
from pdp.audit.record import stamp
from pdp.audit.tell import tell
from pdp.audit.tree.checkpoint import last
from pdp.audit.tree.keys import published
from pdp.audit.tree.tiles import records
from tests.unit.audit.disks import Faulty, opened, read
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, Writer, sealed, sealer

PATIENCE = 10.0
MINUTE = 60 * SECOND


def decision(effect: str, number: int = 0) -> bytes:
    return b'{"v":1,"i":%d,"kind":"decision","ts":"2027-01-15T08:00:00.000000Z","dec":{"effect":"%s"}}' % (
        number,
        effect.encode(),
    )


def beats(directory: Path, slot: int = 0) -> list[dict[str, Any]]:
    return [each for each in map(json.loads, read(directory, slot)) if each["kind"] == "heartbeat"]


def put(wal: Wal, *effects: str) -> None:
    wal.append([decision(each) for each in effects]).wait(PATIENCE)


def beaten(directory: Path, number: int) -> list[dict[str, Any]]:
    for _ in range(2_000):
        found = beats(directory)
        if len(found) >= number:
            return found
        threading.Event().wait(0.005)
    raise AssertionError("no heartbeat")


# --------------------------------------------------------------------------------------------------------- the writer


def test_a_writer_says_when_it_opens_each_period_and_when_it_closes_and_what_it_counted(tmp_path: Path) -> None:
    wal = opened(tmp_path, heartbeat_seconds=0.02)
    put(wal, "allow", "allow", "deny")
    beaten(tmp_path, 3)
    put(wal, "deny")
    wal.close()
    found = beats(tmp_path)
    states = [each["state"] for each in found]
    assert (states[0], states[-1], set(states[1:-1])) == ("opened", "closing", {"beating"})
    assert sum(each["decisions"]["allow"] for each in found) == 2
    assert sum(each["decisions"]["deny"] for each in found) == 2
    assert all(each["last"] == each["seq"] - 1 for each in found)
    assert [each["first"] for each in found[1:]] == [each["seq"] + 1 for each in found[:-1]]
    assert [each["mono"] for each in found] == sorted(each["mono"] for each in found)
    events = [each["event"] for each in map(json.loads, read(tmp_path)) if "event" in each]
    assert events == ["started", "closed"]


def test_a_writer_that_is_always_busy_beats_too(tmp_path: Path) -> None:
    wal = opened(tmp_path, heartbeat_seconds=0.01, segment_bytes=1_048_576)
    while len(beats(tmp_path)) < 3:
        for _ in range(20):
            put(wal, "allow")
    wal.close()


def test_many_who_hand_over_while_it_beats_lose_nothing(tmp_path: Path) -> None:
    """The wait for what is queued and the one for the next heartbeat end at the same time, again and again."""
    wal = opened(tmp_path, heartbeat_seconds=0.000_2, segment_bytes=1_048_576)

    def write() -> None:
        for _ in range(300):
            put(wal, "allow")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    wal.close()
    assert sum(each["decisions"]["allow"] for each in beats(tmp_path)) == 1_200


def test_without_a_period_there_is_none(tmp_path: Path) -> None:
    wal = opened(tmp_path)
    put(wal, "allow")
    wal.close()
    assert beats(tmp_path) == []


def test_what_was_refused_is_not_counted_and_what_was_moved_is(tmp_path: Path) -> None:
    disk = Faulty()
    wal = opened(tmp_path, disk, heartbeat_seconds=3_600.0, retry_seconds=3_600.0)
    put(wal, "allow")
    disk.fail("fdatasync", times=1_000_000)
    with pytest.raises(EvidenceError):
        put(wal, "allow")  # It keeps its number: whoever syncs first may have it on the disk.
    with pytest.raises(EvidenceError):
        put(wal, "deny")  # It never had one.
    disk.mend()
    for _ in range(1_000):
        wal.retry()
        try:
            put(wal, "deny")
            break
        except EvidenceError:
            threading.Event().wait(0.01)
    wal.close()
    found = beats(tmp_path)
    decisions = [each for each in map(json.loads, read(tmp_path)) if each["kind"] == "decision"]
    assert found[-1]["decisions"] == {"allow": 2, "deny": len(decisions) - 2}
    assert found[-1]["first"] == found[0]["seq"] + 1


@pytest.mark.parametrize(
    ("payload", "effect"),
    [
        (b'{"kind":"decision","dec":{"effect":"allow","reason":"x"}}', "allow"),
        (b'{"kind":"decision","dec":{"effect":"deny"}}', "deny"),
        (b'{"kind":"audit.read","asked":"\\"dec\\":{\\"effect\\":\\"allow\\""}', ""),
        (b'{"kind":"decision","dec":{"effect":"allowed"}}', "deny"),
    ],
)
def test_no_text_of_a_client_is_taken_for_a_decision(payload: bytes, effect: str) -> None:
    assert heartbeat.effect(payload) == effect


# ---------------------------------------------------------------------------------------------------------- the log


class Stream:
    """A writer whose clock is ours. `at`: seconds since the beginning."""

    def __init__(self, directory: Path, slot: int = 0) -> None:
        self.writer = Writer(directory, slot)
        self.first, self.counts, self.ahead = 1, {"allow": 0, "deny": 0}, 0.0

    def say(self, members: dict[str, Any], at: float) -> None:
        text = self.writer.payload().decode()
        head = json.loads(text)
        place = {name: head[name] for name in ("stream", "seq", "prev")}
        ts = stamp(int(NOW // 1_000 + (at + self.ahead) * 1e6))
        self.writer.write_these([json.dumps(place | {"v": 1, "ts": ts} | members, separators=(",", ":")).encode()])

    def decide(self, at: float, effect: str = "allow", **more: Any) -> None:
        self.counts[effect] += 1
        self.say({"id": "d", "kind": "decision", "dec": {"effect": effect}} | more, at)

    def beat(self, at: float, state: str = "beating", **changed: Any) -> None:
        seq = self.writer.seq + 1
        first = seq if state == "opened" else self.first
        counts = {"allow": 0, "deny": 0} if state == "opened" else self.counts
        said = {"first": first, "last": seq - 1, "decisions": counts, "mono": int((1_000 + at) * 1e9), "every": 60}
        self.say({"kind": "heartbeat", "state": state} | said | changed, at)
        self.first, self.counts = seq + 1, {"allow": 0, "deny": 0}


def judged(directory: Path, **more: Any) -> Report:
    sealed(directory, **more)
    return verify(directory, published(directory / "keys"))


def kinds(directory: Path) -> list[Kind]:
    return [each.kind for each in judged(directory).findings]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Stream, Stream]:
    found = Stream(tmp_path, 0), Stream(tmp_path, 1)
    for each in found:
        each.beat(0, "opened")
    return found


def minutes(stream: Stream, first: int, last: int) -> None:
    for minute in range(first, last + 1):
        stream.decide(60 * minute - 30)
        stream.decide(60 * minute - 20, "deny")
        stream.beat(60 * minute)


def test_streams_that_beat_and_count_right_are_fine(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    for each in two:
        minutes(each, 1, 10)
    assert kinds(tmp_path) == []


def test_a_stream_that_falls_silent_while_the_log_goes_on_is_found(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 3)
    minutes(two[1], 1, 10)
    (finding,) = judged(tmp_path).findings
    assert (finding.kind, finding.kind.code) == (Kind.SILENT, 29)
    assert f"{ORIGIN}/0 says nothing for 240 s" in finding.where


def test_a_gap_is_found_though_the_stream_speaks_again(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 2)
    minutes(two[0], 10, 12)
    minutes(two[1], 1, 12)
    assert kinds(tmp_path) == [Kind.SILENT]


@pytest.mark.parametrize("silent", [1, 2, 3])
def test_some_periods_late_is_not_silent(two: tuple[Stream, Stream], tmp_path: Path, silent: int) -> None:
    minutes(two[0], 1, 2)
    two[0].beat(60 * (2 + silent))
    minutes(two[0], 4 + silent, 10)
    minutes(two[1], 1, 10)
    assert kinds(tmp_path) == []


def test_a_host_that_was_off_is_not_silent(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    """Nobody spoke: neither a crash of all of it, nor the time between two starts of the service, is a gap."""
    for each in two:
        minutes(each, 1, 3)
    for late, each in enumerate(two):
        each.beat(86_400 + 20 * late, "opened")
        minutes(each, 1_441, 1_444)
    assert kinds(tmp_path) == []


def test_a_stream_that_closed_may_be_silent(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 3)
    two[0].beat(190, "closing")
    minutes(two[1], 1, 30)
    two[0].beat(1_900, "opened")
    assert kinds(tmp_path) == []


def test_the_sealer_says_which_writer_was_killed_before_its_silence_counts(
    two: tuple[Stream, Stream], tmp_path: Path
) -> None:
    ours = sealer(tmp_path, heartbeat_seconds=60.0)
    for minute in range(1, 12):
        if minute <= 3:
            minutes(two[0], minute, minute)
        minutes(two[1], minute, minute)
        ours.step(NOW + minute * MINUTE)
    ours.close()
    assert kinds(tmp_path) == []
    told = [record for _, record in records(tmp_path / "log", last(tmp_path / "log") or 0) if b"abandoned" in record]
    assert len(told) == 1
    assert b'"of":"%s/0"' % ORIGIN.encode() in told[0]


def test_a_sealer_that_begins_says_soon_who_is_gone(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    """The whole host had ended; of its writers one comes back, and the other one never."""
    for each in two:
        minutes(each, 1, 3)
    sealed(tmp_path, NOW + 4 * MINUTE)
    two[1].beat(86_400, "opened")
    ours = sealer(tmp_path, heartbeat_seconds=60.0)
    for second in range(0, 20, 5):
        ours.step(NOW + (86_400 + second) * SECOND)
    minutes(two[1], 1_441, 1_444)
    for second in range(20, 30, 5):
        ours.step(NOW + (86_400 + 240 + second) * SECOND)
    ours.close()
    assert kinds(tmp_path) == []


def test_a_writer_that_is_there_and_silent_is_not_said_to_be_gone(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "wal/0/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours = sealer(tmp_path, heartbeat_seconds=60.0)
        for minute in range(1, 12):
            minutes(two[1], minute, minute)
            ours.step(NOW + minute * MINUTE)
        ours.close()
    assert kinds(tmp_path) == [Kind.SILENT]


def test_the_sealer_says_that_it_is_there_when_nothing_is_sealed(tmp_path: Path) -> None:
    ours = sealer(tmp_path, heartbeat_seconds=60.0)
    sizes = [ours.step(NOW + second * SECOND).size for second in range(0, 200, 10)]
    ours.close()
    assert sizes[-1] == 3
    report = verify(tmp_path, published(tmp_path / "keys"))
    assert (report.findings, report.size) == ([], 3)


def more(stream: Stream) -> None:
    stream.decide(70)
    stream.beat(120, decisions={"allow": 2, "deny": 0})


def fewer(stream: Stream) -> None:
    stream.decide(70)
    stream.beat(120, decisions={"allow": 0, "deny": 0})


def other(stream: Stream) -> None:
    stream.decide(70, "deny")
    stream.beat(120, decisions={"allow": 1, "deny": 0})


def from_elsewhere(stream: Stream) -> None:
    stream.decide(70)
    stream.beat(120, first=stream.first + 1)


def nonsense(stream: Stream) -> None:
    stream.beat(120, decisions={"allow": "none"})


@pytest.mark.parametrize("wrong", [more, fewer, other, from_elsewhere, nonsense])
def test_a_count_that_is_wrong_is_found(
    two: tuple[Stream, Stream], tmp_path: Path, wrong: Callable[[Stream], None]
) -> None:
    wrong(two[0])
    minutes(two[0], 3, 4)
    minutes(two[1], 1, 4)
    (finding,) = judged(tmp_path).findings
    assert (finding.kind, finding.kind.code) == (Kind.COUNT, 30)


def test_time_that_goes_backwards_is_found(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 10)
    two[0].decide(60 * 2)
    minutes(two[0], 11, 12)
    minutes(two[1], 1, 12)
    (finding,) = judged(tmp_path).findings
    assert (finding.kind, finding.kind.code) == (Kind.BACKWARDS, 31)
    assert "480 s older" in finding.where


def test_a_little_backwards_is_how_requests_wait(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 10)
    two[0].decide(60 * 10 - 40)
    two[0].decide(60 * 2, count=7)  # Shared by refusals; told once the disk had space again.
    minutes(two[0], 11, 12)
    minutes(two[1], 1, 12)
    assert kinds(tmp_path) == []


@pytest.mark.parametrize("step", [-7_200, -90, 90, 7_200])
def test_a_clock_that_was_set_is_noted_and_no_finding(two: tuple[Stream, Stream], tmp_path: Path, step: float) -> None:
    minutes(two[0], 1, 10)
    minutes(two[1], 1, 10)
    for each in two:
        each.ahead = step
    for each in two:
        minutes(each, 11, 20)
    report = judged(tmp_path)
    assert [each.kind for each in report.findings] == []
    assert report.clock_steps == 2


def test_a_writer_whose_clock_is_set_back_says_so_itself(tmp_path: Path) -> None:
    clocks = {"wall": NOW, "mono": 50 * SECOND}

    def write(wal: Wal) -> None:
        text = stamp(clocks["wall"] // 1_000).encode()
        wal.append([b'{"kind":"decision","ts":"%s","dec":{"effect":"allow"}}' % text]).wait(PATIENCE)

    for step in (0, -3_600 * SECOND, -3_600 * SECOND):
        wall, mono = partial(clocks.__getitem__, "wall"), partial(clocks.__getitem__, "mono")
        wal = opened(tmp_path, heartbeat_seconds=3_600.0, clock=wall, monotonic=mono, origin=ORIGIN)
        write(wal)
        clocks["wall"] += step + SECOND
        clocks["mono"] += SECOND
        write(wal)
        wal.close()
    report = judged(tmp_path)
    assert (report.findings, report.clock_steps) == ([], 2)


def test_more_backwards_than_the_clock_was_set_is_found(two: tuple[Stream, Stream], tmp_path: Path) -> None:
    minutes(two[0], 1, 10)
    two[0].decide(60 * 2)
    two[0].ahead = -120
    minutes(two[0], 11, 20)
    minutes(two[1], 1, 18)
    assert kinds(tmp_path) == [Kind.BACKWARDS]


def test_a_log_without_heartbeats_is_judged_by_none(tmp_path: Path) -> None:
    one, other = Writer(tmp_path, 0), Writer(tmp_path, 1)
    one.write(3, ',"ts":"2027-01-15T08:00:00.000000Z"')
    other.write(3, ',"ts":"2027-01-16T08:00:00.000000Z"')
    one.write(3, ',"ts":"2027-01-14T08:00:00.000000Z"')
    assert kinds(tmp_path) == []


# ----------------------------------------------------------------------------------------------------------- tidiness


def test_whoever_puts_single_records_on_record_leaves_a_bounded_directory(tmp_path: Path) -> None:
    """Each of them takes a segment of its own; the sealer drains those slots like any other."""

    def left() -> tuple[int, int]:
        files = list((tmp_path / "wal/200").glob("seg-*.wal"))
        return len(files), sum(path.stat().st_blocks * 512 for path in files)

    ours = sealer(tmp_path)
    for number in range(60):
        tell(tmp_path, ORIGIN, "audit.read", {"verb": "query"})
        if number % 20 == 19:
            ours.step(NOW + number)
            assert left()[0] == 1
    for _ in range(60):
        tell(tmp_path, ORIGIN, "audit.read", {"verb": "query"})
    assert left()[0] == 61, "while no sealer runs they stay"
    assert left()[1] <= 61 * 16_384, "and give back the room that they do not need"
    ours.step(NOW + 100)
    assert left()[0] == 1
    ours.close()
    report = verify(tmp_path, published(tmp_path / "keys"))
    assert (report.findings, report.waiting) == ([], 0)
    told = [record for _, record in records(tmp_path / "log", report.size) if b'"audit.read"' in record]
    assert len(told) == 120
