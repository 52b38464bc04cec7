"""A small rich world for tests: a schema with an attribute of every type, types as Ward writes them, and a frame.

It is built by hand from `pdp.language.schema`, so that a fault of the parser or the checker cannot hide in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pdp.diagnostics.source import NOWHERE
from pdp.language import wire
from pdp.language.core import Rule
from pdp.language.schema import (
    ActionDeclaration,
    Attribute,
    EntityDeclaration,
    ObligationDeclaration,
    Schema,
)
from pdp.language.types import (
    INT,
    PRIMITIVES,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    RecordField,
    RecordType,
    SetType,
    Type,
)
from pdp.language.vocabulary import Vocabulary, codes
from pdp.model.entities import Rows
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, UNKNOWN_ROW, Entity, Value, entity

ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def _vocabulary(name: str, system: str, symbols: str, parents: dict[str, tuple[str, ...]], ordered: bool) -> Vocabulary:
    named = dict(each.partition("=")[::2] if "=" in each else (each, each) for each in symbols.split())
    emergency = frozenset({"BTG"} & set(named))
    return Vocabulary(name, system, named, parents, ordered, emergency, NOWHERE)


_VOCABULARIES: Final = (
    _vocabulary(
        "Role",
        "https://hospital.example/roles",
        "clinician contractor physician nurse icu_nurse locum billing",
        {
            "physician": ("clinician",),
            "nurse": ("clinician",),
            "icu_nurse": ("nurse",),
            "locum": ("physician", "contractor"),
        },
        False,
    ),
    _vocabulary("Purpose", "urn:test:purpose", "TREAT ETREAT HPAYMT BTG", {"ETREAT": ("TREAT",)}, False),
    _vocabulary("Confidentiality", "urn:test:confidentiality", "U L M N R V", {}, True),
    _vocabulary("Sensitivity", ACT_CODE, "SUD ETH ALC PSY", {"ETH": ("SUD",), "ALC": ("ETH",)}, False),
    _vocabulary("Part2", ACT_CODE, "SUD ETH", {}, False),
    _vocabulary("Local", "urn:test:local", "SUD FAMILY", {}, False),
    _vocabulary("Tls", "urn:chaperone:tls", "v1_0=1.0 v1_1=1.1 v1_2=1.2 v1_3=1.3 v1_9=1.9 v1_10=1.10", {}, True),
)
CODES: Final = codes({each.name: each for each in _VOCABULARIES})
_UNIONS: Final = {
    "SecurityLabel": frozenset({"Sensitivity", "Confidentiality"}),
    "AnyLabel": frozenset({"Sensitivity", "Local"}),
}
_ENTITY_TYPES: Final = ("Hospital", "Ward", "Patient", "Clinician", "Service", "Record", "Note")


# Types as Ward writes them --------------------------------------------------------------------------------------------


def type_of(text: str) -> Type:
    """`Set<Clinician or Service>`, `{ start: Instant, end: Instant? }`, ..."""
    written, rest = _type(text.strip())
    if rest.strip():
        raise ValueError(f"after the type {written}: {rest!r}")
    return written


def types_of(text: str) -> tuple[Type, ...]:
    """Several, parted by commas."""
    found = []
    while text.strip():
        written, text = _type(text.strip())
        found.append(written)
        text = text.strip().removeprefix(",")
    return tuple(found)


def _type(text: str) -> tuple[Type, str]:
    if text.startswith("{"):
        return _record(text[1:])
    name, rest = _name(text)
    if name in ("Set", "List"):
        element, rest = _type(rest.removeprefix("<"))
        return (SetType(element) if name == "Set" else ListType(element)), rest.strip().removeprefix(">")
    if name in PRIMITIVES:
        return PRIMITIVES[name], rest
    names = {name}
    while rest.lstrip().startswith("or "):
        name, rest = _name(rest.lstrip().removeprefix("or "))
        names.add(name)
    if names <= set(_ENTITY_TYPES):
        return EntityType(frozenset(names)), rest
    return CodeType(frozenset().union(*(_UNIONS.get(each, {each}) for each in names))), rest


def _record(text: str) -> tuple[Type, str]:
    fields = []
    while not text.lstrip().startswith("}"):
        name, rest = _name(text.lstrip().removeprefix(","))
        type, text = _type(rest.lstrip().removeprefix(":").lstrip())
        optional = text.startswith("?")
        fields.append(RecordField(name, type, optional))
        text = text.removeprefix("?")
    return RecordType(tuple(fields)), text.lstrip().removeprefix("}")


def _name(text: str) -> tuple[str, str]:
    found = re.match(r"\s*([A-Za-z_0-9]+)", text)
    if found is None:
        raise ValueError(f"a name is due: {text!r}")
    return found[1], text[found.end() :]


# The schema -----------------------------------------------------------------------------------------------------------


def attributes(first_slot: int, **written: str) -> dict[str, Attribute]:
    """`clearance="Int"`, `office="Ip? from token"`."""
    made = {}
    for slot, (name, text) in enumerate(written.items(), first_slot):
        text, _, place = text.partition(" from ")
        place, _, source = place.partition(" ")
        type = type_of(text.removesuffix("?"))
        made[name] = Attribute(name, type, text.endswith("?"), place or "data", source, slot)
    return made


def _entity(name: str, parents: str = "", wire_name: str = "", **written: str) -> EntityDeclaration:
    return EntityDeclaration(name, wire_name or name, frozenset(parents.split()), attributes(1, **written))


PERIOD: Final = "{ start: Instant, end: Instant? }"
_ENTITIES: Final = (
    _entity("Hospital"),
    _entity("Ward", "Hospital", beds="Int"),
    _entity(
        "Patient",
        "Ward",
        care_team="Set<Clinician>",
        vip="Bool",
        born="Date?",
        restrictions="Set<SecurityLabel>? from source labels",
        owner="Clinician or Service",
        about="Clinician or Patient or Service",
    ),
    _entity(
        "Clinician",
        "Ward",
        "user",
        role="Role from token",
        department="Text from token",
        clearance="Int",
        purposes="Set<Purpose>",
        shift_ends="Instant?",
        office="Ip?",
        manager="Clinician?",
        active="Bool",
        team="Text? from token",
        rank="Confidentiality?",
    ),
    _entity("Service", trusted="Bool from certificate", department="Text", clearance="Int"),
    _entity(
        "Record",
        "Patient",
        patient="Patient",
        author="Clinician?",
        owner="Clinician or Service",
        labels="Set<SecurityLabel> from source labels",
        confidentiality="Confidentiality",
        created="Instant",
        readers="List<Clinician>",
        amount="Decimal",
        tags="Set<Text>",
        period=PERIOD,
        visible="Set<Text>",
        department="Text",
        count="Int",
        day="Date?",
        wait="Duration?",
        networks="Set<Ip>",
        periods=f"List<{PERIOD}>",
        draft="Bool",
        team="Text?",
        about="Clinician or Patient or Service",
    ),
    _entity(
        "Note",
        "Patient",
        patient="Patient",
        author="Clinician",
        department="Text",
        count="Int",
        draft="Bool",
        owner="Clinician or Service",
        about="Clinician or Patient or Service",
    ),
)
_ASKERS: Final = frozenset({"Clinician", "Service"})


def _actions() -> dict[tuple[str, str], ActionDeclaration]:
    declared = (
        ActionDeclaration("read", "read", "Record", _ASKERS, {}),
        ActionDeclaration("read", "read", "Note", _ASKERS, {}),
        ActionDeclaration("update", "update", "Record", _ASKERS, {}),
        ActionDeclaration(
            "search", "search", "Patient", frozenset({"Clinician"}), attributes(0, text="Text? from caller")
        ),
        ActionDeclaration(
            "delete",
            "delete",
            "Record",
            frozenset({"Clinician"}),
            attributes(0, soft="Bool from caller", why="Text? from caller"),
        ),
        ActionDeclaration("page", "page", "Clinician", frozenset({"Clinician"}), {}),
    )
    return {(each.name, each.resource): each for each in declared}


CONTEXT: Final = attributes(
    0,
    purpose="Purpose from caller",
    ip="Ip? from caller",
    reason="Text? from caller",
    transport="{ tls: Tls }? from caller",
    since="Instant? from token",
    verified="Bool from certificate",
    level="Int from caller",
)


class World(Schema):
    """That hypothesis prints as its name alone."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("SCHEMA")


SCHEMA: Final = World(
    entities={each.name: each for each in _ENTITIES},
    kinds={"Document": frozenset({"Record", "Note"})},
    actions=_actions(),
    groups={},
    context=CONTEXT,
    fields={},
    obligations={
        "notify": ObligationDeclaration("notify", (RecordField("to", TEXT), RecordField("about", TEXT))),
        "count": ObligationDeclaration("count", (RecordField("n", INT),)),
        "log_access": ObligationDeclaration("log_access", ()),
    },
    codes=CODES,
    by_wire={each.wire: each.name for each in _ENTITIES},
    action_by_wire={name: name for name, _ in _actions()},
)


def schema_with_context(context: dict[str, Attribute]) -> Schema:
    return replace(SCHEMA, context=context)


# Values and a frame ---------------------------------------------------------------------------------------------------

NOW: Final = wire.instant("2026-03-01T10:00:00Z")


def value_of(written: object, type: Type) -> Value:
    """A value as requests write it, or `{"raw": n}`: a number of microseconds or days that no text can write."""
    if isinstance(written, dict) and set(written) == {"raw"}:
        raw = written["raw"]
        assert isinstance(raw, int)
        return raw
    return wire.typed(written, type, SCHEMA, ordinary=False)


def placed(*lies_in: Entity) -> tuple[object, ...]:
    """The row of an entity of which the ancestors are known, and nothing else."""
    return (frozenset(lies_in), *UNKNOWN_ROW[1:])


_H1, _ICU, _P1 = entity("Hospital", "h1"), entity("Ward", "icu"), entity("Patient", "p1")
ROWS: Final = Rows(
    {
        _H1: placed(),
        _ICU: placed(_H1),
        entity("Ward", "adrift"): UNKNOWN_ROW,
        _P1: placed(_ICU, _H1),
        entity("Patient", "p2"): placed(_ICU, _H1),
        entity("Record", "r1"): placed(_P1, _ICU, _H1),
        entity("Record", "r2"): placed(entity("Patient", "p2"), _ICU, _H1),
        entity("Clinician", "nina"): placed(_ICU, _H1),
    }
)


def frame(
    context_row: tuple[object, ...] = (), rows: Mapping[Entity, tuple[object, ...]] = ROWS, now: int = NOW
) -> Frame:
    """Nina asks for record r1."""
    subject, resource = entity("Clinician", "nina"), entity("Record", "r1")
    return Frame(subject, resource, rows[subject], rows[resource], (), context_row, rows, now)


def row(type_name: str, ancestors: object = frozenset(), **values: object) -> tuple[object, ...]:
    """A row with these values; what is not named is absent where it may be, else unknown."""
    declared = SCHEMA.entities[type_name].attributes.values()
    rest = [values.get(each.name, ABSENT if each.optional else UNKNOWN) for each in declared]
    return (ancestors, *rest)


def rule(**members: object) -> Rule:
    """A rule on reading records, with what is said instead."""
    defaults: dict[str, object] = {
        "id": "rule",
        "effect": "permit",
        "pairs": frozenset({("read", "Record")}),
        "span": NOWHERE,
        "header": NOWHERE,
    }
    return Rule(**{**defaults, **members})  # type: ignore[arg-type]
