"""One segment file, for whoever writes it: zero-filled beforehand, begun with a header, then only appended to.

A write or a sync that fails leaves open what is on the disk, and a second sync of the same file may lie (the kernel
forgets what it could not write). So a segment that failed once is never written to again.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdp.audit.journal.disk import Disk
from pdp.audit.journal.frames import HEADER_BYTES, Header, header_bytes

PAGE: Final = 4_096
SPARE: Final = "spare.wal"
RESERVE: Final = "reserve.wal"
_NAME: Final = re.compile(r"seg-([0-9]{8,})\.wal")


def name_of(number: int) -> str:
    return f"seg-{number:08d}.wal"


def numbers(slot: Path) -> list[int]:
    """The segments of a slot, oldest first. Raises OSError."""
    return sorted(int(found[1]) for name in os.listdir(slot) if (found := _NAME.fullmatch(name)))


class Segment:
    """Open for writing. Not for several threads."""

    def __init__(self, disk: Disk, prepared: Path, number: int, header: Header, size: int, held_back: int = 0) -> None:
        """Turn a zero-filled file into segment `number`: header, sync, name, sync. Raises OSError, then it is of no
        use. Of its room, `held_back` bytes are for control records only.
        """
        self.number = number
        self.header = header
        self.seed = header.seed
        self.path = prepared.with_name(name_of(number))
        self.offset = HEADER_BYTES
        self._disk = disk
        self._size = size
        self._held_back = held_back
        self._file = disk.open(prepared, os.O_RDWR)
        try:
            self._put(header_bytes(header), 0)
            disk.fdatasync(self._file)
            disk.rename(prepared, self.path)
            disk.sync_directory(prepared.parent)
        except OSError:
            self.close()
            raise

    @property
    def room(self) -> int:
        """How many bytes fit."""
        return self._size - self.offset - self._held_back

    @property
    def room_for_control(self) -> int:
        return self._size - self.offset

    def write(self, data: bytes, sync: bool) -> None:
        """One write, one sync. Raises OSError, then nothing more may be written here."""
        self._put(data, self.offset)
        if sync:
            self._disk.fdatasync(self._file)
        if not self._disk.linked(self._file):
            raise FileNotFoundError(2, "the segment was deleted")
        self.offset += len(data)

    @property
    def named(self) -> bool:
        """Is it still where readers look for it?"""
        return self._disk.same(self._file, self.path)

    def trim(self) -> None:
        """Nothing more is coming: give back the room that is left. The next writer begins another segment."""
        with suppress(OSError):
            self._disk.truncate(self._file, -(-self.offset // PAGE) * PAGE)

    def close(self) -> None:
        if self._file >= 0:
            with suppress(OSError):  # Whatever counted was synced before.
                self._disk.close(self._file)
            self._file = -1

    def _put(self, data: bytes, offset: int) -> None:
        if self._disk.pwrite(self._file, data, offset) != len(data):
            raise OSError(5, "short write")


def usable(path: Path, size: int) -> bool:
    """Was this file prepared by somebody before us, whole, and not begun?"""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == size and not any(file.read(HEADER_BYTES))
    except OSError:
        return False
