"""Typed core to Python `ast` nodes: never text, so nothing that a policy says can become code.

An emitted function is an expression of its arguments alone:

    f the frame      s, r  the references of subject and resource      S, R  their rows
    C  the context's row                                               m     memo of shared subexpressions

It runs the plain short-circuit path. What has no value raises `Unsettled`, and so does what leaves the plain path; a
result that is neither True nor False is no answer either. Both are settled by the interpreter, so emitted code may give
up anywhere, but where it answers it must be right: every strict operand is evaluated and touched.

Each node carries the line and the UTF-8 byte column of its piece of policy, so a traceback underlines the policy.
"""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, Final

from pdp.compile import runtime
from pdp.compile.concrete import Roots
from pdp.diagnostics.source import Source, Span
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
    Select,
    Variable,
)
from pdp.language.types import CodeType, EntityType, SetType
from pdp.language.vocabulary import Codes
from pdp.model.value import HOUR, MINUTE, Code, Ip

PARAMETERS: Final = ("f", "s", "r", "S", "R", "C", "m")
_LOAD: Final = ast.Load()
_ARGUMENTS: Final = ast.arguments(
    [], [ast.arg(name, lineno=1, col_offset=0) for name in PARAMETERS], None, [], [], None, []
)
_ROWS: Final = {"subject": "S", "resource": "R", "context": "C"}
_REFERENCES: Final = {"subject": "s", "resource": "r", "context": "C"}
Position = dict[str, int]
Constant = tuple[str, Any]
Paths = tuple[tuple[Expr, bool], ...]
"""The paths of an index's key, each with whether it is guarded."""


class Positions:
    """Where spans stand, as Python counts: lines from 1, columns in bytes from 0."""

    def __init__(self) -> None:
        self._sources: dict[int, tuple[Source, list[int], bool]] = {}

    def __call__(self, span: Span) -> Position:
        source, starts, plain = self._sources.get(id(span.source)) or self._measured(span.source)
        first = bisect_right(starts, span.start)
        last = bisect_right(starts, span.end)
        start, end = span.start - starts[first - 1], span.end - starts[last - 1]
        if not plain:
            start = len(source.text[starts[first - 1] : span.start].encode("utf-8", "surrogatepass"))
            end = len(source.text[starts[last - 1] : span.end].encode("utf-8", "surrogatepass"))
        return {"lineno": first, "col_offset": start, "end_lineno": last, "end_col_offset": end}

    def _measured(self, source: Source) -> tuple[Source, list[int], bool]:
        starts = [0]
        for line in source.text.split("\n")[:-1]:
            starts.append(starts[-1] + len(line) + 1)
        self._sources[id(source)] = source, starts, source.text.isascii()
        return self._sources[id(source)]


class Constants:
    """What emitted code needs and no code object can hold: made when a program is loaded, named by kind and number."""

    def __init__(self) -> None:
        self.names: dict[Constant, str] = {}

    def name(self, kind: str, data: Any) -> str:
        return self.names.setdefault((kind, data), f"${kind}{len(self.names)}")


class Emitter:
    """Emits expressions for one setting of the roots. `shared`: subexpressions that have a place in the memo."""

    def __init__(
        self, codes: Codes, positions: Positions, constants: Constants, roots: Roots, shared: dict[Expr, int]
    ) -> None:
        self._codes = codes
        self._position = positions
        self._constants = constants
        self._root_types = frozenset(roots.values())
        self._shared = shared
        self._variables: dict[str, str] = {}
        self._file = ""
        self._outside: Position = {}

    def function(self, name: str, span: Span, body: Expr) -> ast.FunctionDef:
        at = self._in(span)
        return ast.FunctionDef(name, _ARGUMENTS, [ast.Return(self.expr(body), **at)], [], None, None, **at)

    def probe(self, name: str, span: Span, tables: Iterable[tuple[str, Paths]]) -> ast.FunctionDef:
        """The function that looks into the tables of an index: each with the paths of its key, guarded or not."""
        at = self._in(span)
        found: list[ast.expr] = []
        for table, paths in tables:
            if not paths:
                found.append(_name(table, at))
                continue
            keys = [self.key(path, guarded) for path, guarded in paths]
            key = keys[0] if len(keys) == 1 else ast.Tuple(keys, _LOAD, **at)
            found.append(_call(table, [key, ast.Tuple([], _LOAD, **at)], at))
        answer = ast.Return(ast.Tuple(found, _LOAD, **at), **at)
        return ast.FunctionDef(name, _ARGUMENTS, [answer], [], None, None, **at)

    def key_function(self, name: str, span: Span, path: Expr, guarded: bool) -> ast.FunctionDef:
        at = self._in(span)
        return ast.FunctionDef(name, _ARGUMENTS, [ast.Return(self.key(path, guarded), **at)], [], None, None, **at)

    def key(self, path: Expr, guarded: bool) -> ast.expr:
        """The value of a path in an index: a guarded one may be absent."""
        value = self.expr(path)
        return _call("$guarded", [value], self._at(path.span)) if guarded else value

    def _in(self, span: Span) -> Position:
        """Begin a function: its file is that of its span."""
        self._file = span.source.name
        self._outside = self._position(span)
        return self._outside

    def _at(self, span: Span) -> Position:
        """A code object has one file; what stands in another (a `define`) is placed at the function's own span."""
        return self._position(span) if span.source.name == self._file else self._outside

    def expr(self, expr: Expr) -> ast.expr:
        if self._shared and expr.__class__ in _SHAREABLE:
            slot = self._shared.get(expr)
            if slot is not None:
                return self._memo(expr, slot)
        return _CASES[expr.__class__](self, expr)

    def _memo(self, expr: Expr, slot: int) -> ast.expr:
        """`m[7] if 7 in m else m.setdefault(7, ...)`"""
        at = self._at(expr.span)
        memo, key = _name("m", at), _const(slot, at)
        setdefault = ast.Attribute(memo, "setdefault", _LOAD, **at)
        return ast.IfExp(
            ast.Compare(key, [ast.In()], [memo], **at),
            ast.Subscript(memo, key, _LOAD, **at),
            ast.Call(setdefault, [key, _CASES[expr.__class__](self, expr)], [], **at),
            **at,
        )

    # One method for each node kind.

    def _literal(self, expr: Literal) -> ast.expr:
        return _const(expr.value, self._at(expr.span))

    def _variable(self, expr: Variable) -> ast.expr:
        at = self._at(expr.span)
        if expr.name == "now":
            return _frame("now", at)
        if expr.name == "action":
            return _frame("action_row", at)
        return _name(_REFERENCES.get(expr.name) or self._variables[expr.name], at)

    def _select(self, expr: Select) -> ast.expr:
        return self._state(expr.target, expr.slots, self._at(expr.span))

    def _has(self, expr: Has) -> ast.expr:
        at = self._at(expr.span)
        return _call("$has", [self._state(expr.target, expr.slots, at)], at)

    def _state(self, target: Expr, slots: tuple[tuple[str, int], ...], at: Position) -> ast.expr:
        """The attribute as it is, ABSENT and UNKNOWN included."""
        numbers = {slot for _, slot in slots}
        if not isinstance(target.type, EntityType):
            return ast.Subscript(self.expr(target), _const(slots[0][1], at), _LOAD, **at)
        if len(numbers) == 1 and target.type.names <= {name for name, _ in slots}:
            return ast.Subscript(self._row(target), _const(numbers.pop(), at), _LOAD, **at)
        table = self._constants.name("slots", slots)
        return _call("$row_slot", [self.expr(target), self._row(target), _name(table, at)], at)

    def _row(self, target: Expr) -> ast.expr:
        """The row of an entity: `row` where it may be the subject or the resource, whose rows hold more."""
        at = self._at(target.span)
        if isinstance(target, Variable) and target.name in _ROWS:
            return _name(_ROWS[target.name], at)
        assert isinstance(target.type, EntityType)
        if target.type.names & self._root_types:
            return ast.Call(_frame("row", at), [self.expr(target)], [], **at)
        return ast.Subscript(_frame("rows", at), self.expr(target), _LOAD, **at)

    def _is(self, expr: Is) -> ast.expr:
        """`x[:8] == "Record::"`: touches `x`, as every operand must be."""
        at = self._at(expr.span)
        target = self.expr(expr.target)
        if len(expr.names) != 1:
            return _call("$is_one_of", [target, _const(expr.names, at)], at)
        (name,) = expr.names
        size = ast.Slice(None, _const(len(name) + 2, at), None, **at)
        return _compare(ast.Subscript(target, size, _LOAD, **at), ast.Eq(), _const(f"{name}::", at), at)

    def _and(self, expr: And) -> ast.expr:
        at = self._at(expr.span)
        items: list[ast.expr] = []
        for item, following in zip(expr.items, (*expr.items[1:], None), strict=True):
            guard = isinstance(item, Has) and _touches(following, item)
            items.append(self._presence(item) if guard else self.expr(item))  # type: ignore[arg-type]
        return ast.BoolOp(ast.And(), items, **at)

    def _presence(self, expr: Has) -> ast.expr:
        """`has` where what follows raises for unknown all the same: one comparison instead of a call."""
        at = self._at(expr.span)
        return _compare(self._state(expr.target, expr.slots, at), ast.IsNot(), _name("$ABSENT", at), at)

    def _or(self, expr: Or) -> ast.expr:
        return ast.BoolOp(ast.Or(), list(map(self.expr, expr.items)), **self._at(expr.span))

    def _not(self, expr: Not) -> ast.expr:
        operand = self.expr(expr.operand)
        if isinstance(operand, ast.UnaryOp):  # From `_meets`: `not not x.isdisjoint(y)`.
            return operand.operand
        return ast.UnaryOp(ast.Not(), operand, **self._at(expr.span))

    def _if(self, expr: If) -> ast.expr:
        condition, then, otherwise = self.expr(expr.condition), self.expr(expr.then), self.expr(expr.otherwise)
        return ast.IfExp(condition, then, otherwise, **self._at(expr.span))

    def _quantifier(self, expr: Quantifier) -> ast.expr:
        at = self._at(expr.span)
        collection = self.expr(expr.collection)
        name = self._variables[expr.variable] = f"x{len(self._variables)}"
        loop = ast.comprehension(ast.Name(name, ast.Store(), **at), collection, [], 0)
        body = ast.GeneratorExp(self.expr(expr.body), [loop], **at)
        return _call("$all" if expr.every else "$any", [body], at)

    def _collect(self, expr: Collect) -> ast.expr:
        at = self._at(expr.span)
        found = literal(expr)
        if found is not None:
            return _const(found, at)
        items = list(map(self.expr, expr.items))
        if isinstance(expr.type, SetType):
            return _call("$frozenset", [ast.Tuple(items, _LOAD, **at)], at)
        return _call("$as_list", items, at)

    def _operation(self, expr: Operation) -> ast.expr:
        at = self._at(expr.span)
        special = _OPERATIONS.get(expr.operator)
        if special is not None:
            return special(self, expr, at)
        operator = _COMPARISONS.get(expr.operator)
        if operator is not None:
            left, right = expr.arguments
            return _compare(self.expr(left), operator, self.expr(right), at)
        return self._call(_FUNCTIONS.get(expr.operator, expr.operator), expr.arguments, at)

    def _call(self, function: str, arguments: Iterable[Expr], at: Position) -> ast.expr:
        return _call(f"${function}", list(map(self.expr, arguments)), at)

    # Operations that are more than a call.

    def _member(self, x: Expr, members: Expr, at: Position) -> ast.expr:
        found = literal(members)
        if found is not None:
            return _compare(self.expr(x), ast.In(), _const(frozenset(found), at), at)
        if isinstance(members.type, SetType):
            return _compare(self.expr(x), ast.In(), self.expr(members), at)
        return self._call("listed", (x, members), at)

    def _in_collection(self, expr: Operation, at: Position) -> ast.expr:
        return self._member(expr.arguments[0], expr.arguments[1], at)

    def _contains(self, expr: Operation, at: Position) -> ast.expr:
        return self._member(expr.arguments[1], expr.arguments[0], at)

    def _in_code(self, expr: Operation, at: Position) -> ast.expr:
        code, other = expr.arguments
        if isinstance(other, Literal):
            return _compare(self.expr(code), ast.In(), self._closure([other.value], at), at)
        closure = ast.Subscript(_name("$closures", at), self.expr(other), _LOAD, **at)
        return _compare(self.expr(code), ast.In(), closure, at)

    def _code_in_collection(self, expr: Operation, at: Position) -> ast.expr:
        code, members = expr.arguments
        found = literal(members)
        if found is not None:
            return _compare(self.expr(code), ast.In(), self._closure(found, at), at)
        uppers = ast.Subscript(_name("$above", at), self.expr(code), _LOAD, **at)
        return _meets(uppers, self.expr(members), at)

    def _code_contains(self, expr: Operation, at: Position) -> ast.expr:
        members, code = expr.arguments
        if isinstance(code, Literal):
            return _meets(self._closure([code.value], at), self.expr(members), at)
        closure = ast.Subscript(_name("$closures", at), self.expr(code), _LOAD, **at)
        return _meets(closure, self.expr(members), at)

    def _overlaps(self, expr: Operation, at: Position) -> ast.expr:
        for one, other in (expr.arguments, expr.arguments[::-1]):
            found = literal(one)
            if found is not None:
                return _meets(_const(frozenset(found), at), self.expr(other), at)
        return self._call("overlaps", expr.arguments, at)

    def _code_overlaps(self, expr: Operation, at: Position) -> ast.expr:
        left, right = expr.arguments
        found = literal(right)
        if found is not None:
            return _meets(self._closure(found, at), self.expr(left), at)
        return _call("$code_overlaps", [_name("$closures", at), self.expr(left), self.expr(right)], at)

    def _code_subset(self, expr: Operation, at: Position) -> ast.expr:
        left, right = expr.arguments
        found = literal(right)
        if found is not None and isinstance(left.type, SetType):
            return _compare(self.expr(left), ast.LtE(), self._closure(found, at), at)
        return _call("$code_subset", [_name("$closures", at), self.expr(left), self.expr(right)], at)

    def _closure(self, codes: Iterable[Any], at: Position) -> ast.expr:
        return _const(closure(self._codes, codes), at)

    def _code_order(self, expr: Operation, at: Position) -> ast.expr:
        """Against a literal: membership in the codes that stand so in the order; else a comparison of ranks."""
        left, right = expr.arguments
        operator, holds = _CODE_ORDER[expr.operator]
        ranks = self._codes.ranks
        if isinstance(right, Literal):
            found = frozenset(each for each in self._vocabulary(right) if holds(ranks[each], ranks[_code(right)]))
            return _compare(self.expr(left), ast.In(), _const(found, at), at)
        if isinstance(left, Literal):
            found = frozenset(each for each in self._vocabulary(left) if holds(ranks[_code(left)], ranks[each]))
            return _compare(self.expr(right), ast.In(), _const(found, at), at)
        first, second = (ast.Subscript(_name("$ranks", at), self.expr(each), _LOAD, **at) for each in expr.arguments)
        return _compare(first, operator, second, at)

    def _vocabulary(self, expr: Expr) -> Iterable[Code]:
        assert isinstance(expr.type, CodeType)
        (name,) = expr.type.vocabularies
        vocabulary = self._codes.vocabularies[name]
        return (vocabulary.code(symbol) for symbol in vocabulary.symbols)

    def _in_entity(self, expr: Operation, at: Position) -> ast.expr:
        inner, outer = expr.arguments
        return _call("$inside", [self.expr(inner), self._row(inner), self.expr(outer)], at)

    def _pattern(self, expr: Operation, at: Position) -> ast.expr:
        text, regex = expr.arguments[0], str(literal(expr.arguments[1]))
        regex = runtime.glob(regex) if expr.operator == "like" else regex
        return _call(self._constants.name("regex", regex), [self.expr(text)], at)

    def _within(self, expr: Operation, at: Position) -> ast.expr:
        return _call("$within", [_frame("now", at), *(self.expr(each) for each in expr.arguments)], at)

    def _zoned(self, expr: Operation, at: Position) -> ast.expr:
        """Functions of an Instant and a zone: clocks become microseconds, the zone a table."""
        instant, *clocks, zone = expr.arguments
        arguments = [self.expr(instant)]
        arguments += [_const(clock(str(literal(each))), at) for each in clocks]
        table = self._constants.name("zone", str(literal(zone)))
        return _call(f"${expr.operator}", [*arguments, _name(table, at)], at)


def literal(expr: Expr) -> Any:
    """The value of an expression that is written down whole, else None."""
    if isinstance(expr, Literal):
        return expr.value
    if isinstance(expr, Collect) and all(isinstance(item, Literal) for item in expr.items):
        members = tuple(item.value for item in expr.items if isinstance(item, Literal))
        return frozenset(members) if isinstance(expr.type, SetType) else members
    return None


def closure(codes: Codes, members: Iterable[Any]) -> frozenset[Code]:
    """All codes that are one of these or a kind of one."""
    found: set[Code] = set()
    for member in members:
        found.add(member)
        found |= codes.closures.get(member, frozenset())
    return frozenset(found)


def clock(text: str) -> int:
    """Microseconds since midnight of `19:30`."""
    hours, _, minutes = text.partition(":")
    return int(hours) * HOUR + int(minutes) * MINUTE


def _constant(value: Any) -> Any:
    """As a constant of a code object: an `Ip` becomes a plain tuple, which equals it and has its hash."""
    if isinstance(value, Ip):
        return tuple(value)
    if isinstance(value, frozenset):
        return frozenset(_constant(each) for each in value)
    if isinstance(value, tuple):
        return tuple(_constant(each) for each in value)
    return value


def _code(expr: Literal) -> Code:
    return Code(str(expr.value))


def _touches(following: Expr | None, guard: Has) -> bool:
    """Does `following`, whenever it is evaluated, evaluate the attribute that `guard` asks for?"""
    match following:
        case Select(target, name):
            return (name == guard.name and target == guard.target) or _touches(target, guard)
        case Operation(arguments=arguments):
            return any(_touches(each, guard) for each in arguments)
        case Not(operand):
            return _touches(operand, guard)
        case Is(target):
            return _touches(target, guard)
        case _:
            return False


def _const(value: Any, at: Position) -> ast.expr:
    return ast.Constant(_constant(value), **at)  # type: ignore[arg-type]


def _name(name: str, at: Position) -> ast.expr:
    return ast.Name(name, _LOAD, **at)


def _frame(attribute: str, at: Position) -> ast.expr:
    return ast.Attribute(ast.Name("f", _LOAD, **at), attribute, _LOAD, **at)


def _call(function: str, arguments: list[ast.expr], at: Position) -> ast.expr:
    return ast.Call(ast.Name(function, _LOAD, **at), arguments, [], **at)


def _compare(left: ast.expr, operator: ast.cmpop, right: ast.expr, at: Position) -> ast.expr:
    return ast.Compare(left, [operator], [right], **at)


def _meets(one: ast.expr, other: ast.expr, at: Position) -> ast.expr:
    """`not one.isdisjoint(other)`; `one` is a frozenset of ours, `other` is touched by being iterated."""
    disjoint = ast.Call(ast.Attribute(one, "isdisjoint", _LOAD, **at), [other], [], **at)
    return ast.UnaryOp(ast.Not(), disjoint, **at)


_CASES: Final[dict[type, Callable[[Emitter, Any], ast.expr]]] = {
    Literal: Emitter._literal,
    Variable: Emitter._variable,
    Select: Emitter._select,
    Has: Emitter._has,
    Is: Emitter._is,
    And: Emitter._and,
    Or: Emitter._or,
    Not: Emitter._not,
    If: Emitter._if,
    Quantifier: Emitter._quantifier,
    Operation: Emitter._operation,
    Collect: Emitter._collect,
}
_SHAREABLE: Final = frozenset({Operation, Quantifier, Select})
_COMPARISONS: Final[dict[str, ast.cmpop]] = {
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
_FUNCTIONS: Final = {"size": "len", "length": "len", "to_set": "frozenset", "min": "lesser", "max": "greater"} | {
    "id": "identifier",
    "intersection": "intersection",
    "difference": "difference",
}
_OPERATIONS: Final[dict[str, Callable[[Emitter, Operation, Position], ast.expr]]] = {
    "in_collection": Emitter._in_collection,
    "contains": Emitter._contains,
    "in_code": Emitter._in_code,
    "code_in_collection": Emitter._code_in_collection,
    "code_contains": Emitter._code_contains,
    "overlaps": Emitter._overlaps,
    "code_overlaps": Emitter._code_overlaps,
    "code_subset": Emitter._code_subset,
    "in_entity": Emitter._in_entity,
    "like": Emitter._pattern,
    "matches": Emitter._pattern,
    "within": Emitter._within,
    **dict.fromkeys(_CODE_ORDER, Emitter._code_order),
    **dict.fromkeys(("date_in", "hour", "minute", "weekday", "clock_between"), Emitter._zoned),
}
