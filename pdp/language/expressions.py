"""Surface expressions to typed core: names, types, guards.

Every handler takes a node, its scope and the type that its place expects (which types an empty `{}`), and gives the
core node with the facts that hold where it is true and where it is false. What fails to check becomes `lost`: a node of
type `Unknowable`, of which nothing more is reported. Such nodes never leave `check`, which raises instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdp.diagnostics.source import Span
from pdp.language import ast, core, wire
from pdp.language.applied import Applied
from pdp.language.declarations import World
from pdp.language.expand import MAX_DEPTH, MAX_NODES, literal_collection, measure
from pdp.language.leaves import Checked, Leaves
from pdp.language.members import Member, Members, lost
from pdp.language.mismatch import Mismatch, joined
from pdp.language.names import FUNCTIONS, VOCABULARIES
from pdp.language.narrowing import (
    NEVER,
    NOTHING,
    both,
    either,
    narrowed,
    path_of,
    present,
    without,
)
from pdp.language.operators import CONSTANTS
from pdp.language.references import NULLS, References
from pdp.language.scope import Binding, Scope
from pdp.language.types import (
    BOOL,
    RECOVERY,
    EntityType,
    ListType,
    SetType,
    Type,
    fits,
)

Handler = Callable[[Any, Scope, Type | None], Checked]


class Expressions:
    def __init__(self, world: World) -> None:
        self.world = world
        self.findings = world.findings
        self.names = world.names
        self.schema = world.schema
        self.members = Members(world)
        self.mismatch = Mismatch(world.findings, world.schema)
        self.references = References(world, self.mismatch)
        self.applied = Applied(world, self.mismatch)
        self._depth = 0
        leaves = self.leaves = Leaves(world)
        self._handlers: dict[type[ast.Expr], Handler] = {
            ast.Boolean: leaves.boolean,
            ast.Number: leaves.number,
            ast.Text: leaves.text,
            ast.DurationLiteral: leaves.duration,
            ast.EntityLiteral: leaves.entity,
            ast.Reference: self.references.reference,
            ast.Member: self._member,
            ast.Call: self._call,
            ast.Unary: self._unary,
            ast.Binary: self._binary,
            ast.Between: self._between,
            ast.HasMember: self._has,
            ast.IsType: self._is,
            ast.Conditional: self._conditional,
            ast.Quantified: self._quantified,
            ast.SetLiteral: self._collection,
            ast.ListLiteral: self._collection,
        }

    # Entries

    def checked(self, node: ast.Expr, scope: Scope, expected: Type | None = None) -> Checked:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._depth -= 1
            hint = "give a part of it a name with `define`"
            self.findings.error("nesting-too-deep", node.span, f"nested deeper than {MAX_DEPTH}", hint)
            return lost(node.span), NOTHING, NOTHING
        result = self._handlers[node.__class__](node, scope, expected)
        self._depth -= 1
        return result

    def value(self, node: ast.Expr, scope: Scope, expected: Type | None = None) -> core.Expr:
        return self.checked(node, scope, expected)[0]

    def condition(self, node: ast.Expr, scope: Scope) -> Checked:
        """A Bool, with what it tells where it is true and where it is false."""
        return self._bool(self.checked(node, scope, BOOL), node)

    # Handlers call `checked` themselves, not `value` or `condition`: nesting is capped at 200, and every level may take
    # three of Python's frames, of which there are a thousand.

    def _bool(self, result: Checked, node: ast.Expr) -> Checked:
        found = result[0].type
        if found is not BOOL and found != BOOL:
            if found is not RECOVERY:
                message = f"expected a condition (Bool), found {found}"
                hint = "compare it with something, or test `.. has ..`"
                self.findings.error("not-a-condition", node.span, message, hint)
            return lost(node.span), NOTHING, NOTHING
        return result

    def argument(self, node: ast.Expr, scope: Scope, wanted: Type) -> core.Expr:
        """A value of the wanted type, or `lost`."""
        found = self.value(node, scope, wanted)
        if fits(found.type, wanted):
            return found
        self.mismatch.expected(wanted, found, node.span)
        return lost(node.span)

    def bounded(self, found: core.Expr, span: Span) -> core.Expr:
        """Refuse what is too large once its defines are expanded (SEMANTICS 16)."""
        size, depth = measure(found)
        if size > MAX_NODES:
            message = f"expands to more than {MAX_NODES} nodes"
            self.findings.error("too-large", span, message, "split it, or use fewer `define`s in `define`s")
        elif depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} once its defines are expanded"
            self.findings.error("nesting-too-deep", span, message, "let `define`s rest on each other less deeply")
        else:
            return found
        return lost(span)

    # Names

    def _member(self, node: ast.Member, scope: Scope, _expected: Type | None) -> Checked:
        target = node.target
        if target.__class__ is ast.Reference:
            binding = scope.variables.get(target.name)
            if binding is None:
                declared = self.names.table.get(target.name)
                if declared and declared[0].sort in VOCABULARIES:
                    return self.leaves.code(node, target, scope), NOTHING, NOTHING
            elif binding.attributes is not None:
                member = self.members.of_binding(binding, node.name)
                variable = core.Variable(binding.name, binding.type, target.span)
                return self._select(variable, member, node, scope), NOTHING, NOTHING
        found = self.checked(target, scope)[0]
        return self._select(found, self.members.of(found, node.name, scope), node, scope), NOTHING, NOTHING

    def _select(self, target: core.Expr, member: Member | None, node: ast.Member, scope: Scope) -> core.Expr:
        if member is None or member.type is RECOVERY:
            return lost(node.span)
        found = core.Select(target, node.name.text, member.slots, member.type, node.span)
        if member.optional and not scope.facts.never:
            self.members.guarded(path_of(found), target, node.name, scope)
        return self.references.narrow(found, scope) if scope.facts.types else found

    # Operators

    def _unary(self, node: ast.Unary, scope: Scope, _expected: Type | None) -> Checked:
        if node.operator == "not":
            operand, true, false = self._bool(self.checked(node.operand, scope), node.operand)
            if operand.type is RECOVERY:
                return operand, NOTHING, NOTHING
            return core.Not(operand, node.span), false, true
        if isinstance(node.operand, ast.Number):
            return self.leaves.signed(node.operand, -1, node.span), NOTHING, NOTHING
        if isinstance(node.operand, ast.DurationLiteral):
            return self.leaves.length(node.operand, -1, node.span), NOTHING, NOTHING
        operand = self.checked(node.operand, scope)[0]
        return self.applied.operation("-", (operand,), node.span), NOTHING, NOTHING

    def _binary(self, node: ast.Binary, scope: Scope, _expected: Type | None) -> Checked:
        operator = node.operator
        if operator == "and":
            return self.conjunction(_chain(node, "and"), scope, node.span)
        if operator == "or":
            return self._or(node, scope)
        for each, other in ((node.right, node.left), (node.left, node.right)):
            if operator in ("==", "!=") and isinstance(each, ast.Reference) and self._null(each.name, scope):
                self.references.no_null(each.span, other, present=operator == "!=")
                return lost(node.span), NOTHING, NOTHING
        left, right = self._operands(operator, node.left, node.right, scope)
        if left.type is RECOVERY or right.type is RECOVERY:
            return lost(node.span), NOTHING, NOTHING
        found = self.applied.resolve(operator, (left.type, right.type))
        if found is None:
            self.mismatch.binary(node, left, right)
            return lost(node.span), NOTHING, NOTHING
        return self.applied.resolved(found, (left, right), node.span), NOTHING, NOTHING

    def _null(self, name: str, scope: Scope) -> bool:
        return name in NULLS and name not in scope.variables and name not in self.names.table

    def _operands(self, operator: str, left: ast.Expr, right: ast.Expr, scope: Scope) -> tuple[core.Expr, core.Expr]:
        """Both, an empty literal after the other: the other says its type."""
        if _is_empty(left):
            second = self.checked(right, scope)[0]
            return self.checked(left, scope, _collection_beside(operator, second.type, False))[0], second
        first = self.checked(left, scope)[0]
        if _is_empty(right):
            return first, self.checked(right, scope, _collection_beside(operator, first.type, True))[0]
        return first, self.checked(right, scope)[0]

    def _between(self, node: ast.Between, scope: Scope, _expected: Type | None) -> Checked:
        value = self.checked(node.value, scope)[0]
        operands = (value, self.checked(node.low, scope)[0], self.checked(node.high, scope)[0])
        types = tuple(each.type for each in operands)
        if RECOVERY in types:
            return lost(node.span), NOTHING, NOTHING
        found = self.applied.resolve("between", types)
        if found is None:
            self.mismatch.between(operands)
            return lost(node.span), NOTHING, NOTHING
        return self.applied.resolved(found, operands, node.span), NOTHING, NOTHING

    # Logic

    def conjunction(self, parts: list[ast.Expr], scope: Scope, span: Span) -> Checked:
        """`a and b and ..`: each part is checked where those to its left are true."""
        items: list[core.Expr] = []
        true, false = NOTHING, NEVER
        for part in parts:
            item, if_true, if_false = self._bool(self.checked(part, scope), part)
            scope = scope.where(if_true)
            true, false = both(true, if_true), either(false, if_false)
            items.extend(item.items if isinstance(item, core.And) else (item,))
        if any(item.type is RECOVERY for item in items):
            return lost(span), true, false
        return core.And(tuple(items), span), true, false

    def _or(self, node: ast.Binary, scope: Scope) -> Checked:
        items: list[core.Expr] = []
        true, false = NEVER, NOTHING
        for part in _chain(node, "or"):
            item, if_true, if_false = self._bool(self.checked(part, scope), part)
            scope = scope.where(if_false)
            true, false = either(true, if_true), both(false, if_false)
            items.extend(item.items if isinstance(item, core.Or) else (item,))
        if any(item.type is RECOVERY for item in items):
            return lost(node.span), true, false
        return core.Or(tuple(items), node.span), true, false

    def _has(self, node: ast.HasMember, scope: Scope, _expected: Type | None) -> Checked:
        target: core.Expr
        binding = scope.variables.get(node.target.name) if isinstance(node.target, ast.Reference) else None
        if binding is not None and binding.attributes is not None:
            target = core.Variable(binding.name, binding.type, node.target.span)
            member = self.members.of_binding(binding, node.name)
        else:
            target = self.checked(node.target, scope)[0]
            member = self.members.of(target, node.name, scope)
        if member is None:
            return lost(node.span), NOTHING, NOTHING
        path = path_of(target)
        found = core.Has(target, node.name.text, member.slots, node.span)
        return found, present((*path, node.name.text) if path else None), NOTHING

    def _is(self, node: ast.IsType, scope: Scope, _expected: Type | None) -> Checked:
        if self._null(node.type.text, scope):
            self.references.no_null(node.type.span, node.target, present=False)
            return lost(node.span), NOTHING, NOTHING
        target = self.checked(node.target, scope)[0]
        names = self.world.types.entities(node.type, scope.home)
        if target.type is RECOVERY or not names:
            return lost(node.span), NOTHING, NOTHING
        if not isinstance(target.type, EntityType):
            message = f"expected an entity, found {target.type}"
            self.findings.error("type-mismatch", target.span, message, "`is` asks for the type of an entity")
            return lost(node.span), NOTHING, NOTHING
        possible = target.type.names
        if not possible & names and not scope.facts.never:
            message = f"this is {target.type} here, never {node.type.text}"
            self.findings.error("type-mismatch", node.type.span, message, "the condition could not be true")
            return lost(node.span), NOTHING, NOTHING
        path = path_of(target)
        if_true = narrowed(path, possible & names)
        if_false = narrowed(path, possible - names) if possible - names else NEVER
        return core.Is(target, names, node.span), if_true, if_false

    def _conditional(self, node: ast.Conditional, scope: Scope, expected: Type | None) -> Checked:
        condition, true, false = self._bool(self.checked(node.condition, scope), node.condition)
        first, second = scope.where(true), scope.where(false)
        if _is_empty(node.then):
            otherwise = self.checked(node.otherwise, second, expected)
            then = self.checked(node.then, first, otherwise[0].type)
        else:
            then = self.checked(node.then, first, expected)
            otherwise = self.checked(node.otherwise, second, then[0].type)
        if RECOVERY in (condition.type, then[0].type, otherwise[0].type):
            return lost(node.span), NOTHING, NOTHING
        type = joined(then[0].type, otherwise[0].type)
        if type is None:
            self.mismatch.expected(then[0].type, otherwise[0], node.otherwise.span)
            return lost(node.span), NOTHING, NOTHING
        found = core.If(condition, then[0], otherwise[0], type, node.span)
        if_true = either(both(true, then[1]), both(false, otherwise[1]))
        return found, if_true, either(both(true, then[2]), both(false, otherwise[2]))

    def _quantified(self, node: ast.Quantified, scope: Scope, _expected: Type | None) -> Checked:
        collection = self.checked(node.collection, scope)[0]
        element: Type = RECOVERY
        if isinstance(collection.type, SetType | ListType):
            element = collection.type.element
        elif collection.type is not RECOVERY:
            message = f"expected a Set or List, found {collection.type}"
            self.findings.error("type-mismatch", node.collection.span, message, "only these have elements")
        self.references.unhidden(node.variable, scope)
        name = scope.work.name(node.variable.text)
        inner = scope.with_variable(node.variable.text, Binding(name, element))
        body, true, false = self._bool(self.checked(node.body, inner), node.body)
        if element is RECOVERY or body.type is RECOVERY:
            return lost(node.span), NOTHING, NOTHING
        scope.work.every |= node.every
        found = core.Quantifier(node.every, name, collection, body, node.span)
        if node.every:
            return found, NOTHING, without(false, name)
        return found, without(true, name), NOTHING

    # Collections

    def _collection(self, node: ast.SetLiteral | ast.ListLiteral, scope: Scope, expected: Type | None) -> Checked:
        wanted = SetType if isinstance(node, ast.SetLiteral) else ListType
        inside = expected.element if isinstance(expected, SetType | ListType) else None
        if not node.items:
            return self._empty(node, wanted, expected), NOTHING, NOTHING
        if len(node.items) > wire.MAX_ELEMENTS:
            hint = "put the members into an attribute"
            self.findings.error("too-large", node.span, f"more than {wire.MAX_ELEMENTS} elements", hint)
            return lost(node.span), NOTHING, NOTHING
        items: list[core.Expr] = []
        for each in node.items:
            items.append(self.checked(each, scope, inside)[0])
        element = items[0].type
        for item in items[1:]:
            wider = joined(element, item.type)
            if wider is None:
                self.mismatch.expected(element, item)
                return lost(node.span), NOTHING, NOTHING
            element = wider
        if any(item.type is RECOVERY for item in items):
            return lost(node.span), NOTHING, NOTHING
        return literal_collection(core.Collect(tuple(items), wanted(element), node.span)), NOTHING, NOTHING

    def _empty(
        self, node: ast.SetLiteral | ast.ListLiteral, wanted: type[SetType | ListType], expected: Type | None
    ) -> core.Expr:
        if expected is RECOVERY:
            return lost(node.span)
        if not isinstance(expected, SetType | ListType):
            message = "nothing says what this empty collection would hold"
            self.findings.error("type-mismatch", node.span, message, "to ask for emptiness, write `size(..) == 0`")
            return lost(node.span)
        value = frozenset[object]() if wanted is SetType else ()
        return core.Literal(value, wanted(expected.element), node.span)

    # Calls

    def _call(self, node: ast.Call, scope: Scope, _expected: Type | None) -> Checked:
        name = node.name.text
        if name in CONSTANTS:
            return self._folded(node, CONSTANTS[name]), NOTHING, NOTHING
        define = None
        if name not in FUNCTIONS:
            define = self.references.define(node, scope)
            if define is None:
                return lost(node.span), NOTHING, NOTHING
        # Empty literals last: a define's parameter, or else the first argument, says their type.
        order = sorted(range(len(node.arguments)), key=lambda each: _is_empty(node.arguments[each]))
        found: dict[int, core.Expr] = {}
        for position in order:
            wanted = define.parameters[position][1] if define else found[order[0]].type if found else None
            found[position] = self.checked(node.arguments[position], scope, wanted)[0]
        arguments = [found[position] for position in range(len(order))]
        if define is None:
            return self.applied.operation(name, tuple(arguments), node.span), NOTHING, NOTHING
        return self.references.expanded(define, node, arguments, scope)

    def _folded(self, node: ast.Call, type: Type) -> core.Expr:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0], ast.Text):
            message = f"`{node.name.text}` takes one literal text"
            hint = "it is a constant; values that vary come from attributes"
            self.findings.error("wrong-arguments", node.span, message, hint)
            return lost(node.span)
        try:
            return core.Literal(wire.typed(node.arguments[0].value, type, self.schema), type, node.span)
        except wire.IllTyped as error:
            return self.leaves.invalid(node.arguments[0].span, error.message, "")


def _is_empty(node: ast.Expr) -> bool:
    return isinstance(node, ast.SetLiteral | ast.ListLiteral) and not node.items


def _collection_beside(operator: str, other: Type, other_is_left: bool) -> Type | None:
    """The type of an empty collection, from what stands on the other side of the operator."""
    if other is RECOVERY:
        return RECOVERY
    if (operator == "in" and other_is_left) or (operator == "contains" and not other_is_left):
        return SetType(other)
    return other


def _chain(node: ast.Binary, operator: str) -> list[ast.Expr]:
    """`((a and b) and c)` as `[a, b, c]`, without recursion."""
    parts: list[ast.Expr] = []
    rest: ast.Expr = node
    while isinstance(rest, ast.Binary) and rest.operator == operator:
        parts.append(rest.right)
        rest = rest.left
    parts.append(rest)
    return parts[::-1]
