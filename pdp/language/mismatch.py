"""Saying that an operator does not fit its operands: which one is wrong, and what was expected in its place."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, core, wire
from pdp.language.findings import Findings, a
from pdp.language.operators import BY_SYMBOL
from pdp.language.schema import Schema
from pdp.language.types import (
    BOOL,
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    INT,
    IP,
    ORDERED,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    SetType,
    Type,
    fits,
)

_ORDERINGS: Final = frozenset({"<", "<=", ">", ">=", "between"})
WRITTEN: Final[dict[Type, tuple[str, str]]] = {
    INSTANT: ("instant", '`instant("2026-01-01T00:00:00Z")`'),
    DATE: ("date", '`date("2026-01-01")`'),
    DURATION: ("duration", "`30 days`"),
    IP: ("ip", '`ip("10.0.0.0/8")`'),
}
"""Types whose constants are written as a text in a function: which, and an example."""
_ORDERED_NAMES: Final = "an Int, a Decimal, an Instant, a Date or a Duration"


class Mismatch:
    def __init__(self, findings: Findings, schema: Schema) -> None:
        self.findings = findings
        self.schema = schema

    def expected(self, wanted: Type, found: core.Expr, span: Span | None = None) -> None:
        """`found` stands where a `wanted` was expected."""
        message = f"expected {wanted}, found {found.type}"
        self.findings.error("type-mismatch", span or found.span, message, self._hint(wanted, found))

    def binary(self, node: ast.Binary, left: core.Expr, right: core.Expr) -> None:
        """`left` and `right` do not fit the operator between them."""
        operator = node.operator
        if operator != "in" and left.type == TEXT and right.type in WRITTEN:
            self.expected(right.type, left)
        elif operator in ("==", "!="):
            self.expected(left.type, right)
        elif operator in _ORDERINGS:
            self.order(left, right)
        elif operator == "in":
            self._membership(left, right, left)
        elif operator == "contains":
            self._membership(right, left, right)
        elif operator in ("overlaps", "subset of"):
            self._collections(left, right)
        elif operator in ("like", "matches"):
            self.expected(TEXT, right if left.type == TEXT else left)
        elif operator == "within":
            self.expected(*((DURATION, right) if left.type == INSTANT else (INSTANT, left)))
        else:
            self.takes(operator, (left, right), node.span)

    def between(self, operands: tuple[core.Expr, ...]) -> None:
        """`x between a and b` whose types are not one ordered type. Codes have an order, but no `between`."""
        value, low, high = operands
        if isinstance(value.type, CodeType):
            x, a, b = (" ".join(each.span.text.split()) for each in operands)
            message = f"`between` takes numbers, times and dates; found {value.type}"
            self.findings.error("type-mismatch", value.span, message, f"write `{a} <= {x} and {x} < {b}`")
            return
        self.order(value, low if low.type != value.type else high)

    def order(self, left: core.Expr, right: core.Expr) -> None:
        if left.type in ORDERED or isinstance(left.type, CodeType):
            if left.type == right.type:
                hint = "`<` needs codes of one vocabulary that is declared `ordered`"
                self.findings.error("not-ordered", left.span, f"{left.type} has no order", hint)
            else:
                self.expected(left.type, right)
            return
        hint = "Text has no order; neither have sets, entities and Ip"
        self.findings.error("not-ordered", left.span, f"expected {_ORDERED_NAMES}, found {left.type}", hint)

    def takes(self, symbol: str, operands: tuple[core.Expr, ...], span: Span) -> None:
        """A last resort: name what the operator takes."""
        takes = " or ".join(dict.fromkeys(each.takes for each in BY_SYMBOL[symbol]))
        found = " and ".join(str(each.type) for each in operands) or "nothing"
        hint = self._operands_hint(symbol, operands)
        self.findings.error("type-mismatch", span, f"`{symbol}` takes {takes}; found {found}", hint)

    def _membership(self, element: core.Expr, whole: core.Expr, reported: core.Expr) -> None:
        match whole.type:
            case SetType(inner) | ListType(inner):
                self.expected(inner, reported)
            case EntityType() | CodeType():
                self.expected(whole.type, element)
            case _ if whole.type == IP or (whole.type == TEXT and element.type == IP):
                self.expected(IP, element if whole.type == IP else whole)
            case _:
                message = f"expected a Set or List, found {whole.type}"
                self.findings.error("type-mismatch", whole.span, message, "write `{..}` around a single value")

    def _collections(self, left: core.Expr, right: core.Expr) -> None:
        for each in (left, right):
            if not isinstance(each.type, SetType | ListType):
                message = f"expected a Set or List, found {each.type}"
                self.findings.error("type-mismatch", each.span, message, "write `{..}` around a single value")
                return
        self.expected(left.type, right)

    def _hint(self, wanted: Type, found: core.Expr) -> str:
        written = found.value if isinstance(found, core.Literal) else None
        if wanted == DECIMAL and found.type == INT:
            return f"write `{written}.0`" if written is not None else "there is no conversion from Int to Decimal"
        if isinstance(wanted, CodeType) and found.type == TEXT and isinstance(written, str):
            return self._code_hint(wanted, written)
        if isinstance(wanted, EntityType) and found.type == TEXT:
            return f'an entity is written `{min(wanted.names, default="Type")} "id"`'
        if wanted == TEXT and isinstance(found.type, EntityType):
            return "`id(..)` gives the identifier of an entity"
        if wanted == BOOL and isinstance(found.type, SetType | ListType):
            return "`size(..) > 0` asks whether there are any"
        if wanted == DURATION and found.type == INT:
            return _unit_hint(written)
        if wanted == TEXT and found.type in WRITTEN:
            return f'a Text is never {a(found.type)}: write the texts as `{WRITTEN[found.type][0]}("..")`'
        if wanted == INT and isinstance(written, str) and written.isdecimal():
            return f"write `{written}`, without quotes"
        if wanted in WRITTEN and found.type == TEXT:
            return self._constant_hint(wanted, written)
        return ""

    def _constant_hint(self, wanted: Type, written: object) -> str:
        """A text where a constant is meant: the constant, as it stands if it is well written."""
        function, example = WRITTEN[wanted]
        if written is None:
            return f"a Text is never {a(wanted)}: declare it as one, `name: {wanted}`"
        try:
            wire.typed(written, wanted, self.schema)
        except wire.IllTyped:
            return f'write `{function}("..")`, as in {example}'
        return f'write `{function}("{written}")`'

    def _code_hint(self, wanted: CodeType, written: str) -> str:
        for name in sorted(wanted.vocabularies):
            for symbol, code in self.schema.codes.vocabularies[name].symbols.items():
                if written in (symbol, code):
                    return f"write `{name}.{symbol}`"
        return f"a code is written `{min(wanted.vocabularies)}.name`"

    def _operands_hint(self, symbol: str, operands: tuple[core.Expr, ...]) -> str:
        types = {each.type for each in operands}
        if types == {INT, DECIMAL}:
            return "an Int is never a Decimal; write `2.0`"
        if types == {INSTANT, INT}:
            number = next(each for each in operands if each.type == INT)
            return _unit_hint(number.value if isinstance(number, core.Literal) else None)
        if INSTANT in types and any("Date" in each.takes for each in BY_SYMBOL[symbol]):
            return '`date_in(t, "Europe/Berlin")` gives the date of an Instant'
        if any(each.literal for each in BY_SYMBOL[symbol]):
            return ""  # Its texts are zones and clocks.
        beside = next((each for each in types if each in WRITTEN), None)
        if beside is not None and types == {beside, TEXT}:
            found = next(each for each in operands if each.type == TEXT)
            return self._hint(beside, found)
        return ""


def _unit_hint(written: object) -> str:
    """A bare number where a Duration is meant."""
    number = written if isinstance(written, int) else 30
    return f"a Duration has a unit: `{number} {'days' if number <= 366 else 'seconds'}`"


def joined(left: Type, right: Type) -> Type | None:
    """One type for the values of both: the wider of two, or the union of entity types or of codes."""
    match left, right:
        case EntityType(a), EntityType(b):
            return EntityType(a | b)
        case CodeType(a), CodeType(b):
            return CodeType(a | b)
        case _ if fits(left, right):
            return right
        case _ if fits(right, left):
            return left
        case _:
            return None
