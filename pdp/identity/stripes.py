"""Locks for a table that threads and processes share: one lock for each stripe of it, and never a long wait for one.

Among threads a lock, among processes a record lock of the file (one byte for each stripe), which the kernel releases
whatever ends its holder. A process that was stopped while it holds one stops nobody else: they are told `Busy`.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

TRIES: Final = 400
PAUSE_SECONDS: Final = 0.000_1


class Busy(Exception):
    """A lock was held for longer than anybody of ours holds one."""


class Stripes:
    """Safe for threads, and with a file for processes."""

    def __init__(self, count: int, file: int | None = None) -> None:
        """`file`: an open file descriptor that outlives this; None: the table is this process's alone."""
        self._file = file
        self._locks = [Lock() for _ in range(count)]

    @contextmanager
    def held(self, stripes: Iterable[int]) -> Iterator[None]:
        """All of these at once. Raises Busy, then none is held."""
        held: list[int] = []
        try:
            for stripe in sorted(set(stripes)):  # Always in this order, so that nobody waits in a circle.
                self._acquire(stripe)
                held.append(stripe)
            yield
        finally:
            for stripe in held:
                if self._file is not None:
                    fcntl.lockf(self._file, fcntl.LOCK_UN, 1, stripe)
                self._locks[stripe].release()

    def _acquire(self, stripe: int) -> None:
        if not self._locks[stripe].acquire(timeout=TRIES * PAUSE_SECONDS):
            raise Busy
        if self._file is None:
            return
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, stripe)
                return
            except BlockingIOError:
                time.sleep(PAUSE_SECONDS)
            except OSError:
                break
        self._locks[stripe].release()
        raise Busy
