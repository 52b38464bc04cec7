"""Operators as Python code: each inlined where that is short, else a call of `runtime`.

What is written down is worked out here: the closure of a code, the codes above a rank, a pattern's automaton.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pdp.compile import runtime
from pdp.compile.nodes import LOAD, Position, call, clock, closure, compare, constant, frame, literal, load, meets
from pdp.language.core import Expr, Literal, Operation
from pdp.language.types import CodeType, SetType
from pdp.model.value import Code

if TYPE_CHECKING:
    from pdp.compile.emit import Emitter


def _member(emitter: Emitter, x: Expr, members: Expr, at: Position) -> ast.expr:
    found = literal(members)
    if found is not None:
        return compare(emitter.expr(x), ast.In(), constant(frozenset(found), at), at)
    if isinstance(members.type, SetType):
        return compare(emitter.expr(x), ast.In(), emitter.expr(members), at)
    return emitter.call("listed", (x, members), at)


def _in_collection(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    return _member(emitter, expr.arguments[0], expr.arguments[1], at)


def _contains(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    return _member(emitter, expr.arguments[1], expr.arguments[0], at)


def _in_code(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    code, other = expr.arguments
    if isinstance(other, Literal):
        return compare(emitter.expr(code), ast.In(), _closure(emitter, [other.value], at), at)
    closure = ast.Subscript(load("$closures", at), emitter.expr(other), LOAD, **at)
    return compare(emitter.expr(code), ast.In(), closure, at)


def _code_in_collection(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    code, members = expr.arguments
    found = literal(members)
    if found is not None:
        return compare(emitter.expr(code), ast.In(), _closure(emitter, found, at), at)
    uppers = ast.Subscript(load("$above", at), emitter.expr(code), LOAD, **at)
    return meets(uppers, emitter.expr(members), at)


def _code_contains(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    members, code = expr.arguments
    if isinstance(code, Literal):
        return meets(_closure(emitter, [code.value], at), emitter.expr(members), at)
    closure = ast.Subscript(load("$closures", at), emitter.expr(code), LOAD, **at)
    return meets(closure, emitter.expr(members), at)


def _overlaps(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    for one, other in (expr.arguments, expr.arguments[::-1]):
        found = literal(one)
        if found is not None:
            return meets(constant(frozenset(found), at), emitter.expr(other), at)
    return emitter.call("overlaps", expr.arguments, at)


def _code_overlaps(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    left, right = expr.arguments
    found = literal(right)
    if found is not None:
        return meets(_closure(emitter, found, at), emitter.expr(left), at)
    return call("$code_overlaps", [load("$closures", at), emitter.expr(left), emitter.expr(right)], at)


def _code_subset(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    left, right = expr.arguments
    found = literal(right)
    if found is not None and isinstance(left.type, SetType):
        return compare(emitter.expr(left), ast.LtE(), _closure(emitter, found, at), at)
    return call("$code_subset", [load("$closures", at), emitter.expr(left), emitter.expr(right)], at)


def _closure(emitter: Emitter, codes: Iterable[Any], at: Position) -> ast.expr:
    return constant(closure(emitter.codes, codes), at)


def _code_order(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    """Against a literal: membership in the codes that stand so in the order; else a comparison of ranks."""
    left, right = expr.arguments
    operator, holds = _CODE_ORDER[expr.operator]
    ranks = emitter.codes.ranks
    for one, other, written_last in ((left, right, True), (right, left, False)):
        if isinstance(other, Literal):
            limit = ranks[Code(str(other.value))]
            pairs = ((each, (ranks[each], limit)) for each in _vocabulary(emitter, other))
            found = frozenset(each for each, pair in pairs if holds(*(pair if written_last else pair[::-1])))
            return compare(emitter.expr(one), ast.In(), constant(found, at), at)
    first, second = (ast.Subscript(load("$ranks", at), emitter.expr(each), LOAD, **at) for each in expr.arguments)
    return compare(first, operator, second, at)


def _vocabulary(emitter: Emitter, expr: Expr) -> Iterable[Code]:
    assert isinstance(expr.type, CodeType)
    (name,) = expr.type.vocabularies
    vocabulary = emitter.codes.vocabularies[name]
    return (vocabulary.code(symbol) for symbol in vocabulary.symbols)


def _in_entity(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    inner, outer = expr.arguments
    return call("$inside", [emitter.expr(inner), emitter.row(inner), emitter.expr(outer)], at)


def _pattern(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    text, regex = expr.arguments[0], str(literal(expr.arguments[1]))
    regex = runtime.glob(regex) if expr.operator == "like" else regex
    return call(emitter.constants.name("regex", regex), [emitter.expr(text)], at)


def _within(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    return call("$within", [frame("now", at), *(emitter.expr(each) for each in expr.arguments)], at)


def _zoned(emitter: Emitter, expr: Operation, at: Position) -> ast.expr:
    """Functions of an Instant and a zone: clocks become microseconds, the zone a table."""
    instant, *clocks, zone = expr.arguments
    arguments = [emitter.expr(instant)]
    arguments += [constant(clock(str(literal(each))), at) for each in clocks]
    table = emitter.constants.name("zone", str(literal(zone)))
    return call(f"${expr.operator}", [*arguments, load(table, at)], at)


COMPARISONS: Final[dict[str, ast.cmpop]] = {
    "equal": ast.Eq(),
    "not_equal": ast.NotEq(),
    "less": ast.Lt(),
    "less_equal": ast.LtE(),
    "greater": ast.Gt(),
    "greater_equal": ast.GtE(),
}
_CODE_ORDER: Final[dict[str, tuple[ast.cmpop, Callable[[int, int], bool]]]] = {
    "code_less": (ast.Lt(), int.__lt__),
    "code_less_equal": (ast.LtE(), int.__le__),
    "code_greater": (ast.Gt(), int.__gt__),
    "code_greater_equal": (ast.GtE(), int.__ge__),
}
FUNCTIONS: Final = {"size": "len", "length": "len", "to_set": "frozenset", "min": "lesser", "max": "greater"} | {
    "id": "identifier",
    "intersection": "intersection",
    "difference": "difference",
}
SPECIAL: Final[dict[str, Callable[[Emitter, Operation, Position], ast.expr]]] = {
    "in_collection": _in_collection,
    "contains": _contains,
    "in_code": _in_code,
    "code_in_collection": _code_in_collection,
    "code_contains": _code_contains,
    "overlaps": _overlaps,
    "code_overlaps": _code_overlaps,
    "code_subset": _code_subset,
    "in_entity": _in_entity,
    "like": _pattern,
    "matches": _pattern,
    "within": _within,
    **dict.fromkeys(_CODE_ORDER, _code_order),
    **dict.fromkeys(("date_in", "hour", "minute", "weekday", "clock_between"), _zoned),
}
