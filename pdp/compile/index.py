"""Which rules can apply, found by hashing on what their conditions pin.

A conjunct `path == literal`, `path in {literals}` or `path in Code` pins the path: for any other value the rule is
false, whatever the rest does (SEMANTICS 2). Rules that pin the same paths share one table, from the paths' values to
the rules; a rule lies in one table, under each combination of its values, so that memory is linear. A look-up costs one
hash for each table, and how many tables are worth it is chosen by an estimate of that cost.

A path whose value is unknown or absent pins nothing: then all rules it could pin are candidates (SEMANTICS 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pdp.compile.nodes import closure, literal
from pdp.language.core import And, Expr, Has, Literal, Operation, Or, Select, Variable
from pdp.language.schema import Attribute, Schema
from pdp.language.types import EntityType, RecordType
from pdp.model.value import Ip

MAX_VALUES: Final = 64
"""At most so many combinations of values, so many places of one rule in its table."""
MAX_PATHS: Final = 12
MAX_HOPS: Final = 3
_TABLE_NS: Final = 70
_RULE_NS: Final = 90

PathKey = tuple[Any, ...]
"""A path in short: root, then the slot of each hop. The types are those of the setting, so slots tell."""


@dataclass(frozen=True, slots=True)
class Pin:
    path: Expr
    values: frozenset[Any]
    guarded: bool  # under a guard `has`: what is absent makes the rule false
    items: frozenset[int]  # the conjuncts that a match makes true


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule's condition in one setting: its conjuncts, and what they pin."""

    items: tuple[Expr, ...]
    pins: Mapping[PathKey, Pin]


@dataclass(frozen=True, slots=True)
class Table:
    """`keys`: the paths of the key and whether each is guarded. `rules`: key -> candidate numbers."""

    keys: tuple[PathKey, ...]
    paths: tuple[tuple[Expr, bool], ...]
    rules: dict[Any, list[int]]


@dataclass(frozen=True, slots=True)
class Index:
    always: tuple[int, ...]
    tables: tuple[Table, ...]
    settled: tuple[frozenset[int], ...]  # by candidate: the conjuncts that need no test once it is found


def conjuncts(condition: Expr) -> tuple[Expr, ...]:
    if isinstance(condition, Literal):
        return () if condition.value is True else (condition,)
    return condition.items if isinstance(condition, And) else (condition,)


def candidate(condition: Expr, schema: Schema, action: Mapping[str, Attribute]) -> Candidate:
    """Find the pins of a condition that is concrete."""
    items = conjuncts(condition)
    pins: dict[PathKey, Pin] = {}
    for number, item in enumerate(items):
        found = _pin(item, schema)
        if found is None:
            continue
        path, values = found
        key = path_key(path)
        if key is None or len(values) > MAX_VALUES:
            continue
        guard = _guard(path, items)
        if _optional(path, schema, action) and guard is None:
            continue
        own = frozenset({number} if guard is None else {number, guard})
        known = pins.get(key)
        if known is not None:
            values, own = values & known.values, own | known.items
        if not values:
            continue  # It can never be true, but it can still err: it has to be found.
        pins[key] = Pin(path, values, guard is not None, own)
    return Candidate(items, pins)


def build(candidates: Sequence[Candidate]) -> Index:
    """Choose the paths, then put each rule in its table."""
    active = _chosen(candidates)
    always: list[int] = []
    tables: dict[tuple[PathKey, ...], Table] = {}
    settled: list[frozenset[int]] = []
    for number, each in enumerate(candidates):
        keys = _keys(each, active)
        settled.append(frozenset().union(*(each.pins[key].items for key in keys)))
        if not keys:
            always.append(number)
            continue
        table = tables.get(keys)
        if table is None:
            paths = tuple((each.pins[key].path, False) for key in keys)
            table = tables[keys] = Table(keys, paths, {})
        for combination in _combinations(each, keys):
            table.rules.setdefault(combination, []).append(number)
    finished = (_with_guards(tables[keys], candidates) for keys in sorted(tables, key=repr))
    return Index(tuple(always), tuple(finished), tuple(settled))


def no_index(candidates: Sequence[Candidate]) -> Index:
    """Every rule is always a candidate: what an index must agree with."""
    return Index(tuple(range(len(candidates))), (), (frozenset(),) * len(candidates))


def _with_guards(table: Table, candidates: Sequence[Candidate]) -> Table:
    """A path is guarded if every rule of the table guards it; else what is absent must stay an error."""
    numbers = {number for found in table.rules.values() for number in found}
    paths = tuple(
        (path, all(candidates[number].pins[key].guarded for number in numbers))
        for key, (path, _) in zip(table.keys, table.paths, strict=True)
    )
    return Table(table.keys, paths, table.rules)


def _combinations(each: Candidate, keys: tuple[PathKey, ...]) -> Iterable[Any]:
    """The keys of a rule: bare values for one path, tuples for several."""
    if len(keys) == 1:
        return _ordered(each.pins[keys[0]].values)
    found: list[tuple[Any, ...]] = [()]
    for key in keys:
        values = _ordered(each.pins[key].values)
        found = [(*head, value) for head in found for value in values]
    return found


def _ordered(values: frozenset[Any]) -> list[Any]:
    return list(values) if len(values) == 1 else sorted(values, key=repr)


def _keys(each: Candidate, active: Sequence[PathKey]) -> tuple[PathKey, ...]:
    """The active paths that a rule pins, the most telling first, as many as its values allow."""
    keys: list[PathKey] = []
    size = 1
    for key in active:
        pin = each.pins.get(key)
        if pin is not None and size * len(pin.values) <= MAX_VALUES:
            keys.append(key)
            size *= len(pin.values)
    return tuple(keys)


def _chosen(candidates: Sequence[Candidate]) -> list[PathKey]:
    """The paths worth hashing on, the one with the most different values first."""
    values: dict[PathKey, set[Any]] = {}
    uses: Counter[PathKey] = Counter()
    for each in candidates:
        for key, pin in each.pins.items():
            values.setdefault(key, set()).update(pin.values)
            uses[key] += 1
    active = sorted(values, key=lambda key: (-len(values[key]), -uses[key], repr(key)))[:MAX_PATHS]
    cost = _cost(candidates, active)
    for key in reversed(tuple(active)):
        fewer = [each for each in active if each != key]
        cheaper = _cost(candidates, fewer)
        if cheaper <= cost:
            active, cost = fewer, cheaper
    return active


def _cost(candidates: Sequence[Candidate], active: Sequence[PathKey]) -> float:
    """Nanoseconds that one look-up and its candidates take, where requests are spread as rules are."""
    always = 0
    sizes: dict[tuple[PathKey, ...], Counter[Any]] = {}
    for each in candidates:
        keys = _keys(each, active)
        if keys:
            counter = sizes.setdefault(keys, Counter())
            for combination in _combinations(each, keys):
                counter[combination] += 1
        else:
            always += 1
    expected = sum(
        _TABLE_NS + _RULE_NS * sum(size * size for size in counter.values()) / counter.total()
        for counter in sizes.values()
        if counter
    )
    return always * _RULE_NS + expected


# Pins.


def _pin(item: Expr, schema: Schema) -> tuple[Expr, frozenset[Any]] | None:
    """(path, values) where the item is true exactly if the path's value is one of these."""
    match item:
        case Operation("equal", (left, right)):
            if isinstance(right, Literal):
                return left, _hashable((right.value,))
            return (right, _hashable((left.value,))) if isinstance(left, Literal) else None
        case Operation("in_code", (path, Literal(value=code))):
            return path, closure(schema.codes, [code])
        case Operation("in_collection" | "code_in_collection" as operator, (path, members)):
            found = literal(members)
            if found is None:
                return None
            return path, closure(schema.codes, found) if operator.startswith("code") else _hashable(found)
        case Or(items):
            return _one_path([_pin(each, schema) for each in items])
        case _:
            return None


def _one_path(found: Sequence[tuple[Expr, frozenset[Any]] | None]) -> tuple[Expr, frozenset[Any]] | None:
    """`x == 1 or x == 2` pins x to either."""
    values: frozenset[Any] = frozenset()
    for each in found:
        if each is None or found[0] is None or path_key(each[0]) != path_key(found[0][0]):
            return None
        values |= each[1]
    return None if found[0] is None else (found[0][0], values)


def _hashable(values: Iterable[Any]) -> frozenset[Any]:
    return frozenset(tuple(value) if isinstance(value, Ip) else value for value in values)


def path_key(expr: Expr) -> PathKey | None:
    """The path that an expression is, if it is one, short, and in one slot for every type it can have."""
    match expr:
        case Variable(name="subject" | "resource" | "context" | "action" as name):
            return (name,)
        case Select(target, _, slots):
            above = path_key(target)
            numbers = {slot for _, slot in slots}
            if above is None or len(above) > MAX_HOPS or len(numbers) != 1:
                return None
            if isinstance(target.type, EntityType) and not target.type.names <= {name for name, _ in slots}:
                return None
            return (*above, numbers.pop())
        case _:
            return None


def _guard(path: Expr, items: Sequence[Expr]) -> int | None:
    if not isinstance(path, Select):
        return None
    for number, item in enumerate(items):
        if isinstance(item, Has) and item.name == path.name and item.target == path.target:
            return number
    return None


def _optional(path: Expr, schema: Schema, action: Mapping[str, Attribute]) -> bool:
    """May the last hop be absent without a guard being wrong? An optional hop before it is no path at all."""
    match path:
        case Select(Variable("context"), name):
            return schema.context[name].optional
        case Select(Variable("action"), name):
            return name not in action or action[name].optional
        case Select(target, name):
            match target.type:
                case RecordType(fields):
                    return any(each.name == name and each.optional for each in fields)
                case EntityType(names):
                    return any(schema.entities[each].attributes[name].optional for each in names)
        case _:
            pass
    return False
