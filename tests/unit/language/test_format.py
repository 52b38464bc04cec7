"""Canonical text: it means the same, it is stable, it looks as it should, and it keeps every comment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.diagnostics.source import Source
from pdp.language import ast, format, parse
from pdp.language.layout import WIDTH, flat, laid
from tests.unit.language import trees

MORE = settings(max_examples=max(300, settings.default.max_examples))  # type: ignore[union-attr]
ROOT = Path(__file__).parents[3]


def read(text: str) -> ast.Module:
    return parse.policy(Source("x.ward", text))


def formatted(text: str) -> str:
    return format.module(read(text))


@given(trees.modules)
@MORE
def test_reading_the_formatted_text_gives_the_tree_again(module: ast.Module) -> None:
    text = format.module(module)
    again = read(text)
    assert again == module
    assert format.module(again) == text


@given(trees.expressions)
@MORE
def test_an_expression_is_the_same_on_one_line_and_on_many(expr: ast.Expr) -> None:
    assert parse.expression(Source("x", flat(expr))) == expr
    assert parse.expression(Source("x", laid(expr, WIDTH))) == expr


@given(
    st.recursive(
        trees.references,
        lambda inner: trees.node(ast.Binary, st.sampled_from(["and", "or"]), inner, inner, tail=(trees.X, trees.X)),
        max_leaves=30,
    )
)
def test_long_conditions_keep_their_structure(expr: ast.Expr) -> None:
    text = laid(expr, WIDTH - 20)
    assert parse.expression(Source("x", text)) == expr


def sources() -> list[str]:
    page = (ROOT / "grammar" / "LANGUAGE.md").read_text("utf-8")
    found = re.findall(r"```ward[^\n]*\n(.*?)```", page, re.DOTALL)
    found += [path.read_text("utf-8") for path in sorted((ROOT / "policies").rglob("*.ward"))]
    assert len(found) > 5
    return found


@pytest.mark.parametrize("text", sources())
def test_what_we_ship_survives_formatting(text: str) -> None:
    module = read(text)
    written = format.module(module)
    assert read(written) == module
    assert formatted(written) == written
    assert sorted(comments(written)) == sorted(comments(text))


def comments(text: str) -> list[str]:
    """The comments of a text, by the lexer alone."""
    lexer = parse.automaton().lexer
    return [token[token.lastindex or 0].rstrip() for token in lexer.tokens(text) if lexer.kind(token) == "COMMENT"]


def test_a_long_condition_breaks_before_and_and_or() -> None:
    text = """
        permit view on Record as x when subject is Clinician and treats(subject, resource.patient) and
        (context.purpose in Purpose.TREAT or context.purpose in Purpose.HPAYMT or context.purpose in Purpose.HRESCH
        or context.purpose in Purpose.ETREAT) unless (resource.labels overlaps SubstanceUse)
        and not subject.cleared_for_everything and resource.confidentiality >= Confidentiality.R
    """
    assert formatted(text) == (
        "permit view on Record as x\n"
        "    when subject is Clinician\n"
        "     and treats(subject, resource.patient)\n"
        "     and (context.purpose in Purpose.TREAT\n"
        "       or context.purpose in Purpose.HPAYMT\n"
        "       or context.purpose in Purpose.HRESCH\n"
        "       or context.purpose in Purpose.ETREAT)\n"
        "    unless resource.labels overlaps SubstanceUse\n"
        "       and not subject.cleared_for_everything\n"
        "       and resource.confidentiality >= Confidentiality.R\n"
    )


def test_clauses_are_put_in_their_order() -> None:
    text = 'forbid any on any as x cure consent because "no" unless b when a owner "o" cites "c" exception privacy'
    assert formatted('forbid any on any as x "S" ' + text.partition("as x ")[2]) == (
        "forbid any on any as x\n"
        '    "S"\n    cites "c"\n    owner "o"\n    when a\n    unless b\n    because "no"\n'
        "    exception privacy\n    cure consent\n"
    )


def test_short_declarations_of_one_kind_stand_together() -> None:
    assert formatted("kind A = B  kind C = D or E  entity F  entity G { a: Text }  action r on G  action v = r") == (
        "kind A = B\nkind C = D or E\n\nentity F\nentity G { a: Text }\n\naction r on G\naction v = r\n"
    )


def test_invisible_characters_become_escapes() -> None:
    assert formatted('define A = "a\\u{202E}b\\u{0}é"') == 'define A = "a\\u{202E}b\\u{0}é"\n'


def test_the_open_end_of_any_is_closed_only_where_needed() -> None:
    written = "define A = x and any r in s: r.a and r.b"
    assert formatted(written) == written + "\n"
    written = "define A = (any r in s: r.a) and r.b"
    assert formatted(written) == written + "\n"


COMMENTED = """\
# File.
module a  # behind module
use hl7   # behind use

# Block.

# About X.
entity X { # opens
    a: Text, # behind a
    # above b
    b: Int   # behind b
    # last in X
} # behind X
permit read on X as y  # header
   # clause
   when a # expression
    and b
vocabulary V "s" { A # behind A
  B in A }
test "x" {
  # above given
  given X "a" { a: 1, # value
   b: 2 }
  # above expect
  expect deny
}
# end
"""


def test_comments_stay_with_what_they_explain() -> None:
    assert (
        formatted(COMMENTED)
        == """\
# File.
# behind module
module a
# behind use
use hl7

# Block.
# About X.
# opens
# last in X
# behind X
entity X {
    # behind a
    a: Text
    # above b
    # behind b
    b: Int
}

# header
# clause
# expression
permit read on X as y
    when a and b

vocabulary V "s" {
    # behind A
    A
    B in A
}

# value
# above expect
test "x" {
    # above given
    given X "a" { a: 1, b: 2 }
    expect deny
}

# end
"""
    )


@given(st.data())
@MORE
def test_no_comment_is_lost_wherever_it_stands(data: st.DataObject) -> None:
    lines = COMMENTED.split("\n")
    where = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=6))
    for number, line in enumerate(where):
        lines[line] += f" # extra {number}"
    text = "\n".join(lines)
    written = formatted(text)
    for number in range(len(where)):
        assert f"extra {number}" in written
    assert formatted(written) == written


def test_an_empty_file_is_empty() -> None:
    assert formatted("") == ""
    assert formatted("# only this") == "# only this\n"
