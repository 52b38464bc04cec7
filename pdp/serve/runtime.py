"""The private directory (0700) through which our processes speak: artefacts, the pointer to the current one, statuses.

Only files written whole and then renamed, so a reader never sees half of one. What is read from here is trusted: the
directory belongs to us alone, which `open_directory` makes sure of.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

PREFIX: Final = "chaperone-"
POINTER: Final = "current"
KEY: Final = "key"
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Runtime:
    directory: Path

    def write(self, name: str, value: Any) -> None:
        """Replace a status or the pointer, whole."""
        self.write_bytes(name, orjson.dumps(value))

    def write_bytes(self, name: str, data: bytes) -> None:
        temporary = self.directory / f".{name}.{os.getpid()}"
        temporary.write_bytes(data)
        os.replace(temporary, self.directory / name)

    def read(self, name: str) -> dict[str, Any]:
        """A status; empty when it was not written yet."""
        try:
            value = orjson.loads((self.directory / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def signature(self) -> tuple[int, int] | None:
        """Changes whenever the pointer does. One `stat`."""
        try:
            found = os.stat(self.directory / POINTER)
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns)


def open_directory() -> tuple[Runtime, int]:
    """A new private directory, and the lock that says it is in use. Directories of dead servers are removed."""
    base = Path(tempfile.gettempdir())
    for left in base.glob(PREFIX + "*"):
        _remove_if_dead(left)
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    lock = os.open(made / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # Found by others under this name only now: a server that begins at the same time would take it for a dead one's.
    return Runtime(made.rename(base / made.name[1:])), lock


def make_key(runtime: Runtime) -> None:
    """A new secret for as long as this start lives, for all of our workers and for nobody else."""
    descriptor = os.open(runtime.directory / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))


def key(runtime: Runtime) -> bytes:
    """The secret of this start; one of our own where there is none, or no whole one: then nobody else's fits ours."""
    try:
        found = (runtime.directory / KEY).read_bytes()
    except FileNotFoundError:
        found = b""
    return found if len(found) == KEY_BYTES else secrets.token_bytes(KEY_BYTES)


def _remove_if_dead(directory: Path) -> None:
    try:
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            return
        lock = os.open(directory / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # Just being made, or not ours.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        pass  # In use.
    finally:
        os.close(lock)
