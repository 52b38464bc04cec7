"""What a rule says of one access, and what it may look at to say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any, Final, NamedTuple

from pdp.audit.detect.access import Access, Event, Place
from pdp.audit.detect.context import STAFF, Context
from pdp.audit.detect.rules import Rule, Rules
from pdp.audit.detect.window import DAY, State, Window

SHOWN: Final = 20
"""Places of records that one hit brings along."""
PEERS: Final = 3
"""Of whom an average says something."""


class Hit(NamedTuple):
    """`type`, `who`: whose case it is. `because`: a clause without any id, since an alert may say it."""

    type: str
    who: str
    patient: str
    points: int
    because: str
    places: tuple[Place, ...]


@dataclass(slots=True)
class Facts:
    """The same for all rules. `newest`, `started`: of the events so far, in microseconds."""

    context: Context
    rules: Rules
    now: int
    newest: int = 0
    started: int = 0
    suppressed: Counter[tuple[str, str]] = field(default_factory=Counter)
    unscheduled: int = 0
    population: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.population = Counter(each.role for each in self.context.staff.values())

    def role(self, access: Access) -> str:
        return self.context.person(access.who).role if access.type in self.rules.staff else ""

    def is_staff(self, access: Access) -> bool:
        return access.type in self.rules.staff and bool(access.who)

    def explained(self, rule: Rule, access: Access) -> bool:
        """Is it none, because something explains it? It is counted then."""
        if rule.suppresses(access.explained):
            self.suppressed[rule.id, access.explained] += 1
            return True
        return False

    def limit(self, rule: Rule, access: Access) -> int:
        return rule.limit(self.role(access), access.type)


def hit(access: Access, points: int, because: str, window: Window | None = None, about: bool = True) -> Hit:
    """Of somebody's access; with the last of a window as well, or with this one alone."""
    places = tuple(last(window)) if window is not None else (access.place,)
    return Hit(access.type, access.who, access.patient if about else "", points, because, places)


def last(window: Window, count: int = SHOWN) -> Iterable[Place]:
    """The places of the newest, in their order."""
    return reversed([place for _, _, place in islice(reversed(window.items), count)])


def once(window: Window, event: Event, value: str, length: int) -> bool:
    """Add what is not in the window yet. Is it new?"""
    window.forget(max(window.newest, event.time) - length)
    if value in window.counts:
        return False
    window.add(event.time, value, event.place, length)
    return True


def others(state: State, role: str, subject: str, population: int) -> float:
    """How many things the others of a role have in their windows, on average: `state.window(role, subject)`."""
    prefix, own = f"{role}\x1f", f"{role}\x1f{subject}"
    there = [len(each.counts) for name, each in state.windows.items() if name.startswith(prefix) and name != own]
    return sum(there) / max(population - 1, len(there), 1)


def usual(state: State, role: str, own: str, day: int) -> float:
    """The median of what the others of a role do in a day, once a day; 0.0: too few to say."""
    known = state.marks.get(f"peers\x1f{role}")
    if known is not None and known[1] == day:
        return float(known[2])
    found = median_of(_each(state, role, own))
    state.marks[f"peers\x1f{role}"] = [(day + 1) * DAY, day, found]
    return found


def _each(state: State, role: str, own: str) -> Iterator[float]:
    prefix, mine = f"{role}\x1f", f"{role}\x1f{own}"
    for name, days in state.days.items():
        if name.startswith(prefix) and name != mine:
            counts = days.counts() or [len(days.today)]
            yield median(counts)


def median_of(values: Iterable[float]) -> float:
    found = list(values)
    return float(median(found)) if len(found) >= PEERS else 0.0


def marked(state: State, *key: str) -> list[Any] | None:
    return state.marks.get("\x1f".join(key))


def mark(state: State, said: list[Any], *key: str) -> None:
    state.mark("\x1f".join(key), said)


__all__ = [
    "STAFF",
    "Facts",
    "Hit",
    "hit",
    "last",
    "mark",
    "marked",
    "median_of",
    "once",
    "others",
    "usual",
]
