"""Reading a file whose name is in the settings: a regular one, not too long, and without ever waiting for it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def regular(path: Path, max_bytes: int) -> bytes:
    """The content, or its first `max_bytes` + 1 bytes. Raises OSError, also for a pipe or a device: one would keep us
    waiting for a writer, the other never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(max_bytes + 1)
