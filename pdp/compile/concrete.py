"""A condition for one subject type and one resource type: kinds resolved, `is` answered, dead branches gone.

What is left has the same value for such a request, or errs in the same cases: `false and x` is false and `true or x` is
true whatever `x` does (SEMANTICS 2), so folding a known operand changes nothing. Spans stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, Final

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
    Rule,
    Select,
    Variable,
    children,
)
from pdp.language.schema import one
from pdp.language.types import BOOL, EntityType

Roots = dict[str, str]
"""The entity types of `subject` and `resource`."""


def concrete(expr: Expr, roots: Roots) -> Expr:
    return _CASES[expr.__class__](expr, roots)


def _same(expr: Expr, _roots: Roots) -> Expr:
    return expr


def _variable(expr: Variable, roots: Roots) -> Expr:
    name = roots.get(expr.name)
    return expr if name is None else Variable(expr.name, one(name), expr.span)


def _select(expr: Select, roots: Roots) -> Expr:
    target = concrete(expr.target, roots)
    return Select(target, expr.name, _slots(target, expr.slots), expr.type, expr.span)


def _has(expr: Has, roots: Roots) -> Expr:
    target = concrete(expr.target, roots)
    return Has(target, expr.name, _slots(target, expr.slots), expr.span)


def _slots(target: Expr, slots: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    if isinstance(target.type, EntityType):
        return tuple(each for each in slots if each[0] in target.type.names)
    return slots


def _is(expr: Is, roots: Roots) -> Expr:
    target = concrete(expr.target, roots)
    if isinstance(target, Variable) and target.name in roots:
        return Literal(roots[target.name] in expr.names, BOOL, expr.span)
    return Is(target, expr.names, expr.span)


def _and(expr: And, roots: Roots) -> Expr:
    return _folded(expr, And, False, roots)


def _or(expr: Or, roots: Roots) -> Expr:
    return _folded(expr, Or, True, roots)


def _folded(expr: And | Or, kind: type[And] | type[Or], settles: bool, roots: Roots) -> Expr:
    """Operands of the same kind spliced in, and what is known left out. Few frames a level: nesting may be deep."""
    kept: list[Expr] = []
    for operand in expr.items:
        item = concrete(operand, roots)
        if is_literal(item, settles):
            return item
        if isinstance(item, kind):
            kept.extend(item.items)
        elif not is_literal(item, not settles):
            kept.append(item)
    if len(kept) > 1:
        return kind(tuple(kept), expr.span)
    return kept[0] if kept else Literal(not settles, BOOL, expr.span)


def _not(expr: Not, roots: Roots) -> Expr:
    operand = concrete(expr.operand, roots)
    match operand:
        case Literal(value=bool(truth)):
            return Literal(not truth, BOOL, expr.span)
        case Or(items):
            return And(tuple(_not(Not(item, item.span), {}) for item in items), expr.span)
        case Not(inner):
            return inner
        case _:
            return Not(operand, expr.span)


def _if(expr: If, roots: Roots) -> Expr:
    condition = concrete(expr.condition, roots)
    if isinstance(condition, Literal):
        return concrete(expr.then if condition.value is True else expr.otherwise, roots)
    return If(condition, concrete(expr.then, roots), concrete(expr.otherwise, roots), expr.type, expr.span)


def _quantifier(expr: Quantifier, roots: Roots) -> Expr:
    return Quantifier(
        expr.every, expr.variable, concrete(expr.collection, roots), concrete(expr.body, roots), expr.span
    )


def _operation(expr: Operation, roots: Roots) -> Expr:
    return Operation(expr.operator, tuple(map(concrete, expr.arguments, repeat(roots))), expr.type, expr.span)


def _collect(expr: Collect, roots: Roots) -> Expr:
    return Collect(tuple(map(concrete, expr.items, repeat(roots))), expr.type, expr.span)


_CASES: Final[dict[type, Callable[[Any, Roots], Expr]]] = {
    Literal: _same,
    Variable: _variable,
    Select: _select,
    Has: _has,
    Is: _is,
    And: _and,
    Or: _or,
    Not: _not,
    If: _if,
    Quantifier: _quantifier,
    Operation: _operation,
    Collect: _collect,
}


def is_literal(expr: Expr, truth: bool) -> bool:
    return isinstance(expr, Literal) and expr.value is truth


def walk(expr: Expr) -> list[Expr]:
    """An expression and all inside it."""
    found = [expr]
    for each in found:
        found.extend(children(each))
    return found


def expressions(rule: Rule) -> Iterator[Expr]:
    """Every expression of a rule: condition, field sets, release condition, arguments of duties."""
    yield rule.condition
    if rule.fields is not None:
        yield from rule.fields.computed
    if rule.release is not None:
        yield from rule.release.fields.computed
        if rule.release.condition is not None:
            yield rule.release.condition
    for duty in rule.duties:
        for _, argument in duty.arguments:
            yield argument


Signature = tuple[object, ...]
_Question = tuple[str, object]


class Variants:
    """Which pairs of types a rule is the same for, so that it is compiled once for all of them."""

    def __init__(self, rule: Rule) -> None:
        nodes = [node for expr in expressions(rule) for node in walk(expr)]
        self.timed = any(map(reads_clock, nodes))
        self._questions = tuple(dict.fromkeys(question for node in nodes for question in _questions(node)))

    def signature(self, roots: Roots) -> Signature:
        """Equal for two settings of the roots exactly where the rule means the same code in both."""
        return tuple(_answer(question, roots) for question in self._questions)


def timed(expr: Expr) -> bool:
    """Does it read the clock?"""
    return any(map(reads_clock, walk(expr)))


def reads_clock(node: Expr) -> bool:
    if node.__class__ is Variable:
        return node.name == "now"
    return node.__class__ is Operation and node.operator == "within"


def _questions(node: Expr) -> Iterator[_Question]:
    match node:
        case Is(Variable(name="subject" | "resource" as root), names):
            yield root, names
        case Select(target, _, slots) | Has(target, _, slots):
            if isinstance(target, Variable) and target.name in ("subject", "resource"):
                yield target.name, slots
            else:
                yield from _rows(target)
        case Operation("in_entity", (target, _)):
            yield from _rows(target)
        case _:
            pass


def _rows(target: Expr) -> Iterator[_Question]:
    """May this be the subject or the resource? Asked of each branch too, since one of them may be all that is left."""
    if isinstance(target.type, EntityType):
        yield "row", target.type.names
    if isinstance(target, If):
        yield from _rows(target.then)
        yield from _rows(target.otherwise)


def _answer(question: _Question, roots: Roots) -> object:
    kind, data = question
    if kind == "row":
        assert isinstance(data, frozenset)
        return roots["subject"] in data or roots["resource"] in data
    root = roots[kind]
    if isinstance(data, frozenset):
        return root in data
    assert isinstance(data, tuple)
    return next((slot for name, slot in data if name == root), None)
