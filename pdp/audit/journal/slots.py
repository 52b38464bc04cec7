"""The places that writers take: `wal/<slot>/`, owned by whoever holds the lock on its `lock` file.

The kernel gives the lock back when a process ends, however it ends; the next one takes the lowest slot that is free.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.disk import Disk

WAL: Final = "wal"
MAX_SLOTS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Owned:
    """A slot that is ours until `lock`, a file descriptor, is closed."""

    number: int
    path: Path
    lock: int


def take(directory: Path, disk: Disk, first: int = 0) -> Owned:
    """The lowest free slot from `first` on, made where there is none. Raises OSError and EvidenceError."""
    for number in range(first, MAX_SLOTS):
        path = directory / WAL / str(number)
        if not path.is_dir():
            _make(path, disk)
        file = disk.open(path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            disk.close(file)
            continue
        return Owned(number, path, file)
    raise EvidenceError("all the slots of the log are taken")


def owned(path: Path) -> bool:
    """Does somebody write to this slot?"""
    try:
        file = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _make(path: Path, disk: Disk) -> None:
    for each in (path.parent.parent, path.parent, path):
        if not each.is_dir():
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            disk.sync_directory(each.parent)
