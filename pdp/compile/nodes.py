"""The pieces of emitted code: `ast` nodes with the place of the policy that they stand for, and what is written down.

Python counts lines from 1 and columns in UTF-8 bytes from 0; our spans count characters.
"""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Final

from pdp.diagnostics.source import Source, Span
from pdp.language.core import Collect, Expr, Literal
from pdp.language.types import SetType
from pdp.language.vocabulary import Codes
from pdp.model.value import HOUR, MINUTE, Code, Ip

LOAD: Final = ast.Load()
Position = dict[str, int]
Constant = tuple[str, Any]


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


def constant(value: Any, at: Position) -> ast.expr:
    return ast.Constant(_constant(value), **at)  # type: ignore[arg-type]


def load(name: str, at: Position) -> ast.expr:
    return ast.Name(name, LOAD, **at)


def frame(attribute: str, at: Position) -> ast.expr:
    return ast.Attribute(ast.Name("f", LOAD, **at), attribute, LOAD, **at)


def call(function: str, arguments: list[ast.expr], at: Position) -> ast.expr:
    return ast.Call(ast.Name(function, LOAD, **at), arguments, [], **at)


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr, at: Position) -> ast.expr:
    return ast.Compare(left, [operator], [right], **at)


def meets(one: ast.expr, other: ast.expr, at: Position) -> ast.expr:
    """`not one.isdisjoint(other)`; `one` is a frozenset of ours, `other` is touched by being iterated."""
    disjoint = ast.Call(ast.Attribute(one, "isdisjoint", LOAD, **at), [other], [], **at)
    return ast.UnaryOp(ast.Not(), disjoint, **at)
