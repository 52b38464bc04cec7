"""The log of a worker: opened when it is needed, opened again when its directory has gone."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdp.audit import log as module
from pdp.audit.log import EvidenceError, Log, Record
from pdp.model.decision import Decision, Effect, Reason
from pdp.model.request import Request
from tests.audited import records
from tests.unit.audit.disks import RESERVE, SEGMENT

PATIENCE = 10.0
ALLOW = Decision(Effect.ALLOW, Reason.PERMITTED, ("rule",), program_digest="p", data_revision="d")


class Time:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def log(tmp_path: Path, time: Time) -> Iterator[Log]:
    opened = Log(tmp_path / "audit", "host.example", segment_bytes=SEGMENT, reserve_bytes=RESERVE)
    yield opened
    opened.close()


def record(name: str = "id-1", **more: Any) -> Record:
    return Record(0, name, "authzen", "portal", ALLOW, Request("user", "alice", "read", "record", "r"), **more)


def put(log: Log, name: str) -> None:
    log.hand([record(name)]).wait(PATIENCE)


def names(directory: Path) -> list[str]:
    return [each["decision_id"] for each in records(directory)]


def test_what_was_handed_over_is_in_the_log_when_its_ticket_is_done(log: Log, tmp_path: Path) -> None:
    log.hand([record("a"), record("b")]).wait(PATIENCE)
    assert names(tmp_path / "audit") == ["a", "b"]


def test_nothing_is_made_before_the_first_record(log: Log, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    log.probe()
    assert (tmp_path / "audit/wal/0").is_dir()


def test_what_cannot_be_encoded_is_an_error_and_spoils_no_other(log: Log, tmp_path: Path) -> None:
    bad = Record(0, "bad", "authzen", "portal", ALLOW, Request("user", "\ud800", "read", "record", "r"))
    with pytest.raises(EvidenceError):
        log.hand([record("a"), bad])
    put(log, "b")
    assert names(tmp_path / "audit") == ["b"]


def test_a_directory_that_was_deleted_is_an_error_until_it_can_be_made_again(
    log: Log, tmp_path: Path, time: Time
) -> None:
    put(log, "a")
    shutil.rmtree(tmp_path / "audit")
    (tmp_path / "audit").write_text("a file is in the way")
    with pytest.raises(EvidenceError):
        log.hand([record("b")]).wait(PATIENCE)
    with pytest.raises(EvidenceError):
        log.probe()
    time.now += 2
    with pytest.raises(EvidenceError):
        log.hand([record("c")])
    (tmp_path / "audit").unlink()
    with pytest.raises(EvidenceError):
        log.hand([record("d")])  # Not looked at again within a second.
    time.now += 2
    put(log, "e")
    assert names(tmp_path / "audit") == ["e"]


def test_a_directory_that_was_moved_away_is_made_anew_within_a_second(log: Log, tmp_path: Path, time: Time) -> None:
    put(log, "a")
    (tmp_path / "audit").rename(tmp_path / "moved")
    time.now += 2
    put(log, "b")
    assert names(tmp_path / "moved") == ["a"]
    assert names(tmp_path / "audit") == ["b"]


def test_a_directory_that_comes_back_is_gone_on_with(log: Log, tmp_path: Path, time: Time) -> None:
    put(log, "a")
    (tmp_path / "audit").rename(tmp_path / "moved")
    (tmp_path / "audit").write_text("")
    with pytest.raises(EvidenceError):
        log.probe()
    (tmp_path / "audit").unlink()
    (tmp_path / "moved").rename(tmp_path / "audit")
    log.probe()
    put(log, "b")
    assert names(tmp_path / "audit") == ["a", "b"]


def test_several_threads_open_it_once(log: Log, tmp_path: Path) -> None:
    threads = [threading.Thread(target=put, args=(log, str(number))) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(records(tmp_path / "audit")) == 8
    assert [each.name for each in (tmp_path / "audit/wal").iterdir()] == ["0"]


def test_a_closed_log_can_be_opened_again(log: Log, tmp_path: Path) -> None:
    put(log, "a")
    log.close()
    put(log, "b")
    assert names(tmp_path / "audit") == ["a", "b"]


def test_a_fault_of_ours_costs_what_was_under_way_and_not_the_log(
    log: Log, tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    put(log, "a")
    wal = log._wal
    assert wal is not None
    with monkeypatch.context() as patch:
        patch.setattr(wal, "_told", lambda: 1 / 0)  # What was written is on the disk, and nobody was told so.
        with pytest.raises(EvidenceError):
            put(log, "b")
    with pytest.raises(EvidenceError):
        put(log, "c")
    time.now += 1.0
    put(log, "d")
    log.probe()
    assert names(tmp_path / "audit") == ["a", "b", "d"]
    assert log._wal is not wal
    assert log._wal is not None
    assert log._wal.slot == 0
