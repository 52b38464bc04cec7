"""The records of a period that a report is made of, and how much of that period the log can speak about at all.

A report that finds nothing must not look as if nothing had been: it says from when to when this log has records, and
how many there are of which nobody can tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pdp.audit.asking.asked import PATIENT, Asked, Question
from pdp.audit.asking.period import ALWAYS, Period, brief, shown
from pdp.audit.asking.query import PRUNED, Search, Tally
from pdp.audit.leaf import CLEAR, Leaf, Opener

QUIET: Final = 120_000_000
"""A log in use has a record at least so often (a heartbeat): what is longer ago is not spoken of."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Coverage:
    """What was there to be read. Times in microseconds since the epoch; 0: there is none."""

    period: Period
    first: int = 0  # of all records, whenever they were written
    last: int = 0
    inside: int = 0  # that the report is made of
    waiting: int = 0  # of these, not sealed yet: seen, and not provable now
    unopened: Counter[str] = field(default_factory=Counter)  # of these: "erased", "locked", "damaged"
    unjudged: Counter[str] = field(default_factory=Counter)  # nobody can tell whether they are meant, by why
    elsewhere: int = 0  # searches that gave away things of nobody knows whom: for the operator alone
    notes: list[str] = field(default_factory=list)

    def saw(self, leaf: Leaf) -> None:
        """It is in the report. What is withheld must not even be counted."""
        self.inside += 1
        self.waiting += leaf.index is None
        if leaf.opened != CLEAR:
            self.unopened[leaf.opened] += 1

    def took(self, tally: Tally) -> None:
        self.first, self.last = tally.first, tally.last
        for why, number in tally.unjudged.items():
            self.unjudged[why] = max(self.unjudged[why], number)
        self.elsewhere = max(self.elsewhere, tally.elsewhere)
        self.notes += tally.notes

    def lacks(self, now: int) -> list[str]:
        """Of which parts of the period the log cannot speak."""
        if not self.first:
            return ["the whole period"]
        period, found = self.period, []
        if period.first > ALWAYS[0] and self.first > period.first:
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
            "from": None if self.period.first == ALWAYS[0] else brief(self.period.first),
            "before": None if self.period.after == ALWAYS[1] else brief(self.period.after),
            "log_first": brief(self.first) if self.first else None,
            "log_last": brief(self.last) if self.last else None,
            "not_covered": self.lacks(now),
            "records": self.inside,
            "records_not_sealed_yet": self.waiting,
            "records_not_opened": dict(sorted(self.unopened.items())),
            "records_that_may_be_meant_or_not": dict(sorted(self.unjudged.items())),
            "notes": self.notes,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """One log, and how it is read: the log itself, never an index. `thorough`: each record whole, whatever its bytes
    and its place say.
    """

    directory: Path
    opener: Opener
    progress: Progress = lambda _, __: None
    thorough: bool = False

    def asked(self, asked: Asked, coverage: Coverage | None = None, unsealed: bool = True) -> Iterator[Leaf]:
        """What is meant; into the coverage: how far the log speaks, and what nobody can tell. Raises EvidenceError."""
        search = Search(self.directory, Question(asked, self.opener), progress=self.progress, thorough=self.thorough)
        yield from search.hits(unsealed)
        if coverage is not None:
            coverage.took(search.tally)

    def decisions(
        self, coverage: Coverage, patient: str = "", subject: str = "", patient_type: str = PATIENT
    ) -> Iterator[Leaf]:
        """Of a patient or of a person, in the period of the coverage."""
        asked = Asked(patient=patient, subject=subject, period=coverage.period, patient_type=patient_type)
        yield from self.asked(asked, coverage)

    def told(self, coverage: Coverage, *kinds: str) -> list[Leaf]:
        """What people and programs put on record, of these kinds, whenever that was. What is missing is counted, since
        it may be such a record.
        """
        every = Coverage(Period(*ALWAYS))
        found = list(self.asked(Asked(kinds=frozenset(kinds)), every))
        for why, number in every.unjudged.items():
            if why != PRUNED:  # It was kept for as long as it could matter.
                coverage.unjudged[why] = max(coverage.unjudged[why], number)
        return found
