"""What happened, in the order of time: the records that are meant, and between them what the log says of itself.

Each event may carry marks: that it is the first access of somebody to a patient, that the purpose is another one than
before, that it was an emergency, that it followed on denials. They are about what was found, not about all that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from pdp.audit.asking.asked import SHOWN
from pdp.audit.asking.row import Row, row
from pdp.audit.asking.says import policy, says
from pdp.audit.leaf import Leaf

MINUTE: Final = 60_000_000
SILENCE: Final = 3 * MINUTE
"""After so long without one a heartbeat is missed."""
FOLLOWS: Final = 15 * MINUTE
"""Within so long an allow is said to follow on a denial."""
EMERGENCY: Final = frozenset({"BTG", "ETREAT"})
HEARTBEAT: Final = "heartbeat"
SYSTEM: Final = frozenset({"policy.activate", HEARTBEAT, "audit.status", "key.rotate", "key.erase", "prune"})
"""Of whatever else is asked, these belong to the story."""
QUIET: Final = frozenset({"key-published", "started", "recovered"})
MOST: Final = 100_000


class TooMuch(Exception):
    """More than a story: somebody should ask for less."""


@dataclass(frozen=True, slots=True)
class Event:
    """`marks`: what there is to see in it; `told`: of what the log says of itself, in words."""

    moment: int
    row: Row | None
    marks: tuple[str, ...] = ()
    told: str = ""
    index: int | None = None


@dataclass(slots=True)
class Story:
    """Takes records as they come and tells them in the order of time."""

    patient_type: str
    signed: int | None = None  # how many records a checkpoint covers
    _events: list[Event] = field(default_factory=list)
    _beats: dict[str, list[int]] = field(default_factory=dict)

    def take(self, leaf: Leaf) -> None:
        """A record that is meant. Raises TooMuch."""
        self._keep(Event(leaf.time, row(leaf, self.patient_type, self.signed), index=leaf.index))

    def take_system(self, leaf: Leaf) -> None:
        """A record of the log about itself. Raises TooMuch."""
        if leaf.kind == HEARTBEAT:
            self._beats.setdefault(lane(leaf.stream), []).append(leaf.time)
            return
        told = words(leaf)
        if told:
            self._keep(Event(leaf.time, None, told=told, index=leaf.index))

    def _keep(self, event: Event) -> None:
        if len(self._events) >= MOST:
            raise TooMuch
        self._events.append(event)

    def told(self) -> list[Event]:
        """Everything, in order. What the log says of itself only from just before the first event to the last."""
        own = [each.moment for each in self._events if each.row is not None and each.moment]
        if not own:
            return []
        first, last = min(own), max(own)
        events = [each for each in self._events if each.row is not None or first - 60 * MINUTE <= each.moment <= last]
        events += [each for each in self._silences() if first - 60 * MINUTE <= each.moment <= last]
        events.sort(key=lambda each: (each.moment, each.index if each.index is not None else 1 << 62))
        return list(_marked(events))

    def _silences(self) -> Iterator[Event]:
        """Where a stream that had heartbeats has none for a while."""
        for name, beats in self._beats.items():
            beats.sort()
            for before, after in pairwise(beats):
                if after - before > SILENCE:
                    minutes = (after - before) // MINUTE
                    yield Event(before, None, told=f"no heartbeat of {name} for {minutes} minutes from here on")


def lane(stream: str) -> str:
    return stream.rpartition("/")[0]


def _marked(events: Iterable[Event]) -> Iterator[Event]:
    seen: set[tuple[str, str]] = set()
    purposes: dict[tuple[str, str], str] = {}
    denied: dict[tuple[str, str], list[int]] = {}
    for event in events:
        found = event.row
        if found is None or found.kind not in SHOWN:
            yield event
            continue
        pair, marks = (found.who, found.patient or found.resource), list[str]()
        if pair not in seen and found.who and found.effect == "allow":
            seen.add(pair)
            marks.append("first access")
        before = purposes.get(pair, found.purpose)
        if found.purpose and before and found.purpose != before:
            marks.append(f"purpose was {before}")
        if found.purpose:
            purposes[pair] = found.purpose
        if found.purpose in EMERGENCY:
            marks.append("EMERGENCY")
        if found.effect == "deny":
            denied.setdefault(pair, []).append(event.moment)
        elif refusals := [each for each in denied.pop(pair, []) if event.moment - each <= FOLLOWS]:
            times = "a denial" if len(refusals) == 1 else f"{len(refusals)} denials"
            marks.append(f"after {times}")
        yield replace(event, marks=tuple(marks))


def words(leaf: Leaf) -> str:
    """What the log says of itself; "" for what is no part of a story."""
    members = leaf.members
    match leaf.kind:
        case "policy.activate":
            return f"another policy set is in force: {policy(members)}"
        case "key.rotate":
            return f"another key: {says(leaf)}"
        case "key.erase":
            return f"keys of details were erased: {says(leaf)}"
        case "prune":
            return f"records were pruned: {says(leaf)}"
        case "audit.status":
            event = str(members.get("event", ""))
            if not event or event in QUIET:
                return ""
            loud = event in ("corruption", "segment-poisoned")
            said = " ".join(
                str(members[name]) if name == "what" else f"{name} {members[name]}"
                for name in ("what", "slot", "segment")
                if name in members
            )
            return f"{'THE LOG WAS DAMAGED: ' if loud else 'the log says: '}{event} {said}".rstrip()
        case _:
            return ""
