"""Detection as the log grows: reads what is sealed, puts findings into the log, and alerts. Stops and goes on anywhere.

What was learned is kept in `detect/state.json` (0600: it names people), now and then. After a crash the records since
then are looked at once more; findings that are on record already are not recorded again, alerts that went out have
their old ids.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from pdp.audit.detect.alerts import Outbox, kept, written
from pdp.audit.detect.context import Context
from pdp.audit.detect.detector import HABIT, Detector
from pdp.audit.detect.finding import Alert, Finding
from pdp.audit.detect.rules import Rules, RulesError, load
from pdp.audit.detect.sealed import sealed
from pdp.audit.detect.tables import ContextError
from pdp.audit.detect.told import CASE, FINDING, Teller, identity
from pdp.audit.detect.wanted import To, Watching
from pdp.audit.evidence import EvidenceError
from pdp.audit.leaf import Leaf, Opener, leaves, sealed_size

DIRECTORY: Final = "detect"
STATE: Final = "state.json"
OUTBOX: Final = "outbox.json"
BATCH: Final = 2_000
SAVED_SECONDS: Final = 60.0
LOOKED_SECONDS: Final = 60.0
TOLD_SECONDS: Final = 30.0
"""Of one step, for alerts: who takes each of them slowly does not keep the log from being looked at."""
DAY: Final = 86_400_000_000


class Watch:
    """One log's. Not safe for threads. All raise EvidenceError where the log, or our files, cannot be used."""

    def __init__(
        self,
        directory: Path,
        origin: str,
        opener: Opener,
        said: Watching,
        to: tuple[To, ...],
    ) -> None:
        self._directory, self._opener, self._said = directory, opener, said
        self._rules = _rules_of(said)
        self._teller = Teller(directory, origin)
        self.outbox = Outbox(directory / DIRECTORY / OUTBOX, to)
        self.detector: Detector | None = None
        self.next = 0
        self.findings = 0
        self.alerts = 0
        self.problem = ""
        self._cases: set[tuple[str, int]] = set()
        self._stamp: tuple[tuple[str, int, int], ...] = ()
        self._saved = self._looked = 0.0
        self._end = 0.0  # of the time for alerts in this step, on the monotonic clock

    def step(self, now: float) -> bool:
        """Some records, and what is due to be told. Is there more? `now`: seconds since the epoch."""
        self._end = time.monotonic() + TOLD_SECONDS
        if self.detector is None:
            self.detector = self._begun(now)
        elif abs(now - self._looked) >= LOOKED_SECONDS:  # Also when the clock was set back.
            self._look(now)
        self.detector.moved(int(now * 1_000_000))
        for leaf in islice(sealed(self._directory, self._opener, self.next), BATCH):
            self._told(self.detector.feed(leaf), now)
            self.next = (self.next if leaf.index is None else leaf.index) + 1
        more = self.next < sealed_size(self._directory)
        if not more:  # The sealer takes from every writer at once: who is read to the end has them all.
            self._told(self.detector.until(int(now * 1_000_000) - self._rules.margin), now)
        self._deliver(now)
        if abs(now - self._saved) >= SAVED_SECONDS:
            self.save(now)
        return more

    def save(self, now: float) -> None:
        """What was learned so far. What still waits for its turn is read again."""
        if self.detector is None:
            return
        waiting = self.detector.first_waiting()
        said = self.detector.dump() | {"next": self.next if waiting is None else waiting}
        written(self._directory / DIRECTORY / STATE, orjson.dumps(said))
        self.outbox.save()
        self._saved = now

    def _told(self, found: list[Finding], now: float) -> None:
        """First into the log, then to people."""
        assert self.detector is not None
        for each in found:
            if not each.recorded:
                self._teller.finding(each)
                each.recorded = True
                self.findings += 1
        alerts, self.detector.alerts = self.detector.alerts, []
        for alert in alerts:
            self._alert(alert, now)
        if alerts:
            self.outbox.save()

    def _alert(self, alert: Alert, now: float) -> None:
        mark = (alert.case.id, alert.score)
        if mark not in self._cases:
            self._teller.case(alert.case, alert.score, alert.parts)
            self._cases.add(mark)
            self.alerts += 1
        if self.outbox.full:
            self._deliver(now)
        self.outbox.add(alert, now)

    def _deliver(self, now: float) -> None:
        if self.outbox.deliver(now, lambda: time.monotonic() < self._end):
            self.outbox.save()

    # ---------------------------------------------------------------------------------------------------- beginning

    def _begun(self, now: float) -> Detector:
        """With what was kept; without, from as far back as any rule looks, and silent about what is long ago."""
        self._stamp = self._stamped()
        context = self._context()
        said = kept(self._directory / DIRECTORY / STATE)
        moment = int(now * 1_000_000)
        detector = Detector(self._rules, context, self._opener, moment, moment - self._said.first_days * DAY)
        if said is None:
            self.next = self._since(moment - max(self._rules.longest, HABIT))
        else:
            try:
                detector.load(dict(said))
                self.next = min(int(said["next"]), sealed_size(self._directory))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                where = self._directory / DIRECTORY / STATE
                raise EvidenceError(f"{where} is not what was written: move it away") from error
        for leaf in leaves(self._directory, self._opener, first=self.next):
            if leaf.kind == FINDING:
                detector.known[identity(leaf)] = moment
            elif leaf.kind == CASE:
                self._cases.add(_case(leaf))
        self._saved = self._looked = now
        return detector

    def _context(self) -> Context:
        try:
            return Context.load(self._said.context, self._said.data)
        except ContextError as error:
            raise EvidenceError(f"the context cannot be used: {error}") from error

    def _look(self, now: float) -> None:
        """Have the files of the context changed? The old ones hold until the new ones can be read."""
        assert self.detector is not None
        self._looked = now
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        try:
            context = self._context()
        except EvidenceError as error:
            self.problem = str(error)
            return
        self._stamp, self.problem = stamp, ""
        self.save(now)
        before, said = self.detector, kept(self._directory / DIRECTORY / STATE)
        self.detector = Detector(self._rules, context, self._opener, int(now * 1_000_000), before.since)
        self.detector.load(dict(said or {}))
        self.detector.known = before.known
        self.next = int((said or {})["next"])

    def _stamped(self) -> tuple[tuple[str, int, int], ...]:
        """What the files look like. One that goes while we look is not there."""
        found = []
        for directory in (self._said.context, self._said.data):
            for path in _files(directory):
                with suppress(FileNotFoundError):
                    seen = path.stat()
                    found.append((str(path), seen.st_mtime_ns, seen.st_size))
        return tuple(found)

    def _since(self, time: int) -> int:
        """The index of about the first record from then on; the log is nearly in the order of time."""
        low, high = 0, sealed_size(self._directory)
        while low < high:
            middle = (low + high) // 2
            if self._at(middle).time < time:
                low = middle + 1
            else:
                high = middle
        return low

    def _at(self, index: int) -> Leaf:
        """That record, or, where that was pruned, the next one."""
        for leaf in sealed(self._directory, self._opener, index):
            return leaf
        raise EvidenceError("a record is missing; see `pdp audit verify`")


def _rules_of(said: Watching) -> Rules:
    try:
        return load(said.rules)
    except RulesError as error:
        raise EvidenceError(f"the rules cannot be used: {error}") from error


def _files(directory: Path | None) -> list[Path]:
    try:
        return [] if directory is None else sorted(directory.iterdir())
    except OSError:
        return []  # Whoever loads the context says so.


def _case(leaf: Leaf) -> tuple[str, int]:
    score = leaf.members.get("score")
    return str(leaf.members.get("case", "")), score if isinstance(score, int) else 0
