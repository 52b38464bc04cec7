"""When a policy directory has changed, whole. A scan sees names, sizes, times, inodes and contents, through symlinks.

A change is taken when two scans agree, and kept only if a third, after reading, agrees too. A `MANIFEST` beside them
(lines of `sha256sum`) goes further: while it does not name exactly the files there, nothing is taken.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

MANIFEST: Final = "MANIFEST"
MAX_FILES: Final = 100_000

Content = tuple[tuple[str, str], ...]  # names and digests
Stat = tuple[int, int, int, int, int]  # device, inode, size, mtime, ctime


class Unreadable(Exception):
    """The directory cannot be scanned, or is not what its MANIFEST says."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Every file by its path below the directory: what `stat` says, and the digest of its content."""

    files: tuple[tuple[str, Stat, str], ...]

    @property
    def content(self) -> Content:
        """Names and contents: what a build depends on."""
        return tuple((name, digest) for name, _, digest in self.files)


def scan(directory: Path, before: Scan | None = None) -> Scan:
    """Look at everything below; contents are read again only where `stat` differs from `before`. Raises Unreadable."""
    known = {(name, stat): digest for name, stat, digest in before.files} if before else {}
    found: list[tuple[str, Stat, str]] = []
    try:
        for name, stat in sorted(_walk(str(directory), "", set())):
            digest = known.get((name, stat))
            if digest is None:
                digest = sha256((directory / name).read_bytes()).hexdigest()
            found.append((name, stat, digest))
    except OSError as error:
        raise Unreadable(f"{directory} cannot be read: {error.strerror}") from error
    return Scan(tuple(found))


def _walk(base: str, below: str, inside: set[tuple[int, int]]) -> list[tuple[str, Stat]]:
    here = os.stat(os.path.join(base, below))
    identity = (here.st_dev, here.st_ino)
    if identity in inside:
        return []  # A link back up.
    found: list[tuple[str, Stat]] = []
    with os.scandir(os.path.join(base, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir():
                found += _walk(base, name, inside | {identity})
            elif entry.is_file():
                seen = entry.stat()
                found.append((name, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)))
            if len(found) > MAX_FILES:
                raise Unreadable(f"more than {MAX_FILES} files")
    return found


def check_manifest(directory: Path, seen: Scan) -> None:
    """Raises Unreadable unless the MANIFEST, where there is one, names exactly the files there with these contents."""
    contents = dict(seen.content)
    if MANIFEST not in contents:
        return
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{MANIFEST} cannot be read") from error
    listed = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        listed[name.removeprefix("./")] = digest
    del contents[MANIFEST]
    if listed != contents:
        differing = sorted(name for name in listed.keys() | contents.keys() if listed.get(name) != contents.get(name))
        raise Unreadable(f"not what {MANIFEST} says: {', '.join(differing[:5])}")


class Watcher:
    """Says when a change is there to be taken. Time is the caller's: `look` is called once a scan interval."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: Scan | None = None
        self._tried: Content | None = None
        self.steady: Content | None = None  # what the last two scans agreed on

    def look(self) -> Scan | None:
        """A scan to build from: it agrees with the one before and holds what was not tried yet. Raises Unreadable."""
        before, self._last, self.steady = self._last, None, None
        self._last = now = scan(self._directory, before)
        if now != before:
            return None
        self.steady = now.content
        if now.content == self._tried:
            return None
        check_manifest(self._directory, now)
        return now

    def still(self, seen: Scan) -> bool:
        """Has nothing moved since `seen`? Asked after reading; if not, what was read is thrown away."""
        self._last = scan(self._directory, seen)
        return self._last == seen

    def tried(self, seen: Scan | None) -> None:
        """These contents were built, or do not check: not again, until they change (None: again)."""
        self._tried = seen.content if seen else None
