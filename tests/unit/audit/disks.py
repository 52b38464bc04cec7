"""A disk of which any system call can be made to fail, once or from now on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdp.audit.journal.disk import Disk
from pdp.audit.journal.reader import START, Slot, slots
from pdp.audit.journal.wal import Wal

SEGMENT = 65_536
RESERVE = 32_768


class Faulty(Disk):
    """`fail` names the calls that fail, `when` says which of them; `done` counts what was asked for."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, Callable[[Any], bool], int, list[int]]] = []
        self.calls: list[str] = []
        self.files: dict[int, Path] = {}

    def fail(self, call: str, number: int = errno.EIO, times: int = 1, of: str = "") -> None:
        """The next `times` calls of this name fail, of those whose file has `of` in its name."""
        self.rules.append((call, lambda path: of in str(path), number, [times]))

    def mend(self) -> None:
        self.rules.clear()

    def _due(self, call: str, path: object) -> int:
        self.calls.append(call)
        for name, fits, number, left in self.rules:
            if name == call and left[0] > 0 and fits(path):
                left[0] -= 1
                return number
        return 0

    def _may(self, call: str, path: object) -> None:
        number = self._due(call, path)
        if number:
            raise OSError(number, os.strerror(number))

    def name(self, file: int) -> str:
        return os.readlink(f"/proc/self/fd/{file}")

    def open(self, path: Path, flags: int) -> int:
        self._may("open", path)
        return super().open(path, flags)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        if self._due("short", self.name(file)):
            return super().pwrite(file, data[: len(data) // 2], offset)
        self._may("pwrite", self.name(file))
        return super().pwrite(file, data, offset)

    def fdatasync(self, file: int) -> None:
        self._may("fdatasync", self.name(file))
        super().fdatasync(file)

    def fsync(self, file: int) -> None:
        self._may("fsync", self.name(file))
        super().fsync(file)

    def rename(self, old: Path, new: Path) -> None:
        self._may("rename", new)
        super().rename(old, new)

    def unlink(self, path: Path) -> None:
        self._may("unlink", path)
        super().unlink(path)


def opened(directory: Path, disk: Disk | None = None, origin: str = "host.example/pdp", **more: Any) -> Wal:
    return Wal(directory, origin, **{"segment_bytes": SEGMENT, "reserve_bytes": RESERVE} | more, disk=disk)


def record(number: int, size: int = 0) -> bytes:
    return b'{"i":%d,"x":"%s"}' % (number, b"x" * size)


def read(directory: Path, slot: int = 0) -> list[bytes]:
    """The payloads of a slot, in order."""
    return [frame.payload for _, frame in Slot(directory / "wal" / str(slot), slot).frames(START)]


def numbers(directory: Path) -> list[int]:
    """Which of our records are in the log, in the order in which they stand there."""
    import json

    found = []
    for each in slots(directory):
        payloads = (json.loads(frame.payload) for _, frame in each.frames())
        found += [payload["i"] for payload in payloads if "i" in payload]
    return found
