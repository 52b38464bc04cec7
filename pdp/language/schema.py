"""What is declared: entities with attributes and their provenance, kinds, actions, context, fields, obligations."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.diagnostics.source import NOWHERE, Span
from pdp.language.types import EntityType, RecordField, RecordType, Type
from pdp.language.vocabulary import Codes

DATA = "data"
PLACES = ("token", "certificate", "route", "source", "caller", DATA)

REQUEST_SOURCES: dict[str, tuple[str, ...]] = {"limits": ("subject_left", "client_left", "subject_patient_left")}
"""What may stand in the context `from source NAME`, each an Int: what our own sources say of one request. Volatile."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`place` is the one place its value comes from (SEMANTICS 5); `source` names it for place "source"."""

    name: str
    type: Type
    optional: bool = False
    place: str = DATA
    source: str = ""
    slot: int = (
        0  # entity attributes: 1, 2, ... in declared order (slot 0 is the ancestors); context, action: 0, 1, ...
    )
    provisioned_by: str = ""  # context only: the subject's Set attribute that must hold the value (SEMANTICS 21)
    span: Span = field(default=NOWHERE, compare=False)

    @property
    def stored(self) -> bool:
        """Does it live in the entity store (bundle data or a source), not in the request?"""
        return self.place in (DATA, "source")


@dataclass(frozen=True, slots=True)
class EntityDeclaration:
    name: str
    wire: str
    parents: frozenset[str]  # entity type names
    attributes: dict[str, Attribute]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class ActionDeclaration:
    """One (action, resource type) pair that may be asked for. `subjects`: entity types that may ask."""

    name: str
    wire: str
    resource: str
    subjects: frozenset[str]
    attributes: dict[str, Attribute]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class ObligationDeclaration:
    name: str
    parameters: tuple[RecordField, ...]
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Schema:
    entities: dict[str, EntityDeclaration]
    kinds: dict[str, frozenset[str]]
    actions: dict[tuple[str, str], ActionDeclaration]  # by (action name, resource type name)
    groups: dict[str, frozenset[str]]  # action group -> action names, fully expanded
    context: dict[str, Attribute]
    fields: dict[str, frozenset[str]]  # named field sets
    obligations: dict[str, ObligationDeclaration]
    codes: Codes
    by_wire: dict[str, str]  # wire type -> entity name
    action_by_wire: dict[str, str]

    def context_type(self) -> RecordType:
        return record(self.context)


def record(attributes: dict[str, Attribute]) -> RecordType:
    """The record type of the variables `context` and `action`: a field for each attribute, in slot order."""
    return RecordType(tuple(RecordField(each.name, each.type, each.optional) for each in attributes.values()))


def one(name: str) -> EntityType:
    return EntityType(frozenset({name}))
