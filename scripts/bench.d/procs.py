"""What /proc says of a server's processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def worker(parent: int, port: int) -> int:
    """The process below `parent` that holds a connection accepted on the port: there must be an open one."""
    found = [each for each in _below(parent) if _accepted(each, port)]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} workers with a connection on port {port}")
    return found[0]


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


def cpu_seconds(pid: int) -> float:
    """What the process has used so far, in user and system mode."""
    values = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def _accepted(pid: int, port: int) -> bool:
    tables = (Path(f"/proc/{pid}/net/{each}").read_text(encoding="utf-8") for each in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    return any(_target(each) in sockets for each in Path(f"/proc/{pid}/fd").iterdir())


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except OSError:
        return ""


def _below(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _below(child)
