"""Operators on checked operands: which one is meant, and that its literal arguments are sound. No recursion here."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import core
from pdp.language.declarations import World
from pdp.language.findings import place
from pdp.language.literals import problem
from pdp.language.members import lost
from pdp.language.mismatch import Mismatch
from pdp.language.operators import Operator, resolve
from pdp.language.types import RECOVERY, CodeType, EntityType, Type

_ORDERINGS: Final = frozenset({"code_less", "code_less_equal", "code_greater", "code_greater_equal"})


class Applied:
    def __init__(self, world: World, mismatch: Mismatch) -> None:
        self.findings = world.findings
        self.schema = world.schema
        self.mismatch = mismatch
        self._resolved: dict[tuple[str, tuple[Type, ...]], tuple[Operator, Type] | None] = {}
        self._higher: dict[frozenset[str], frozenset[str]] = {}

    def resolve(self, symbol: str, types: tuple[Type, ...]) -> tuple[Operator, Type] | None:
        key = (symbol, types)
        if key not in self._resolved:
            self._resolved[key] = resolve(symbol, types)
        return self._resolved[key]

    def operation(self, symbol: str, operands: tuple[core.Expr, ...], span: Span) -> core.Expr:
        types = tuple(each.type for each in operands)
        if RECOVERY in types:
            return lost(span)
        found = self.resolve(symbol, types)
        if found is None:
            self.mismatch.takes(symbol, operands, span)
            return lost(span)
        return self.resolved(found, operands, span)

    def resolved(self, found: tuple[Operator, Type], operands: tuple[core.Expr, ...], span: Span) -> core.Expr:
        operator, result = found
        if operator.literal and not self._literals(operator, operands):
            return lost(span)
        if operator.key in _ORDERINGS and not self._has_order(operator, operands):
            return lost(span)
        if operator.key == "in_entity" and not self._can_lie_in(operands[0], operands[1], span):
            return lost(span)
        return core.Operation(operator.key, operands, result, span)

    def _literals(self, operator: Operator, operands: tuple[core.Expr, ...]) -> bool:
        """Patterns, zones and clocks are written down, so that they are checked here and compiled once."""
        sound = True
        for position in sorted(operator.literal):
            operand = operands[position]
            if not isinstance(operand, core.Literal):
                message = f"argument {position + 1} of `{operator.symbol}` must be a literal text"
                self.findings.error("invalid-literal", operand.span, message, "write the text itself, in quotes")
                sound = False
            elif (wrong := problem(operator.key, position, str(operand.value))) is not None:
                self.findings.error(wrong[0], operand.span, wrong[1], wrong[2])
                sound = False
        if sound and operator.key == "clock_between":
            start, end = operands[1], operands[2]
            if isinstance(start, core.Literal) and isinstance(end, core.Literal) and start.value == end.value:
                hint = "equal ends would mean never, or always: leave the test out"
                self.findings.error("invalid-literal", start.span.to(end.span), "both ends are the same", hint)
                return False
        return sound

    def _has_order(self, operator: Operator, operands: tuple[core.Expr, ...]) -> bool:
        type = operands[0].type
        name = min(type.vocabularies) if isinstance(type, CodeType) else ""
        vocabulary = self.schema.codes.vocabularies[name]
        if not vocabulary.ordered:
            hint = f"`vocabulary {name}` at {place(vocabulary.span)} is not declared `ordered`"
            span = operands[0].span.to(operands[1].span)
            self.findings.error("not-ordered", span, f"`{operator.symbol}` needs an order, and {name} has none", hint)
        return vocabulary.ordered

    def _can_lie_in(self, inner: core.Expr, outer: core.Expr, span: Span) -> bool:
        """Refuse `in` between entities of which, by the declared parents, none can ever lie in the other."""
        if not isinstance(inner.type, EntityType) or not isinstance(outer.type, EntityType):
            return True
        low, high = inner.type.names, outer.type.names
        if not low or not high or high & self._above(low):  # Without a type, the place itself is never reached.
            return True
        message = f"{inner.type} is never in {outer.type}, so this could not be true"
        hint = f"`in` goes up the declared parents: `entity {min(low)} in {min(high)}` would declare one"
        if low & self._above(high):
            hint = f"it is the other way round: `{outer.span.text} in {inner.span.text}`"
        self.findings.error("type-mismatch", span, message, hint)
        return False

    def _above(self, names: frozenset[str]) -> frozenset[str]:
        """These entity types and all that they can lie in."""
        if names not in self._higher:
            found, ahead = set[str](), set(names)
            while ahead:
                found |= ahead
                ahead = set[str]().union(*(self.schema.entities[each].parents for each in ahead)) - found
            self._higher[names] = frozenset(found)
        return self._higher[names]
