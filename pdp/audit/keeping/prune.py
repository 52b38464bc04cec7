"""Taking out what may go: first a record that says it, sealed; then the word for readers; then the files.

All that comes after the record follows from it alone. So what is interrupted is done again by the next `finish`,
and nothing ever goes that no sealed record says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import Files
from pdp.audit.keeping.retention import Plan
from pdp.audit.leaf import LOG, sealed_size
from pdp.audit.tell import tell
from pdp.audit.tree import checkpoint, pruned, tiles
from pdp.audit.tree.pruned import KIND, NOTHING, Pruned
from pdp.audit.tree.tiles import ENTRIES, HEIGHT, place

AT_ONCE: Final = 4_096

Progress = Callable[[int, int], None]


def prune(
    directory: Path,
    origin: str,
    plan: Plan,
    *,
    hashes: bool,
    wait: Callable[[], bool],
    files: Files | None = None,
    now: int | None = None,
    progress: Progress = lambda _, __: None,
) -> Pruned:
    """Take out what the plan says. `hashes` False: hash tiles too. `wait` lets the sealer work; False: no longer.

    Raises EvidenceError: nothing went, or what went is on a sealed record, and the next `finish` goes on with it.
    """
    what = plan.pruned(hashes)
    identifier = tell(directory, origin, KIND, {**what.said(), "records": plan.records}, now=now)
    while (found := _sealed(directory, plan.size, identifier)) is None:
        if not wait():
            raise EvidenceError("the record of the pruning was not sealed; nothing was taken out")
    if (found.min_index, found.kept, found.hashes) != (what.min_index, what.kept, what.hashes):
        raise EvidenceError("the record of the pruning is another one")
    finish(directory, found, files, progress)
    return found


def _sealed(directory: Path, first: int, identifier: str) -> Pruned | None:
    for index, record in tiles.records(directory / LOG, _signed_size(directory), first=first):
        found = pruned.of_record(index, record)
        if found is not None and found.record == identifier:
            return found
    return None


def _signed_size(directory: Path) -> int:
    """What no checkpoint covers yet takes nothing out: no verifier would believe it."""
    return min(sealed_size(directory), checkpoint.last(directory / LOG) or 0)


def last(directory: Path, progress: Progress = lambda _, __: None) -> Pruned:
    """What the newest sealed record of a pruning says; `NOTHING` where there is none. Raises EvidenceError."""
    found, size = NOTHING, _signed_size(directory)
    anything = Pruned(size >> HEIGHT << HEIGHT)  # What `log/pruned` says is not asked: it may be gone, or another one.
    for index, record in tiles.records(directory / LOG, size, lambda done: progress(done, size), known=anything):
        found = pruned.of_record(index, record) or found
    return found


def left(directory: Path, what: Pruned) -> bool:
    """Is there something that should have gone?"""
    return _told(directory / LOG) != what or next(_files(directory / LOG, what), None) is not None


def finish(directory: Path, what: Pruned, files: Files | None = None, progress: Progress = lambda _, __: None) -> None:
    """Take out what this sealed record says and what is still there. Raises EvidenceError."""
    files, log = files or Files(), directory / LOG
    try:
        if _told(log) != what:
            files.put(log / pruned.NAME, what.encoded())
        waiting: set[Path] = set()
        for path in _files(log, what, progress):
            files.unlink(path)
            waiting.add(path.parent)
            if len(waiting) > AT_ONCE:
                _sync(files, waiting)
        _sync(files, waiting)
    except OSError as error:
        raise EvidenceError(f"not all could be taken out: {error.strerror}; it goes on the next time") from error


def _told(log: Path) -> Pruned | None:
    try:
        return pruned.read(log)
    except EvidenceError:
        return None


def _sync(files: Files, directories: set[Path]) -> None:
    """What was taken out stays so; a directory that is empty by now goes too."""
    for each in sorted(directories):
        with suppress(OSError):  # Not empty.
            os.rmdir(each)
            continue
        files.sync_directory(each)
    directories.clear()


def _files(log: Path, what: Pruned, progress: Progress = lambda _, __: None) -> Iterator[Path]:
    """Every file that is there and should not be."""
    whole = what.min_index >> HEIGHT
    for number in range(whole):
        if what.gone(number) and (path := log / place(ENTRIES, number)).exists():
            yield path
        progress(number + 1, whole)
    if what.hashes:
        return
    for level in range(tiles.levels(what.min_index)):
        needed = {number >> HEIGHT * level for first, last in what.kept for number in range(first, last + 1)}
        for number in range(what.min_index >> HEIGHT * (level + 1)):
            if number not in needed and (path := log / place(level, number)).exists():
                yield path
