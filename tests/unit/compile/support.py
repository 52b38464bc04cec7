"""Policies from text, and frames from names: what the tests of the compiler are made of."""

from __future__ import annotations

from typing import Any

from pdp.compile.program import Program, compile_program
from pdp.language import wire
from pdp.language.core import PolicySet
from pdp.language.schema import Attribute, Schema
from pdp.language.semantics import EvaluationError, evaluate
from pdp.model.entities import Rows
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, Entity, Missing, Row, entity, entity_type
from tests.unit.language.checking import check

NOW = wire.instant("2026-03-01T10:00:00Z")
Outcomes = tuple[list[str], list[tuple[str, str, str, str]]]

CLINIC = """
vocabulary Role "urn:role" { clinician physician in clinician nurse in clinician billing }
kind Worker = Clinician or Robot
entity Ward
entity Patient in Ward { care_team: Set<Clinician> vip: Bool }
entity Clinician as "user" { role: Role from token department: Text clearance: Int boss: Clinician?
    badge: Text? from token }
entity Robot { serial: Int department: Text }
entity Record in Patient {
    patient: Patient  author: Clinician?  owner: Worker  department: Text  level: Int
    created: Instant  stamps: Set<Instant>  ends: Instant?  tags: Set<Text>  readers: List<Clinician>  open: Bool
}
entity Note { author: Clinician  level: Int  text: Text }
context { purpose: Text from caller  site: Text? from caller  transport: { tls: Int } from caller }
action read, write on Record by Clinician, Robot
action read on Note by Clinician
action page on Clinician by Clinician { loud: Bool from caller }
obligation notify(to: Text, about: Int)
obligation log_access()
"""


def program(*texts: str, clinic: bool = True, indexed: bool = True) -> Program:
    return compile_program(policies(*texts, clinic=clinic), indexed=indexed)


def policies(*texts: str, clinic: bool = True) -> PolicySet:
    return check(*((CLINIC,) if clinic else ()), *texts)


def row(schema: Schema, reference: str, _ancestors: object = frozenset(), /, **values: Any) -> Row:
    """The row of an entity: what is not named is absent where it may be, else unknown. Values as on the wire."""
    declared = schema.entities[entity_type(Entity(reference))].attributes
    return (_ancestors, *(_state(schema, each, values) for each in declared.values()))


def _state(schema: Schema, attribute: Attribute, values: dict[str, Any]) -> object:
    if attribute.name not in values:
        return ABSENT if attribute.optional else UNKNOWN
    given = values[attribute.name]
    return given if isinstance(given, Missing) else wire.typed(given, attribute.type, schema)


def frame(
    schema: Schema,
    subject: str,
    resource: str,
    rows: dict[str, Row],
    *,
    now: int = NOW,
    action: dict[str, Any] | None = None,
    **context: Any,
) -> Frame:
    """Rows by reference; the subject's and the resource's are taken from them."""
    store = Rows({Entity(each): found for each, found in rows.items()})
    declared = schema.actions
    attributes = next(
        (each.attributes for each in declared.values() if action and set(action) <= set(each.attributes)), {}
    )
    return Frame(
        Entity(subject),
        Entity(resource),
        store[Entity(subject)],
        store[Entity(resource)],
        tuple(_state(schema, each, action or {}) for each in attributes.values()),
        tuple(_state(schema, each, context) for each in schema.context.values()),
        store,
        now,
    )


def moved(found: Frame, now: int) -> Frame:
    """The same world at another instant."""
    return Frame(
        found.subject,
        found.resource,
        found.subject_row,
        found.resource_row,
        found.action_row,
        found.context_row,
        found.rows,
        now,
    )


def compiled(made: Program, action: str, resource_type: str, given: Frame) -> Outcomes:
    """(satisfied, erred) by rule id, in order of id."""
    function = made.function(action, resource_type)
    assert function is not None
    satisfied, erred = function.evaluate(given)
    return sorted(each.id for each in satisfied), sorted((each.id, *_shown(error)) for each, error in erred)


def meant(made: Program, action: str, resource_type: str, given: Frame) -> Outcomes:
    """The same by the interpreter, rule by rule."""
    satisfied, erred = [], []
    for rule in made.policies.rules:
        if (action, resource_type) in rule.pairs and rule.effect != "emergency":
            try:
                if evaluate(rule.condition, given, made.schema.codes):
                    satisfied.append(rule.id)
            except EvaluationError as error:
                erred.append((rule.id, *_shown(error)))
    return sorted(satisfied), sorted(erred)


def _shown(error: EvaluationError) -> tuple[str, str, str]:
    return error.code, error.span.text, error.span.where


__all__ = ["ABSENT", "UNKNOWN", "entity"]
