"""The language's meaning, as a plain interpreter of the typed core: the oracle of tests, the engine of explain.

Nothing here is clever, and nothing is fast. An expression has a value, or it raises `EvaluationError`: every operator
on what is unknown is an error, and only `and or any all` can absorb one (SEMANTICS 1 and 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, assert_never

from pdp.diagnostics.source import Span
from pdp.language import operations
from pdp.language.core import (
    And,
    Collect,
    Expr,
    FieldSet,
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
from pdp.language.types import SetType
from pdp.language.vocabulary import Codes
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, State, Value, canonical, entity_type


class EvaluationError(Exception):
    """An expression that has no value. The message names no value: it may be printed where patients may not.

    Codes: `unknown-value`, `absent-value`, `overflow`, `division-by-zero`, `out-of-range`, `too-large`,
    `not-a-pointer`.
    """

    __slots__ = ("code", "message", "span")

    def __init__(self, code: str, message: str, span: Span) -> None:
        super().__init__(code, message, span)
        self.code = code
        self.message = message
        self.span = span

    def __str__(self) -> str:
        return f"{self.span.where}: {self.code}: {self.message}"


def evaluate(expr: Expr, frame: Frame, codes: Codes) -> Value:
    """The value of an expression. Raises EvaluationError."""
    return _value(expr, _World(frame, codes))


def pointers(fields: FieldSet, frame: Frame, codes: Codes) -> frozenset[str]:
    """The JSON pointers of a field set, those included that expressions give. Raises EvaluationError."""
    found = set(fields.pointers)
    for expr in fields.computed:
        for text in in_element_order(evaluate(expr, frame, codes)):
            if not _POINTER.fullmatch(text):
                raise EvaluationError("not-a-pointer", "a member is not a JSON pointer to a field", expr.span)
            found.add(text)
    return frozenset(found)


def in_element_order(collection: Any) -> list[Any]:
    """A List has its own order; a Set that of its members' canonical bytes, so that no run differs from another."""
    return sorted(collection, key=canonical) if isinstance(collection, frozenset) else list(collection)


@dataclass(frozen=True, slots=True)
class _World:
    frame: Frame
    codes: Codes
    bound: Mapping[str, Value] = field(default_factory=dict)  # the variables of quantifiers

    def binding(self, variable: str, value: Value) -> _World:
        return replace(self, bound={**self.bound, variable: value})


def _value(expr: Expr, world: _World) -> Value:
    match expr:
        case Literal(value):
            return value
        case Variable(name):
            return _variable(name, world)
        case Select(name=name, span=span):
            state = _attribute(expr, world)
            if state is ABSENT:
                raise EvaluationError("absent-value", f"there is no `{name}`", span)
            return state  # type: ignore[return-value]
        case Has():
            return _attribute(expr, world) is not ABSENT
        case Is(target, names):
            return entity_type(_value(target, world)) in names  # type: ignore[arg-type]
        case And(items):
            return not _some_is(False, ((item, world) for item in items))
        case Or(items):
            return _some_is(True, ((item, world) for item in items))
        case Not(operand):
            return not _value(operand, world)
        case If(condition, then, otherwise):
            return _value(then if _value(condition, world) else otherwise, world)
        case Quantifier(every, variable, collection, body):
            elements = in_element_order(_value(collection, world))
            bodies = ((body, world.binding(variable, element)) for element in elements)
            return not _some_is(False, bodies) if every else _some_is(True, bodies)
        case Operation(operator, arguments, _, span):
            operands = _values(arguments, world)
            return _or_error(span, operations.apply, operator, operands, world.frame, world.codes)
        case Collect(items, type, span):
            members = _values(items, world)
            return _or_error(span, operations.as_set, members) if isinstance(type, SetType) else members
        case _:
            assert_never(expr)


def _variable(name: str, world: _World) -> Value:
    frame = world.frame
    match name:
        case "subject":
            return frame.subject
        case "resource":
            return frame.resource
        case "context":
            return frame.context_row
        case "action":
            return frame.action_row
        case "now":
            return frame.now
        case _:
            return world.bound[name]


def _attribute(expr: Select | Has, world: _World) -> State:
    """A value or ABSENT. What is unknown is an error here, for `has` too (SEMANTICS 1)."""
    target = _value(expr.target, world)
    slots = dict(expr.slots)
    if isinstance(target, tuple):  # A record, the context or the action's attributes.
        state = target[slots[""]]
    else:
        row = world.frame.row(target)  # type: ignore[arg-type]
        slot = slots.get(entity_type(target))  # type: ignore[arg-type]
        state = UNKNOWN if slot is None else row[slot]
    if state is UNKNOWN:
        raise EvaluationError("unknown-value", f"`{expr.name}` is not known", expr.span)
    return state  # type: ignore[return-value]


def _some_is(wanted: bool, questions: Iterable[tuple[Expr, _World]]) -> bool:
    """Is one of them `wanted`? Strong Kleene: one that is settles it, whatever the others say or fail to say.

    Where none is and some have erred, the first of those errors is the answer (SEMANTICS 2).
    """
    first_error = None
    for expr, world in questions:
        try:
            if _value(expr, world) is wanted:
                return True
        except EvaluationError as error:
            first_error = first_error or error
    if first_error is not None:
        raise first_error
    return False


def _values(exprs: Iterable[Expr], world: _World) -> tuple[Value, ...]:
    """Strict: the first that errs is the error of all."""
    values = []
    for expr in exprs:
        values.append(_value(expr, world))
    return tuple(values)


def _or_error(span: Span, function: Any, *arguments: Any) -> Value:
    """Where the operation has no value, the error is at the operation's own span."""
    try:
        return function(*arguments)  # type: ignore[no-any-return]
    except operations.Failure as failure:
        raise EvaluationError(failure.code, failure.message, span) from failure


_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
