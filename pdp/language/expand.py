"""Expanding a `define`: its checked body with the arguments in place of the parameters.

Substitution is by value of core. It cannot capture: parameters are named `$who`, which no variable is, and every
expansion renames the quantifiers of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, assert_never

from pdp.language import core
from pdp.language.types import EntityType, ListType, SetType

MAX_NODES: Final = 5_000
MAX_DEPTH: Final = 200


def walk(node: core.Expr) -> Iterator[core.Expr]:
    """Every node, a parent before its children, from left to right."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(core.children(node)))


def measure(node: core.Expr) -> tuple[int, int]:
    """Nodes and depth, counted until one is over its cap."""
    size = deepest = 0
    todo = [(node, 1)]
    while todo:
        node, depth = todo.pop()
        size += 1
        if depth > deepest:
            deepest = depth
        if size > MAX_NODES or depth > MAX_DEPTH:
            break
        if node.__class__ is not core.Literal and node.__class__ is not core.Variable:
            todo.extend([(each, depth + 1) for each in core.children(node)])
    return size, deepest


def literal_collection(node: core.Collect) -> core.Expr:
    """A collection of literals is a literal."""
    if not all(item.__class__ is core.Literal for item in node.items):
        return node
    values = tuple(item.value for item in node.items if isinstance(item, core.Literal))
    match node.type:
        case SetType():
            return core.Literal(frozenset(values), node.type, node.span)
        case ListType():
            return core.Literal(values, node.type, node.span)
        case _:
            return node


def substitute(body: core.Expr, arguments: Mapping[str, core.Expr], fresh: Callable[[str], str]) -> core.Expr:
    """The body with its parameters replaced. `fresh` names a quantifier's variable anew."""
    renamed: dict[str, str] = {}

    def each(node: core.Expr) -> core.Expr:
        match node:
            case core.Literal():
                return node
            case core.Variable(name, type, span):
                if name in arguments:
                    return arguments[name]
                return core.Variable(renamed[name], type, span) if name in renamed else node
            case core.Select(target, name, slots, type, span):
                target = each(target)
                return core.Select(target, name, _left(slots, target), type, span)
            case core.Has(target, name, slots, span):
                target = each(target)
                return core.Has(target, name, _left(slots, target), span)
            case core.Is(target, names, span):
                return core.Is(each(target), names, span)
            case core.And(items, span):
                return core.And(tuple(map(each, items)), span)
            case core.Or(items, span):
                return core.Or(tuple(map(each, items)), span)
            case core.Not(operand, span):
                return core.Not(each(operand), span)
            case core.If(condition, then, otherwise, type, span):
                return core.If(each(condition), each(then), each(otherwise), type, span)
            case core.Quantifier(every, variable, collection, inner, span):
                collection = each(collection)
                renamed[variable] = fresh(variable.partition("#")[0])
                return core.Quantifier(every, renamed[variable], collection, each(inner), span)
            case core.Operation(operator, operands, type, span):
                return core.Operation(operator, tuple(map(each, operands)), type, span)
            case core.Collect(items, type, span):
                return literal_collection(core.Collect(tuple(map(each, items)), type, span))
            case _:
                assert_never(node)

    return each(body)


def _left(slots: tuple[tuple[str, int], ...], target: core.Expr) -> tuple[tuple[str, int], ...]:
    """The slots of the types that an argument can have: it may be narrower than its parameter."""
    if isinstance(target.type, EntityType) and len(slots) > len(target.type.names):
        return tuple(slot for slot in slots if slot[0] in target.type.names)
    return slots
