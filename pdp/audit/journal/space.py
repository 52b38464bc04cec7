"""The room that the log has: how much is free where it is, and whether its file system keeps what it has promised.

Segments are filled with zeros beforehand, so that a full disk takes no permit's record away. Where a file system writes
every block to a new place, or has no disk of its own, that is no promise.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

_COPIES: Final = "writes every change to a new place: segments that were filled beforehand do not guarantee space"
_NETWORK: Final = (
    "is on a network: a sync is as good as the other side's, and locks and space may not be what they seem"
)
_MEMORY: Final = "is in memory: records do not outlive the machine"
UNSOUND: Final = {
    "btrfs": _COPIES,
    "zfs": _COPIES,
    "bcachefs": _COPIES,
    "overlay": "is a layer of a container, which goes with it: mount a volume",
    "aufs": "is a layer of a container, which goes with it: mount a volume",
    "tmpfs": _MEMORY,
    "ramfs": _MEMORY,
    **dict.fromkeys(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs"), _NETWORK),
}


@dataclass(frozen=True, slots=True)
class Space:
    free: int  # bytes, for us
    total: int

    @property
    def percent(self) -> float:
        return 100 * self.free / self.total if self.total else 0.0


def space(directory: Path, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> Space | None:
    """None where it cannot be said; whoever writes there finds out why."""
    try:
        found = statvfs(directory)
    except OSError:
        return None
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def unsound(directory: Path, mounts: str | None = None) -> str:
    """What is weak about the file system of a directory, which need not be there yet; "" where nothing is known of it.

    `mounts`: as the kernel lists them (proc(5), `mountinfo`).
    """
    kind = kind_of(directory, mounts)
    if kind.startswith("fuse."):
        return f"{kind} {_NETWORK}"
    return f"{kind} {UNSOUND[kind]}" if kind in UNSOUND else ""


def kind_of(directory: Path, mounts: str | None = None) -> str:
    """The type of its file system: that of the last mount whose place is the longest beginning of its path; else ""."""
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    path, best, found = Path(os.path.realpath(directory)), -1, ""
    for line in mounts.splitlines():
        place, dash, rest = line.partition(" - ")
        fields = place.split(" ")
        if not dash or len(fields) < 5:
            continue
        mount = Path(_plain(fields[4]))
        if path.is_relative_to(mount) and len(mount.parts) >= best:
            best, found = len(mount.parts), rest.split(" ")[0]
    return found


def _plain(text: str) -> str:
    """Spaces and the like are written in octal."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text
