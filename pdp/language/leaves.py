"""Expressions without parts: literals, and codes."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, core, wire
from pdp.language.declarations import World
from pdp.language.findings import near
from pdp.language.members import lost
from pdp.language.names import TYPES, VOCABULARIES
from pdp.language.narrowing import NEVER, NOTHING, Facts
from pdp.language.scope import Scope
from pdp.language.types import BOOL, DECIMAL, DURATION, INT, TEXT, CodeType, EntityType, Type
from pdp.model.value import DAY, DECIMAL_SCALE, HOUR, INT_MAX, INT_MIN, MICROSECOND, MINUTE, SECOND, entity

Checked = tuple[core.Expr, Facts, Facts]
"""The node, the facts where it is true, the facts where it is false."""

_UNITS: Final = {
    "microsecond": MICROSECOND,
    "millisecond": SECOND // 1_000,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
}


class Leaves:
    def __init__(self, world: World) -> None:
        self.findings = world.findings
        self.names = world.names
        self.schema = world.schema
        self.unions = world.types.unions
        self._codes: dict[tuple[str, str], core.Literal] = {}

    def boolean(self, node: ast.Boolean, _scope: Scope, _expected: Type | None) -> Checked:
        found = core.Literal(node.value, BOOL, node.span)
        return (found, NOTHING, NEVER) if node.value else (found, NEVER, NOTHING)

    def number(self, node: ast.Number, _scope: Scope, _expected: Type | None) -> Checked:
        return self.signed(node, 1, node.span), NOTHING, NOTHING

    def signed(self, node: ast.Number, sign: int, span: Span) -> core.Expr:
        whole, point, places = node.text.partition(".")
        if len(places) > 4:
            return self.invalid(span, "a Decimal has at most four places", "round it")
        if len(whole.lstrip("0")) > 19:
            return self.invalid(span, "this number has more than 64 bits", "")
        count = sign * (int(whole) * DECIMAL_SCALE + int((places + "0000")[:4]) if point else int(whole))
        if not INT_MIN <= count <= INT_MAX:
            return self.invalid(span, "this number has more than 64 bits", "")
        return core.Literal(count, DECIMAL if point else INT, span)

    def invalid(self, span: Span, message: str, hint: str) -> core.Expr:
        self.findings.error("invalid-literal", span, message, hint)
        return lost(span)

    def text(self, node: ast.Text, _scope: Scope, _expected: Type | None) -> Checked:
        try:
            return core.Literal(wire.text(node.value), TEXT, node.span), NOTHING, NOTHING
        except wire.IllTyped as error:
            return self.invalid(node.span, error.message, "take the character out"), NOTHING, NOTHING

    def duration(self, node: ast.DurationLiteral, _scope: Scope, _expected: Type | None) -> Checked:
        return self.length(node, 1, node.span), NOTHING, NOTHING

    def length(self, node: ast.DurationLiteral, sign: int, span: Span) -> core.Expr:
        length = sign * node.amount * _UNITS[node.unit]
        if not INT_MIN <= length <= INT_MAX:
            return self.invalid(span, "this duration has more than 64 bits of microseconds", "")
        return core.Literal(length, DURATION, span)

    def entity(self, node: ast.EntityLiteral, scope: Scope, _expected: Type | None) -> Checked:
        found = self.names.find(node.type, scope.home, TYPES)
        if found is None:
            return lost(node.span), NOTHING, NOTHING
        if found.sort == "kind":
            message = f"`{node.type.text}` is a kind: an entity has one type"
            hint = f"write one of {', '.join(sorted(self.schema.kinds[node.type.text]))}"
            self.findings.error("unknown-type", node.type.span, message, hint)
            return lost(node.span), NOTHING, NOTHING
        try:
            reference = entity(node.type.text, wire.identifier(node.id.value))
        except wire.IllTyped as error:
            return self.invalid(node.id.span, error.message, ""), NOTHING, NOTHING
        return core.Literal(reference, EntityType(frozenset({node.type.text})), node.span), NOTHING, NOTHING

    def code(self, node: ast.Member, target: ast.Reference, scope: Scope) -> core.Expr:
        name = ast.Name(target.name, target.span)
        found = self.names.find(name, scope.home, VOCABULARIES)
        if found is None:
            return lost(node.span)
        known = self._codes.get((target.name, node.name.text))
        if known is None:
            members = self.unions.get(target.name, frozenset({target.name}))
            known = self._code_of(sorted(members), target.name, node.name)
            if known is None:
                return lost(node.span)
            self._codes[target.name, node.name.text] = known
        return core.Literal(known.value, known.type, node.span)

    def _code_of(self, members: list[str], written: str, name: ast.Name) -> core.Literal | None:
        vocabularies = [self.schema.codes.vocabularies[each] for each in members]
        holders = [each for each in vocabularies if name.text in each.symbols]
        if not holders:
            choices = {symbol for each in vocabularies for symbol in each.symbols}
            message = f"`{written}` has no code `{name.text}`"
            self.findings.error("unknown-code", name.span, message, near(name.text, choices))
            return None
        values = {each.code(name.text) for each in holders}
        if len(values) > 1:
            hint = f"write {' or '.join(f'`{each.name}.{name.text}`' for each in holders)}"
            message = f"`{name.text}` is a code of more than one member of `{written}`"
            self.findings.error("unknown-code", name.span, message, hint)
            return None
        type = CodeType(frozenset(each.name for each in holders))
        return core.Literal(values.pop(), type, name.span)
