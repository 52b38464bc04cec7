"""Tests and fixtures: the names in them, and their values as plain JSON (typed when the test runs, as data are)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, core, wire
from pdp.language.declarations import World, written_fields
from pdp.language.findings import near
from pdp.language.names import VOCABULARIES, Home
from pdp.language.rules import Rules
from pdp.language.schema import Attribute
from pdp.language.typenames import once
from pdp.language.types import BOOL, RECOVERY, CodeType, EntityType, ListType, RecordType, SetType, Type
from pdp.model.decision import Reason
from pdp.model.value import UNKNOWN

DEFAULT_NOW: Final = wire.instant("2026-01-01T00:00:00Z")

_Given = tuple[ast.Given, Home]


class TestCases:
    def __init__(self, world: World, rules: Rules, ids: frozenset[str]) -> None:
        self.world = world
        self.schema = world.schema
        self.findings = world.findings
        self.rules = rules
        self.ids = ids
        self._entities: dict[int, core.GivenEntity | None] = {}  # by the id() of its node: fixtures are shared

    def check(self) -> list[core.Test]:
        self._fixtures()
        titles: dict[str, Span] = {}
        tests: list[core.Test] = []
        for home, node in self.world.names.declarations:
            if isinstance(node, ast.TestDecl):
                if titles.setdefault(node.title.value, node.title.span) is not node.title.span:
                    message = "another test has this title"
                    self.findings.error("duplicate-name", node.title.span, message, "say what is different here")
                found = self._test(node, home)
                if found is not None:
                    tests.append(found)
        return tests

    def _fixtures(self) -> None:
        """Look into every fixture, also those that no test uses."""
        for home, node in self.world.names.declarations:
            for given in node.given if isinstance(node, ast.FixtureDecl) else ():
                self._look_into(given, home)

    def _look_into(self, given: ast.Given, home: Home) -> None:
        if isinstance(given, ast.GivenEntity):
            self._entity(given, home)
        elif given.what == "context":
            self._object(given.attributes, self.schema.context, "the context", home)
        else:
            known = {name: each for pair in self.schema.actions.values() for name, each in pair.attributes.items()}
            self._object(given.attributes, known, "no action", home)

    def _test(self, node: ast.TestDecl, home: Home) -> core.Test | None:
        given = self._given(node, home)
        entities: dict[tuple[str, str], core.GivenEntity] = {}
        context: dict[str, object] = {}
        action_attributes: dict[str, object] = {}
        for each, there in given:
            if isinstance(each, ast.GivenEntity):
                found = self._entity(each, there)
                if found is not None:
                    entities[found.type, found.id] = found
            elif each.what == "context":
                context = self._object(each.attributes, self.schema.context, "the context", there)
            else:
                action_attributes = self._object(each.attributes, self._action_attributes(node), "the action", there)
        asked = self._asked(node, home)
        expect = self._expect(node)
        now = self._now(node.at)
        if asked is None or expect is None:
            return None
        subject, action, resource = asked
        return core.Test(
            node.title.value,
            tuple(entities.values()),
            context,
            action_attributes,
            now,
            subject,
            action,
            resource,
            expect.what,
            node.span,
            self._rule_ids(expect.names),
            self._reason(node),
            self._fields(node, "release", home),
            self._fields(node, "mask", home),
            self._obligations(node, home),
            self._errors(node),
            written_fields(node.searched, home, self.world.names, self.findings, self.schema.fields),
        )

    def _given(self, node: ast.TestDecl, home: Home) -> list[_Given]:
        """What the fixtures give, in their order, and then the test: later ones replace earlier ones."""
        given: list[_Given] = []
        for name in node.fixtures:
            found = self.world.names.find(name, home, ("fixture",))
            if found is not None and isinstance(found.node, ast.FixtureDecl):
                given.extend((each, found.home) for each in found.node.given)
        return [*given, *((each, home) for each in node.given)]

    def _action_attributes(self, node: ast.TestDecl) -> Mapping[str, Attribute]:
        if node.action is None or node.resource is None:
            return {}
        declared = self.schema.actions.get((node.action.text, node.resource.type.text))
        return declared.attributes if declared else {}

    def _asked(self, node: ast.TestDecl, home: Home) -> tuple[tuple[str, str], str, tuple[str, str]] | None:
        if node.subject is None or node.action is None or node.resource is None:
            hint = '`when Clinician "nina" does read on Record "r1"`'
            self.findings.error("incomplete-test", node.title.span, "this test asks nothing", hint)
            return None
        subject, resource = self._identity(node.subject, home), self._identity(node.resource, home)
        action = self.world.names.find(node.action, home, ("action",))
        if subject is None or resource is None or action is None:
            return None
        return subject, node.action.text, resource

    def _identity(self, written: ast.EntityLiteral, home: Home) -> tuple[str, str] | None:
        names = self.world.types.entities(written.type, home)
        if names and names != {written.type.text}:
            message = f"`{written.type.text}` is a kind: an entity has one type"
            self.findings.error("unknown-type", written.type.span, message, f"one of {', '.join(sorted(names))}")
        if names != {written.type.text}:
            return None
        try:
            return written.type.text, wire.identifier(written.id.value)
        except wire.IllTyped as error:
            self.findings.error("invalid-literal", written.id.span, error.message)
            return None

    def _now(self, written: ast.Text | None) -> int:
        if written is None:
            return DEFAULT_NOW
        try:
            return wire.instant(written.value)
        except wire.IllTyped as error:
            self.findings.error("invalid-literal", written.span, error.message)
            return DEFAULT_NOW

    # Expectations

    def _expect(self, node: ast.TestDecl) -> ast.Expectation | None:
        answers = [each for each in node.expectations if each.what in ("allow", "deny")]
        if not answers:
            hint = "write `expect allow` or `expect deny`"
            self.findings.error("incomplete-test", node.title.span, "this test expects no answer", hint)
            return None
        seen: set[str] = set()
        for each in node.expectations:
            what = "allow" if each.what == "deny" else each.what
            if what in seen:
                message = f"a second `expect {each.what}`"
                self.findings.error("duplicate-clause", each.span, message, "a test expects one answer; join the lists")
            seen.add(what)
        return answers[0]

    def _named(self, node: ast.TestDecl, what: str) -> tuple[ast.Name, ...] | None:
        found = next((each for each in node.expectations if each.what == what), None)
        if found is None:
            return None
        return () if _nothing(found.names) else found.names or ()

    def _rule_ids(self, names: Sequence[ast.Name] | None) -> tuple[str, ...] | None:
        if names is None:
            return None
        for each in names:
            if each.text not in self.ids:
                message = f"there is no rule `{each.text}`"
                self.findings.error("unknown-rule", each.span, message, near(each.text, self.ids))
        return tuple(sorted({each.text for each in names}))

    def _errors(self, node: ast.TestDecl) -> tuple[str, ...] | None:
        return self._rule_ids(self._named(node, "errors"))

    def _reason(self, node: ast.TestDecl) -> str | None:
        names = self._named(node, "reason")
        if not names:
            return None
        reasons = [reason.value for reason in Reason]
        for each in names[1:]:
            self.findings.error("duplicate-clause", each.span, "an answer has one reason", "take the others out")
        if names[0].text not in reasons:
            hint = near(names[0].text, reasons) or f"there are {', '.join(reasons)}"
            self.findings.error("unknown-name", names[0].span, f"there is no reason `{names[0].text}`", hint)
        return names[0].text

    def _fields(self, node: ast.TestDecl, what: str, home: Home) -> frozenset[str] | None:
        found = next((each for each in node.expectations if each.what == what), None)
        if found is None:
            return None
        if _nothing(found.items):
            return frozenset()
        return written_fields(found.items or (), home, self.world.names, self.findings, self.schema.fields)

    def _obligations(self, node: ast.TestDecl, home: Home) -> tuple[str, ...] | None:
        names = self._named(node, "obligations")
        if names is None:
            return None
        for each in names:
            self.world.names.find(each, home, ("obligation",))
        return tuple(sorted(each.text for each in names))

    # Values

    def _entity(self, node: ast.GivenEntity, home: Home) -> core.GivenEntity | None:
        if id(node) not in self._entities:
            self._entities[id(node)] = self._new_entity(node, home)
        return self._entities[id(node)]

    def _new_entity(self, node: ast.GivenEntity, home: Home) -> core.GivenEntity | None:
        identity = self._identity(ast.EntityLiteral(node.type, node.id, node.span), home)
        if identity is None:
            return None
        declared = self.schema.entities[identity[0]]
        parents: list[tuple[str, str]] = []
        for written in node.parents:
            parent = self._identity(written, home)
            if parent is not None and parent[0] not in declared.parents:
                message = f"a `{identity[0]}` has no `{parent[0]}` as parent"
                hint = f"declare it: `entity {identity[0]} in {parent[0]}`"
                self.findings.error("type-mismatch", written.type.span, message, hint)
            elif parent is not None:
                parents.append(parent)
        attributes = self._object(node.attributes, declared.attributes, f"`{identity[0]}`", home)
        return core.GivenEntity(*identity, tuple(parents), attributes, node.span)

    def _object(
        self, written: ast.JsonObject, attributes: Mapping[str, Attribute], holder: str, home: Home
    ) -> dict[str, object]:
        once(self.findings, (name for name, _ in written.members))
        found: dict[str, object] = {}
        for name, value in written.members:
            attribute = attributes.get(name.text)
            if attribute is None:
                message = f"{holder} has no attribute `{name.text}`"
                self.findings.error("unknown-attribute", name.span, message, near(name.text, attributes))
            type = attribute.type if attribute else RECOVERY
            found[name.text] = UNKNOWN if self._unknown(value, type) else self._json(value, type, home)
        return found

    def _unknown(self, written: ast.Json, type: Type) -> bool:
        """`banned: unknown`: the attribute's place has failed. Where a vocabulary has such a code, it is the code."""
        vocabularies = type.vocabularies if isinstance(type, CodeType) else ()
        named = any("unknown" in self.schema.codes.vocabularies[each].symbols for each in vocabularies)
        return isinstance(written, ast.Reference) and written.name == "unknown" and not named

    def _json(self, written: ast.Json, type: Type, home: Home) -> object:
        match written:
            case ast.Boolean(value) | ast.Text(value):
                return value
            case ast.Number(text):
                return _number(text)
            case ast.Unary(operand=ast.Number(text)):
                return _number(f"-{text}")
            case ast.JsonList(items):
                element = type.element if isinstance(type, SetType | ListType) else RECOVERY
                return [self._json(each, element, home) for each in items]
            case ast.JsonObject(members):
                return self._record(members, type, home)
            case ast.EntityLiteral():
                return self._reference(written, type, home)
            case ast.Reference(name, span):
                return self._code(ast.Name(name, span), type)
            case ast.Member(ast.Reference(vocabulary, span), name):
                return self._full_code(ast.Name(vocabulary, span), name, home)
            case _:
                self.findings.error("type-mismatch", written.span, "this is not a value", "values are JSON")
                return None

    def _record(self, members: Sequence[tuple[ast.Name, ast.Json]], type: Type, home: Home) -> dict[str, object]:
        once(self.findings, (name for name, _ in members))
        fields = {each.name: each.type for each in type.fields} if isinstance(type, RecordType) else None
        for name, _ in members:
            if fields is not None and name.text not in fields:
                message = f"there is no `{name.text}` in {type}"
                self.findings.error("unknown-attribute", name.span, message, near(name.text, fields))
        return {name.text: self._json(value, (fields or {}).get(name.text, RECOVERY), home) for name, value in members}

    def _reference(self, written: ast.EntityLiteral, type: Type, home: Home) -> object:
        identity = self._identity(written, home)
        if identity is None:
            return None
        if isinstance(type, EntityType) and identity[0] not in type.names:
            self.findings.error("type-mismatch", written.span, f"expected {type}, found {identity[0]}")
        return {"type": self.schema.entities[identity[0]].wire, "id": identity[1]}

    def _code(self, name: ast.Name, type: Type) -> object:
        """A code by its name in the vocabulary of its place; "system|code" where the bare code would say too little."""
        if name.text == "null":
            return None
        if type is RECOVERY:
            return name.text
        if not isinstance(type, CodeType):
            message = f"expected {type}, found the name `{name.text}`"
            hint = "write `true` or `false`" if type == BOOL else f'a text is written "{name.text}"'
            self.findings.error("type-mismatch", name.span, message, hint)
            return None
        vocabularies = [self.schema.codes.vocabularies[each] for each in sorted(type.vocabularies)]
        codes = {str(each.code(name.text)) for each in vocabularies if name.text in each.symbols}
        if len(codes) == 1:
            full = codes.pop()
            symbol = full.partition("|")[2]
            return symbol if sum(symbol in each.symbols.values() for each in vocabularies) == 1 else full
        choices = [symbol for each in vocabularies for symbol in each.symbols]
        hint = near(name.text, choices) if not codes else f"write `{vocabularies[0].name}.{name.text}`"
        message = f"{type} has no code `{name.text}`" if not codes else f"`{name.text}` is more than one code of {type}"
        self.findings.error("unknown-code", name.span, message, hint)
        return None

    def _full_code(self, written: ast.Name, name: ast.Name, home: Home) -> object:
        if self.world.names.find(written, home, VOCABULARIES) is None:
            return None
        members = self.world.types.unions.get(written.text, frozenset({written.text}))
        vocabularies = [self.schema.codes.vocabularies[each] for each in sorted(members)]
        for each in vocabularies:
            if name.text in each.symbols:
                return str(each.code(name.text))
        choices = [symbol for each in vocabularies for symbol in each.symbols]
        message = f"`{written.text}` has no code `{name.text}`"
        self.findings.error("unknown-code", name.span, message, near(name.text, choices))
        return None


def _number(text: str) -> object:
    """An integer as it is; with a point, the text that a Decimal is read from. Longer than any Int stays text too."""
    return text if "." in text or len(text) > 20 else int(text)


def _nothing(written: Sequence[object] | None) -> bool:
    """`expect mask nothing`: the word alone says that the list is empty."""
    match written:
        case (ast.Name(text="nothing"),):
            return True
        case _:
            return False
