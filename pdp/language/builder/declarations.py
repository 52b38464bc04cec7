"""Declarations of types, attributes, actions, fields, duties, functions and routes."""

# ruff: noqa: ARG002  (the methods of rules all begin alike)

from __future__ import annotations

from pdp.diagnostics.source import Span
from pdp.language import ast
from pdp.language.builder.base import Base
from pdp.language.lex import Token, text_of

Names = tuple[ast.Name, ...]
Provenance = tuple[str, "ast.Name | None"]


class Declarations(Base):
    def vocabulary(
        self, span: Span, name: Token, system: Token, ordered: Token | None, *codes: ast.CodeDecl
    ) -> ast.VocabularyDecl:
        return ast.VocabularyDecl(self.name(name), self.string(system), ordered is not None, codes, span)

    def vocabulary_union(self, span: Span, name: Token, members: Names) -> ast.VocabularyUnion:
        return ast.VocabularyUnion(self.name(name), members, span)

    def code(
        self,
        span: Span,
        name: Token,
        code: Token | None,
        parents: Names | None,
        emergency: Token | None,
        title: Token | None,
    ) -> ast.CodeDecl:
        return ast.CodeDecl(
            self.name(name),
            self.maybe_string(code),
            parents or (),
            emergency is not None,
            self.maybe_string(title),
            span,
        )

    def entity(
        self,
        span: Span,
        name: Token,
        parents: Names | None,
        wire: Token | None,
        attributes: tuple[ast.AttributeDecl, ...] | None,
    ) -> ast.EntityDecl:
        return ast.EntityDecl(self.name(name), parents or (), self.maybe_string(wire), attributes or (), span)

    def kind(self, span: Span, name: Token, members: Names) -> ast.KindDecl:
        return ast.KindDecl(self.name(name), members, span)

    def action(self, span: Span, *parts: object) -> ast.ActionDecl:
        *names, types, subjects, attributes = parts
        return ast.ActionDecl(tuple(names), types, subjects or (), attributes or (), span)  # type: ignore[arg-type]

    def action_name(self, span: Span, name: Token, wire: Token | None) -> tuple[ast.Name, ast.Text | None]:
        return self.name(name), self.maybe_string(wire)

    def action_group(self, span: Span, name: Token, members: Names) -> ast.ActionGroup:
        return ast.ActionGroup(self.name(name), members, span)

    def context(self, span: Span, attributes: tuple[ast.AttributeDecl, ...]) -> ast.ContextDecl:
        return ast.ContextDecl(attributes, span)

    def attributes(self, span: Span, *attributes: ast.AttributeDecl) -> tuple[ast.AttributeDecl, ...]:
        return attributes

    def attribute(
        self,
        span: Span,
        name: Token,
        kind: ast.TypeExpr,
        optional: Token | None,
        provenance: Provenance | None,
        provisioned: Token | None,
    ) -> ast.AttributeDecl:
        place, source = provenance or ("", None)
        by = self.maybe_name(provisioned)
        return ast.AttributeDecl(self.name(name), kind, optional is not None, place, source, by, span)

    def provenance(self, span: Span, place: Token) -> Provenance:
        return text_of(place), None

    def provenance_source(self, span: Span, _place: Token, source: Token) -> Provenance:
        return "source", self.name(source)

    # Fields, duties, functions ----------------------------------------------------------------------------------------

    def fields(self, span: Span, name: Token, items: tuple[ast.FieldItem, ...]) -> ast.FieldsDecl:
        return ast.FieldsDecl(self.name(name), items, span)

    def field_list(self, span: Span, *items: ast.FieldItem) -> tuple[ast.FieldItem, ...]:
        return items

    def pointer(self, span: Span, pointer: Token) -> ast.Pointer:
        return ast.Pointer(text_of(pointer), span)

    def field_set(self, span: Span, name: Token) -> ast.Name:
        return self.name(name)

    def computed_fields(self, span: Span, expr: ast.Expr) -> ast.ComputedFields:
        return ast.ComputedFields(expr, span)

    def obligation(self, span: Span, name: Token, *parameters: ast.FieldType | None) -> ast.ObligationDecl:
        written = tuple(each for each in parameters if each is not None)
        return ast.ObligationDecl(self.name(name), written, span)

    def definition(
        self, span: Span, name: Token, parameters: tuple[ast.Parameter, ...] | None, body: ast.Expr
    ) -> ast.DefineDecl:
        return ast.DefineDecl(self.name(name), parameters or (), body, span)

    def define_parameters(self, span: Span, *parameters: ast.Parameter | None) -> tuple[ast.Parameter, ...]:
        return tuple(each for each in parameters if each is not None)

    def define_parameter(self, span: Span, name: Token, kind: ast.TypeExpr) -> ast.Parameter:
        return ast.Parameter(self.name(name), kind, span)

    # Routes -----------------------------------------------------------------------------------------------------------

    def route(
        self,
        span: Span,
        methods: Names,
        path: Token,
        actions: Names,
        resource: ast.RouteTarget,
        *rest: object,
    ) -> ast.RouteDecl:
        claims: list[tuple[ast.Name, ast.RouteTarget]] = []
        query: list[ast.RouteQuery] = []
        for part in rest:
            match part:
                case None:
                    pass
                case tuple():
                    claims.append(part)
                case ast.RouteQuery():
                    query.append(part)
                case ast.Pointer() | ast.Name() | ast.ComputedFields():
                    self.searched_too(query, part)
        return ast.RouteDecl(methods, self.string(path), actions, resource, tuple(claims), tuple(query), span)

    def searched_too(self, query: list[ast.RouteQuery], field: ast.FieldItem) -> None:
        """One more field that the query parameter before it searches."""
        if not query or not query[-1].fields:
            hint = 'write the parameter in quotes, as in `"name" searches /name`'
            self.report("field-of-no-parameter", field.span, "a field stands where a query parameter is due", hint)
            return
        last = query[-1]
        query[-1] = ast.RouteQuery(last.name, last.optional, (*last.fields, field), last.span.to(field.span))

    def target_text(self, span: Span, parameter: Token) -> ast.RouteTarget:
        return ast.RouteTarget(None, self.name(parameter), span)

    def target_parameter(self, span: Span, type_name: Token, parameter: Token) -> ast.RouteTarget:
        return ast.RouteTarget(self.name(type_name), self.name(parameter), span)

    def target_literal(self, span: Span, type_name: Token, id_: Token) -> ast.RouteTarget:
        return ast.RouteTarget(self.name(type_name), self.string(id_), span)

    def claim(self, span: Span, attribute: Token, target: ast.RouteTarget) -> tuple[ast.Name, ast.RouteTarget]:
        return self.name(attribute), target

    def query_parameter(
        self, span: Span, name: Token, optional: Token | None, field: ast.FieldItem | None
    ) -> ast.RouteQuery:
        fields = () if field is None else (field,)
        return ast.RouteQuery(self.string(name), optional is not None, fields, span)

    def query_field(self, span: Span, field: ast.FieldItem) -> ast.FieldItem:
        return field
