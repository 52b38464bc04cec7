"""The system calls of the write-ahead log, in one place, so that tests can make each of them fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
FILL: Final = bytes(1_048_576)


class Disk:
    """The real one. Everything raises OSError."""

    def open(self, path: Path, flags: int) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def close(self, file: int) -> None:
        os.close(file)

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        return os.pwrite(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def fdatasync(self, file: int) -> None:
        os.fdatasync(file)

    def fsync(self, file: int) -> None:
        os.fsync(file)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        os.link(old, new, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def linked(self, file: int) -> bool:
        """Does the file still have a name? What is written to one without is lost."""
        return os.fstat(file).st_nlink > 0

    def same(self, file: int, path: Path) -> bool:
        """Is it this file that the path names?"""
        try:
            there = os.stat(path, follow_symlinks=False)
        except OSError:
            return False  # Nothing is there, or not in a directory, or not for us.
        opened = os.fstat(file)
        return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)

    def sync_directory(self, path: Path) -> None:
        """A new name is durable only after this."""
        file = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(file)
        finally:
            self.close(file)

    def zeroed(self, path: Path, size: int) -> None:
        """A file of so many zeros, really written, so that later writes change no metadata. All of it, or none."""
        temporary = path.with_suffix(".tmp")
        if os.path.lexists(temporary):
            self.unlink(temporary)
        file = self.open(temporary, NEW)
        try:
            for offset in range(0, size, len(FILL)):
                part = FILL[: size - offset]
                if self.pwrite(file, part, offset) != len(part):
                    raise OSError(28, "short write")  # ENOSPC
            self.fsync(file)
        except OSError:
            self.unlink(temporary)
            raise
        finally:
            self.close(file)
        self.rename(temporary, path)
        self.sync_directory(path.parent)
