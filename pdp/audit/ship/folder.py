"""A directory of JSON lines, for a collector's agent on this machine: `records.jsonl`, moved aside when it is full.

A line that a crash has cut is cut off before the next is written. After a crash some lines may be there twice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pdp.audit.ship.destination import Folder
from pdp.audit.ship.target import Contradicted, Item, ShipError

NAME: Final = "records.jsonl"
CHUNK: Final = 65_536


class Lines:
    """One directory."""

    def __init__(self, where: Folder) -> None:
        self._directory = where.directory
        self._most = where.rotate_megabytes * 1_048_576

    def put(self, batch: Sequence[Item]) -> None:
        if any(b"\n" in each.body for each in batch):
            raise Contradicted("a record is more than one line: no writer of ours made it")
        try:
            self._put(b"".join(each.body + b"\n" for each in batch))
        except OSError as error:
            raise ShipError(f"the directory cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _put(self, data: bytes) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / NAME
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            end = whole_lines(file)
            os.ftruncate(file, end)
            if end and end + len(data) > self._most:
                os.rename(path, self._aside())
                os.close(file)
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
                end = 0
            while data:
                written = os.pwrite(file, data, end)
                data, end = data[written:], end + written
            os.fsync(file)
        finally:
            os.close(file)
        self._synced()

    def _aside(self) -> Path:
        """A name that is not taken, in order."""
        numbers = [each.name.split(".")[1] for each in self._directory.glob("records.*.jsonl")]
        last = max((int(each) for each in numbers if each.isascii() and each.isdigit()), default=0)
        return self._directory / f"records.{last + 1:08d}.jsonl"

    def _synced(self) -> None:
        file = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def whole_lines(file: int) -> int:
    """Where the last whole line of a file ends."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - CHUNK)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
