"""The access log of a proxy against the log of decisions, both ways: what was served was allowed, what was allowed was
seen.

A line that passed without a decision is a way around the check. The line is never shown, only its number and what it
says of the decision: paths hold ids of patients. Memory does not grow with the logs: what has to be remembered is in a
temporary database on disk.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pdp.audit.asking.period import ALWAYS, Period
from pdp.audit.leaf import Leaf, leaves
from pdp.audit.reports.accesslog import Line, Unreadable

NO_DECISION: Final = "no-decision"
UNMATCHED: Final = "receipt-unmatched"
SERVED: Final = "denied-but-served"
UNSEEN: Final = "allowed-but-not-seen"
DUPLICATE: Final = "duplicate"
UNREADABLE: Final = "unreadable"
SENTENCES: Final = {
    NO_DECISION: "a request passed the proxy, and no decision is named: a way around the check",
    UNMATCHED: "a request passed the proxy, and the record of its decision is not in the log as it should be",
    SERVED: "a request was denied, and the proxy let it pass",
    UNSEEN: "a request was allowed, and the proxy has no line of it",
    DUPLICATE: "one decision stands for several requests",
    UNREADABLE: "a line of the access log cannot be read",
}
SECOND: Final = 1_000_000
DELAY_SECONDS: Final = 60
"""Within which a record is sealed."""
LONGEST: Final = 3_600 * SECOND
"""A line may be written so long after its request was decided: at the end of a long answer."""
BATCH: Final = 1_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`line`: its number in the access log, 0 where there is none. `at`: microseconds since the epoch."""

    kind: str
    line: int
    decision: str
    why: str
    at: int = 0
    index: int | None = None  # of the record in the sealed log


@dataclass(slots=True)
class Reconciled:
    """What was compared. `counts`: findings by kind."""

    lines: int = 0  # of the period
    passed: int = 0
    records: int = 0  # decisions of these enforcement points, in the period
    matched: int = 0  # lines with the record that they name
    peps: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)


class Reconciliation:
    """One comparison. `read` first, `compare` then, and then the findings."""

    def __init__(
        self,
        directory: Path,
        *,
        period: Period | None = None,
        peps: Iterable[str] = (),
        now: int,
        delay_seconds: int = DELAY_SECONDS,
        receipts: bool = True,
    ) -> None:
        """`now`: microseconds since the epoch. `receipts` False: a decision id is enough."""
        self.result = Reconciled(peps=tuple(sorted(set(peps))))
        self._directory, self._period = directory, period or Period(*ALWAYS)
        self._now, self._delay, self._receipts = now, delay_seconds * SECOND, receipts
        self._first, self._last = ALWAYS[1], ALWAYS[0]  # of the lines
        self._base = sqlite3.connect("", isolation_level=None)  # A file without a name: gone when this ends.
        self._base.executescript(_TABLES)

    def close(self) -> None:
        self._base.close()

    def read(self, lines: Iterable[Line | Unreadable]) -> None:
        """The access log. Lines around the period are kept too: their records may be in it."""
        with self._batches(_LINE) as put:
            for each in lines:
                if isinstance(each, Unreadable):
                    self._found(Mismatch(UNREADABLE, each.number, "", each.why))
                    continue
                inside = each.at in self._period
                if inside:
                    self.result.lines += 1
                    self.result.passed += each.passed
                    self._first, self._last = min(self._first, each.at), max(self._last, each.at)
                elif not self._period.first - LONGEST <= each.at < self._period.after + LONGEST:
                    continue
                put(
                    (each.number, each.at, each.decision, each.receipt, each.status, each.passed, each.upstream, inside)
                )
        self._base.execute("CREATE INDEX by_decision ON line (decision)")

    def compare(self, progress: Progress = lambda _, __: None) -> None:
        """The log of decisions, from its first record to those that wait to be sealed. Raises EvidenceError."""
        peps: set[str] = set()
        first, after = self._spoken_of()
        with self._batches(_UNSEEN) as unseen:
            for leaf in leaves(self._directory, progress=progress):
                if leaf.kind != "decision":
                    continue
                pep, at = str(leaf.members.get("pep", "")), leaf.time
                inside = first <= at < after
                self.result.records += inside and (not self.result.peps or pep in self.result.peps)
                if self._of_record(leaf, at):
                    peps.add(pep)
                elif inside and _effect(leaf) == "allow":
                    unseen((leaf.id, pep, at, leaf.index))
        self.result.peps = self.result.peps or tuple(sorted(peps))
        self._unmatched()
        self._duplicates()
        self._unseen()

    def findings(self, most: int = -1) -> Iterator[Mismatch]:
        """In order of kind and line, at most so many."""
        asked = "SELECT kind, line, decision, why, at, place FROM found ORDER BY kind, line, at LIMIT ?"
        for row in self._base.execute(asked, (most,)):
            yield Mismatch(*row)

    # --------------------------------------------------------------------------------------------------------- within

    def _spoken_of(self) -> tuple[int, int]:
        """The period in which each allow needs a line: as asked for, else the one that the lines cover."""
        first = self._period.first if self._period.first > ALWAYS[0] else self._first
        after = self._period.after if self._period.after < ALWAYS[1] else self._last - self._delay
        return first, min(after, self._now - self._delay)

    def _of_record(self, leaf: Leaf, at: int) -> bool:
        """The lines that name this record. False: there is none."""
        rows = self._base.execute("SELECT number, at, receipt, state FROM line WHERE decision = ?", (leaf.id,))
        found = False
        for number, when, receipt, state in rows.fetchall():
            found = True
            wrong = self._wrong(leaf, at, when, receipt)
            new = wrong or _effect(leaf)
            if state != "allow" and (not wrong or not state):  # Of several records of one id the best one counts.
                self._base.execute("UPDATE line SET state = ? WHERE number = ?", (new, number))
        return found

    def _wrong(self, leaf: Leaf, at: int, when: int, receipt: str) -> str:
        if receipt and receipt != leaf.receipt:
            return "the receipt is the one of another record"
        if not receipt and self._receipts:
            return "there is no receipt"
        if at > when + self._delay or when > at + self._delay + LONGEST:
            return "the record is of another time"
        if leaf.index is None and self._now - at > self._delay:
            return f"its record was not sealed within {self._delay // SECOND} seconds"
        return ""

    def _unmatched(self) -> None:
        asked = "SELECT number, at, decision, passed, upstream, status, state FROM line WHERE inside AND passed"
        for number, at, decision, _, upstream, status, state in self._base.execute(asked).fetchall():
            if not decision:
                self._found(Mismatch(NO_DECISION, number, "", f"status {status}", at))
            elif state == "allow":
                self.result.matched += 1
            elif state == "deny":
                if upstream or 200 <= status < 300:
                    self._found(Mismatch(SERVED, number, decision, f"status {status}", at))
            else:
                self._found(Mismatch(UNMATCHED, number, decision, state or "there is no such record", at))

    def _duplicates(self) -> None:
        asked = (
            "SELECT number, at, decision, least FROM line JOIN (SELECT decision AS d, min(number) AS least FROM line"
            " WHERE decision != '' AND passed GROUP BY decision HAVING count(*) > 1) ON decision = d"
            " WHERE passed AND inside AND number > least"
        )
        for number, at, decision, least in self._base.execute(asked).fetchall():
            self._found(Mismatch(DUPLICATE, number, decision, f"line {least} has it too", at))

    def _unseen(self) -> None:
        marks = ",".join("?" * len(self.result.peps))
        asked = f"SELECT decision, pep, at, place FROM unseen WHERE pep IN ({marks})"
        for decision, pep, at, place in self._base.execute(asked, self.result.peps).fetchall():
            self._found(Mismatch(UNSEEN, 0, decision, f"[pep.{pep}]", at, place))

    def _found(self, each: Mismatch) -> None:
        self.result.counts[each.kind] += 1
        row = (each.kind, each.line, each.decision, each.why, each.at, each.index)
        self._base.execute("INSERT INTO found VALUES (?, ?, ?, ?, ?, ?)", row)

    def _batches(self, statement: str) -> _Batches:
        return _Batches(self._base, statement)


class _Batches:
    """Rows for one table, in transactions of many."""

    def __init__(self, base: sqlite3.Connection, statement: str) -> None:
        self._base, self._statement = base, statement
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Callable[[tuple[Any, ...]], None]:
        return self._put

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _put(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        self._base.execute("BEGIN")
        with closing(self._base.cursor()) as cursor:
            cursor.executemany(self._statement, self._rows)
        self._base.execute("COMMIT")
        self._rows.clear()


def _effect(leaf: Leaf) -> str:
    decision = leaf.members.get("dec")
    return "allow" if isinstance(decision, dict) and decision.get("effect") == "allow" else "deny"


_LINE: Final = "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, '')"
_UNSEEN: Final = "INSERT INTO unseen VALUES (?, ?, ?, ?)"
_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE line (number INTEGER PRIMARY KEY, at INTEGER, decision TEXT, receipt TEXT, status INTEGER, passed INTEGER,
    upstream INTEGER, inside INTEGER, state TEXT);
CREATE TABLE unseen (decision TEXT, pep TEXT, at INTEGER, place INTEGER);
CREATE TABLE found (kind TEXT, line INTEGER, decision TEXT, why TEXT, at INTEGER, place INTEGER);
"""
