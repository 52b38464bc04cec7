"""Surface trees drawn by hypothesis: every kind of node, with names and texts of every sort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from pdp.diagnostics.source import NOWHERE as X
from pdp.diagnostics.source import Source
from pdp.language import ast, parse
from pdp.language.builder.expressions import UNITS
from pdp.language.builder.module import LAYERS

Strategy = st.SearchStrategy[Any]

RESERVED = sorted(parse.automaton().lexer.words)

words = st.sampled_from(["a", "b", "Record", "Clinician", "treats", "x_1", "_", "subject", "now", "Set", "base"])
names = words.map(lambda word: ast.Name(word, X))
ids = st.sampled_from(["a", "clinical-view", "d17-nurse-reads", "on-shift", "x-1"]).map(lambda word: ast.Name(word, X))
any_names = st.one_of(words, st.sampled_from(RESERVED)).map(lambda word: ast.Name(word, X))
attribute_names = any_names.filter(lambda name: name.text not in ("from", "provisioned"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda text: ast.Text(text, X))
numbers = st.sampled_from(["0", "1", "42", "007", "1.25", "0.0001"]).map(lambda text: ast.Number(text, X))


def some(items: Strategy, least: int = 0, most: int = 3) -> Strategy:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def maybe(item: Strategy) -> Strategy:
    return st.none() | item


def node(kind: Callable[..., Any], *parts: Strategy, tail: tuple[Any, ...] = (X,)) -> Strategy:
    return st.tuples(*parts).map(lambda drawn: kind(*drawn, *tail))


# Expressions ----------------------------------------------------------------------------------------------------------

booleans = node(ast.Boolean, st.booleans())
references = node(ast.Reference, words | st.sampled_from(["context", "action"]))
entity_literals = node(ast.EntityLiteral, names, texts)
leaves = st.one_of(
    booleans,
    numbers,
    texts,
    references,
    entity_literals,
    node(ast.DurationLiteral, st.integers(0, 90), st.sampled_from(sorted(set(UNITS.values())))),
)
OPERATORS = [
    "or",
    "and",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "overlaps",
    "contains",
    "subset of",
    "like",
    "matches",
]
OPERATORS += ["within", "+", "-", "*"]


def _grown(inner: Strategy) -> Strategy:
    return st.one_of(
        node(ast.Member, inner, any_names),
        node(ast.Call, names, some(inner)),
        node(ast.Unary, st.sampled_from(["not", "-"]), inner),
        node(ast.Binary, st.sampled_from(OPERATORS), inner, inner, tail=(X, X)),
        node(ast.Binary, st.sampled_from(["and", "or"]), inner, inner, tail=(X, X)),
        node(ast.Between, inner, inner, inner),
        node(ast.HasMember, inner, any_names),
        node(ast.IsType, inner, names),
        node(ast.Conditional, inner, inner, inner),
        node(ast.Quantified, st.booleans(), names, inner, inner),
        node(ast.SetLiteral, some(inner)),
        node(ast.ListLiteral, some(inner)),
    )


expressions = st.recursive(leaves, _grown, max_leaves=12)

# Declarations ---------------------------------------------------------------------------------------------------------

types = st.recursive(
    node(ast.NamedType, names),
    lambda inner: st.one_of(
        node(ast.CollectionType, st.sampled_from(["Set", "List"]), inner),
        node(ast.RecordTypeExpr, some(node(ast.FieldType, attribute_names, inner, st.booleans()))),
    ),
    max_leaves=4,
)
places = st.one_of(
    st.sampled_from(["", "token", "certificate", "route", "caller"]).map(lambda place: (place, None)),
    names.map(lambda name: ("source", name)),
)
attributes = st.builds(
    lambda name, kind, optional, place, by: ast.AttributeDecl(name, kind, optional, *place, by, X),
    attribute_names,
    types,
    st.booleans(),
    places,
    maybe(any_names),
)
pointers = st.sampled_from(["/a", "/", "/name/given", "/a~0b~1c", "/x[0]", "/a-b.c:d%20"])
fields = st.one_of(
    node(ast.Pointer, pointers), names, node(ast.ComputedFields, st.one_of(references, expressions)), names
)
field_types = node(ast.FieldType, any_names, types, st.booleans())
targets = st.one_of(
    node(ast.RouteTarget, st.none(), names), node(ast.RouteTarget, names, names), node(ast.RouteTarget, names, texts)
)
releases = node(ast.ReleaseClause, some(fields, 1), maybe(expressions))
duties = node(ast.DutyClause, st.booleans(), names, some(st.tuples(any_names, expressions)))
codes = node(ast.CodeDecl, names, maybe(texts), some(names), st.booleans(), maybe(texts))


def _rules(effect: str, what: Strategy, actions: Strategy) -> Strategy:
    return node(
        ast.RuleDecl,
        st.just(effect),
        what,
        actions,
        maybe(some(names, 1)),
        maybe(ids),
        maybe(texts),
        some(texts),
        maybe(texts),
        some(expressions, most=2),
        some(expressions, most=1),
        some(releases, most=2),
        some(duties, most=2),
        maybe(texts),
        maybe(names),
        some(names),
        some(ids),
        tail=(X, X),
    )


rules = st.one_of(
    *(_rules(effect, st.just(()), maybe(some(names, 1))) for effect in ("permit", "forbid", "emergency")),
    _rules("mask", some(fields, 1), st.none()),
)

json = st.recursive(
    st.one_of(
        booleans,
        numbers,
        texts,
        node(ast.Reference, words),
        entity_literals,
        node(ast.Member, node(ast.Reference, words), any_names),
        node(ast.Unary, st.just("-"), numbers),
    ),
    lambda inner: st.one_of(node(ast.JsonList, some(inner)), node(ast.JsonObject, some(st.tuples(any_names, inner)))),
    max_leaves=6,
)
objects = node(ast.JsonObject, some(st.tuples(any_names, json), most=5))
given = st.one_of(
    node(ast.GivenEntity, names, texts, some(entity_literals), objects),
    node(ast.GivenObject, st.sampled_from(["context", "action"]), objects),
)
expectations = st.one_of(
    st.builds(ast.Expectation, st.sampled_from(["allow", "deny"]), maybe(some(ids, 1)), span=st.just(X)),
    st.builds(ast.Expectation, st.sampled_from(["mask", "release"]), items=some(fields, 1), span=st.just(X)),
    st.builds(ast.Expectation, st.sampled_from(["obligations", "reason"]), some(names, 1), span=st.just(X)),
    st.builds(ast.Expectation, st.just("errors"), some(ids, 1), span=st.just(X)),
)
asked = st.one_of(
    st.just((None, None, None, ())), st.tuples(entity_literals, names, entity_literals, some(fields, most=2))
)
tests = st.builds(
    lambda title, fixtures, givens, at, ask, expected: ast.TestDecl(title, fixtures, givens, at, *ask, expected, X),
    texts,
    some(ids),
    some(given),
    maybe(texts),
    asked,
    some(expectations),
)

declarations = st.one_of(
    node(ast.EntityDecl, names, some(names), maybe(texts), some(attributes)),
    node(ast.KindDecl, names, some(names, 1)),
    node(ast.VocabularyDecl, names, texts, st.booleans(), some(codes)),
    node(ast.VocabularyUnion, names, some(names, 1)),
    node(
        ast.ActionDecl, some(st.tuples(names, maybe(texts)), 1), some(names, 1), some(names), some(attributes, most=2)
    ),
    node(ast.ActionGroup, names, some(names, 1)),
    node(ast.ContextDecl, some(attributes)),
    node(ast.FieldsDecl, names, some(fields, 1, 12)),
    node(ast.ObligationDecl, names, some(field_types)),
    node(ast.DefineDecl, names, some(node(ast.Parameter, names, types)), expressions),
    node(
        ast.RouteDecl,
        some(names, 1),
        texts,
        some(names, 1),
        targets,
        some(st.tuples(any_names, targets)),
        some(node(ast.RouteQuery, texts, st.booleans(), some(fields))),
    ),
    rules,
    node(ast.FixtureDecl, ids, some(given)),
    tests,
    node(ast.InvariantDecl, texts, maybe(some(names, 1)), maybe(some(names, 1)), maybe(expressions)),
)
modules = st.builds(
    lambda name, layer, uses, parts: ast.Module(
        name, layer, tuple(ast.Use(use, X) for use in uses), parts, Source("drawn", ""), X
    ),
    st.sampled_from(["", "a", "hospital.records", "in-patients.use"]),
    st.sampled_from(["", *LAYERS]),
    st.lists(st.sampled_from(["hl7", "a.b", "x-y"]), max_size=2),
    some(declarations),
)
