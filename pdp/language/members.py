"""What `target.name` and `target has name` mean: by the attributes of the types that the target can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pdp.diagnostics.source import NOWHERE, Span
from pdp.language import ast, core
from pdp.language.declarations import World
from pdp.language.findings import a, near, place
from pdp.language.narrowing import Path, path_of
from pdp.language.schema import Attribute
from pdp.language.scope import Binding, Scope
from pdp.language.types import RECOVERY, EntityType, RecordType, Type

_OF_EVERY_ENTITY: Final = {"id": "id", "uid": "id", "identifier": "id", "type": "type_name"}
"""What other languages write as an attribute of any entity, and the function that gives it."""
Slots = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Member:
    slots: Slots
    type: Type
    optional: bool


def lost(span: Span) -> core.Expr:
    """What failed to check."""
    return core.Literal(False, RECOVERY, span)


class Members:
    def __init__(self, world: World) -> None:
        self.world = world
        self.findings = world.findings
        self._known: dict[tuple[frozenset[str], str], Member] = {}

    def of(self, target: core.Expr, name: ast.Name, scope: Scope) -> Member | None:
        """The attribute of an entity or record; None, and reported, where there is none."""
        match target.type:
            case EntityType(names):
                found = self._known.get((names, name.text))
                if found is None:
                    found = self._of_entities(names, target, name, scope)
                    if found is not None:
                        self._known[names, name.text] = found
                return found
            case RecordType() as record:
                return self._of_record(record, target, name)
            case type if type is RECOVERY:
                return None
            case type:
                hint = "only entities, records, `context` and `action` have attributes"
                self.findings.error("unknown-attribute", name.span, f"{a(type)} has no attributes", hint)
                return None

    def of_binding(self, binding: Binding, name: ast.Name) -> Member | None:
        """The attribute of `context` or `action`."""
        attributes: Mapping[str, Attribute] = binding.attributes or {}
        found = attributes.get(name.text)
        if found is not None:
            return Member((("", found.slot),), found.type, found.optional)
        hint = _suggestion(name.text, {each.name: each for each in attributes.values()})
        message = f"`{binding.name}` has no attribute `{name.text}`"
        if name.text in binding.partly:
            message = f"not every action of this rule has the attribute `{name.text}` in the same place"
            hint = "declare these actions together, or write a rule for each"
        self.findings.error("unknown-attribute", name.span, message, hint)
        return None

    def _of_entities(self, names: frozenset[str], target: core.Expr, name: ast.Name, scope: Scope) -> Member | None:
        entities = self.world.schema.entities
        found = {each: entities[each].attributes.get(name.text) for each in sorted(names)}
        held = {each: attribute for each, attribute in found.items() if attribute is not None}
        if len(held) < len(found) or not held:
            self._without(found, held, target, name, scope)
            return None
        types = {attribute.type for attribute in held.values()}
        if RECOVERY in types:
            return None
        if len(types) > 1:
            listed = ", ".join(f"{attribute.type} on `{each}`" for each, attribute in held.items())
            message = f"`{name.text}` has more than one type here: {listed}"
            hint = f"test the type first: `{_written(target)} is {min(held)} and ..`"
            self.findings.error("type-mismatch", name.span, message, hint)
            return None
        slots = tuple((each, attribute.slot) for each, attribute in held.items())
        return Member(slots, types.pop(), any(attribute.optional for attribute in held.values()))

    def _without(
        self,
        found: Mapping[str, Attribute | None],
        held: Mapping[str, Attribute],
        target: core.Expr,
        name: ast.Name,
        scope: Scope,
    ) -> None:
        if held:
            lacking = min(each for each, attribute in found.items() if attribute is None)
            message = f"`{_written(target)}` may be `{lacking}`, which has no attribute `{name.text}`"
            hint = f"test the type first: `{_written(target)} is {min(held)} and ..`"
        elif self._excluded(target, name.text, scope):
            message = f"`{_written(target)}` can only be {target.type} here, which has no attribute `{name.text}`"
            hint = "the test to the left leaves nothing else: right of `or` it was false, so use `and`"
        elif name.text in _OF_EVERY_ENTITY:
            message = f"`{_written(target)}` has no attribute `{name.text}`"
            hint = f"write `{_OF_EVERY_ENTITY[name.text]}({_written(target)})`"
        else:
            message = f"`{_written(target)}` has no attribute `{name.text}`"
            entities = self.world.schema.entities
            choices = {
                attribute.name: attribute for each in sorted(found) for attribute in entities[each].attributes.values()
            }
            hint = _suggestion(name.text, choices)
        self.findings.error("unknown-attribute", name.span, message, hint)

    def _excluded(self, target: core.Expr, name: str, scope: Scope) -> bool:
        """Whether a variable could be of a type that has the attribute, had not a test to the left excluded it."""
        binding = scope.variables.get(_written(target))
        if binding is None or not isinstance(binding.type, EntityType) or not isinstance(target.type, EntityType):
            return False
        entities = self.world.schema.entities
        return any(name in entities[each].attributes for each in binding.type.names - target.type.names)

    def _of_record(self, record: RecordType, target: core.Expr, name: ast.Name) -> Member | None:
        index = record.index(name.text)
        if index is not None:
            each = record.fields[index]
            return None if each.type is RECOVERY else Member((("", index),), each.type, each.optional)
        hint = near(name.text, [each.name for each in record.fields])
        self.findings.error(
            "unknown-attribute", name.span, f"`{_written(target)}` has no attribute `{name.text}`", hint
        )
        return None

    def guarded(self, path: Path | None, target: core.Expr, name: ast.Name, scope: Scope) -> None:
        """Report the reading of an optional attribute that nothing to the left has tested (SEMANTICS 1)."""
        if path is not None and path in scope.facts.present:
            return
        written = _written(target)
        hint = f"test it first: `{written} has {name.text} and ..`"
        self.findings.error("attribute-may-be-missing", name.span, f"`{written}.{name.text}` may be missing", hint)


def _suggestion(name: str, choices: Mapping[str, Attribute]) -> str:
    hint = near(name, choices)
    if not hint:
        return f"it has {', '.join(f'`{each}`' for each in sorted(choices)[:6])}" if choices else "it has none at all"
    meant = choices[hint.split("`")[1]]
    if meant.type is RECOVERY:
        return hint
    where = f", declared at {place(meant.span)}" if meant.span is not NOWHERE else ""
    return f"{hint} It is {a(meant.type)}{where}"


def _written(target: core.Expr) -> str:
    """The target as the author wrote it, if that is short; else what it is."""
    path = path_of(target)
    if path:
        return ".".join(each.lstrip("$").partition("#")[0] for each in path)
    text = " ".join(target.span.text.split())
    return text if 0 < len(text) <= 40 else str(target.type)
