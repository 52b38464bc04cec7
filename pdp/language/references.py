"""Names that stand for values: variables, constants and calls of `define`s. No recursion here."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, core
from pdp.language.declarations import World
from pdp.language.expand import substitute
from pdp.language.findings import a, near
from pdp.language.leaves import Checked
from pdp.language.members import lost
from pdp.language.mismatch import Mismatch
from pdp.language.names import FUNCTIONS, PLACES, VOCABULARIES, Declared
from pdp.language.narrowing import NOTHING, moved, path_of
from pdp.language.scope import Define, Scope
from pdp.language.types import RECOVERY, EntityType, Type, fits

NULLS: Final = frozenset({"null", "nil", "none", "None", "NULL", "undefined"})
_FOREIGN_FUNCTIONS: Final = {
    "age": '`years_between(born, date_in(now, "Europe/Berlin"))` gives an age in years',
    "today": '`date_in(now, "Europe/Berlin")` gives the date of today',
    "len": "`size(..)` counts the members of a Set or List, `length(..)` the characters of a Text",
    "count": "`size(..)` counts the members of a Set or List",
    "datetime": '`instant("2026-01-01T00:00:00Z")` is a constant',
    "timestamp": '`instant("2026-01-01T00:00:00Z")` is a constant',
    "contains": "write `s contains x`",
    "exists": "write `x has name` for an attribute, `any x in s: ..` for a member",
    "has": "write `x has name`",
    "set": "a set is written `{a, b}`",
}
"""Functions of other languages, and what serves for them."""
_FOREIGN_NAMES: Final = {
    "true": "true",
    "yes": "true",
    "false": "false",
    "no": "false",
    "principal": "subject",
    "user": "subject",
    "actor": "subject",
    "object": "resource",
    "target": "resource",
    "request": "context",
    "environment": "context",
    "today": 'date_in(now, "Europe/Berlin")',
    "current_time": "now",
}
"""Values of other languages, in small letters, and ours."""


class References:
    def __init__(self, world: World, mismatch: Mismatch) -> None:
        self.findings = world.findings
        self.names = world.names
        self.schema = world.schema
        self.mismatch = mismatch
        self.defines: dict[str, Define] = {}

    def reference(self, node: ast.Reference, scope: Scope, _expected: Type | None) -> Checked:
        binding = scope.variables.get(node.name)
        if binding is not None:
            if binding.attributes is not None:
                message = f"`{node.name}` is no value of its own"
                hint = f"read an attribute of it: `{node.name}.{min(binding.attributes, default='name')}`"
                self.findings.error("not-a-value", node.span, message, hint)
                return lost(node.span), NOTHING, NOTHING
            return self.narrow(core.Variable(binding.name, binding.type, node.span), scope), NOTHING, NOTHING
        if node.name in PLACES:
            self._not_here(node, scope)
            return lost(node.span), NOTHING, NOTHING
        found = self.names.table.get(node.name)
        if found and found[0].sort == "define":
            return self._constant(node, scope)
        self._no_value(node, scope, found[0] if found else None)
        return lost(node.span), NOTHING, NOTHING

    def narrow(self, found: core.Variable | core.Select, scope: Scope) -> core.Expr:
        """Leave only the entity types that are possible here."""
        known = scope.facts.types
        if not known or not isinstance(found.type, EntityType):
            return found
        left = known.get(path_of(found) or ())
        if left is None or found.type.names <= left:
            return found
        type = EntityType(found.type.names & left)
        if isinstance(found, core.Variable):
            return core.Variable(found.name, type, found.span)
        return core.Select(found.target, found.name, found.slots, type, found.span)

    def _not_here(self, node: ast.Reference, scope: Scope) -> None:
        if scope.constant:
            message = f"`define {scope.constant}` does not see `{node.name}`"
            hint = "pass it as a parameter: `define name(who: Type) = ..`"
            if node.name in ("context", "now"):
                hint = "a `define` without parameters is a constant"
        else:
            message, hint = f"there is no `{node.name}` here", ""
        self.findings.error("unknown-name", node.span, message, hint)

    def _no_value(self, node: ast.Reference, scope: Scope, found: Declared | None) -> None:
        if found is not None:
            message = f"`{node.name}` is the name of {a(found.sort)}, not a value"
            hint = {"vocabulary": f"write a code of it: `{node.name}.code`"}.get(found.sort, "")
            if found.sort == "entity type":
                hint = f'write an entity, `{node.name} "id"`, or test a type with `is {node.name}`'
            self.findings.error("not-a-value", node.span, message, hint)
            return
        defined = [each.name.text for each in self.names.of_sort("define")]
        hint = near(node.name, [*scope.variables, *defined]) or self._attribute_hint(node.name, scope)
        self.findings.error("unknown-name", node.span, f"there is no `{node.name}` here", hint)

    def _attribute_hint(self, name: str, scope: Scope) -> str:
        """`role` alone, where `subject.role` was meant; `nurse`, where `Role.nurse` was."""
        for variable, binding in scope.variables.items():
            types = binding.type.names if isinstance(binding.type, EntityType) else ()
            held = binding.attributes or {}
            if name in held or any(name in self.schema.entities[each].attributes for each in types):
                return f"did you mean `{variable}.{name}`?"
        for vocabulary in self.schema.codes.vocabularies.values():
            if name in vocabulary.symbols:
                return f"did you mean `{vocabulary.name}.{name}`?"
        meant = _FOREIGN_NAMES.get(name.lower())
        return f"write `{meant}`" if meant else ""

    def no_null(self, place: Span, beside: ast.Expr, *, present: bool) -> None:
        """`x.a == null`, where `not x has a` is meant."""
        test = "x has name"
        if isinstance(beside, ast.Member):
            test = f"{beside.target.span.text} has {beside.name.text}"
        hint = f"write `{test}`" if present else f"write `not {test}`"
        self.findings.error("unknown-name", place, f"there is no `{place.text}` in Ward", hint)

    def _constant(self, node: ast.Reference, scope: Scope) -> Checked:
        name = ast.Name(node.name, node.span)
        if self.names.find(name, scope.home, ("define",)) is None:
            return lost(node.span), NOTHING, NOTHING
        define = self.defines.get(node.name)
        if define is None or define.body is None:
            return lost(node.span), NOTHING, NOTHING
        if define.parameters:
            message = f"`{node.name}` takes {len(define.parameters)} arguments"
            hint = f"write `{node.name}({', '.join(each for each, _ in define.parameters)})`"
            self.findings.error("wrong-arguments", node.span, message, hint)
            return lost(node.span), NOTHING, NOTHING
        if isinstance(define.body, core.Literal):
            return core.Literal(define.body.value, define.body.type, node.span), define.true, define.false
        return substitute(define.body, {}, scope.work.name), define.true, define.false

    def define(self, node: ast.Call, scope: Scope) -> Define | None:
        """The define that a call means, if it can be called so."""
        name = node.name.text
        if name not in self.names.table:
            choices = [*FUNCTIONS, *(each.name.text for each in self.names.of_sort("define"))]
            hint = _FOREIGN_FUNCTIONS.get(name.lower()) or near(name, choices)
            self.findings.error("unknown-name", node.name.span, f"there is no function `{name}`", hint)
            return None
        found = self.names.find(node.name, scope.home, ("define",))
        define = self.defines.get(name) if found else None
        if define is None or define.body is None:
            return None
        if not define.parameters:
            hint = f"write `{name}`, without parentheses"
            self.findings.error("wrong-arguments", node.span, f"`{name}` is a constant", hint)
            return None
        if len(define.parameters) != len(node.arguments):
            message = f"`{name}` takes {len(define.parameters)} arguments, found {len(node.arguments)}"
            shown = ", ".join(f"{each}: {type}" for each, type in define.parameters)
            self.findings.error("wrong-arguments", node.span, message, f"`{name}({shown})`")
            return None
        return define

    def expanded(self, define: Define, node: ast.Call, arguments: list[core.Expr], scope: Scope) -> Checked:
        given: dict[str, core.Expr] = {}
        for (name, wanted), argument, written in zip(define.parameters, arguments, node.arguments, strict=True):
            if not fits(argument.type, wanted):
                self.mismatch.expected(wanted, argument, written.span)
                argument = lost(written.span)
            given[f"${name}"] = argument
        if define.body is None or any(each.type is RECOVERY for each in given.values()):
            return lost(node.span), NOTHING, NOTHING
        found = substitute(define.body, given, scope.work.name)
        paths = {name: path_of(each) for name, each in given.items()}
        return found, moved(define.true, paths), moved(define.false, paths)

    def unhidden(self, variable: ast.Name, scope: Scope) -> None:
        """A variable must not hide another name that an expression can say."""
        there = self.names.table.get(variable.text)
        hides = there is not None and there[0].sort in ("define", *VOCABULARIES)
        if variable.text in scope.variables or variable.text in PLACES or hides:
            message = f"`{variable.text}` means something else here already"
            self.findings.error("duplicate-name", variable.span, message, "choose another name for the variable")
