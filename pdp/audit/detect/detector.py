"""One pass over the records, in the order of time: events to rules, hits to findings, findings to cases and alerts.

Memory is bounded by the windows of the rules. The same records give the same findings, however the writers' streams
were interleaved within the margin. What was done can be written down and taken up again (`dump`, `load`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pdp.audit.asking.deeds import text
from pdp.audit.detect import amounts, habits, silences, ties
from pdp.audit.detect.access import Event, Note, Reading
from pdp.audit.detect.context import MEMBER, Context
from pdp.audit.detect.explain import explanation
from pdp.audit.detect.finding import Alert, Case, Cases, Finding, key
from pdp.audit.detect.hits import Facts, Hit
from pdp.audit.detect.order import Order
from pdp.audit.detect.rules import EXPORT_ONLY, Rule, Rules
from pdp.audit.detect.window import DAY, State
from pdp.audit.leaf import Leaf, Opener

Kind = Callable[[Rule, State, Event, Facts], Iterator[Hit]]
KINDS: Final[dict[str, Kind]] = {
    "denials": amounts.denials,
    "probing": amounts.probing,
    "bulk": amounts.bulk,
    "searches": amounts.searches,
    "exports": amounts.exports,
    "unexplained": amounts.unexplained,
    "serial": amounts.serial,
    "protected": ties.protected,
    "own": ties.own,
    "coworker": ties.coworker,
    "kin": ties.kin,
    "relative": ties.relative,
    "gone": ties.gone,
    "sensitive": ties.sensitive,
    "left": ties.left,
    "override": ties.override,
    "off-shift": habits.off_shift,
    "emergency": habits.emergency,
    "needless": habits.needless,
    "unreviewed": habits.unreviewed,
    "places": habits.places,
    "edges": habits.edges,
    "purpose": habits.purpose,
    "change": habits.change,
    "silence": silences.silence,
    "disclosures": silences.disclosures,
}
HABIT: Final = 92 * DAY
"""For how long a rule at least remembers whom and what it has met."""
SEES: Final = {"silence": "heartbeat", "change": "policy.activate"}
"""What has to be in the log for a kind of rule to say anything."""
SWEEP: Final = 3_600_000_000
VERSION: Final = 1


@dataclass(slots=True)
class Tally:
    """What was looked at."""

    records: int = 0
    decisions: int = 0
    judged: int = 0  # accesses of which it was asked what explains them
    unexplained: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    late: int = 0
    locked: int = 0
    nameless: int = 0
    first: int = 0
    last: int = 0


class Detector:
    def __init__(self, rules: Rules, context: Context, opener: Opener, now: int, since: int = 0) -> None:
        """`now`: nothing is from later. `since`: what is older is learned from, and gives no finding."""
        self.rules, self.context = rules, context
        self.by_id = {each.id: each for each in rules.rules}
        self.facts = Facts(context, rules, now)
        self.tally = Tally()
        self.cases = Cases(self.by_id, rules.case_quiet, rules.alert_score)
        self.alerts: list[Alert] = []
        self.known: dict[tuple[str, str, str, str, int], int] = {}  # identities on record, with their last time
        self.since = since
        self._reading = Reading(context, opener)
        self._order = Order(rules.margin, now)
        self._active = [each for each in rules.rules if each.enabled and not each.missing(context.there)]
        self._states = {each.id: State(max(2 * each.window, HABIT)) for each in self._active}
        self._run = [(each, KINDS[each.kind], self._states[each.id]) for each in self._active]
        self._templates = tuple(each for each in rules.templates if each.needs in context.there)
        self._open: dict[tuple[str, str, str, str, int], Finding] = {}
        self._keys: set[str] = set()
        self._fine: dict[tuple[str, str, str, str], int] = {}  # found appropriate, and until when that holds
        self._swept = 0
        self.done: dict[str, tuple[int, int]] = {}  # stream: the last number that was looked at, and its time

    def moved(self, now: int) -> None:
        """The time goes on, for who looks at records as they come."""
        self.facts.now = now
        self._order.now = now

    def feed(self, leaf: Leaf) -> list[Finding]:
        """One more record; what was found by now, new each time."""
        if leaf.seq <= self.done.get(leaf.stream, (-1, 0))[0]:
            return []
        return self._findings(self._order.put(self._reading.event(leaf)))

    def rest(self) -> list[Finding]:
        """What still waited for its turn."""
        return self._findings(self._order.rest())

    def until(self, time: int) -> list[Finding]:
        """What waited, where nothing from before `time` (microseconds) is still to come."""
        return self._findings(self._order.until(time))

    def not_judged(self) -> dict[str, str]:
        """Rules that could not say anything, and why."""
        found = {}
        for each in self.rules.rules:
            missing = each.missing(self.context.there)
            if not each.enabled:
                found[each.id] = "switched off"
            elif missing:
                found[each.id] = "needs " + ", ".join(one.replace("|", " or ") for one in missing)
            elif each.kind in SEES and not self.tally.kinds[SEES[each.kind]]:
                found[each.id] = f"needs records of kind {SEES[each.kind]}, and there are none"
        if self.facts.unscheduled and "schedule" in self.context.there:
            found["M9 (in part)"] = f"{self.facts.unscheduled} accesses by people who are in no schedule"
        for name, state in self._states.items():
            if state.forgotten:
                found[f"{name} (in part)"] = (
                    f"{state.forgotten} things were forgotten early: there were too many at once"
                )
        return found | EXPORT_ONLY

    def sizes(self) -> int:
        """How many things are remembered."""
        return sum(sum(each.sizes()) for each in self._states.values()) + len(self._open) + len(self.known)

    # ------------------------------------------------------------------------------------------------------ one event

    def _findings(self, events: Iterable[Event]) -> list[Finding]:
        found: list[Finding] = []
        for event in events:
            steady = self._steady(event)
            self._see(steady)
            for rule, kind, state in self._run:
                seen = event if rule.kind == "silence" else steady
                for hit in kind(rule, state, seen, self.facts):
                    new = self._found(rule, hit, event)
                    if new is not None:
                        found.append(new)
            if self.facts.newest > self._swept + SWEEP:
                self._sweep()
        self.tally.late, self.tally.locked = self._order.late, self._reading.locked
        self.tally.nameless = self._reading.nameless
        return found

    def _steady(self, event: Event) -> Event:
        """What says it is from the future is of now: no memory of a rule waits for that time to come."""
        if event.time <= self.facts.now:
            return event
        return replace(event, time=self.facts.newest or self.facts.now)

    def _see(self, event: Event) -> None:
        tally, facts = self.tally, self.facts
        self.done[event.stream] = (event.seq, event.time)
        tally.records += 1
        if event.time <= facts.now:
            facts.newest = max(facts.newest, event.time)
        if event.time:
            facts.started = facts.started or event.time
            tally.first = tally.first or event.time
            tally.last = max(tally.last, min(event.time, facts.now))
        tally.kinds[event.kind] += 1
        if isinstance(event, Note):
            self._noted(event)
            return
        tally.decisions += event.kind == "decision"
        if event.patient and self._templates and (event.type in self.rules.staff or event.type == MEMBER):
            event.judged = True
            event.explained = explanation(event, self._templates, self.context)
            if event.allowed and event.type in self.rules.staff:
                tally.judged += 1
                if event.explained:
                    tally.explained[event.explained] += 1
                else:
                    tally.unexplained += 1

    def _noted(self, note: Note) -> None:
        """What people said of earlier cases."""
        if note.kind != "case.disposition" or text(note.said, "disposition") != "appropriate":
            return
        kind = text(note.said, "sub", "type")
        who = text(note.said, "sub", "id") or text(note.detail, "sub", "id")
        pairs = note.detail.get("pairs")
        for each in pairs if isinstance(pairs, list) else ():
            rule, patient = text(each, "rule"), text(each, "patient")
            self._fine[rule, kind, who, patient] = note.time + self.rules.appropriate

    def _found(self, rule: Rule, hit: Hit, event: Event) -> Finding | None:
        time = min(event.time, self.facts.now)
        if time < self.since:
            return None
        if self._fine.get((rule.id, hit.type, hit.who, hit.patient), 0) > time:
            self.facts.suppressed[rule.id, "found appropriate"] += 1
            return None
        identity = (rule.id, hit.type, hit.who, hit.patient, time // max(1, rule.repeat))
        known = self._open.get(identity)
        if known is not None:
            known.again(time, hit.points, hit.because, hit.places)
        else:
            name = self._key(rule, hit, event, identity[4])
            known = self._open[identity] = Finding(
                *(name, rule.id, rule.title, hit.type, hit.who, hit.patient, time, time, hit.points, hit.because),
                places=list(hit.places),
                bucket=identity[4],
                recorded=identity in self.known,
            )
            self.cases.add(known)
        self.alerts += self.cases.touched(known, time)
        return known if known.count == 1 else None

    def _key(self, rule: Rule, hit: Hit, event: Event, bucket: int) -> str:
        first = name = key(rule.id, event.place, hit.type, bucket)
        number = 1
        while name in self._keys:
            number += 1
            name = f"{first}-{number}"
        self._keys.add(name)
        return name

    def _sweep(self) -> None:
        """Once an hour of the log's time: forget what no rule looks at any more."""
        now = self._swept = self.facts.newest
        for each in self._states.values():
            each.sweep(now)
        self.cases.sweep(now)
        old = now - 2 * max([self.rules.repeat, *(each.repeat for each in self._active)])
        for identity in [name for name, each in self._open.items() if each.last < old]:
            self._keys.discard(self._open.pop(identity).key)
        for identity in [name for name, time in self.known.items() if time < old]:
            del self.known[identity]
        for pair in [name for name, until in self._fine.items() if until < now]:
            del self._fine[pair]
        for stream in [name for name, (_, time) in self.done.items() if time < now - 7 * DAY]:
            del self.done[stream]

    # -------------------------------------------------------------------------------------------------- to be taken up

    def first_waiting(self) -> int | None:
        """The lowest index of a record that waits for its turn; None: none does."""
        return self._order.first_waiting()

    def dump(self) -> dict[str, Any]:
        """Everything but what waits for its turn, which is to be read again."""
        return {
            "version": VERSION,
            "order": self._order.dump(),
            "newest": self.facts.newest,
            "started": self.facts.started,
            "states": {name: [self.by_id[name].kind, each.dump()] for name, each in self._states.items()},
            "cases": [each.dump() for each in self.cases.open.values()],
            "open": [each.dump() for each in self._open.values()],
            "fine": [[*pair, until] for pair, until in self._fine.items()],
            "done": {stream: list(at) for stream, at in self.done.items()},
        }

    def load(self, said: dict[str, Any]) -> None:
        """What `dump` gave. Raises ValueError, TypeError, KeyError or IndexError for anything else."""
        if said["version"] != VERSION:
            raise ValueError("of another version")
        self.facts.newest, self.facts.started = said["newest"], said["started"]
        self._order.load(said["order"])
        for name, (kind, each) in said["states"].items():
            if name in self._states and self.by_id[name].kind == kind:
                self._states[name].load(each)
        by_key: dict[str, Finding] = {}
        for each in said["cases"]:
            case = Case.load(each)
            self.cases.open[case.type, case.who] = case
            by_key |= {one.key: one for one in case.findings}
        for each in said["open"]:
            finding = Finding.load(each)
            finding = by_key.get(finding.key, finding)
            self._open[finding.identity] = finding
            self._keys.add(finding.key)
        self._fine = {(each[0], each[1], each[2], each[3]): each[4] for each in said["fine"]}
        self.done = {stream: (at[0], at[1]) for stream, at in said["done"].items()}
