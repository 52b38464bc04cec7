"""The records of a period, and how much of that period the log can speak about at all.

A report that finds nothing must not look as if nothing had been: it says from when to when this log has records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pdp.audit.leaf import CLEAR, PLAIN, Leaf, Opener, leaves
from pdp.audit.period import ALWAYS, Period, shown

QUIET: Final = 120_000_000
"""A log in use has a record at least so often (a heartbeat): what is longer ago is not spoken of."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Coverage:
    """What was there to be read. Times in microseconds since the epoch; 0: there is none."""

    period: Period
    first: int = 0  # of all records, whenever they were written
    last: int = 0
    records: int = 0  # of the whole log
    inside: int = 0  # of the period, of the kinds that were looked at
    waiting: int = 0  # of these, not sealed yet: seen, and not provable now
    undated: int = 0  # say no time; they are in no period
    unopened: Counter[str] = field(default_factory=Counter)  # "erased", "locked", "damaged"

    def lacks(self, now: int) -> list[str]:
        """Of which parts of the period the log cannot speak."""
        if not self.first:
            return ["the whole period"]
        period, found = self.period, []
        if period.bounded and period.first > ALWAYS[0] and self.first > period.first:
            found.append(f"what was before {self.at(self.first)}")
        if self.last < min(period.after, now) - QUIET:
            found.append(f"what was after {self.at(self.last)}")
        return found

    def sentence(self, now: int) -> str:
        """How far the log speaks for the period."""
        if not self.first:
            return "the log holds no record at all: it says nothing about this period"
        covers = f"the log has records from {self.at(self.first)} to {self.at(self.last)}"
        lacking = self.lacks(now)
        return f"{covers}; it says nothing about {' and '.join(lacking)}" if lacking else covers

    def nothing(self, now: int) -> str:
        """What is said instead of an empty table."""
        return f"nothing recorded: {self.sentence(now)}"

    def at(self, time: int) -> str:
        return shown(time, self.period.zone)

    def members(self, now: int) -> dict[str, object]:
        return {
            "from": None if self.period.first == ALWAYS[0] else moment(self.period.first),
            "before": None if self.period.after == ALWAYS[1] else moment(self.period.after),
            "log_first": moment(self.first) if self.first else None,
            "log_last": moment(self.last) if self.last else None,
            "not_covered": self.lacks(now),
            "records_looked_at": self.inside,
            "records_not_sealed_yet": self.waiting,
            "records_without_time": self.undated,
            "records_not_opened": dict(sorted(self.unopened.items())),
        }


def within(
    directory: Path,
    opener: Opener,
    coverage: Coverage,
    kinds: Collection[str] = (),
    always: Collection[str] = (),
    progress: Progress = lambda _, __: None,
) -> Iterator[Leaf]:
    """Those of the period of these kinds (all, where none is given), opened; those of `always` whenever they were
    written. Raises EvidenceError.

    The whole log is read: a record may be sealed long after it was written, so its place says nothing of its time.
    """
    for each in leaves(directory, PLAIN, progress=progress):
        coverage.records += 1
        time = each.time
        if not time:
            coverage.undated += 1
            continue
        coverage.first = min(coverage.first or time, time)
        coverage.last = max(coverage.last, time)
        if each.kind not in always and (time not in coverage.period or (kinds and each.kind not in kinds)):
            continue
        found = reopened(each, opener)
        if each.kind not in always:  # How many of those there are may be what must not be told.
            coverage.inside += 1
            coverage.waiting += each.index is None
            coverage.unopened.update([] if found.opened == CLEAR else [found.opened])
        yield found


def reopened(leaf: Leaf, opener: Opener) -> Leaf:
    detail, how = opener.open(leaf.members)
    return Leaf(leaf.index, leaf.payload, leaf.members, detail, how)


def moment(time: int) -> str:
    """RFC 3339 in UTC, to the second where it is one."""
    found = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return found.isoformat(timespec="microseconds" if time % 1_000_000 else "seconds").replace("+00:00", "Z")
