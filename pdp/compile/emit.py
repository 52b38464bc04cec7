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
from collections.abc import Callable, Iterable
from typing import Any, Final

from pdp.compile import operations
from pdp.compile.concrete import Roots
from pdp.compile.nodes import LOAD, Constants, Position, Positions, call, compare, constant, frame, literal, load
from pdp.diagnostics.source import Span
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
from pdp.language.types import EntityType, SetType
from pdp.language.vocabulary import Codes

PARAMETERS: Final = ("f", "s", "r", "S", "R", "C", "m")
_ARGUMENTS: Final = ast.arguments(
    [], [ast.arg(name, lineno=1, col_offset=0) for name in PARAMETERS], None, [], [], None, []
)
_ROWS: Final = {"subject": "S", "resource": "R", "context": "C"}
_REFERENCES: Final = {"subject": "s", "resource": "r", "context": "C"}
Paths = tuple[tuple[Expr, bool], ...]
"""The paths of an index's key, each with whether it is guarded."""


class Emitter:
    """Emits expressions for one setting of the roots. `shared`: subexpressions that have a place in the memo."""

    def __init__(
        self, codes: Codes, positions: Positions, constants: Constants, roots: Roots, shared: dict[Expr, int]
    ) -> None:
        self.codes = codes
        self._position = positions
        self.constants = constants
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
                found.append(load(table, at))
                continue
            keys = [self.key(path, guarded) for path, guarded in paths]
            key = keys[0] if len(keys) == 1 else ast.Tuple(keys, LOAD, **at)
            found.append(call(table, [key, ast.Tuple([], LOAD, **at)], at))
        answer = ast.Return(ast.Tuple(found, LOAD, **at), **at)
        return ast.FunctionDef(name, _ARGUMENTS, [answer], [], None, None, **at)

    def key_function(self, name: str, span: Span, path: Expr, guarded: bool) -> ast.FunctionDef:
        at = self._in(span)
        return ast.FunctionDef(name, _ARGUMENTS, [ast.Return(self.key(path, guarded), **at)], [], None, None, **at)

    def key(self, path: Expr, guarded: bool) -> ast.expr:
        """The value of a path in an index: a guarded one may be absent."""
        value = self.expr(path)
        return call("$guarded", [value], self._at(path.span)) if guarded else value

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
        memo, key = load("m", at), constant(slot, at)
        setdefault = ast.Attribute(memo, "setdefault", LOAD, **at)
        return ast.IfExp(
            ast.Compare(key, [ast.In()], [memo], **at),
            ast.Subscript(memo, key, LOAD, **at),
            ast.Call(setdefault, [key, _CASES[expr.__class__](self, expr)], [], **at),
            **at,
        )

    # One method for each node kind.

    def _literal(self, expr: Literal) -> ast.expr:
        return constant(expr.value, self._at(expr.span))

    def _variable(self, expr: Variable) -> ast.expr:
        at = self._at(expr.span)
        if expr.name == "now":
            return frame("now", at)
        if expr.name == "action":
            return frame("action_row", at)
        return load(_REFERENCES.get(expr.name) or self._variables[expr.name], at)

    def _select(self, expr: Select) -> ast.expr:
        return self._state(expr.target, expr.slots, self._at(expr.span))

    def _has(self, expr: Has) -> ast.expr:
        at = self._at(expr.span)
        return call("$has", [self._state(expr.target, expr.slots, at)], at)

    def _state(self, target: Expr, slots: tuple[tuple[str, int], ...], at: Position) -> ast.expr:
        """The attribute as it is, ABSENT and UNKNOWN included."""
        numbers = {slot for _, slot in slots}
        if not isinstance(target.type, EntityType):
            return ast.Subscript(self.expr(target), constant(slots[0][1], at), LOAD, **at)
        if len(numbers) == 1 and target.type.names <= {name for name, _ in slots}:
            return ast.Subscript(self.row(target), constant(numbers.pop(), at), LOAD, **at)
        table = self.constants.name("slots", slots)
        return call("$row_slot", [self.expr(target), self.row(target), load(table, at)], at)

    def row(self, target: Expr) -> ast.expr:
        """The row of an entity: `row` where it may be the subject or the resource, whose rows hold more."""
        at = self._at(target.span)
        if isinstance(target, Variable) and target.name in _ROWS:
            return load(_ROWS[target.name], at)
        assert isinstance(target.type, EntityType)
        if target.type.names & self._root_types:
            return ast.Call(frame("row", at), [self.expr(target)], [], **at)
        return ast.Subscript(frame("rows", at), self.expr(target), LOAD, **at)

    def _is(self, expr: Is) -> ast.expr:
        """`x[:8] == "Record::"`: touches `x`, as every operand must be."""
        at = self._at(expr.span)
        target = self.expr(expr.target)
        if len(expr.names) != 1:
            return call("$is_one_of", [target, constant(expr.names, at)], at)
        (name,) = expr.names
        size = ast.Slice(None, constant(len(name) + 2, at), None, **at)
        return compare(ast.Subscript(target, size, LOAD, **at), ast.Eq(), constant(f"{name}::", at), at)

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
        return compare(self._state(expr.target, expr.slots, at), ast.IsNot(), load("$ABSENT", at), at)

    def _or(self, expr: Or) -> ast.expr:
        return ast.BoolOp(ast.Or(), list(map(self.expr, expr.items)), **self._at(expr.span))

    def _not(self, expr: Not) -> ast.expr:
        operand = self.expr(expr.operand)
        if isinstance(operand, ast.UnaryOp):  # From `meets`: `not not x.isdisjoint(y)`.
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
        return call("$all" if expr.every else "$any", [body], at)

    def _collect(self, expr: Collect) -> ast.expr:
        at = self._at(expr.span)
        found = literal(expr)
        if found is not None:
            return constant(found, at)
        items = list(map(self.expr, expr.items))
        if isinstance(expr.type, SetType):
            return call("$frozenset", [ast.Tuple(items, LOAD, **at)], at)
        return call("$as_list", items, at)

    def _operation(self, expr: Operation) -> ast.expr:
        at = self._at(expr.span)
        special = operations.SPECIAL.get(expr.operator)
        if special is not None:
            return special(self, expr, at)
        operator = operations.COMPARISONS.get(expr.operator)
        if operator is not None:
            left, right = expr.arguments
            return compare(self.expr(left), operator, self.expr(right), at)
        return self.call(operations.FUNCTIONS.get(expr.operator, expr.operator), expr.arguments, at)

    def call(self, function: str, arguments: Iterable[Expr], at: Position) -> ast.expr:
        return call(f"${function}", list(map(self.expr, arguments)), at)


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
