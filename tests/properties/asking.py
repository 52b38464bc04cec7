"""Strategies of whole questions: requests as JSON, each place speaking, silent or lying; and stores to ask about."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from pdp.language import wire
from pdp.language.schema import Attribute
from pdp.language.types import EntityType
from pdp.model.decision import Capabilities
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import UNKNOWN, UNKNOWN_ROW, Entity, Row, entity_type
from tests.generators import ENTITIES, PAIRS, Draw, below, frames, value
from tests.world import NOW, SCHEMA

JUNK: Final[tuple[Any, ...]] = (None, True, 1, Decimal(1), "1", "", [], ["x"], {}, {"tls": 1}, [True, 1], "BTG")
CAPABILITIES: Final = (
    Capabilities(),
    Capabilities(fields=True),
    Capabilities(obligations=frozenset({"notify", "count", "log_access"})),
    Capabilities(fields=True, obligations=frozenset({"notify", "count", "log_access"})),
    Capabilities(fields=True, obligations=frozenset({"notify"})),
)
SEARCHED: Final = (frozenset[str](), frozenset[str](), frozenset[str](), frozenset({"/name"}), frozenset({"/ssn/last"}))
MOMENTS: Final = (*(NOW + hours * 3_600_000_000 for hours in (0, 1, 2, 12, 24, 170)), NOW + 1, NOW - 1)


@st.composite
def stores(draw: Draw) -> Entities:
    """Entities with rows; what a request says of them is not the store's to know."""
    rows = draw(frames(PAIRS[draw(below(len(PAIRS)))])).rows
    return Entities({reference: _stored(reference, row) for reference, row in rows.items()}, "drawn")


def _stored(reference: Entity, row: Row) -> Row:
    if row is UNKNOWN_ROW:
        return row
    made = list(row)
    for each in SCHEMA.entities[entity_type(reference)].attributes.values():
        if not each.stored:
            made[each.slot] = UNKNOWN
    return tuple(made)


@st.composite
def requests(draw: Draw) -> Request:
    """A question about a declared pair, by somebody who may ask."""
    declared = SCHEMA.actions[PAIRS[draw(below(len(PAIRS)))]]
    subject = sorted(declared.subjects)[draw(below(len(declared.subjects)))]
    subjects, resource = SCHEMA.entities[subject], SCHEMA.entities[declared.resource]
    of_subject, of_resource = subjects.attributes.values(), resource.attributes.values()
    return Request(
        subjects.wire,
        _identifier(draw, subject),
        declared.wire,
        resource.wire,
        _identifier(draw, declared.resource),
        subject_properties=_said(draw, of_subject, "caller"),
        action_properties=_said(draw, declared.attributes.values(), "caller"),
        resource_properties=_said(draw, of_resource, "caller"),
        context=_said(draw, SCHEMA.context.values(), "caller"),
        token=_perhaps(draw, [*of_subject, *SCHEMA.context.values()], "token"),
        certificate=_perhaps(draw, [*of_subject, *SCHEMA.context.values()], "certificate"),
        route=_route(draw, [*of_resource]) if draw(below(4)) == 3 else None,
        searched_fields=SEARCHED[draw(below(len(SEARCHED)))],
    )


def _identifier(draw: Draw, type_name: str) -> str:
    known = ENTITIES[type_name]
    chosen = draw(below(3 * len(known) + 2))
    if chosen < 3 * len(known):
        return known[chosen % len(known)]
    return ("ghost", "")[chosen - 3 * len(known)]


def _said(draw: Draw, attributes: Iterable[Attribute], place: str) -> dict[str, Any]:
    """What one place says: mostly of what it owns, at times of what it does not; mostly values, at times junk."""
    said: dict[str, Any] = {}
    for each in attributes:
        chosen = draw(below(16))
        if chosen == 15 or (each.place == place and chosen >= 13):
            said[each.name] = JUNK[draw(below(len(JUNK)))]
        elif each.place == place and chosen > 2:
            said[each.name] = wire.plain(value(draw, each.type), each.type, SCHEMA)
    return said


def _perhaps(draw: Draw, attributes: Iterable[Attribute], place: str) -> dict[str, Any] | None:
    return None if draw(below(6)) == 5 else _said(draw, attributes, place)


def _route(draw: Draw, attributes: list[Attribute]) -> dict[str, Any]:
    """A claim about the resource, which its owner may or may not confirm."""
    claimable = [each for each in attributes if isinstance(each.type, EntityType)]
    if not claimable:
        return {}
    claimed = claimable[draw(below(len(claimable)))]
    return {claimed.name: wire.plain(value(draw, claimed.type), claimed.type, SCHEMA)}
