"""The read set of a decision function: every value that its rules can read (SEMANTICS 23).

A tree of places, from the roots down: `resource`, its `patient`, the patient's `care_team`, the members of that, their
`department`. It covers conditions, releases, field sets and the arguments of duties. It may say too much, never too
little: what it leaves out neither enters a cache key nor is looked at before an answer is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, assert_never

from pdp.language.core import (
    And,
    Collect,
    Expr,
    Has,
    If,
    Is,
    Literal,
    Not,
    Operation,
    Or,
    Quantifier,
    Select,
    Variable,
)
from pdp.language.schema import Attribute, Schema
from pdp.language.types import EntityType
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, entity_type

Slots = tuple[tuple[str, int], ...]
ANCESTORS: Final = "(parents)"
MEMBERS: Final = "[*]"


class Place:
    """Somewhere in the tree. `steps`: (name, slots) -> what lies there; members have the name `[*]` and no slots."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: dict[tuple[str, Slots], Place] = {}

    def step(self, name: str, slots: Slots) -> Place:
        return self.steps.setdefault((name, slots), Place())

    def __reduce__(self) -> tuple[Any, ...]:
        return _place, (tuple((key, self.steps[key]) for key in sorted(self.steps)),)

    def known(self, state: Any, frame: Frame) -> bool:
        """Is neither this state nor anything read below it unknown?"""
        if state is UNKNOWN:
            return False
        return state is ABSENT or all(
            each is not None and below.known(each, frame)
            for (name, slots), below in self.steps.items()
            for each in _states(state, name, slots, frame)
        )

    def names(self, prefix: str) -> Iterator[str]:
        yield prefix
        for (name, _), below in self.steps.items():
            yield from below.names(prefix + name if name == MEMBERS else f"{prefix}.{name}")


def _place(steps: Iterable[tuple[tuple[str, Slots], Place]]) -> Place:
    place = Place()
    place.steps.update(steps)
    return place


def _states(state: Any, name: str, slots: Slots, frame: Frame) -> Iterable[Any]:
    """What one step leads to: each member, a record's field, an entity's attribute."""
    if name == MEMBERS:
        return state  # type: ignore[no-any-return]
    if isinstance(state, tuple):
        return (state[slots[0][1]],)
    row = frame.row(state)
    if name == ANCESTORS:
        return (row[0],)
    own = entity_type(state)
    return [row[slot] for type_name, slot in slots if type_name == own]


class _Collected:
    """The places of a collection that an expression puts together: only its members lie anywhere."""

    def __init__(self, members: list[Place | _Collected]) -> None:
        self.members = members

    def step(self, _name: str, _slots: Slots) -> Place:
        return Place()


Places = list[Place | _Collected]


@dataclass(frozen=True, slots=True)
class Reads:
    """`subject`, `resource`: is the reference itself, or anything behind it, read? Their types always count.

    `subject_attributes` (by entity type) and `resource_attributes` hold only what requests say (token, certificate,
    route, caller); what is stored stands under the data revision.
    """

    subject: bool
    resource: bool
    context: tuple[Attribute, ...]
    action: tuple[Attribute, ...]
    subject_attributes: dict[str, tuple[Attribute, ...]]
    resource_attributes: tuple[Attribute, ...]
    paths: frozenset[str]
    roots: dict[str, Place] = field(repr=False)

    def all_known(self, frame: Frame) -> bool:
        """No member of the read set is unknown, the members of collections included."""
        found = {
            "subject": frame.subject,
            "resource": frame.resource,
            "context": frame.context_row,
            "action": frame.action_row,
        }
        return all(place.known(found.get(name, name), frame) for name, place in self.roots.items())


class Reader:
    """Collects the reads of one decision function."""

    def __init__(self, schema: Schema, action: str, resource_type: str, subjects: frozenset[str]) -> None:
        self._schema = schema
        self._action = schema.actions[action, resource_type].attributes
        self._resource_type = resource_type
        self._subjects = subjects
        self._roots: dict[str, Place] = {}
        self._said: dict[str, dict[str, Attribute]] = {}  # entity type -> attributes that requests say

    def root(self, name: str) -> Place:
        return self._roots.setdefault(name, Place())

    def read(self, expr: Expr) -> None:
        self._sources(expr, {})

    def finish(self) -> Reads:
        context = self._attributes("context", self._schema.context)
        for attribute in context:
            self._provisioned(attribute)
        said = {name: tuple(sorted(found.values(), key=lambda each: each.slot)) for name, found in self._said.items()}
        return Reads(
            "subject" in self._roots,
            "resource" in self._roots,
            context,
            self._attributes("action", self._action),
            {name: said[name] for name in sorted(said) if name in self._subjects},
            said.get(self._resource_type, ()),
            frozenset(path for name in self._roots for path in self._roots[name].names(name)),
            {name: self._roots[name] for name in sorted(self._roots)},
        )

    def _attributes(self, root: str, declared: dict[str, Attribute]) -> tuple[Attribute, ...]:
        place = self._roots.get(root)
        if place is None:
            return ()
        read = {name for name, _ in place.steps}
        return tuple(each for each in declared.values() if each.name in read)

    def _provisioned(self, attribute: Attribute) -> None:
        """Whether a provisioned attribute is known depends on what the subject is provisioned for (SEMANTICS 21)."""
        name = attribute.provisioned_by
        if not name:
            return
        holders = [each for each in sorted(self._subjects) if name in self._schema.entities[each].attributes]
        slots = tuple((each, self._schema.entities[each].attributes[name].slot) for each in holders)
        self._attribute(self.root("subject"), name, slots)

    def _attribute(self, place: Place | _Collected, name: str, slots: Slots) -> Place:
        """A step to an attribute of an entity. What may be the subject or the resource is read as they are."""
        for type_name, _ in slots:
            attribute = self._schema.entities[type_name].attributes[name]
            if type_name == self._resource_type:
                self.root("resource")
            if not attribute.stored:
                self._said.setdefault(type_name, {})[name] = attribute
                if type_name in self._subjects:
                    self.root("subject")
        return place.step(name, slots)

    def _sources(self, expr: Expr, bound: dict[str, Places]) -> Places:
        """Read an expression; the places where its value, if it is an entity, record or collection, can lie."""
        match expr:
            case Literal(value, type):
                return [self.root(str(value))] if isinstance(type, EntityType) else _literals(self, value, expr)
            case Variable("now"):
                return []
            case Variable(name):
                return bound[name] if name in bound else [self.root(name)]
            case Select(target, name, slots) | Has(target, name, slots):
                places = self._sources(target, bound)
                if isinstance(target.type, EntityType):
                    return [self._attribute(place, name, slots) for place in places]
                return [place.step(name, slots) for place in places]
            case Is(target):
                self._sources(target, bound)
                return []
            case And(items) | Or(items):
                for item in items:
                    self._sources(item, bound)
                return []
            case Not(operand):
                return self._sources(operand, bound)
            case If(condition, then, otherwise):
                self._sources(condition, bound)
                return self._sources(then, bound) + self._sources(otherwise, bound)
            case Quantifier(_, variable, collection, body):
                members = _members(self._sources(collection, bound))
                self._sources(body, {**bound, variable: members})
                return []
            case Operation(operator, arguments):
                return self._operation(operator, list(map(self._sources, arguments, repeat(bound))))
            case Collect(items):
                return [_Collected([place for found in map(self._sources, items, repeat(bound)) for place in found])]
            case _:
                assert_never(expr)

    def _operation(self, operator: str, arguments: list[Places]) -> Places:
        """Only operations on collections give what can be read further; parenthood reads the ancestors."""
        if operator == "in_entity":
            for place in arguments[0]:
                place.step(ANCESTORS, ())
        if operator in ("union", "intersection", "difference", "to_set"):
            return [place for places in arguments for place in places]
        return []


def _literals(reader: Reader, value: Any, expr: Literal) -> Places:
    """The members of a written-down collection of entities."""
    element = getattr(expr.type, "element", None)
    if isinstance(element, EntityType):
        return [_Collected([reader.root(str(each)) for each in sorted(value)])]
    return []


def _members(places: Places) -> Places:
    found: Places = []
    for place in places:
        found += place.members if isinstance(place, _Collected) else [place.step(MEMBERS, ())]
    return found
