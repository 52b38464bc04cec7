"""One test, whichever way it was written: a world, a question, a time, and what the answer has to be."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.analyze.world import Given, Question
from pdp.language import core
from pdp.language.schema import Schema
from pdp.model.decision import Decision


@dataclass(frozen=True, slots=True)
class Expected:
    """None: nothing is expected of this part of the answer."""

    effect: str  # "allow" or "deny"
    rules: tuple[str, ...] | None = None  # exactly the determining rules
    reason: str | None = None
    released: frozenset[str] | None = None  # exactly the fields
    masked: frozenset[str] | None = None
    obligations: tuple[str, ...] | None = None  # exactly the names
    errors: tuple[str, ...] | None = None  # exactly the rules that could not be evaluated


@dataclass(frozen=True, slots=True)
class Case:
    """`suite` and `where` say where it is written: the file, and `file:line:column`, or its place in a table."""

    title: str
    suite: str
    where: str
    givens: tuple[Given, ...]
    question: Question
    now: int
    expected: Expected


def from_policy(test: core.Test, schema: Schema) -> Case:
    """A `test` of a policy file."""
    subject_type, subject_id = test.subject
    resource_type, resource_id = test.resource
    question = Question(
        (schema.entities[subject_type].wire, subject_id),
        _wire_action(test.action, resource_type, schema),
        (schema.entities[resource_type].wire, resource_id),
        test.context,
        test.action_attributes,
        searched=test.searched,
    )
    givens = tuple(Given(each.type, each.id, each.parents, each.attributes) for each in test.given)
    expected = Expected(test.expect, test.rules, test.reason, test.released, test.masked, test.obligations, test.errors)
    return Case(test.title, test.span.source.name, test.span.where, givens, question, test.now, expected)


def _wire_action(action: str, resource_type: str, schema: Schema) -> str:
    declared = schema.actions.get((action, resource_type))
    if declared is not None:
        return declared.wire
    return next((each.wire for (name, _), each in schema.actions.items() if name == action), action)


def mismatches(expected: Expected, decision: Decision) -> tuple[str, ...]:
    """What was expected and what came instead, one clause for each part; empty where all is as expected."""
    fields = decision.fields
    compared = (
        ("decision", expected.effect, decision.effect.value),
        ("reason", expected.reason, decision.reason.value),
        ("rules", _names(expected.rules), _names(decision.rules)),
        (
            "released fields",
            _names(expected.released),
            _names(fields.released) if fields.released is not None else "all",
        ),
        ("masked fields", _names(expected.masked), _names(fields.masked)),
        ("obligations", _names(expected.obligations), _names(each.name for each in decision.obligations)),
        ("errors", _names(expected.errors), _names(each.rule for each in decision.errors)),
    )
    return tuple(
        f"{part}: expected {wanted}, got {got}"
        for part, wanted, got in compared
        if wanted is not None and wanted != got
    )


def _names(names: object) -> str | None:
    if names is None:
        return None
    return ", ".join(sorted(set(names))) or "none"  # type: ignore[call-overload]
