"""Declarations to a `Schema`: vocabularies, entity types, kinds, actions, context, fields, obligations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, wire
from pdp.language.findings import Findings, near, place
from pdp.language.literals import pointer_problem
from pdp.language.names import Home, Names, closed
from pdp.language.schema import (
    DATA,
    REQUEST_SOURCES,
    ActionDeclaration,
    Attribute,
    EntityDeclaration,
    ObligationDeclaration,
    Schema,
)
from pdp.language.typenames import Types, once
from pdp.language.types import INT, RECOVERY, TEXT, CodeType, EntityType, SetType, Type, comparable
from pdp.language.vocabulary import Codes, Vocabulary, codes
from pdp.model.value import MAX_ATTRIBUTES, Code

# Where the values of an attribute may come from, by what it belongs to.
_ALLOWED: Final = {
    "entity": frozenset({"token", "certificate", "route", "source", "caller", DATA}),
    "context": frozenset({"token", "certificate", "caller", "source"}),
    "action": frozenset({"caller"}),
}


@dataclass(frozen=True, slots=True)
class World:
    """All that is declared, and the means to find it by name."""

    findings: Findings
    names: Names
    types: Types
    schema: Schema


def world(names: Names, findings: Findings) -> World:
    types = Types(names, findings)
    builder = _Builder(names, types, findings)
    return World(findings, names, types, builder.schema())


class _Builder:
    def __init__(self, names: Names, types: Types, findings: Findings) -> None:
        self.names = names
        self.types = types
        self.findings = findings

    def schema(self) -> Schema:
        vocabularies = self._codes()
        entities = self._entities()
        actions = self._actions(frozenset(entities))
        schema = Schema(
            entities,
            self.types.kinds,
            actions,
            self.types.groups(),
            self._context(),
            self._fields(),
            self._obligations(),
            vocabularies,
            self._by_wire(entities),
            self._action_by_wire(),
        )
        self._provisions(schema)
        return schema

    # Vocabularies

    def _codes(self) -> Codes:
        found: dict[str, Vocabulary] = {}
        for declared in self.names.of_sort("vocabulary"):
            if isinstance(declared.node, ast.VocabularyDecl):
                found[declared.name.text] = self._vocabulary(declared.node)
        self._one_order(found)
        return codes(found)

    def _vocabulary(self, node: ast.VocabularyDecl) -> Vocabulary:
        if not node.system.value or not node.system.value.isprintable() or "|" in node.system.value:
            hint = "a system is a URI: printable, not empty, without `|`"
            self.findings.error("invalid-literal", node.system.span, "this cannot be the name of a code system", hint)
        once(self.findings, (each.name for each in node.codes))
        symbols: dict[str, str] = {}
        wires: dict[str, str] = {}
        for each in node.codes:
            written = each.code.value if each.code else each.name.text
            span = (each.code or each.name).span
            if not written or not written.isprintable() or "|" in written:
                hint = "a code is printable, not empty, without `|`"
                self.findings.error("invalid-literal", span, "this cannot be a code", hint)
            if wires.setdefault(written, each.name.text) != each.name.text:
                message = f'`{wires[written]}` has the code "{written}" already'
                self.findings.error("duplicate-wire-name", span, message, "the codes of a vocabulary are unique")
            symbols.setdefault(each.name.text, written)
        emergency = frozenset(each.name.text for each in node.codes if each.emergency)
        parents = self._hierarchy(node, symbols)
        return Vocabulary(node.name.text, node.system.value, symbols, parents, node.ordered, emergency, node.name.span)

    def _hierarchy(self, node: ast.VocabularyDecl, symbols: dict[str, str]) -> dict[str, tuple[str, ...]]:
        above: dict[str, tuple[str, ...]] = {}
        for each in node.codes:
            for parent in each.parents:
                if parent.text not in symbols:
                    message = f"`{node.name.text}` has no code `{parent.text}`"
                    self.findings.error("unknown-code", parent.span, message, near(parent.text, symbols))
            known = tuple(parent.text for parent in each.parents if parent.text in symbols)
            above[each.name.text] = above.get(each.name.text, ()) + known
        _, cycles = closed(above)
        spans = {each.name.text: each.name.span for each in node.codes}
        for cycle in cycles:
            circle = " -> ".join([*cycle, cycle[0]])
            self.findings.error("vocabulary-cycle", spans[cycle[0]], f"`{cycle[0]}` is a kind of itself", circle)
        return {} if cycles else {name: parents for name, parents in above.items() if parents}

    def _one_order(self, vocabularies: dict[str, Vocabulary]) -> None:
        """A code has one rank: two orders of one code would answer `<` by the wrong one."""
        ranked: dict[Code, Vocabulary] = {}
        for vocabulary in vocabularies.values():
            for symbol in vocabulary.symbols if vocabulary.ordered else ():
                other = ranked.setdefault(vocabulary.code(symbol), vocabulary)
                if other is not vocabulary:
                    message = f"`{symbol}` has its place in the order of `{other.name}` already"
                    self.findings.error(
                        "duplicate-order", vocabulary.span, message, "one of them must not be `ordered`"
                    )
                    break

    # Entity types

    def _entities(self) -> dict[str, EntityDeclaration]:
        found: dict[str, EntityDeclaration] = {}
        for declared in self.names.of_sort("entity type"):
            node = declared.node
            if not isinstance(node, ast.EntityDecl):
                continue
            parents = [self.types.entities(each, declared.home) for each in node.parents]
            attributes = self._attributes(node.attributes, declared.home, "entity", 1)
            wire_name = node.wire.value if node.wire else node.name.text
            found[node.name.text] = EntityDeclaration(
                node.name.text, wire_name, frozenset().union(*parents), attributes, node.name.span
            )
        return found

    def _by_wire(self, entities: dict[str, EntityDeclaration]) -> dict[str, str]:
        by_wire: dict[str, str] = {}
        for declared in self.names.of_sort("entity type"):
            name = declared.name.text
            span = declared.node.wire.span if isinstance(declared.node, ast.EntityDecl) and declared.node.wire else None
            self._wire_name(entities[name].wire, name, span or declared.name.span, by_wire)
        return by_wire

    def _wire_name(self, written: str, name: str, span: Span, taken: dict[str, str]) -> None:
        if not _is_wire_name(written):
            hint = "a wire name is an identifier: not empty, printable, in composed form (NFC)"
            self.findings.error("invalid-literal", span, "this cannot be a wire name", hint)
        other = taken.setdefault(written, name)
        if other != name:
            message = f'`{other}` is called "{written}" on the wire already'
            self.findings.error("duplicate-wire-name", span, message, "wire names are unique")

    def _attributes(
        self, written: Sequence[ast.AttributeDecl], home: Home, owner: str, first_slot: int
    ) -> dict[str, Attribute]:
        once(self.findings, (each.name for each in written))
        found: dict[str, Attribute] = {}
        for each in written:
            if each.name.text not in found:
                found[each.name.text] = self._attribute(each, home, owner, first_slot + len(found))
        if len(found) > MAX_ATTRIBUTES:
            span = written[MAX_ATTRIBUTES].name.span
            self.findings.error("too-large", span, f"more than {MAX_ATTRIBUTES} attributes", "group them in records")
        return found

    def _attribute(self, written: ast.AttributeDecl, home: Home, owner: str, slot: int) -> Attribute:
        type = self.types.of(written.type, home)
        where = written.place or DATA
        if where not in _ALLOWED[owner]:
            self._wrong_place(written, owner)
        elif where == "source" and owner == "context":
            self._of_request_source(written, type)
        elif where == "route" and not (type in (TEXT, RECOVERY) or isinstance(type, EntityType)):
            message = f"a route gives Text or an entity, never {type}"
            self.findings.error("wrong-place", written.type.span, message, "take it from its owner instead")
        if written.provisioned_by and (owner != "context" or not isinstance(type, CodeType)) and type is not RECOVERY:
            message = "`provisioned by` stands on a code of the context alone"
            self.findings.error("wrong-place", written.provisioned_by.span, message, "take it out")
        source = written.source.text if written.source else ""
        provisioned = written.provisioned_by.text if written.provisioned_by else ""
        return Attribute(written.name.text, type, written.optional, where, source, slot, provisioned, written.name.span)

    def _of_request_source(self, written: ast.AttributeDecl, type: Type) -> None:
        """In the context, `from source` names what our own sources say of a request: nothing else is ever known."""
        source = written.source.text if written.source else ""
        told = REQUEST_SOURCES.get(source, ())
        if written.name.text not in told or type not in (INT, RECOVERY):
            message = f"`source {source}` does not say `{written.name.text}: {type}` of a request"
            said = ", ".join(f"`{name}: Int?`" for name in told)
            sources = ", ".join(sorted(REQUEST_SOURCES))
            hint = f"it says {said}" if told else f"the context may come from the caller, a token, or: {sources}"
            self.findings.error("wrong-place", written.name.span, message, hint)

    def _wrong_place(self, written: ast.AttributeDecl, owner: str) -> None:
        allowed = ", ".join(f"`from {each}`" for each in sorted(_ALLOWED[owner]))
        if written.place:
            message = f"an attribute of the {owner} cannot come `from {written.place}`"
        else:
            message = f"where does `{written.name.text}` come from"
        hint = f"the {owner} of a request is never in bundle data; write one of {allowed}"
        self.findings.error("wrong-place", written.name.span, message, hint)

    # Actions

    def _actions(self, entities: frozenset[str]) -> dict[tuple[str, str], ActionDeclaration]:
        found: dict[tuple[str, str], ActionDeclaration] = {}
        for home, node in self.names.declarations:
            if isinstance(node, ast.ActionDecl):
                self._action(node, home, entities, found)
        return found

    def _action(
        self,
        node: ast.ActionDecl,
        home: Home,
        entities: frozenset[str],
        found: dict[tuple[str, str], ActionDeclaration],
    ) -> None:
        attributes = self._attributes(node.attributes, home, "action", 0)
        by = [self.types.entities(each, home) for each in node.subjects]
        subjects = frozenset().union(*by) if node.subjects else entities
        for name, written in node.names:
            wire_name = written.value if written else self._wire_of_action(name.text)
            for type_name in node.types:
                for resource in sorted(self.types.entities(type_name, home)):
                    new = ActionDeclaration(name.text, wire_name, resource, subjects, attributes, name.span)
                    there = found.setdefault((name.text, resource), new)
                    if there is not new:
                        message = f"`{name.text}` on `{resource}` is declared already"
                        hint = f"the other declaration is at {place(there.span)}"
                        self.findings.error("duplicate-name", type_name.span, message, hint)

    def _wire_of_action(self, name: str) -> str:
        """What any declaration of the action says after `as`; else its name."""
        for declared in self.names.table.get(name, ()):
            for each, written in declared.node.names if isinstance(declared.node, ast.ActionDecl) else ():
                if each.text == name and written is not None:
                    return written.value
        return name

    def _action_by_wire(self) -> dict[str, str]:
        by_wire: dict[str, str] = {}
        called: dict[str, str] = {}
        for _, node in self.names.declarations:
            for name, written in node.names if isinstance(node, ast.ActionDecl) else ():
                wire_name = written.value if written else self._wire_of_action(name.text)
                span = (written or name).span
                self._wire_name(wire_name, name.text, span, by_wire)
                if called.setdefault(name.text, wire_name) != wire_name:
                    message = f'`{name.text}` is called "{called[name.text]}" on the wire elsewhere'
                    self.findings.error("duplicate-wire-name", span, message, "an action has one wire name")
        return by_wire

    # Context, fields, obligations

    def _context(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {}
        for home, node in self.names.declarations:
            for written in node.attributes if isinstance(node, ast.ContextDecl) else ():
                there = found.get(written.name.text)
                if there is not None:
                    message = f"the context has `{there.name}` already"
                    hint = f"declared at {place(there.span)}"
                    self.findings.error("duplicate-name", written.name.span, message, hint)
                    continue
                found[written.name.text] = self._attribute(written, home, "context", len(found))
                if len(found) == MAX_ATTRIBUTES + 1:
                    message = f"more than {MAX_ATTRIBUTES} attributes"
                    self.findings.error("too-large", written.name.span, message, "group them in records")
        return found

    def _provisions(self, schema: Schema) -> None:
        """`provisioned by` names an attribute of subjects: a set of codes of the same vocabulary."""
        asking = frozenset().union(*(each.subjects for each in schema.actions.values()))
        spans = {
            written.name.text: written.provisioned_by
            for _, node in self.names.declarations
            for written in (node.attributes if isinstance(node, ast.ContextDecl) else ())
        }
        for each in schema.context.values():
            name = spans[each.name] if each.provisioned_by else None
            if name is None or not isinstance(each.type, CodeType):
                continue  # Reported already, where it is wrong.
            holders = {one: schema.entities[one].attributes.get(name.text) for one in sorted(asking)}
            held = {one: attribute for one, attribute in holders.items() if attribute is not None}
            if not held:
                choices = {attribute for one in asking for attribute in schema.entities[one].attributes}
                message = f"no subject has an attribute `{name.text}`"
                self.findings.error("unknown-attribute", name.span, message, near(name.text, choices))
            for one, attribute in held.items():
                if not _provides(attribute.type, each.type):
                    message = f"expected Set<{each.type}>, found {attribute.type}"
                    hint = f"`{one}.{name.text}` is declared at {place(attribute.span)}"
                    self.findings.error("type-mismatch", name.span, message, hint)

    def _fields(self) -> dict[str, frozenset[str]]:
        declared = {each.name.text: each for each in self.names.of_sort("fields")}
        items = {name: each.node.items for name, each in declared.items() if isinstance(each.node, ast.FieldsDecl)}
        graph = {name: [each.text for each in parts if isinstance(each, ast.Name)] for name, parts in items.items()}
        order, cycles = closed(graph)
        for cycle in cycles:
            circle = " -> ".join([*cycle, cycle[0]])
            span = declared[cycle[0]].name.span
            self.findings.error("fields-cycle", span, f"`{cycle[0]}` contains itself", circle)
        done: dict[str, frozenset[str]] = {}
        for name in order:
            done[name] = written_fields(items[name], declared[name].home, self.names, self.findings, done)
        return done

    def _obligations(self) -> dict[str, ObligationDeclaration]:
        found: dict[str, ObligationDeclaration] = {}
        for declared in self.names.of_sort("obligation"):
            if isinstance(declared.node, ast.ObligationDecl):
                parameters = self.types.fields(declared.node.parameters, declared.home)
                found[declared.name.text] = ObligationDeclaration(declared.name.text, parameters, declared.name.span)
        return found


def _provides(actual: Type, wanted: Type) -> bool:
    if RECOVERY in (actual, wanted):
        return True
    return isinstance(actual, SetType) and isinstance(actual.element, CodeType) and comparable(actual.element, wanted)


def _is_wire_name(written: str) -> bool:
    try:
        wire.identifier(written)
    except wire.IllTyped:
        return False
    return written.isprintable()


def written_fields(
    items: Iterable[ast.FieldItem], home: Home, names: Names, findings: Findings, known: dict[str, frozenset[str]]
) -> frozenset[str]:
    """The pointers that a list of fields names. `fields of (..)` has no place where this is asked."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, ast.Pointer):
            found.add(item.text)
            if (wrong := pointer_problem(item.text)) is not None:
                findings.error("invalid-pointer", item.span, *wrong)
        elif isinstance(item, ast.Name):
            if names.find(item, home, ("fields",)) is not None:
                found |= known.get(item.text, frozenset())
        else:
            hint = "computed fields stand after `release only` and `mask`"
            findings.error("wrong-place", item.span, "these fields must be written down", hint)
    return frozenset(found)
