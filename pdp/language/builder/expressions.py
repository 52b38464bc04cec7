"""Expressions and types."""

# ruff: noqa: ARG002  (the methods of rules all begin alike)

from __future__ import annotations

from pdp.diagnostics.source import Span
from pdp.diagnostics.suggest import closest
from pdp.language import ast
from pdp.language.builder.base import Base
from pdp.language.lex import Token, text_of

UNITS = {
    written: unit
    for unit in ("millisecond", "second", "minute", "hour", "day", "week")
    for written in (unit, unit + "s")
}

_MEANT = {
    "&&": "and",
    "||": "or",
    "!": "not",
    "=": "==",
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "=~": "matches",
}
"""Operators of other languages, and ours."""

_RELATIONS = frozenset(
    ("==", "!=", "<", "<=", ">", ">=", "in", "overlaps", "contains", "like", "matches", "within", "subset of")
)


class Expressions(Base):
    def operator(self, token: Token) -> tuple[str, Span]:
        """The operator meant and its place; that of another language is reported."""
        written, span = text_of(token), self.place(token)
        meant = _MEANT.get(written)
        if meant is None:
            return written, span
        self.report("wrong-operator", span, f"`{written}` is not an operator of Ward", f"write `{meant}`")
        return meant, span

    def expression(self, span: Span, expr: ast.Expr) -> ast.Expr:
        return expr

    def binary(self, span: Span, left: ast.Expr, sign: Token, right: ast.Expr) -> ast.Binary:
        symbol, place = self.operator(sign)
        if symbol in _RELATIONS:
            self.unchained(span, left, place)
        return ast.Binary(symbol, left, right, span, place)

    def subset_of(self, span: Span, left: ast.Expr, first: Token, second: Token, right: ast.Expr) -> ast.Binary:
        place = self.place(first).to(self.place(second))
        self.unchained(span, left, place)
        return ast.Binary("subset of", left, right, span, place)

    def unchained(self, whole: Span, left: ast.Expr, place: Span) -> None:
        """Report `a < b < c`. A left side in parentheses begins later than what it is the left side of."""
        match left:
            case ast.Binary(operator=symbol) if symbol in _RELATIONS:
                pass
            case ast.Between() | ast.IsType() | ast.HasMember():
                pass
            case _:
                return
        if left.span.start == whole.start:
            message = f"`{place.text}` compares the result of a comparison"
            self.report("chained-comparison", place, message, "join two comparisons by `and`, or set parentheses")

    def unary(self, span: Span, sign: Token, operand: ast.Expr) -> ast.Unary:
        return ast.Unary(self.operator(sign)[0], operand, span)

    def between(self, span: Span, value: ast.Expr, low: ast.Expr, high: ast.Expr) -> ast.Between:
        self.unchained(span, value, span)
        return ast.Between(value, low, high, span)

    def is_type(self, span: Span, target: ast.Expr, name: Token) -> ast.IsType:
        self.unchained(span, target, span)
        return ast.IsType(target, self.name(name), span)

    def has_member(self, span: Span, target: ast.Expr, name: Token) -> ast.HasMember:
        self.unchained(span, target, span)
        return ast.HasMember(target, self.name(name), span)

    def has_path(self, span: Span, target: ast.Expr, first: Token, *rest: Token) -> ast.HasMember:
        of = target.span.text
        hint = f"write `{of} has {text_of(first)} and {of}.{text_of(first)} has {text_of(rest[0])}`"
        self.report("has-a-path", span, "`has` takes the name of one attribute", hint)
        return ast.HasMember(target, self.name(first), span)

    # Atoms ------------------------------------------------------------------------------------------------------------

    def reference(self, span: Span, name: Token) -> ast.Reference:
        return ast.Reference(text_of(name), span)

    def member_access(self, span: Span, target: ast.Expr, name: Token) -> ast.Member:
        return ast.Member(target, self.name(name), span)

    def boolean(self, span: Span, word: Token) -> ast.Boolean:
        return ast.Boolean(text_of(word) == "true", span)

    def number(self, span: Span, digits: Token) -> ast.Number:
        return self.digits(digits)

    def text(self, span: Span, string: Token) -> ast.Text:
        return self.string(string)

    def duration(self, span: Span, amount: Token, unit: Token) -> ast.DurationLiteral:
        number, written = self.digits(amount), text_of(unit)
        if "." in number.text:
            self.report("bad-duration", number.span, "a duration is a whole number of units", "use a smaller unit")
        if written not in UNITS:
            near = closest(written, UNITS)
            hint = f"did you mean `{near}`?" if near else f"the units are {', '.join(list(UNITS)[1::2])}"
            if written.rstrip("s") in ("month", "year"):
                hint = f"a {written.rstrip('s')} has no fixed length: use `add_{written.rstrip('s')}s(d, n)` on a Date"
            self.report("unknown-unit", self.place(unit), f"`{written}` is not a unit of time", hint)
        return ast.DurationLiteral(int(number.text.partition(".")[0]), UNITS.get(written, "second"), span)

    def entity_literal(self, span: Span, type_name: Token, id_: Token) -> ast.EntityLiteral:
        return ast.EntityLiteral(self.name(type_name), self.string(id_), span)

    def call(self, span: Span, name: Token, *arguments: ast.Expr | None) -> ast.Call:
        return ast.Call(self.name(name), _written(arguments), span)

    def set_literal(self, span: Span, *items: ast.Expr | None) -> ast.SetLiteral:
        return ast.SetLiteral(_written(items), span)

    def list_literal(self, span: Span, *items: ast.Expr | None) -> ast.ListLiteral:
        return ast.ListLiteral(_written(items), span)

    def group(self, span: Span, expr: ast.Expr) -> ast.Expr:
        return expr

    def quantified(
        self, span: Span, word: Token, variable: Token, collection: ast.Expr, body: ast.Expr
    ) -> ast.Quantified:
        every = text_of(word) == "all"
        return ast.Quantified(every, self.name(variable), collection, body, span)

    def conditional(self, span: Span, condition: ast.Expr, then: ast.Expr, otherwise: ast.Expr) -> ast.Conditional:
        return ast.Conditional(condition, then, otherwise, span)

    # Types ------------------------------------------------------------------------------------------------------------

    def named_type(self, span: Span, name: Token) -> ast.NamedType:
        return ast.NamedType(self.name(name), span)

    def collection_type(
        self, span: Span, constructor: Token, element: ast.TypeExpr, optional: Token | None
    ) -> ast.CollectionType:
        if optional is not None:
            message = "a member of a collection is always there"
            self.report("optional-member", self.place(optional), message, "leave out the `?`")
        return ast.CollectionType(text_of(constructor), element, span)

    def record_type(self, span: Span, *fields: ast.FieldType) -> ast.RecordTypeExpr:
        return ast.RecordTypeExpr(fields, span)

    def member(self, span: Span, name: Token, kind: ast.TypeExpr, optional: Token | None) -> ast.FieldType:
        return ast.FieldType(self.name(name), kind, optional is not None, span)

    parameter = member


def _written(items: tuple[ast.Expr | None, ...]) -> tuple[ast.Expr, ...]:
    return tuple(item for item in items if item is not None)
