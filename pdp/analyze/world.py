"""A test's own world: what its givens say becomes a data snapshot and a request, whatever place each attribute has.

Stored attributes are typed as data are, and one that does not fit fails the test. What a token, a certificate, the
route or the caller owns goes into the request by that place, as JSON, and is typed where a rule reads it. An entity
that is given has spoken: its optional attributes that are not given are absent. One that is not given is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pdp.language import wire
from pdp.language.schema import REQUEST_SOURCES, Attribute, Schema
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import ABSENT, UNKNOWN, Entity, Row, entity

MAX_DEPTH: Final = 200


class BadWorld(Exception):
    """The givens of a test cannot stand. The message names the given."""


@dataclass(frozen=True, slots=True)
class Given:
    """An entity as a test gives it: type as Ward names it, attributes as JSON."""

    type: str
    id: str
    parents: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> Entity:
        return entity(self.type, self.id)

    def __str__(self) -> str:
        return f'given {self.type} "{self.id}"'


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks for what, in wire names. The properties are said by the caller, beside what the givens say."""

    subject: tuple[str, str]
    action: str
    resource: tuple[str, str]
    context: Mapping[str, Any] = field(default_factory=dict)
    action_attributes: Mapping[str, Any] = field(default_factory=dict)
    subject_properties: Mapping[str, Any] = field(default_factory=dict)
    resource_properties: Mapping[str, Any] = field(default_factory=dict)
    searched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class World:
    entities: Entities
    request: Request


def world(givens: Sequence[Given], question: Question, schema: Schema) -> World:
    """Build it. Later givens replace earlier ones of the same entity. Raises BadWorld."""
    by_reference = {each.reference: each for each in givens}
    for each in by_reference.values():
        _check(each, schema)
    ancestors = _ancestors(by_reference, schema)
    rows = {reference: _row(each, ancestors[reference], schema) for reference, each in by_reference.items()}
    return World(Entities(rows, "test"), _request(by_reference, question, schema))


def _check(given: Given, schema: Schema) -> None:
    """Names and the identifier; the types of values are seen when the row is made."""
    declared = schema.entities.get(given.type)
    if declared is None:
        raise BadWorld(f"{given}: there is no entity type `{given.type}`")
    try:
        wire.identifier(given.id)
    except wire.IllTyped as error:
        raise BadWorld(f"{given}: {error.message}") from error
    for name in given.attributes:
        if name not in declared.attributes:
            raise BadWorld(f"{given}: {given.type} has no attribute `{name}`")


def _ancestors(givens: Mapping[Entity, Given], schema: Schema) -> dict[Entity, frozenset[Entity]]:
    """All ancestors of each, transitively. Parents have to be given too, of a declared type, without a cycle."""
    done: dict[Entity, frozenset[Entity]] = {}
    for start in givens:
        _close(start, givens, schema, done, [])
    return done


def _close(
    reference: Entity,
    givens: Mapping[Entity, Given],
    schema: Schema,
    done: dict[Entity, frozenset[Entity]],
    path: list[Entity],
) -> frozenset[Entity]:
    if reference in done:
        return done[reference]
    given = givens[reference]
    if reference in path:
        raise BadWorld(f"{given}: it lies in itself")
    if len(path) >= MAX_DEPTH:
        raise BadWorld(f"{given}: more than {MAX_DEPTH} parents above one another")
    path.append(reference)
    found: set[Entity] = set()
    for parent_type, parent_id in given.parents:
        parent = entity(parent_type, parent_id)
        if parent_type not in schema.entities[given.type].parents:
            raise BadWorld(f"{given}: a {given.type} cannot lie in a {parent_type}")
        if parent not in givens:
            raise BadWorld(f'{given}: its parent {parent_type} "{parent_id}" is not given')
        found |= {parent} | _close(parent, givens, schema, done, path)
    path.pop()
    done[reference] = frozenset(found)
    return done[reference]


def _row(given: Given, ancestors: frozenset[Entity], schema: Schema) -> Row:
    states: list[object] = [ancestors]
    for attribute in schema.entities[given.type].attributes.values():
        states.append(_stored(given, attribute, schema) if attribute.stored else UNKNOWN)
    return tuple(states)


def _stored(given: Given, attribute: Attribute, schema: Schema) -> object:
    value = given.attributes.get(attribute.name)
    if value is UNKNOWN:
        return UNKNOWN
    if value is None:
        return ABSENT if attribute.optional else UNKNOWN
    try:
        return wire.typed(value, attribute.type, schema, ordinary=False)
    except wire.IllTyped as error:
        raise BadWorld(f"{given}: `{attribute.name}`: {error.message}") from error


def _request(givens: Mapping[Entity, Given], question: Question, schema: Schema) -> Request:
    subject = _given(givens, question.subject, schema)
    resource = _given(givens, question.resource, schema)
    said = _Said()
    if subject is not None:
        said.open("token", "certificate")
        said.of(subject.attributes, schema.entities[subject.type].attributes.values(), "subject")
    if resource is not None:
        said.open("route")
        said.of(resource.attributes, schema.entities[resource.type].attributes.values(), "resource")
    said.of(question.context, schema.context.values(), "context")
    said.unknown |= {f"action.{name}" for name, value in question.action_attributes.items() if value is UNKNOWN}
    unknown = [name for name in question.context if name not in schema.context]
    if unknown:
        raise BadWorld(f"given context: there is no attribute `{unknown[0]}`")
    (subject_type, subject_id), (resource_type, resource_id) = question.subject, question.resource
    return Request(
        subject_type,
        subject_id,
        question.action,
        resource_type,
        resource_id,
        {**said.caller["subject"], **question.subject_properties},
        {name: value for name, value in question.action_attributes.items() if value is not UNKNOWN},
        {**said.caller["resource"], **question.resource_properties},
        said.caller["context"],
        said.places.get("token"),
        said.places.get("certificate"),
        said.places.get("route"),
        question.searched,
        frozenset(said.unknown),
        said.sourced,
    )


def _given(givens: Mapping[Entity, Given], wire_reference: tuple[str, str], schema: Schema) -> Given | None:
    type_name = schema.by_wire.get(wire_reference[0])
    return None if type_name is None else givens.get(entity(type_name, wire_reference[1]))


class _Said:
    """What each place of the request says. A place that never opened its mouth is silent (None in the request)."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, Any]] = {}
        self.caller: dict[str, dict[str, Any]] = {"subject": {}, "resource": {}, "context": {}}
        self.unknown: set[str] = set()
        # Each source of requests speaks; what it is not given to say is absent, as where no limit is set.
        self.sourced: dict[str, dict[str, Any]] = {name: {} for name in REQUEST_SOURCES}

    def open(self, *places: str) -> None:
        for place in places:
            self.places.setdefault(place, {})

    def of(self, values: Mapping[str, Any], attributes: Iterable[Attribute], part: str) -> None:
        """Sort the values of one part by the places of its attributes. Stored ones live in the row."""
        for attribute in attributes:
            value = values.get(attribute.name)
            if value is None or (attribute.stored and part != "context"):
                continue
            if value is UNKNOWN:
                self.unknown.add(f"{part}.{attribute.name}")
            elif attribute.place == "caller":
                self.caller[part][attribute.name] = value
            elif attribute.place == "source":
                self.sourced.setdefault(attribute.source, {})[attribute.name] = value
            else:
                self._say(attribute.place, attribute.name, value)

    def _say(self, place: str, name: str, value: Any) -> None:
        members = self.places.setdefault(place, {})
        if name in members and members[name] != value:
            raise BadWorld(f"the {place} says two different things about `{name}`: subject and context share it")
        members[name] = value
