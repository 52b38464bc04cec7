"""The review of information system activity, 45 CFR 164.308(a)(1)(ii)(D): what went on, and what did not speak.

Counts weigh a record by the refusals it stands for. Who was denied most is shown under the name that is on record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pdp.audit.asking.deeds import NOBODY, Deed, Name, deed, text
from pdp.audit.asking.period import Period
from pdp.audit.leaf import Leaf

GAP_MICROSECONDS: Final = 150 * 1_000_000
"""Heartbeats come each minute; two that are missing are a gap."""
MAX_GAPS: Final = 1_000
STATUS_KINDS: Final = frozenset({"audit.status", "key.rotate", "prune", "audit.hold", "audit.release", "key.erase"})


@dataclass(frozen=True, slots=True)
class Event:
    """One record that is told as it is."""

    time: int
    kind: str
    says: str
    index: int | None


class Gap(NamedTuple):
    stream: str
    start: int
    end: int


class Service(NamedTuple):
    """Of the inventory: one that must be seen. `silent_after`: microseconds; 0: once in the period will do."""

    name: str
    peps: frozenset[str]
    clients: frozenset[str]
    silent_after: int = 0


@dataclass(slots=True)
class Activity:
    decisions: int = 0
    allowed: int = 0
    off_hours: int = 0
    by_day: Counter[str] = field(default_factory=Counter)
    by_door: Counter[str] = field(default_factory=Counter)
    by_pep: Counter[str] = field(default_factory=Counter)
    by_effect: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    by_verb: Counter[str] = field(default_factory=Counter)
    denied_subjects: Counter[Name] = field(default_factory=Counter)
    denied_resources: Counter[Name] = field(default_factory=Counter)
    refused_tokens: Counter[str] = field(default_factory=Counter)
    unknown_peps: Counter[str] = field(default_factory=Counter)
    policies: dict[str, list[int]] = field(default_factory=dict)  # digest: [decisions, first, last]
    events: list[Event] = field(default_factory=list)
    reads: Counter[tuple[str, str]] = field(default_factory=Counter)  # (by whom, verb)
    told: Counter[tuple[str, str]] = field(default_factory=Counter)  # (by whom, kind): reviews, disclosures, findings
    heartbeats: int = 0
    gaps: list[Gap] = field(default_factory=list)
    peps: dict[str, list[int]] = field(
        default_factory=dict
    )  # times at which each spoke first and last, longest silence
    clients: dict[str, list[int]] = field(default_factory=dict)
    _beats: dict[str, int] = field(default_factory=dict)

    def add(self, leaf: Leaf, day: Callable[[int], str], off: Callable[[int], bool]) -> None:
        match leaf.kind:
            case "decision":
                self._decided(deed(leaf), day, off)
            case "decision.results":
                pass  # The decision is counted.
            case "heartbeat":
                self._beat(leaf)
            case "audit.read":
                self.reads[text(leaf.members, "by"), text(leaf.members, "verb") or leaf.kind] += 1
            case "policy.activate":
                self.events.append(Event(leaf.time, leaf.kind, _policy(leaf.members), leaf.index))
            case kind if kind in STATUS_KINDS:
                self.events.append(Event(leaf.time, kind, _status(leaf.members), leaf.index))
            case kind:
                self.told[text(leaf.members, "by"), kind] += 1

    def _decided(self, one: Deed, day: Callable[[int], str], off: Callable[[int], bool]) -> None:
        count, time, members = one.count, one.leaf.time, one.leaf.members
        pep, door = text(members, "pep"), text(members, "door")
        self.decisions += count
        self.allowed += count if one.allowed else 0
        self.off_hours += count if off(time) else 0
        for counter, value in (
            (self.by_day, day(time)),
            (self.by_door, door),
            (self.by_pep, pep),
            (self.by_effect, one.effect),
            (self.by_reason, one.reason),
            (self.by_verb, one.verb),
        ):
            counter[value or "(none)"] += count
        if not one.allowed:
            for names, name in ((self.denied_subjects, one.who), (self.denied_resources, one.resource)):
                if name != NOBODY:
                    names[name] += count
        if "refused_token" in members:
            self.refused_tokens[text(members, "refused_token", "issuer") or "(unknown issuer)"] += count
        if one.reason == "unknown_pep":
            self.unknown_peps[f"{door} {pep}".strip() or "(none)"] += count
        if one.digest:
            known = self.policies.setdefault(one.digest, [0, time, time])
            known[:] = known[0] + count, min(known[1], time), max(known[2], time)
        for seen, speaker in ((self.peps, pep), (self.clients, one.client)):
            if speaker and one.reason != "unknown_pep":
                _spoke(seen, speaker, time)

    def _beat(self, leaf: Leaf) -> None:
        self.heartbeats += 1
        lane, time = leaf.stream.rpartition("/")[0], leaf.time  # A start after a crash is no new beginning.
        self._silence(lane, self._beats.get(lane, time), time)
        self._beats[lane] = max(self._beats.get(lane, time), time)

    def end(self, time: int) -> None:
        """Nothing more comes: who was silent until then?"""
        for lane, before in self._beats.items():
            self._silence(lane, before, time)

    def _silence(self, lane: str, before: int, time: int) -> None:
        if time - before > GAP_MICROSECONDS and len(self.gaps) < MAX_GAPS:
            self.gaps.append(Gap(lane, before, time))


def _spoke(seen: dict[str, list[int]], name: str, time: int) -> None:
    known = seen.setdefault(name, [time, time, 0])
    known[2] = max(known[2], time - known[1])
    known[0], known[1] = min(known[0], time), max(known[1], time)


def _policy(members: Mapping[str, Any]) -> str:
    digest = text(members, "digest") or text(members, "bundle", "sha256")
    revision = text(members, "revision") or text(members, "bundle", "version")
    return f"policy set {digest[:12]}, data {revision[:12]}"


def _status(members: Mapping[str, Any]) -> str:
    skipped = {"v", "id", "kind", "ts", "n", "stream", "seq", "prev", "detail"}
    return ", ".join(f"{name} {value}" for name, value in members.items() if name not in skipped)


def activity(
    leaves: Iterable[Leaf], end: int, day: Callable[[int], str], off: Callable[[int], bool] = lambda _: False
) -> Activity:
    """`end`: of the period, or now. `day`: of a moment, as it is shown. `off`: is it outside the usual hours?"""
    found = Activity()
    for each in leaves:
        found.add(each, day, off)
    found.end(end)
    return found


@dataclass(slots=True)
class Covered:
    """The inventory against what was seen (R68)."""

    spoke: list[tuple[str, int, int]] = field(default_factory=list)  # service, first, last
    silent: list[tuple[str, str]] = field(default_factory=list)  # service, how
    strangers: list[str] = field(default_factory=list)  # seen, and in no inventory


def covered(
    found: Activity, inventory: Collection[Service], period: Period, now: int, show: Callable[[int], str]
) -> Covered:
    """Which services are in the log, which are not, and who else is."""
    result = Covered()
    for each in inventory:
        seen = [found.peps[name] for name in each.peps if name in found.peps]
        seen += [found.clients[name] for name in each.clients if name in found.clients]
        if not seen:
            result.silent.append((each.name, "not once in this period"))
            continue
        first, last = min(one[0] for one in seen), max(one[1] for one in seen)
        result.spoke.append((each.name, first, last))
        end = min(period.after, now)
        if each.silent_after and end - last > each.silent_after:
            result.silent.append((each.name, f"since {show(last)}"))
        elif each.silent_after and min(one[2] for one in seen) > each.silent_after:
            result.silent.append((each.name, "for longer than it may be, in between"))
    peps = {name for each in inventory for name in each.peps}
    clients = {name for each in inventory for name in each.clients}
    result.strangers = [f"pep {name}" for name in sorted(found.peps.keys() - peps)]
    result.strangers += [f"client {name}" for name in sorted(found.clients.keys() - clients)]
    return result
