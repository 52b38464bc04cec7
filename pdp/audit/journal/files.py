"""Files that are there whole or not at all, also when the power goes: written aside, synced, renamed, and synced."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pdp.audit.journal.disk import Disk

TEMPORARY: Final = ".tmp"


class Files(Disk):
    """The system calls of what is sealed. Tests make each of them fail in turn. Everything raises OSError."""

    def mkdir(self, path: Path) -> None:
        path.mkdir(mode=0o700)

    def put(self, path: Path, data: bytes) -> None:
        """Durable when this returns. Before that, the old content or the new one is there, never a part."""
        self.put_all({path: data})

    def put_all(self, contents: Mapping[Path, bytes]) -> None:
        """Several at once: each directory is synced once. The order in which they appear is open."""
        directories = dict.fromkeys(path.parent for path in contents)
        for each in directories:
            self.need(each)
        for path, data in contents.items():
            self._aside(path, data)
        for path in contents:
            self.rename(_aside(path), path)
        for each in directories:
            self.sync_directory(each)

    def _aside(self, path: Path, data: bytes) -> None:
        file = self.open(_aside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            written = 0
            while written < len(data):
                written += self.pwrite(file, data[written:], written)
            self.fsync(file)
        finally:
            self.close(file)

    def need(self, directory: Path) -> None:
        """Make a directory and those above it, durably."""
        if directory.is_dir():
            return
        self.need(directory.parent)
        self.mkdir(directory)
        self.sync_directory(directory.parent)

    def drop(self, path: Path) -> None:
        """Delete a file, durably, if it is there."""
        if os.path.lexists(path):
            self.unlink(path)
            self.sync_directory(path.parent)

    def drop_directory(self, path: Path) -> None:
        """Delete a directory of files, if it is there. What is left of it after a crash is deleted the next time."""
        if path.is_dir():
            for name in os.listdir(path):
                self.unlink(path / name)
            path.rmdir()


def whole(path: Path, most: int) -> bytes:
    """A regular file of at most so many bytes. Raises OSError: a pipe, a device or what has no end is not read."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        if found.st_size > most:
            raise OSError(errno.EFBIG, "it is longer than it may be")
        parts = []
        while most > 0 and (data := os.read(file, min(most, 1 << 20))):
            parts.append(data)
            most -= len(data)
        return b"".join(parts)
    finally:
        os.close(file)


def _aside(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY)
