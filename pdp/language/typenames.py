"""Written types to types, and names of kinds and unions to their members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from pdp.language import ast
from pdp.language.findings import Findings
from pdp.language.names import FOREIGN_TYPES, TYPE_NAMES, TYPES, VOCABULARIES, Declared, Home, Names, closed
from pdp.language.types import (
    PRIMITIVES,
    RECOVERY,
    CodeType,
    EntityType,
    ListType,
    RecordField,
    RecordType,
    SetType,
    Type,
)

Members = dict[str, frozenset[str]]


class Types:
    """`kinds`: kind -> entity types; `unions`: union -> vocabularies; both fully expanded."""

    def __init__(self, names: Names, findings: Findings) -> None:
        self.names = names
        self.findings = findings
        self.kinds = self._expanded("kind", TYPES, "kind-cycle")
        self.unions = self._expanded("union of vocabularies", VOCABULARIES, "vocabulary-cycle")

    def groups(self) -> Members:
        return self._expanded("action group", ("action", "action group"), "group-cycle")

    def _expanded(self, sort: str, members: tuple[str, ...], cycle: str) -> Members:
        """Each name of a sort -> the simple names below it. Only `sort` holds others; other `members` are simple."""
        written = {each.name.text: (each, _members(each.node)) for each in self.names.of_sort(sort)}
        graph = {name: [each.text for each in parts] for name, (_, parts) in written.items()}
        order, cycles = closed(graph)
        for each in cycles:
            circle = " -> ".join([*each, each[0]])
            self.findings.error(cycle, written[each[0]][0].name.span, f"`{each[0]}` contains itself", circle)
        done: Members = {}
        for name in order:
            declared, parts = written[name]
            below = [self._below(part, declared, sort, members, done) for part in parts]
            done[name] = frozenset().union(*below)
        return done

    def _below(
        self, part: ast.Name, holder: Declared, sort: str, sorts: tuple[str, ...], done: Members
    ) -> frozenset[str]:
        found = self.names.find(part, holder.home, sorts)
        if found is None:
            return frozenset()
        return done.get(part.text, frozenset()) if found.sort == sort else frozenset({part.text})

    def entities(self, name: ast.Name, home: Home) -> frozenset[str]:
        """The entity types that a name of a type or kind means; none if it is not one (reported)."""
        found = self.names.find(name, home, TYPES)
        if found is None:
            return frozenset()
        return self.kinds[name.text] if found.sort == "kind" else frozenset({name.text})

    def of(self, written: ast.TypeExpr, home: Home) -> Type:
        match written:
            case ast.NamedType(name):
                return self._named(name, home)
            case ast.CollectionType(constructor, element):
                return self._collection(constructor, element, home, written)
            case ast.RecordTypeExpr(fields):
                return RecordType(self.fields(fields, home))
            case _:
                assert_never(written)

    def fields(self, written: Sequence[ast.FieldType], home: Home) -> tuple[RecordField, ...]:
        once(self.findings, (each.name for each in written))
        unique = {each.name.text: each for each in reversed(written)}
        kept = [each for each in written if unique[each.name.text] is each]
        return tuple(RecordField(each.name.text, self.of(each.type, home), each.optional) for each in kept)

    def _named(self, name: ast.Name, home: Home) -> Type:
        if name.text in PRIMITIVES:
            return PRIMITIVES[name.text]
        if name.text in ("Set", "List"):
            hint = f"write `{name.text}<Text>`, with the type of its elements"
            self.findings.error("unknown-type", name.span, f"`{name.text}` of what", hint)
            return RECOVERY
        found = self.names.find(name, home, TYPE_NAMES)
        if found is None:
            return RECOVERY
        match found.sort:
            case "entity type":
                return EntityType(frozenset({name.text}))
            case "kind":
                return EntityType(self.kinds[name.text]) if self.kinds[name.text] else RECOVERY
            case "vocabulary":
                return CodeType(frozenset({name.text}))
            case _:
                return CodeType(self.unions[name.text]) if self.unions[name.text] else RECOVERY

    def _collection(self, constructor: str, element: ast.TypeExpr, home: Home, written: ast.TypeExpr) -> Type:
        inner = self.of(element, home)
        if constructor not in ("Set", "List"):
            message = f"there is no collection `{constructor}`"
            hint = "collections are `Set<T>` and `List<T>`"
            if FOREIGN_TYPES.get(constructor.lower(), "") in ("List<..>", "Set<..>"):
                hint = f"in Ward it is `{FOREIGN_TYPES[constructor.lower()].replace('..', str(inner))}`"
            self.findings.error("unknown-type", written.span, message, hint)
            return RECOVERY
        if inner is RECOVERY:
            return RECOVERY
        if constructor == "List":
            return ListType(inner)
        if _has_optional(inner):
            hint = "make it a List, or the field required"
            message = "a Set of records with an optional field has no equality"
            self.findings.error("invalid-type", written.span, message, hint)
            return RECOVERY
        return SetType(inner)


def _has_optional(type: Type) -> bool:
    match type:
        case SetType(element) | ListType(element):
            return _has_optional(element)
        case RecordType(fields):
            return any(each.optional or _has_optional(each.type) for each in fields)
        case _:
            return False


def _members(node: ast.Declaration) -> tuple[ast.Name, ...]:
    match node:
        case ast.KindDecl() | ast.VocabularyUnion() | ast.ActionGroup():
            return node.members
        case _:
            return ()


def once(findings: Findings, names: Iterable[ast.Name]) -> None:
    """Report every name that stands twice in one list."""
    seen: set[str] = set()
    for name in names:
        if name.text in seen:
            findings.error("duplicate-name", name.span, f"`{name.text}` is there already", "take one of them out")
        seen.add(name.text)
