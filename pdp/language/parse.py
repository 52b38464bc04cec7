"""Text into the surface tree: `policy` for a file, `expression` for tools, `decode` for bytes. Alone imports lark.

Any text gives a tree or a `PolicyError` with as many findings as can be told apart. The grammar is `grammar/ward.lark`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, cast

from lark import Lark
from lark.grammar import Rule, Terminal
from lark.lexer import PatternStr
from lark.parsers.lalr_analysis import Shift

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source, Span
from pdp.language import ast
from pdp.language.automaton import Automaton, Failure, Production
from pdp.language.builder import Builder
from pdp.language.expected import DECLARATION_WORDS
from pdp.language.lex import COMMENT, END, Lexer
from pdp.language.mistakes import explain
from pdp.language.nesting import MAX_NESTING, too_deep
from pdp.language.slips import next_declaration

MAX_BYTES = 1 << 20
MAX_FINDINGS = 100

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]|\r(?!\n)"
)
"""Controls, half characters, and what an editor may show as a line end, as nothing, or as a turn of direction."""
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7}|\|{7})(?= |\r?$)", re.MULTILINE)
_DECLARATION = re.compile(rf"^[ \t]*({'|'.join(DECLARATION_WORDS)})\b(?!-)", re.MULTILINE)


def policy(source: Source) -> ast.Module:
    """A file. Raises PolicyError."""
    return cast("ast.Module", _read("start", source))


def expression(source: Source) -> ast.Expr:
    """An expression alone. Raises PolicyError."""
    return cast("ast.Expr", _read("expression", source))


def decode(name: str, data: bytes) -> Source:
    """The bytes of a file as a text. Raises PolicyError."""
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        readable = Source(name, data[: error.start].decode("utf-8") + "\ufffd")
        place = Span(readable, len(readable.text) - 1, len(readable.text))
        message = f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8"
        raise PolicyError([Diagnostic("not-utf8", place, message, "save the file as UTF-8")]) from error


def _read(symbol: str, source: Source) -> Any:
    unreadable = list(_unreadable(source))
    if unreadable:
        raise PolicyError(unreadable)
    builder = Builder(source)

    def recover(failure: Failure) -> int | None:
        builder.findings.append(explain(failure, source))
        if symbol != "start" or failure.kind == END or len(builder.findings) >= MAX_FINDINGS:
            return None
        return _next_declaration(source.text, failure)

    tree = automaton().run(symbol, source, builder, builder.comment, recover)
    if not builder.findings:
        builder.findings.extend(_deep(tree, source))
    if builder.findings:
        raise PolicyError(builder.findings)
    return tree


def _deep(tree: ast.Module | ast.Expr, source: Source) -> Iterator[Diagnostic]:
    parts = tree.declarations if isinstance(tree, ast.Module) else (tree,)
    for part in parts:
        place = too_deep(part, part.span)
        if place is not None:
            begin = Span(source, place.start, min(place.end, place.start + 1))
            hint = "give parts a name by `define`; compare with a set, as in `x in {a, b}`, and not one by one"
            yield Diagnostic("nesting-too-deep", begin, f"this nests deeper than {MAX_NESTING}", hint)


def _unreadable(source: Source) -> Iterator[Diagnostic]:
    """What a text may not hold at all: too much, or characters that show something else than is read."""
    text = source.text
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode("utf-8", "replace")) > MAX_BYTES):
        message, hint = "the file is larger than 1 MiB", "split it: the order of files never matters"
        yield Diagnostic("file-too-large", Span(source, 0, min(1, len(text))), message, hint)
        return
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        hint = "decide for one side, and take out `<<<<<<<`, `=======`, `>>>>>>>` and the other"
        place = Span(source, conflict.start(), conflict.end())
        yield Diagnostic("merge-conflict", place, "this is an unresolved merge conflict", hint)
        return
    for found in islice(_HIDDEN.finditer(text), MAX_FINDINGS):
        code, what, hint = "hidden-character", "a character that does not show", "remove it; in a text, write `\\u{..}`"
        if found.start() == 0 and found[0] == "\ufeff":
            code, what, hint = (
                "byte-order-mark",
                "the file begins with a byte order mark",
                "save it as UTF-8 without one",
            )
        else:
            what = f"U+{ord(found[0]):04X} is {what}"
        yield Diagnostic(code, Span(source, found.start(), found.end()), what, hint)


def _next_declaration(text: str, failure: Failure) -> int | None:
    """Where to read on: at a declaration's word that begins a line, not further right than the one that failed."""
    begins = next_declaration(failure)
    position = (begins or failure.token).start()
    column = failure.begun - _line_start(text, failure.begun)
    for found in _DECLARATION.finditer(text, _line_start(text, position)):
        start = found.start(1)
        if start >= position and start > failure.begun and start - found.start() <= column:
            return start
    return None


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


@lru_cache(maxsize=1)
def automaton() -> Automaton:
    """The table of the grammar, made once (0.15 s)."""
    grammar = files("pdp.grammar").joinpath("ward.lark").read_text("utf-8")
    lark = Lark(grammar, parser="lalr", lexer="basic", start=["start", "expression"])
    table = lark.parser.parser._parse_table
    productions = {rule: _production(rule) for rule in lark.rules}
    states = range(len(table.states))
    goes: list[dict[str, int]] = [{} for _ in states]
    reduces: list[dict[str, Production]] = [{} for _ in states]
    for state, row in table.states.items():
        for name, (step, target) in row.items():
            if step is Shift:
                goes[state][str(name)] = target
            else:
                reduces[state][str(name)] = productions[target]
    return Automaton(goes, reduces, table.start_states, table.end_states, _lexer(lark))


def _lexer(lark: Lark) -> Lexer:
    words, signs, patterns = {}, {}, {}
    for terminal in sorted(lark.terminals, key=lambda each: -len(each.pattern.value)):
        text = terminal.pattern.value
        if terminal.name in lark.ignore_tokens and terminal.name != COMMENT:
            continue
        if not isinstance(terminal.pattern, PatternStr):
            patterns[terminal.name] = text
        elif text[0].isalpha():
            words[text] = terminal.name
        else:
            signs[text] = terminal.name
    return Lexer(words, signs, patterns)


def _production(rule: Rule) -> Production:
    """What Lark's tree building would do with a rule, as data."""
    parts: list[int | None] = []
    spliced = set()
    size = len(rule.expansion)
    empty = _empty_before(rule)
    for index, symbol in enumerate(rule.expansion):
        parts.extend([None] * empty[index])
        if rule.options.keep_all_tokens or not (isinstance(symbol, Terminal) and symbol.filter_out):
            if not symbol.is_term and symbol.name.startswith("_"):
                spliced.add(len(parts))
            parts.append(index - size)
    parts.extend([None] * empty[size])
    name = str(rule.alias or rule.origin.name)
    passes = bool(rule.options.expand1 and not rule.alias and size == 1 and parts == [-1])
    action = None if passes or name.startswith("_") else getattr(Builder, name)
    return Production(str(rule.origin.name), size, passes, tuple(parts), frozenset(spliced), action)


def _empty_before(rule: Rule) -> list[int]:
    """How many unwritten `[x]` stand before each symbol of a rule, and after the last."""
    if not rule.options.empty_indices:
        return [0] * (len(rule.expansion) + 1)
    written = "".join(str(int(empty)) for empty in rule.options.empty_indices)
    return [len(empties) for empties in written.split("0")]
