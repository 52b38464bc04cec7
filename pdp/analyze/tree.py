"""A condition as a tree of truths: every node under `and or not if any all` with its own value, leaves are the atoms.

Each value comes from the interpreter, asked about that node alone; nothing is combined a second time here. An atom is a
condition that holds no other: a comparison, a `has`, an `is`, a Bool attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pdp.language import core
from pdp.language.semantics import EvaluationError, evaluate, in_element_order
from pdp.language.types import BOOL, ListType, SetType
from pdp.language.vocabulary import Codes
from pdp.model.frame import Frame
from pdp.model.value import Value, canonical

NO_LIMIT: Final = 10**9


class Truth(StrEnum):
    TRUE = "true"
    FALSE = "false"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Node:
    """`path` is the node's place in its condition (child indexes); the elements of a quantifier share one place.

    `element`: the value of the quantifier's variable, on the direct children of a quantifier. `elements`: how many
    there are, though fewer may be shown. `taken`: False for the branch that an `if` did not take.
    """

    kind: str  # "and", "or", "not", "if", "any", "all", "atom"
    expr: core.Expr
    path: tuple[int, ...]
    truth: Truth
    error: EvaluationError | None = None
    children: tuple[Node, ...] = ()
    element: core.Literal | None = None
    elements: int = 0
    taken: bool = True

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


def truth_of(expr: core.Expr, frame: Frame, codes: Codes) -> tuple[Truth, EvaluationError | None]:
    """True, false, or the error."""
    try:
        return (Truth.TRUE if evaluate(expr, frame, codes) else Truth.FALSE), None
    except EvaluationError as error:
        return Truth.ERROR, error


def tree(
    expr: core.Expr, frame: Frame, codes: Codes, path: tuple[int, ...] = (), most_elements: int = NO_LIMIT
) -> Node:
    """The tree of a Bool expression. `most_elements` of each quantifier are kept, those that settle it first."""
    truth, error = truth_of(expr, frame, codes)

    def below(child: core.Expr, index: int) -> Node:
        return tree(child, frame, codes, (*path, index), most_elements)

    match expr:
        case core.And(items) | core.Or(items):
            kind = "and" if isinstance(expr, core.And) else "or"
            return Node(kind, expr, path, truth, error, tuple(below(each, i) for i, each in enumerate(items)))
        case core.Not(operand):
            return Node("not", expr, path, truth, error, (below(operand, 0),))
        case core.If(condition, then, otherwise) if expr.type == BOOL:
            return Node(
                "if", expr, path, truth, error, _branches(below(condition, 0), below(then, 1), below(otherwise, 2))
            )
        case core.Quantifier(every, variable, collection, body):
            kind = "all" if every else "any"
            elements = _elements(collection, frame, codes)
            bodies = [(each, bind(body, variable, each)) for each in elements]
            kept = _kept(bodies, frame, codes, Truth.FALSE if every else Truth.TRUE, most_elements)
            children = tuple(replace(below(bound, 0), element=element) for element, bound in kept)
            return Node(kind, expr, path, truth, error, children, elements=len(elements))
        case _:
            return Node("atom", expr, path, truth, error)


def _branches(condition: Node, then: Node, otherwise: Node) -> tuple[Node, ...]:
    return (
        condition,
        replace(then, taken=condition.truth is Truth.TRUE),
        replace(otherwise, taken=condition.truth is Truth.FALSE),
    )


def _elements(collection: core.Expr, frame: Frame, codes: Codes) -> list[core.Literal]:
    """The members as literals, in the order in which the interpreter takes them; none where the collection errs."""
    assert isinstance(collection.type, SetType | ListType)
    try:
        members = in_element_order(evaluate(collection, frame, codes))
    except EvaluationError:
        return []
    return [core.Literal(each, collection.type.element, collection.span) for each in members]


def _kept(
    bodies: list[tuple[core.Literal, core.Expr]], frame: Frame, codes: Codes, settles: Truth, most: int
) -> list[tuple[core.Literal, core.Expr]]:
    if len(bodies) <= most:
        return bodies
    truths = [truth_of(body, frame, codes)[0] for _, body in bodies]
    order = sorted(range(len(bodies)), key=lambda i: (truths[i] is not settles, truths[i] is not Truth.ERROR, i))
    return [bodies[i] for i in sorted(order[:most])]


def bind(body: core.Expr, variable: str, element: core.Literal) -> core.Expr:
    """The body for one element. Variables are unique in their rule, so nothing can be captured."""
    return rewrite(body, lambda node: replace(element, span=node.span) if _is_variable(node, variable) else None)


def _is_variable(node: core.Expr, name: str) -> bool:
    return isinstance(node, core.Variable) and node.name == name


def rewrite(expr: core.Expr, change: Callable[[core.Expr], core.Expr | None]) -> core.Expr:
    """A copy with every node for which `change` gives another replaced; it is asked from the top."""
    changed = change(expr)
    if changed is not None:
        return changed

    def each(part: core.Expr) -> core.Expr:
        return rewrite(part, change)

    match expr:
        case core.Select(target) | core.Has(target) | core.Is(target):
            return replace(expr, target=each(target))
        case core.And(items) | core.Or(items) | core.Collect(items):
            return replace(expr, items=tuple(map(each, items)))
        case core.Not(operand):
            return replace(expr, operand=each(operand))
        case core.If(condition, then, otherwise):
            return replace(expr, condition=each(condition), then=each(then), otherwise=each(otherwise))
        case core.Quantifier(_, _, collection, body):
            return replace(expr, collection=each(collection), body=each(body))
        case core.Operation(_, arguments):
            return replace(expr, arguments=tuple(map(each, arguments)))
        case _:
            return expr


def atoms(expr: core.Expr, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], core.Expr]]:
    """Every atom of a condition with its place, from the text alone. Constants are none: they have one value."""
    match expr:
        case core.And(items) | core.Or(items):
            for index, each in enumerate(items):
                yield from atoms(each, (*path, index))
        case core.Not(operand):
            yield from atoms(operand, (*path, 0))
        case core.If(condition, then, otherwise) if expr.type == BOOL:
            for index, each in enumerate((condition, then, otherwise)):
                yield from atoms(each, (*path, index))
        case core.Quantifier(body=body):
            yield from atoms(body, (*path, 0))
        case core.Literal():
            return
        case _:
            yield path, expr


def literal(value: Value, like: core.Expr) -> core.Literal:
    """A constant in the place of `like`."""
    return core.Literal(value, like.type, like.span)


def is_closed(expr: core.Expr) -> bool:
    """Does it speak about the request alone, with no variable of a quantifier around it?"""
    return not _free(expr, frozenset())


def _free(expr: core.Expr, bound: frozenset[str]) -> bool:
    if isinstance(expr, core.Variable):
        return "#" in expr.name and expr.name not in bound
    if isinstance(expr, core.Quantifier):
        return _free(expr.collection, bound) or _free(expr.body, bound | {expr.variable})
    return any(_free(each, bound) for each in core.children(expr))


def reads(expr: core.Expr) -> list[core.Expr]:
    """What an atom reads, each once, in source order: paths, and `subject`, `resource`, `now` where they are operands.

    A variable that is only the beginning of a path is not one of them; neither is what speaks of a bound variable.
    """
    found: dict[object, core.Expr] = {}

    def visit(each: core.Expr, begins_path: bool) -> None:
        is_path = isinstance(each, core.Select | core.Has)
        for part in core.children(each):
            visit(part, is_path)
        operand = isinstance(each, core.Variable) and each.name in ("subject", "resource", "now") and not begins_path
        if operand or (is_path and is_closed(each)):
            found.setdefault(_identity(each), each)

    visit(expr, False)
    return list(found.values())


def _identity(expr: core.Expr) -> object:
    """What tells expressions apart. Not their own hash: an element in a variable's place may lack a field."""
    match expr:
        case core.Literal(value):
            return canonical(value)
        case core.Variable(name):
            return name
        case core.Operation(operator):
            return (operator, *map(_identity, core.children(expr)))
        case core.Select(_, name) | core.Has(_, name):
            return (type(expr), name, *map(_identity, core.children(expr)))
        case _:
            return (type(expr), expr.span, *map(_identity, core.children(expr)))
