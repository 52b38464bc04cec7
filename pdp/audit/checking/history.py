"""Every checkpoint that was published, and which keys had the right to sign it.

The last record of an epoch names the key of the next. It is believed when a checkpoint that covers it is signed by a
key that is known already: so a chain of keys follows from any one of them.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pdp.audit.checking.findings import Finding, Kind
from pdp.audit.checking.recompute import MAX_KEPT
from pdp.audit.tree import checkpoint, note
from pdp.audit.tree.checkpoint import Checkpoint
from pdp.audit.tree.note import NoteError, UnknownSigner, VerifierKey

ROTATED: Final = b'"kind":"key.rotate"'


@dataclass(frozen=True, slots=True)
class Rotation:
    """A record that ended an epoch. Checkpoints up to `size`, with it, are the old key's; later ones the new one's."""

    size: int
    before: VerifierKey
    after: VerifierKey


def rotation(index: int, record: bytes) -> Rotation | None:
    """What such a record says, if it is one."""
    try:
        said = json.loads(record)
        if said["kind"] != "key.rotate":
            return None
        return Rotation(index + 1, note.vkey(said["before"]), note.vkey(said["vkey"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, NoteError):
        return None


@dataclass(slots=True)
class Roots:
    """How the roots of kept checkpoints compare with those of the log."""

    log: Path
    contradicted: array[int] = field(default_factory=lambda: array("q"))
    by_records: int = -1  # the largest size at which the records gave the root that is kept
    by_tiles: int = -1
    agreed: int = -1  # the largest size below which all of them did

    def at(self, size: int, by_records: bytes | None, by_tiles: bytes | None) -> None:
        found = unverified(self.log, size)
        if found is None:
            return
        if found.root == by_records:
            self.by_records = size
        if found.root == by_tiles:
            self.by_tiles = size
        if found.root not in (by_records, by_tiles):
            self.contradicted.append(size)
        elif not self.contradicted:
            self.agreed = size

    def contradicts(self, size: int) -> bool:
        place = bisect_left(self.contradicted, size)
        return place < len(self.contradicted) and self.contradicted[place] == size


def unverified(log: Path, size: int) -> Checkpoint | None:
    """What the kept checkpoint of this size says, whoever wrote it."""
    try:
        return checkpoint.parse(note.parse(checkpoint.content(log, size)).text)
    except (OSError, NoteError):
        return None


def signed_by(log: Path, size: int, key: VerifierKey) -> bool:
    try:
        found = checkpoint.read(checkpoint.content(log, size), [key])
    except (OSError, NoteError):
        return False
    return found.checkpoint.size == size and found.checkpoint.origin == key.name


class Trust:
    """The keys of the epochs, as far as they follow from those that were given."""

    def __init__(self, given: Iterable[VerifierKey], rotations: Iterable[Rotation], roots: Roots, last: int) -> None:
        self.known = list(dict.fromkeys(given))
        self._believed: list[Rotation] = []
        waiting, sizes = list(rotations), [last]
        sizes += [each.size for each in waiting]
        grown = True
        while grown:
            grown = False
            for each in list(waiting):
                if self._shown(each, roots, sizes):
                    waiting.remove(each)
                    self._believed.append(each)
                    self.known += [key for key in (each.before, each.after) if key not in self.known]
                    grown = True
        self._believed.sort(key=lambda each: each.size)
        self._sizes = [each.size for each in self._believed]

    def _shown(self, each: Rotation, roots: Roots, sizes: list[int]) -> bool:
        def shows(key: VerifierKey, size: int) -> bool:
            return not roots.contradicts(size) and signed_by(roots.log, size, key)

        if each.before in self.known and shows(each.before, each.size):
            return True
        return each.after in self.known and any(shows(each.after, size) for size in sizes if size > each.size)

    def allowed(self, size: int) -> list[VerifierKey]:
        """Who may have signed a checkpoint of this size."""
        if not self._believed:
            return self.known
        epoch = bisect_left(self._sizes, size)
        return [self._believed[epoch - 1].after if epoch else self._believed[0].before]

    def judged(self, data: bytes, origin: str, where: str) -> Finding | Checkpoint:
        """A checkpoint whose signature holds and whose signer had the right to it, or what is wrong with it."""
        try:
            found = checkpoint.read(data, self.known)
        except UnknownSigner:
            return Finding(Kind.FOREIGN_KEY, where)
        except NoteError as error:
            return Finding(Kind.BAD_SIGNATURE, f"{where}: {error}")
        if origin and found.checkpoint.origin != origin:
            return Finding(Kind.FOREIGN_KEY, f"{where} is one of {found.checkpoint.origin}")
        if not set(found.signers) & set(self.allowed(found.checkpoint.size)):
            return Finding(Kind.WRONG_EPOCH, where)
        return found.checkpoint


@dataclass(slots=True)
class Judged:
    count: int = 0
    top: int = -1  # the largest that is signed as it should be
    confirmed: int = -1  # the largest of them that the log agrees with
    findings: list[Finding] = field(default_factory=list)
    forked: list[int] = field(default_factory=list)  # signed, and contradicted


def judge(
    log: Path,
    sizes: Iterator[int],
    trust: Trust,
    roots: Roots,
    origin: str,
    see: Callable[[int, bytes], None] = lambda _, __: None,
    compared: Callable[[int], bool] = lambda _: True,
) -> Judged:
    """All that are kept, one by one. `see` is told of each that is signed as it should be, and that the log agrees
    with. `compared`: could it be? What was pruned may have left nothing to compare it with.
    """
    judged = Judged()
    for size in sizes:
        judged.count += 1
        where, data = f"log/{checkpoint.place(size)}", b""
        try:
            data = checkpoint.content(log, size)
            found = trust.judged(data, origin, where)
        except OSError as error:
            found = Finding(Kind.ARCHIVE, f"{where} cannot be read: {error.strerror}")
        if isinstance(found, Checkpoint) and found.size != size:
            found = Finding(Kind.BAD_SIGNATURE, f"{where} is the one of size {found.size}")
        if isinstance(found, Finding):
            if len(judged.findings) < MAX_KEPT:
                judged.findings.append(found)
            continue
        judged.top = size
        if not roots.contradicts(size):
            if compared(size):
                judged.confirmed = size
                see(size, data)
        elif len(judged.forked) < MAX_KEPT:
            judged.forked.append(size)
    return judged
