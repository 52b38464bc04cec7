"""What was taken out of a log because its time was over: how that stands on record, and how it is found there.

A log is pruned below an index (c2sp.org/tlog-tiles, "Pruning"). The record that says so is sealed before anything goes;
`log/pruned` repeats it for readers, and is believed by no verifier without that record.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.files import whole

KIND: Final = "prune"
MARK: Final = b'"kind":"prune"'
NAME: Final = "pruned"
MAX_BYTES: Final = 1 << 20
_ODD: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of a text that says something else than it should."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_RUNS: Final = 1_500
"""Of bundles that stay, in one record. Where there would be more, those between two of them stay too."""


@dataclass(frozen=True, slots=True)
class Retention:
    years: int = 6
    margin_days: int = 90

    def cutoff(self, now: int) -> int:
        """What is older may go. Microseconds since the epoch, both."""
        moment = _EPOCH + timedelta(microseconds=now)
        try:
            then = moment.replace(year=moment.year - self.years)
        except ValueError:  # The 29th of February.
            then = moment.replace(year=moment.year - self.years, day=28)
        return (then - timedelta(days=self.margin_days) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Pruned:
    """`min_index`: below it only the bundles in `kept` are there, runs of first and last number in order.

    `hashes`: are the hashes of what went still there? `streams`: how far each had come, as (seq, chain hash).
    """

    min_index: int = 0
    kept: tuple[tuple[int, int], ...] = ()
    hashes: bool = True
    streams: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    record: str = ""  # its id
    index: int = -1  # where that record is
    at: str = ""
    by: str = ""
    before: str = ""  # what went was older than this

    def gone(self, number: int) -> bool:
        """Is this bundle of 256 records no longer there?"""
        return number < self.min_index >> 8 and not self.keeps(number)

    def keeps(self, number: int) -> bool:
        place = bisect_right(self.kept, (number, 1 << 62)) - 1
        return place >= 0 and self.kept[place][0] <= number <= self.kept[place][1]

    def said(self) -> dict[str, Any]:
        """As it stands on record."""
        return {
            "min_index": self.min_index,
            "kept": [list(run) for run in self.kept],
            "hashes": "kept" if self.hashes else "dropped",
            "before": self.before,
            "streams": {lane: [seq, chain.hex()] for lane, (seq, chain) in sorted(self.streams.items())},
        }

    def encoded(self) -> bytes:
        """As it stands in `log/pruned`."""
        said = {"id": self.record, "index": self.index, "ts": self.at, "by": self.by, **self.said()}
        return json.dumps(said, indent=1).encode() + b"\n"


NOTHING: Final = Pruned()


def of_record(index: int, record: bytes) -> Pruned | None:
    """What a record says, if it is one of a pruning."""
    if MARK not in record:
        return None
    try:
        said = json.loads(record)
        found = _pruned(said, index) if said["kind"] == KIND else None
    except _ODD:
        return None
    return found if found is not None and found.min_index <= index else None


def read(log: Path) -> Pruned:
    """What `log/pruned` says; `NOTHING` where there is none. Raises EvidenceError."""
    try:
        data = whole(log / NAME, MAX_BYTES)
    except FileNotFoundError:
        return NOTHING
    except OSError as error:
        raise EvidenceError(f"log/{NAME} cannot be read: {error.strerror}") from error
    try:
        said = json.loads(data)
        return _pruned(said, int(said["index"]))
    except _ODD as error:
        raise EvidenceError(f"log/{NAME} is damaged") from error


def _pruned(said: Mapping[str, Any], index: int) -> Pruned:
    kept = tuple((int(first), int(last)) for first, last in said["kept"])
    if said["hashes"] not in ("kept", "dropped") or said["min_index"] % 256 or not 0 <= said["min_index"] < 1 << 50:
        raise ValueError("not what was pruned")
    if any(first > last for first, last in kept) or list(kept) != sorted(kept):
        raise ValueError("runs that are out of order")
    streams = {str(lane): (int(seq), bytes.fromhex(chain)) for lane, (seq, chain) in said["streams"].items()}
    words = (str(said[name]) for name in ("id", "ts", "by", "before"))
    identifier, at, by, before = words
    return Pruned(int(said["min_index"]), kept, said["hashes"] == "kept", streams, identifier, index, at, by, before)


def runs(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers in order as runs; where these are too many, with what is between the nearest of them."""
    gap, found = 1, _runs([(number, number) for number in numbers], 1)
    while len(found) > MAX_RUNS:
        gap *= 2
        found = _runs(found, gap)
    return tuple(found)


def _runs(parts: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in parts:
        if found and first - found[-1][1] <= gap:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
