"""Reading policies: places, limits, and that any bytes give a tree or diagnostics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.lark import from_lark
from lark import Lark

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source, Span
from pdp.language import ast, parse
from pdp.language.nesting import MAX_NESTING

MORE = settings(max_examples=max(400, settings.default.max_examples))  # type: ignore[union-attr]
GRAMMAR = (Path(__file__).parents[3] / "grammar" / "ward.lark").read_text("utf-8")


def read(text: str) -> ast.Module:
    return parse.policy(Source("x.ward", text))


def expression(text: str) -> ast.Expr:
    return parse.expression(Source("x.ward", text))


def findings(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(PolicyError) as raised:
        read(text)
    return raised.value.diagnostics


def found(text: str) -> list[tuple[str, str]]:
    return [(each.code, each.span.text) for each in findings(text)]


# Places ---------------------------------------------------------------------------------------------------------------


def test_every_node_of_an_expression_underlines_what_was_written() -> None:
    expr = expression(" a.b  subset   of {c, 3 days} and not  f(x , -1)  # end")
    assert isinstance(expr, ast.Binary)
    assert (expr.span.text, expr.symbol.text) == ("a.b  subset   of {c, 3 days} and not  f(x , -1)", "and")
    left, right = expr.left, expr.right
    assert isinstance(left, ast.Binary)
    assert (left.span.text, left.symbol.text) == ("a.b  subset   of {c, 3 days}", "subset   of")
    assert isinstance(left.left, ast.Member)
    assert (left.left.span.text, left.left.name.span.text, left.left.target.span.text) == ("a.b", "b", "a")
    assert isinstance(left.right, ast.SetLiteral)
    assert [item.span.text for item in left.right.items] == ["c", "3 days"]
    assert isinstance(right, ast.Unary)
    assert isinstance(right.operand, ast.Call)
    assert [each.span.text for each in right.operand.arguments] == ["x", "-1"]


def test_parentheses_belong_to_what_is_around_them() -> None:
    expr = expression("(a or b) and (c)")
    assert isinstance(expr, ast.Binary)
    assert (expr.span.text, expr.left.span.text, expr.right.span.text) == ("(a or b) and (c)", "a or b", "c")


def test_the_header_of_a_rule_ends_with_its_id() -> None:
    text = 'permit read on Record as a-b "S" when true\n\nforbid any on Note unless x # end\n'
    first, second = read(text).declarations
    assert isinstance(first, ast.RuleDecl)
    assert isinstance(second, ast.RuleDecl)
    assert (first.header.text, first.span.text) == (
        "permit read on Record as a-b",
        'permit read on Record as a-b "S" when true',
    )
    assert (second.header.text, second.span.text) == ("forbid any on Note", "forbid any on Note unless x")


def test_places_are_counted_in_characters() -> None:
    module = read('define A = "日本😀" == naïf'.replace("naïf", "b"))
    (define,) = module.declarations
    assert isinstance(define, ast.DefineDecl)
    assert isinstance(define.body, ast.Binary)
    assert (define.body.left.span.text, define.body.right.span.text) == ('"日本😀"', "b")


SAMPLE = """
vocabulary V "s" ordered { A = "a" in B, C emergency "t" }
entity E in F as "e" { a: Set<Text>? from source care  b: { c: Int } }
action r as "R", s on E by F { x: Bool }
route GET "/a/{b}" does r on E b with c = F d query "q"? searches /x, Y
permit r on E as i "s" cites "c" when a has b and c between 1 and 2 release only /x, fields of (y) when z
    require n(a: if x then y else [1])
fixture f { given E "e" in F "f" { a: [1, -2, V.A, E "e"] } }
test "t" using f { at "i" when E "e" does r on F "f" searching /x expect deny by i }
"""


def test_every_node_has_a_span_within_its_parent() -> None:
    def walk(node: object, around: Span) -> int:
        if isinstance(node, tuple):
            return sum(walk(each, around) for each in node)
        if not dataclasses.is_dataclass(node) or isinstance(node, Source | Span):
            return 0
        span: Span = node.span  # type: ignore[attr-defined]
        assert span.text == span.text.strip() != ""
        assert around.start <= span.start <= span.end <= around.end
        return 1 + sum(walk(getattr(node, each.name), span) for each in dataclasses.fields(node))

    module = read(SAMPLE)
    assert walk(module.declarations, Span(module.source, 0, len(SAMPLE))) > 100


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", sorted(parse.automaton().lexer.words))
def test_every_word_may_follow_a_dot_and_name_a_member(word: str) -> None:
    assert isinstance(expression(f"a.{word}.b"), ast.Member)
    assert isinstance(expression(f"a has {word} and b"), ast.Binary)
    read(f'test "t" {{ given context {{ {word}: 1 }} }}')
    read(f"use a.{word}")


@pytest.mark.parametrize("word", sorted(parse.automaton().lexer.words))
def test_no_word_names_a_type_a_variable_or_a_function(word: str) -> None:
    for text in (f"entity {word} {{ a: Text }}", f"define {word}(x: Int) = 1", f"define a = any {word} in s: true"):
        code, underlined = found(text)[0]
        missing = "unexpected-token" if word in ("as", "in") else "reserved-word"  # A name is missing before these.
        assert (underlined, code) in ((word, "reserved-word"), (word, missing)), text


def test_only_ids_hold_hyphens() -> None:
    (rule,) = read("permit read on Record as on-shift-2 when a-b == now-5 minutes").declarations
    assert isinstance(rule, ast.RuleDecl)
    assert rule.id is not None
    assert rule.id.text == "on-shift-2"
    assert rule.whens[0] == expression("(a - b) == (now - 5 minutes)")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a or b and c", "a or (b and c)"),
        ("a and b and c", "(a and b) and c"),
        ("not a == b", "not (a == b)"),
        ("a - b - c * d", "(a - b) - (c * d)"),
        ("-a.b * c", "(-(a.b)) * c"),
        ("a between b - 1 and c and d", "(a between (b - 1) and c) and d"),
        ("any x in s: x and y or z", "any x in s: ((x and y) or z)"),
        ("a and any x in s: x == y and z", "a and (any x in s: ((x == y) and z))"),
        ("if a then b else c and d", "if a then b else (c and d)"),
        ("not any x in s: x and y", "not (any x in s: (x and y))"),
    ],
)
def test_precedence(text: str, meant: str) -> None:
    assert expression(text) == expression(meant)


def test_a_condition_after_release_only_belongs_to_it() -> None:
    (rule,) = read("permit a on B as c release only /x when y").declarations
    assert isinstance(rule, ast.RuleDecl)
    assert not rule.whens
    assert rule.releases[0].condition == expression("y")


def test_a_comma_after_a_parent_brings_another_parent() -> None:
    (vocabulary,) = read('vocabulary V "s" { a in b, c d }').declarations
    assert isinstance(vocabulary, ast.VocabularyDecl)
    assert [(code.name.text, [parent.text for parent in code.parents]) for code in vocabulary.codes] == [
        ("a", ["b", "c"]),
        ("d", []),
    ]


# Bytes and limits -----------------------------------------------------------------------------------------------------


def decoded(data: bytes) -> tuple[Diagnostic, ...]:
    try:
        parse.policy(parse.decode("x.ward", data))
    except PolicyError as error:
        return error.diagnostics
    return ()


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (b"# caf\xe9\n", "not-utf8", "x.ward:1:6"),
        (b"entity A\n\xed\xa0\x80", "not-utf8", "x.ward:2:1"),
        (b"\xef\xbb\xbfentity A", "byte-order-mark", "x.ward:1:1"),
        (b"entity A \xef\xbb\xbf", "hidden-character", "x.ward:1:10"),
        (b"entity A\x00", "hidden-character", "x.ward:1:9"),
        ("# a\u202eb".encode(), "hidden-character", "x.ward:1:4"),
        ("# a\u2028permit any on any as x".encode(), "hidden-character", "x.ward:1:4"),
        (b"# a\rpermit any on any as x", "hidden-character", "x.ward:1:4"),
        (b'define A = "\x1b[31m"', "hidden-character", "x.ward:1:13"),
    ],
)
def test_bytes_that_show_something_else_than_is_read_are_refused(data: bytes, code: str, where: str) -> None:
    assert [(each.code, each.span.where) for each in decoded(data)] == [(code, where)]


def test_windows_line_ends_are_white_space() -> None:
    assert decoded(b"entity A\r\n# comment\r\nentity B {\r\n}\r\n") == ()


def test_a_half_character_in_a_text_is_refused() -> None:
    assert found('define A = "\ud800"')[0][0] == "hidden-character"


def test_a_file_of_one_mebibyte_is_read_and_one_more_byte_is_not() -> None:
    line = "# sixteen bytes\n"
    assert decoded(line.encode() * 65_536) == ()
    assert [each.code for each in decoded(line.encode() * 65_536 + b"\n")] == ["file-too-large"]
    assert [each.code for each in decoded(("#" + "é" * (1 << 19)).encode())] == ["file-too-large"]


DEEP = {
    "not": ("not ", "x", ""),
    "minus": ("-", "x", ""),
    "members": ("", "x", ".a"),
    "and": ("", "x", " and x"),
    "plus": ("", "x", "+x"),
    "conditional": ("if a then b else ", "x", ""),
    "condition": ("if ", "x", " then a else b"),
    "any": ("any x in s: ", "x", ""),
    "sets": ("{", "x", "}"),
    "lists": ("[", "x", "]"),
    "calls": ("f(", "x", ")"),
    "on the right": ("a+(", "x", ")"),
}


@pytest.mark.parametrize("name", DEEP)
def test_nesting_has_a_limit_and_no_cliff(name: str) -> None:
    before, core, after = DEEP[name]

    def text(depth: int) -> str:
        return f"define A = {before * depth}{core}{after * depth}\n"

    read(text(MAX_NESTING - 1))
    for depth in (MAX_NESTING + 1, 1_000, 20_000):
        assert [each.code for each in findings(text(depth))] == ["nesting-too-deep"]


def test_types_values_and_parentheses_have_no_cliff() -> None:
    assert found("entity A { a: " + "Set<" * 5_000 + "T" + ">" * 5_000 + "}")[0][0] == "nesting-too-deep"
    assert found('test "t" { given context { a: ' + "[" * 5_000 + "]" * 5_000 + "} }")[0][0] == "nesting-too-deep"
    assert expression("(" * 50_000 + "x" + ")" * 50_000) == expression("x")
    assert found("define A = " + "(" * 50_000)[0][0] == "unexpected-end"


def test_the_number_of_findings_has_a_limit() -> None:
    assert len(findings("permit read\n" * 10_000)) == parse.MAX_FINDINGS


def test_findings_are_sorted_and_the_same_every_time() -> None:
    text = "entity A { a Text }\nentity B { b Text }\npermitt x\n"
    once = findings(text)
    assert once == findings(text)
    assert [each.order for each in once] == sorted(each.order for each in once)


def test_an_expression_alone_is_all_there_is() -> None:
    with pytest.raises(PolicyError):
        expression("a b")
    with pytest.raises(PolicyError):
        expression("")
    with pytest.raises(PolicyError):
        expression("permit read on Record as x")


# Any text -------------------------------------------------------------------------------------------------------------

LARK = Lark(GRAMMAR, start="start", parser="lalr", lexer="basic")

words = st.sampled_from(
    [
        *parse.automaton().lexer.words,
        *parse.automaton().lexer.spelling.values(),
        "a",
        "a-b",
        '"t"',
        "/x",
        "1",
        "\n",
        "#",
    ]
)


def gives_a_tree_or_findings(data: bytes) -> None:
    for each in decoded(data):
        assert 0 <= each.span.start <= each.span.end <= len(each.span.source.text)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_tree_or_findings(data: bytes) -> None:
    gives_a_tree_or_findings(data)


@given(st.text(max_size=200))
def test_any_text_gives_a_tree_or_findings(text: str) -> None:
    gives_a_tree_or_findings(text.encode("utf-8", "surrogatepass"))


@given(st.lists(words, max_size=60))
@MORE
def test_any_words_give_a_tree_or_findings(drawn: list[str]) -> None:
    gives_a_tree_or_findings(" ".join(drawn).encode())


@given(from_lark(LARK, start="start", alphabet=st.characters(max_codepoint=0x17F)))
def test_text_drawn_from_the_grammar_gives_a_tree_or_findings(text: str) -> None:
    gives_a_tree_or_findings(text.encode("utf-8", "surrogatepass"))


@given(st.integers(0, len(SAMPLE)), st.integers(0, 30), st.text(max_size=3))
@MORE
def test_a_damaged_policy_gives_a_tree_or_findings(start: int, length: int, put: str) -> None:
    gives_a_tree_or_findings((SAMPLE[:start] + put + SAMPLE[start + length :]).encode("utf-8", "surrogatepass"))


def test_our_loop_reads_what_lark_reads() -> None:
    """Lark's own parser, run on the same grammar without our lexer's rule for hyphens, accepts the same samples."""
    lark = Lark(GRAMMAR, start="start", parser="lalr", lexer="contextual")
    lark.parse(SAMPLE)
    read(SAMPLE)
