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
FIRST_SETTLE_SECONDS: Final = 2.0

Content = tuple[tuple[str, str], ...]  # names and digests
Stat = tuple[int, int, int, int, int]  # device, inode, size, mtime, ctime


class Unreadable(Exception):
    """The directory cannot be scanned, or is not what its MANIFEST says."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Every file by its path below the directory: what `stat` says, and the digest of its content."""

    files: tuple[tuple[str, Stat, str], ...]
    directories: tuple[Stat, ...] = ()

    @property
    def content(self) -> Content:
        """Names and contents: what a build depends on."""
        return tuple((name, digest) for name, _, digest in self.files)

    @property
    def youngest(self) -> float:
        """When something was last changed in place: a file, or the list of a directory. Seconds since the epoch."""
        stats = [stat for _, stat, _ in self.files] + list(self.directories)
        return max((stat[4] for stat in stats), default=0) / 1_000_000_000


def scan(directory: Path, before: Scan | None = None) -> Scan:
    """Look at everything below; contents are read again only where `stat` differs from `before`. Raises Unreadable."""
    known = {(name, stat): digest for name, stat, digest in before.files} if before else {}
    found: list[tuple[str, Stat, str]] = []
    directories: list[Stat] = []
    try:
        for name, stat in sorted(_walk(str(directory), "", set(), directories)):
            digest = known.get((name, stat))
            if digest is None:
                digest = sha256((directory / name).read_bytes()).hexdigest()
            found.append((name, stat, digest))
    except OSError as error:
        raise Unreadable(f"{directory} cannot be read: {error.strerror}") from error
    return Scan(tuple(found), tuple(directories))


def _walk(base: str, below: str, inside: set[Stat], directories: list[Stat]) -> list[tuple[str, Stat]]:
    identity = _stat(os.stat(os.path.join(base, below)))
    if identity[:2] in {each[:2] for each in inside}:
        return []  # A link back up.
    directories.append(identity)
    found: list[tuple[str, Stat]] = []
    with os.scandir(os.path.join(base, below)) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.is_dir():
                found += _walk(base, name, inside | {identity}, directories)
            elif entry.is_file():
                found.append((name, _stat(entry.stat())))
            if len(found) > MAX_FILES:
                raise Unreadable(f"more than {MAX_FILES} files")
    return found


def _stat(found: os.stat_result) -> Stat:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
    """Says when a change is there to be taken. Time is the caller's: `look` is called once a scan interval.

    A copy that pauses for longer than two scans looks whole. So what was written in place has to rest for a while too
    (`settle_seconds`); a directory that is swapped for another one, with files older than that, is taken at once.
    """

    def __init__(self, directory: Path, settle_seconds: float = 0.0) -> None:
        self._directory = directory
        self._settle_seconds = settle_seconds
        self._last: Scan | None = None
        self._tried: Content | None = None
        self._held: tuple[Content, float] | None = None
        self.steady: Content | None = None  # what the last two scans agreed on

    def look(self, now: float, force: bool = False, first: bool = False) -> Scan | None:
        """A scan to build from: it agrees with the one before and holds what was not tried yet. Raises Unreadable.

        `force`: look twice at once, and take what is there without letting it rest. `first`: nothing is active yet, so
        that all is denied meanwhile; what is there has to rest all the same, but not for long.
        """
        before, self._last, self.steady = self._last, None, None
        if force:
            before, self._tried, self._held = scan(self._directory, before), None, None
        self._last = seen = scan(self._directory, before)
        if seen != before:
            return None
        self.steady = seen.content
        if seen.content == self._tried or not (force or self._rested(seen, now, first)):
            return None
        check_manifest(self._directory, seen)
        return seen

    def _rested(self, seen: Scan, now: float, first: bool) -> bool:
        if self._held is not None and self._held[0] == seen.content and now < self._held[1]:
            return False
        needed = min(self._settle_seconds, FIRST_SETTLE_SECONDS) if first else self._settle_seconds
        return not 0 <= now - seen.youngest < needed

    @property
    def waiting(self) -> bool:
        """Did the last look see what was not tried yet?"""
        return self._last is not None and self._last.content != self._tried

    def still(self, seen: Scan) -> bool:
        """Has nothing moved since `seen`? Asked after reading; if not, what was read is thrown away."""
        self._last = scan(self._directory, seen)
        return self._last == seen

    def tried(self, seen: Scan) -> None:
        """These contents were built, or do not check: not again, until they change."""
        self._tried = seen.content

    def hold(self, seen: Scan, until: float) -> None:
        """Not these contents before then."""
        self._held = (seen.content, until)
