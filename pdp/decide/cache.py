"""The decision cache: what the key is made of, how long an entry holds, what an eviction drops.

The key is exactly what the decision function reads of the request (SEMANTICS 23): raw JSON values, told apart by type,
and the identifiers where they are read. One cache belongs to one engine, so one program and one data revision stand for
all the rest. No hashing by us: the tuple is the key.

`FIFOCache`, since a hit only reads: one dict lookup, nothing reordered, no lock. Every fill beyond the bound pushes the
oldest entry out, also a busy one, which then costs its next request one evaluation; `LRUCache` would cost every hit a
write (and, among threads, a lock).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import count
from threading import Lock
from typing import Any, Final

from cachetools import FIFOCache

from pdp.decide.frame import Plan, Reader, identifies
from pdp.model.decision import Capabilities, Decision, PolicyResult
from pdp.model.request import Request
from pdp.model.value import Entity, Row

Key = tuple[object, ...]

MAX_KEY_SIZE: Final = 4_096
"""Characters and members of a key. A request that needs more is answered, but not kept."""

MAX_EVICTIONS: Final = 256
"""Evictions remembered one by one; one more empties the cache."""

MAX_PROFILES: Final = 16
"""Capabilities for which one answer keeps a finished decision."""


class Uncacheable(Exception):
    """This request's answer is not kept: a value of its key is not JSON, or is known to be unknown."""


def tagged(value: object) -> object:
    """A JSON value as a member of a key. Texts stand for themselves; all else is tagged with its type.

    Python holds ``True == 1 == Decimal(1)``, and a policy does not. Raises Uncacheable for what is not JSON.
    """
    kind = type(value)
    if kind is str or value is None:
        return value
    if kind is int or kind is bool:
        return (kind, value)
    if kind is Decimal:
        return (kind, str(value))
    if isinstance(value, list):
        for item in value:
            if type(item) is not str:
                return (list, *map(tagged, value))
        return (list, *value)  # A list of codes or identifiers: what most lists are.
    if isinstance(value, dict):
        return (dict, *((name, tagged(value[name])) for name in sorted(value)))
    raise Uncacheable(kind.__name__)


def key_function(number: int, plan: Plan) -> Callable[[Request], Key]:
    """Emits ``key(request)`` for one plan: straight code that looks at what the plan reads, and at nothing else.

    The text holds names of ours alone; what comes from a policy (names of attributes) is passed in as values. `number`
    tells the plans of one cache apart. The function raises Uncacheable where the answer may not be kept.
    """
    names: dict[str, Any] = {"Uncacheable": Uncacheable, "tagged": tagged, "identifies": identifies}
    fresh = count()
    lines: list[str] = []
    members = [str(number)]
    for part, read in (("subject", plan.reads_subject), ("resource", plan.reads_resource)):
        if read:
            members.append(f"request.{part}_id")
        else:  # Not part of the key, and so not vouched for by the request that filled the entry.
            lines.append(f"if not identifies(request.{part}_id): raise Uncacheable")
    if plan.subject_type == plan.resource_type:
        merged = "" if plan.both else " and request.route"
        lines.append(f"if request.subject_id == request.resource_id{merged}: raise Uncacheable")
    maps: dict[str, str] = {}
    for reader in (*plan.subject, *plan.action, *plan.resource, *plan.context):
        member = f"v{next(fresh)}"
        lines += _lines_for(reader, member, maps, names)
        members.append(member)
    members.append("tagged(request.route) if request.route else None")
    body = "\n    ".join([*lines, f"return ({', '.join(members)},)"])
    exec(compile(f"def key(request):\n    {body}\n", "<cache key>", "exec"), names)
    function: Callable[[Request], Key] = names["key"]
    return function


_FIELDS: Final = {
    ("subject", "caller"): "subject_properties",
    ("action", "caller"): "action_properties",
    ("resource", "caller"): "resource_properties",
    ("context", "caller"): "context",
}


def _lines_for(reader: Reader, member: str, maps: dict[str, str], names: dict[str, Any]) -> list[str]:
    """Lines that leave in `member` what the reader would read."""
    if reader.own is None or reader.attribute.place == "source":
        return ["raise Uncacheable"]  # No place may speak of it, so it is never known; or it is volatile.
    place = reader.attribute.place
    source = _FIELDS.get((reader.part, place), place)
    lines = []
    if source not in maps:
        maps[source] = f"m{len(maps)}"
        lines.append(f"{maps[source]} = request.{source}")
        lines.append(f"if {maps[source]} is None: raise Uncacheable")
    names[f"n_{member}"] = reader.attribute.name
    names[f"r_{member}"] = _not_text(reader)
    lines.append(f"{member} = {maps[source]}.get(n_{member})")
    lines.append(f"if type({member}) is not str: {member} = r_{member}({member}, request)")
    return lines


def _not_text(reader: Reader) -> Callable[[object, Request], object]:
    """What stands in the key for a value that is no text, or for none. Unknown is not kept, so it needs no member."""

    def member(value: object, request: Request) -> object:
        if value is not None:
            return tagged(value)
        if not reader.attribute.optional or reader.offered(request):
            raise Uncacheable(reader.label)
        return None

    return member


class Answer:
    """A policy result, and the finished decision for each profile that has asked (SEMANTICS 24)."""

    __slots__ = ("finished", "last", "result")

    def __init__(self, result: PolicyResult) -> None:
        self.result = result
        self.last: tuple[Capabilities, Decision] | tuple[None, None] = (None, None)  # One pair: read in one step.
        self.finished: dict[Capabilities, Decision] = {}

    def keep(self, capabilities: Capabilities, decision: Decision) -> None:
        if len(self.finished) >= MAX_PROFILES:
            self.finished = {}
        self.finished[capabilities] = decision
        self.last = (capabilities, decision)


class Entry:
    """An answer that holds for now in [evaluated, until), as long as nothing that it read is evicted (SEMANTICS 25)."""

    __slots__ = ("answer", "evaluated", "evictions", "plan", "resource", "subject", "until")

    def __init__(self, answer: Answer, evaluated: int, evictions: int, plan: Plan, subject: Entity, resource: Entity):
        self.answer = answer
        self.evaluated = evaluated
        self.until = answer.result.valid_until
        self.evictions = evictions
        self.plan = plan
        self.subject = subject
        self.resource = resource

    def read(self, reference: Entity, rows: dict[Entity, Row]) -> bool:
        """May the answer depend on this entity? In doubt, yes."""
        if self.plan.through or reference in (self.subject, self.resource):
            return True
        return any(
            not isinstance(ancestors := rows[each][0], frozenset) or reference in ancestors
            for each in (self.subject, self.resource)
        )


class Cache:
    """Entries by key, bounded. Reading (``cache.entries[key]``) takes no lock; only writers wait for each other."""

    def __init__(self, size: int) -> None:
        self.entries: FIFOCache[Key, Entry] = FIFOCache(maxsize=max(size, 0))
        self.evictions = 0
        self._evicted: list[tuple[int, Entity]] = []
        self._forgotten = 0  # Entries from before this eviction are void.
        self._lock = Lock()

    def put(self, key: Key, entry: Entry) -> None:
        """Keep an entry, unless an eviction came while it was evaluated."""
        if self.entries.maxsize == 0 or _size(key) > MAX_KEY_SIZE:
            return
        with self._lock:
            if entry.evictions == self.evictions:
                self.entries[key] = entry

    def evict(self, reference: Entity) -> None:
        """Void every entry that read this entity. Takes effect at once; each entry finds out when next it is asked."""
        with self._lock:
            self._evicted.append((self.evictions + 1, reference))
            if len(self._evicted) > MAX_EVICTIONS:
                self.entries.clear()
                self._forgotten = self.evictions + 1
                self._evicted = []
            self.evictions += 1

    def outlives(self, entry: Entry, rows: dict[Entity, Row]) -> bool:
        """Has the entry survived the evictions since it was last looked at?"""
        with self._lock:
            since, until = entry.evictions, self.evictions
            evicted = [reference for number, reference in self._evicted if number > since]
            if since < self._forgotten:
                return False
        if any(entry.read(reference, rows) for reference in evicted):
            return False
        entry.evictions = until
        return True


def _size(member: object) -> int:
    if type(member) is str:
        return len(member)
    if type(member) is tuple:
        return 1 + sum(map(_size, member))
    return 1
