"""A condition for people: the tree of truths in Ward's words, with what every atom read and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pdp.analyze import words
from pdp.analyze.tree import Node, Truth, reads, tree
from pdp.language import core, wire
from pdp.language.schema import Schema
from pdp.language.semantics import EvaluationError, evaluate
from pdp.language.types import RECOVERY, EntityType, RecordType, Type
from pdp.model.decision import RuleError
from pdp.model.frame import Frame

MOST_ELEMENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What an atom read. `state`: "value", "absent" or "unknown"; `plain` is the value as JSON."""

    text: str
    state: str
    value: str = ""
    plain: object = None
    error: RuleError | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """A condition and its truth. `element` names the member that a quantifier's child speaks about.

    `elements`: how many members there are, of which at most MOST_ELEMENTS are children. `taken`: False for the
    branch that an `if` did not take. `absorbed`: it erred, and the condition around it was settled all the same.
    """

    kind: str
    text: str
    where: str
    truth: Truth
    error: RuleError | None
    reads: tuple[Reading, ...]
    children: tuple[Why, ...]
    element: str = ""
    elements: int = 0
    taken: bool = True
    absorbed: bool = False


def why(expr: core.Expr | None, frame: Frame, schema: Schema, rule: str) -> Why | None:
    """None where there is nothing to explain: no condition, or none written."""
    if expr is None or isinstance(expr, core.Literal):
        return None
    return _why(tree(expr, frame, schema.codes, most_elements=MOST_ELEMENTS), frame, schema, rule, absorbed=False)


def _why(node: Node, frame: Frame, schema: Schema, rule: str, *, absorbed: bool) -> Why:
    settled = node.kind != "atom" and node.truth is not Truth.ERROR
    return Why(
        node.kind,
        words.expression(node.expr, schema),
        node.expr.span.where,
        node.truth,
        None if node.error is None else recorded(rule, node.error),
        _readings(node, frame, schema, rule),
        tuple(
            _why(child, frame, schema, rule, absorbed=absorbed or settled or not child.taken) for child in node.children
        ),
        "" if node.element is None else words.value(node.element.value, node.element.type, schema),
        node.elements,
        node.taken,
        absorbed and node.truth is Truth.ERROR,
    )


def recorded(rule: str, error: EvaluationError) -> RuleError:
    return RuleError(rule, error.code, error.message, error.span.where)


def _readings(node: Node, frame: Frame, schema: Schema, rule: str) -> tuple[Reading, ...]:
    """What an atom read; of a quantifier, what its collection did."""
    if isinstance(node.expr, core.Quantifier):
        return tuple(_reading(each, frame, schema, rule) for each in reads(node.expr.collection))
    if node.kind == "atom":
        return tuple(_reading(each, frame, schema, rule) for each in reads(node.expr))
    return ()


def _reading(each: core.Expr, frame: Frame, schema: Schema, rule: str) -> Reading:
    """The state of a path. `has` is shown by the attribute that it asks about."""
    if isinstance(each, core.Has):
        each = core.Select(each.target, each.name, each.slots, _attribute_type(each, schema), each.span)
    text = words.expression(each, schema)
    try:
        found = evaluate(each, frame, schema.codes)
    except EvaluationError as error:
        state = "absent" if error.code == "absent-value" and error.span == each.span else "unknown"
        return Reading(text, state, error=recorded(rule, error))
    return Reading(text, "value", words.value(found, each.type, schema), wire.plain(found, each.type, schema))


def _attribute_type(each: core.Has, schema: Schema) -> Type:
    """What type the attribute has of which `has` asks only whether it is there."""
    match each.target.type:
        case EntityType(names):
            return schema.entities[min(names)].attributes[each.name].type
        case RecordType() as fields:
            index = fields.index(each.name)
            return RECOVERY if index is None else fields.fields[index].type
        case _:
            return RECOVERY
