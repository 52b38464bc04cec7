"""What the log holds of a period, for an evidence pack: where its records are, what was in force, and its reviews."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pdp.audit.asking.asked import Asked
from pdp.audit.asking.deeds import is_deed, text
from pdp.audit.asking.period import ALWAYS, Period
from pdp.audit.asking.query import PRUNED
from pdp.audit.asking.within import Coverage, Progress, Reading
from pdp.audit.checking.history import ROTATED, unverified
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import PLAIN, Leaf, sealed_size
from pdp.audit.tree import checkpoint, state
from pdp.audit.tree.tiles import ENTRIES, WIDTH, part, unpacked, width_at

REVIEWS: Final = frozenset({"review.sample", "review.signoff"})


@dataclass(slots=True)
class Contents:
    """What is found in the log for a period."""

    first: int = -1  # index of the first record of the period
    last: int = -1
    records: int = 0
    waiting: int = 0  # of the period, and not sealed: not in the pack
    begins: int = 0  # the first time of the log at all
    ends: int = 0
    after: int = -1  # index of the first record that is later than the period
    policies: dict[str, list[int]] = field(default_factory=dict)  # digest: [decisions, first, last]
    before: str = ""  # the digest that was activated last before the period
    reviews: list[Leaf] = field(default_factory=list)
    suspensions: list[Leaf] = field(default_factory=list)
    rotations: list[tuple[int, bytes]] = field(default_factory=list)


def contents(directory: Path, period: Period, progress: Progress = lambda _, __: None) -> Contents:
    """Reads the whole log. Raises EvidenceError."""
    found = Contents()
    activated = 0
    coverage = Coverage(Period(*ALWAYS))
    for leaf in Reading(directory, PLAIN, progress, thorough=True).asked(Asked(kinds=frozenset()), coverage):
        time = leaf.time
        if leaf.index is not None and ROTATED in leaf.payload and leaf.kind == "key.rotate":
            found.rotations.append((leaf.index, leaf.payload))
        if leaf.kind in REVIEWS:
            found.reviews.append(leaf)
        if leaf.kind == "disclosure.suspend":
            found.suspensions.append(leaf)
        if not time:
            continue
        found.begins, found.ends = min(found.begins or time, time), max(found.ends, time)
        if leaf.kind == "policy.activate" and activated <= time < period.first:
            activated, found.before = time, _digest(leaf)
        if time in period:
            _inside(found, leaf, time)
        elif time >= period.after and found.after < 0 and leaf.index is not None:
            found.after = leaf.index
    lost = {why: number for why, number in coverage.unjudged.items() if why not in (PRUNED, "lost-first")}
    if lost:
        raise EvidenceError(f"the log cannot be read whole: {lost}")
    if found.before:
        found.policies.setdefault(found.before, [0, 0, 0])
    return found


def _inside(found: Contents, leaf: Leaf, time: int) -> None:
    if leaf.index is None:
        found.waiting += 1
        return
    found.first = leaf.index if found.first < 0 else found.first
    found.last = max(found.last, leaf.index)
    found.records += 1
    digest = _digest(leaf)
    if digest:
        known = found.policies.setdefault(digest, [0, time, time])
        known[:] = known[0] + is_deed(leaf), min(known[1] or time, time), max(known[2], time)


def _digest(leaf: Leaf) -> str:
    said = leaf.members
    return text(said, "dec", "bundle", "sha256") if is_deed(leaf) else _activated(leaf)


def _activated(leaf: Leaf) -> str:
    if leaf.kind != "policy.activate":
        return ""
    return text(leaf.members, "digest") or text(leaf.members, "bundle", "sha256")


def sizes(log: Path, found: Contents) -> tuple[int, int]:
    """The checkpoints around the period: the last one before its first record, the first one after its last. Where
    there is one, with a record from before and one from after, which show that nothing between is missing.

    Where it has no record: around the place where one would stand. Raises EvidenceError.
    """
    last = checkpoint.last(log)
    if last is None:
        raise EvidenceError("nothing is sealed yet: there is no checkpoint to prove anything by")
    first, end = found.first, found.last + 1
    if first < 0:
        place = found.after if found.after >= 0 else last - 1
        first, end = max(0, place - 1), place + 1
    begin = next((size for size in checkpoint.kept_backwards(log) if size < max(first, 1)), 0)
    after = next((size for size in checkpoint.kept(log) if size > max(end, 1)), last)
    if after < end:
        raise EvidenceError("the last records of the period are under no checkpoint yet; ask again in a moment")
    return begin, after


def origin(directory: Path) -> str:
    """The name of a log: as its sealer knows it, else as its newest checkpoint says. Raises EvidenceError."""
    known = state.read(directory)
    if known is not None:
        return known.origin
    last = checkpoint.last(directory / "log")
    head = unverified(directory / "log", last) if last is not None else None
    if head is None:
        raise EvidenceError("nothing is sealed yet: there is no checkpoint")
    return head.origin


def at(directory: Path, places: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The records at these places, in order; one bundle in memory at a time. Raises EvidenceError."""
    size, log = sealed_size(directory), directory / "log"
    number, entries = -1, list[bytes]()
    for place in sorted(set(places)):
        if not 0 <= place < size:
            raise EvidenceError(f"the log has no record {place}")
        if place // WIDTH != number:
            number = place // WIDTH
            entries = unpacked(part(log, ENTRIES, number, width_at(size, 0, number)))
        yield place, entries[place % WIDTH]
