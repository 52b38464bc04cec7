"""One system call fails, or is the last one: at each step of a writer and of the sealer, in turn, and in every way.

Afterwards, on a disk that works, the log must verify as whole, with everything that was acknowledged in it, once.
`PDP_TEST_FAULT_STRIDE=1` takes every call; by default it is every few of them, others for each way to fail.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from pdp.audit.checking.verify import verify
from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.journal.wal import Wal
from pdp.audit.tree.keys import published
from pdp.audit.tree.sealer import Sealer
from pdp.audit.tree.tiles import records
from tests.unit.audit.hosts import NOW, ORIGIN, SECOND, salt

STRIDE = int(os.environ.get("PDP_TEST_FAULT_STRIDE", "9"))
PATIENCE = 20.0
SHORT, KILL, KILL_WITHIN = "short", "kill", "kill-within"
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR}


class Numbered(Files):
    """Every call has a number, whoever makes it; the one with the number `at` goes wrong."""

    def __init__(self, at: int = 0, how: str = "") -> None:
        self.at, self.how, self.calls = at, how, 0
        self._counting = Lock()

    def _call(self, call: Callable[[], Any], within: Callable[[], Any] = lambda: None) -> Any:
        with self._counting:
            self.calls += 1
            now = self.calls == self.at
        if not now:
            return call()
        if self.how == SHORT:
            return call()  # Only a write can be.
        if self.how == KILL_WITHIN:
            within()
        if self.how in (KILL, KILL_WITHIN):
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(ERRORS[self.how], self.how)

    def open(self, path: Path, flags: int) -> int:
        found: int = self._call(lambda: super(Numbered, self).open(path, flags))
        return found

    def close(self, file: int) -> None:
        try:
            self._call(lambda: None)
        finally:
            super().close(file)  # Linux closes it, whatever it says.

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        def half() -> None:
            os.pwrite(file, data[: len(data) // 2], offset)

        if self.how == SHORT:
            with self._counting:
                self.calls += 1
                now = self.calls == self.at
            return os.pwrite(file, data[: len(data) // 2] if now else data, offset)
        found: int = self._call(lambda: os.pwrite(file, data, offset), half)
        return found

    def truncate(self, file: int, size: int) -> None:
        self._call(lambda: super(Numbered, self).truncate(file, size))

    def fdatasync(self, file: int) -> None:
        self._call(lambda: None)  # What the kernel has outlives the process, which is what ends here.

    def fsync(self, file: int) -> None:
        self._call(lambda: None)

    def rename(self, old: Path, new: Path) -> None:
        self._call(lambda: super(Numbered, self).rename(old, new))

    def unlink(self, path: Path) -> None:
        self._call(lambda: super(Numbered, self).unlink(path))

    def mkdir(self, path: Path) -> None:
        self._call(lambda: super(Numbered, self).mkdir(path))


def writer(directory: Path, disk: Files) -> Wal:
    return Wal(
        directory,
        ORIGIN,
        segment_bytes=24_576,
        reserve_bytes=24_576,
        disk=disk,
        clock=lambda: NOW,
        retry_seconds=0.002,
        heartbeat_seconds=3_600.0,
    )


def put(wal: Wal, number: int, told: Callable[[int], None]) -> None:
    payload = b'{"i":%d,"ts":"2027-01-15T08:00:00.000000Z","kind":"decision","dec":{"effect":"allow"},"x":"%s"}'
    with contextlib.suppress(EvidenceError):
        wal.append([payload % (number, b"x" * (number * 131 % 1_500))]).wait(PATIENCE)
        told(number)


def story(directory: Path, disk: Files, told: Callable[[int], None]) -> None:
    """Three writers one after the other, several segments each, and a sealer that follows. Goes on after errors."""
    number = 0
    ours: Sealer | None = None
    for turn in range(3):
        wal = None
        with contextlib.suppress(EvidenceError):
            wal = writer(directory, disk)
        for step in range(12):
            number += 1
            if wal is not None:
                put(wal, number, told)
            if step % 5 == 4:
                with contextlib.suppress(EvidenceError):
                    ours = ours or Sealer(directory, ORIGIN, files=disk, salt=salt)
                    ours.step(NOW + turn * SECOND)
        if wal is not None:
            with contextlib.suppress(OSError):
                wal.close()
    if ours is not None:
        ours.close()


def whole(directory: Path, acknowledged: set[int]) -> None:
    """With a disk that works: another writer, another sealer, and the verifier."""
    disk = Files()
    disk.fsync = disk.fdatasync = lambda _: None  # type: ignore[method-assign]
    wal = writer(directory, disk)
    put(wal, 1_000, acknowledged.add)
    wal.close()
    ours = Sealer(directory, ORIGIN, files=disk, salt=salt)
    while ours.step(NOW + 9 * SECOND).more:
        pass
    ours.close()
    report = verify(directory, published(directory / "keys"))
    assert [str(each) for each in report.findings] == []
    assert report.waiting == 0
    members = (json.loads(record) for _, record in records(directory / "log", report.size))
    found = [each["i"] for each in members if "i" in each]
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    assert 1_000 in acknowledged


def calls_of(directory: Path) -> int:
    disk, acknowledged = Numbered(), set[int]()
    story(directory, disk, acknowledged.add)
    assert len(acknowledged) == 36
    whole(directory, acknowledged)
    return disk.calls


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    return calls_of(tmp_path_factory.mktemp("faults") / "audit")


@pytest.mark.parametrize("how", [*ERRORS, SHORT])
def test_a_call_that_fails_loses_nothing_that_was_acknowledged(tmp_path: Path, calls: int, how: str) -> None:
    assert calls > 150
    for at in range(1 + [*ERRORS, SHORT].index(how), calls + 10, STRIDE):
        disk, acknowledged = Numbered(at, how), set[int]()
        directory = tmp_path / str(at)
        story(directory, disk, acknowledged.add)
        assert len(acknowledged) >= 12, f"one failure, at call {at}, stops more than one writer"
        try:
            whole(directory, acknowledged)
        except (AssertionError, EvidenceError) as error:
            raise AssertionError(f"{how} at call {at}") from error


@pytest.mark.parametrize("how", [KILL, KILL_WITHIN])
def test_a_process_that_is_killed_at_a_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, calls: int, how: str
) -> None:
    for at in range(1 + [KILL, KILL_WITHIN].index(how), calls + 10, STRIDE):
        directory = tmp_path / str(at)
        acknowledged = killed(directory, at, how)
        try:
            whole(directory, acknowledged)
        except (AssertionError, EvidenceError) as error:
            raise AssertionError(f"{how} at call {at}") from error


def killed(directory: Path, at: int, how: str) -> set[int]:
    """In a process of its own, which ends there. What it had acknowledged until then."""
    ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            story(directory, Numbered(at, how), lambda number: (os.write(ends[1], b"%d\n" % number), None)[1])
        finally:
            os._exit(0)
    os.close(ends[1])
    with os.fdopen(ends[0], "rb") as told:
        lines = told.read().split()
    os.waitpid(pid, 0)
    return {int(line) for line in lines}
