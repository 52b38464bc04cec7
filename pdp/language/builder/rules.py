"""Rules with their clauses; fixtures, tests and invariants."""

# ruff: noqa: ARG002  (the methods of rules all begin alike)

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pdp.diagnostics.source import Span
from pdp.language import ast
from pdp.language.builder.base import Base
from pdp.language.lex import Token, text_of

Names = tuple[ast.Name, ...]
Fields = tuple[ast.FieldItem, ...]

_REPEATABLE = frozenset(("when", "unless", "release", "duty"))
"""Clauses that the tree can hold more than one of; check judges how many there may be."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a rule, or one line of a test, under the word it begins with."""

    word: str
    value: Any
    span: Span


@dataclass(frozen=True, slots=True)
class Effect:
    """What a rule begins with: `permit ACTIONS on TYPES`."""

    word: str
    fields: Fields
    actions: Names | None
    types: Names | None
    span: Span


class Rules(Base):
    def rule(
        self, span: Span, effect: Effect, id_: Token | None, sentence: Token | None, *clauses: Clause
    ) -> ast.RuleDecl:
        name = self.maybe_name(id_)
        found = self.sorted_out(clauses)
        one = {word: values[0] for word, values in found.items()}
        return ast.RuleDecl(
            effect.word,
            effect.fields,
            effect.actions,
            effect.types,
            name,
            self.maybe_string(sentence),
            one.get("cites", ()),
            one.get("owner"),
            tuple(found.get("when", ())),
            tuple(found.get("unless", ())),
            tuple(found.get("release", ())),
            tuple(found.get("duty", ())),
            one.get("because"),
            one.get("exception"),
            one.get("cure", ()),
            one.get("overridable", ()),
            span,
            effect.span if name is None else effect.span.to(name.span),
        )

    def sorted_out(self, clauses: Iterable[Clause]) -> dict[str, list[Any]]:
        """Word -> values. A second clause of a kind that the tree has one place for is reported."""
        found: dict[str, list[Any]] = {}
        for clause in clauses:
            values = found.setdefault(clause.word, [])
            values.append(clause.value)
            if len(values) > 1 and clause.word not in _REPEATABLE:
                message = f"`{clause.word}` is written twice"
                self.report("duplicate-clause", clause.span, message, "keep one of them")
        return found

    def effect(self, span: Span, word: Token, actions: Names | None, types: Names | None) -> Effect:
        return Effect(text_of(word), (), actions, types, span)

    def mask_effect(self, span: Span, word: Token, fields: Fields, types: Names | None) -> Effect:
        return Effect("mask", fields, None, types, span)

    def names_or_any(self, span: Span, names: Names) -> Names:
        return names

    def anything(self, span: Span) -> None:
        return None

    # Clauses ----------------------------------------------------------------------------------------------------------

    def cites(self, span: Span, texts: tuple[ast.Text, ...]) -> Clause:
        return Clause("cites", texts, span)

    def owner(self, span: Span, who: Token) -> Clause:
        return Clause("owner", self.string(who), span)

    def when(self, span: Span, condition: ast.Expr) -> Clause:
        return Clause("when", condition, span)

    def unless(self, span: Span, condition: ast.Expr) -> Clause:
        return Clause("unless", condition, span)

    def release(self, span: Span, items: Fields, condition: ast.Expr | None = None) -> Clause:
        value = ast.ReleaseClause(items, condition, span)
        return Clause("release", value, span)

    def duty(self, span: Span, word: Token, name: Token, arguments: tuple[tuple[ast.Name, ast.Expr], ...]) -> Clause:
        binding = text_of(word) == "require"
        value = ast.DutyClause(binding, self.name(name), arguments, span)
        return Clause("duty", value, span)

    def arguments(
        self, span: Span, *arguments: tuple[ast.Name, ast.Expr] | None
    ) -> tuple[tuple[ast.Name, ast.Expr], ...]:
        return tuple(each for each in arguments if each is not None)

    def argument(self, span: Span, name: Token, value: ast.Expr) -> tuple[ast.Name, ast.Expr]:
        return self.name(name), value

    def because(self, span: Span, sentence: Token) -> Clause:
        return Clause("because", self.string(sentence), span)

    def exception(self, span: Span, name: Token) -> Clause:
        return Clause("exception", self.name(name), span)

    def cure(self, span: Span, names: Names) -> Clause:
        return Clause("cure", names, span)

    def overridable(self, span: Span, names: Names) -> Clause:
        return Clause("overridable", names, span)

    # Tests ------------------------------------------------------------------------------------------------------------

    def fixture(self, span: Span, name: Token, *given: ast.Given) -> ast.FixtureDecl:
        return ast.FixtureDecl(self.name(name), given, span)

    def test(
        self, span: Span, title: Token, fixtures: Names | None, *parts: Clause | ast.Given | ast.Expectation
    ) -> ast.TestDecl:
        found = self.sorted_out(part for part in parts if isinstance(part, Clause))
        subject, action, resource, searched = found.get("does", [(None, None, None, ())])[0]
        return ast.TestDecl(
            self.string(title),
            fixtures or (),
            tuple(part for part in parts if isinstance(part, ast.GivenEntity | ast.GivenObject)),
            found.get("at", [None])[0],
            subject,
            action,
            resource,
            searched,
            tuple(part for part in parts if isinstance(part, ast.Expectation)),
            span,
        )

    def at(self, span: Span, instant: Token) -> Clause:
        return Clause("at", self.string(instant), span)

    def ask(
        self,
        span: Span,
        subject: ast.EntityLiteral,
        action: Token,
        resource: ast.EntityLiteral,
        searched: Fields | None,
    ) -> Clause:
        return Clause("does", (subject, self.name(action), resource, searched or ()), span)

    def expect_effect(self, span: Span, word: Token, by: Names | None) -> ast.Expectation:
        return ast.Expectation(text_of(word), names=by, span=span)

    def expect_fields(self, span: Span, word: Token, fields: Fields) -> ast.Expectation:
        return ast.Expectation(text_of(word), items=fields, span=span)

    def expect_names(self, span: Span, word: Token, names: Names) -> ast.Expectation:
        return ast.Expectation(text_of(word), names=names, span=span)

    def given_entity(
        self,
        span: Span,
        type_name: Token,
        id_: Token,
        parents: tuple[ast.EntityLiteral, ...] | None,
        attributes: ast.JsonObject,
    ) -> ast.GivenEntity:
        return ast.GivenEntity(self.name(type_name), self.string(id_), parents or (), attributes, span)

    def given_object(self, span: Span, what: Token, attributes: ast.JsonObject) -> ast.GivenObject:
        return ast.GivenObject(text_of(what), attributes, span)

    def entity_literals(self, span: Span, *literals: ast.EntityLiteral) -> tuple[ast.EntityLiteral, ...]:
        return literals

    def invariant(
        self,
        span: Span,
        title: Token,
        actions: Names | None,
        types: Names | None,
        condition: ast.Expr | None,
    ) -> ast.InvariantDecl:
        return ast.InvariantDecl(self.string(title), actions, types, condition, span)

    # Values in tests --------------------------------------------------------------------------------------------------

    def json_list(self, span: Span, *items: ast.Json | None) -> ast.JsonList:
        return ast.JsonList(tuple(item for item in items if item is not None), span)

    def json_object(self, span: Span, *members: tuple[ast.Name, ast.Json]) -> ast.JsonObject:
        return ast.JsonObject(members, span)

    def json_member(self, span: Span, name: Token, value: ast.Json) -> tuple[ast.Name, ast.Json]:
        return self.name(name), value

    def code_literal(self, span: Span, vocabulary: Token, name: Token) -> ast.Member:
        target = ast.Reference(text_of(vocabulary), self.place(vocabulary))
        return ast.Member(target, self.name(name), span)

    def minus_number(self, span: Span, sign: Token, digits: Token) -> ast.Unary:
        return ast.Unary("-", self.digits(digits), span)
