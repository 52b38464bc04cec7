"""What every part of the builder uses: reporting, places, names and texts."""

# ruff: noqa: ARG002  (the methods of rules all begin alike)

from __future__ import annotations

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source, Span
from pdp.language import ast
from pdp.language.escapes import BadEscape, unescaped
from pdp.language.lex import Token, end_of, text_of

MAX_DIGITS = 40
"""A number has fewer digits than this, so that nothing later reads an endless one. The ranges are check's to judge."""


class Base:
    """One text being parsed: the findings so far, the comments, and the nodes that can hold comments."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Diagnostic] = []
        self.comments: list[Token] = []

    def report(self, code: str, span: Span, message: str, hint: str = "") -> None:
        self.findings.append(Diagnostic(code, span, message, hint))

    def place(self, token: Token) -> Span:
        return Span(self.source, token.start(), end_of(token))

    def name(self, token: Token) -> ast.Name:
        group = token.lastindex or 0
        return ast.Name(token[group], Span(self.source, token.start(), token.end(group)))

    def maybe_name(self, token: Token | None) -> ast.Name | None:
        return None if token is None else self.name(token)

    def string(self, token: Token) -> ast.Text:
        written, span = text_of(token), self.place(token)
        if written[0] == "'":
            self.report("single-quotes", span, f"{written} is in single quotes", f'write "{written[1:-1]}"')
        if "\\" not in written:
            return ast.Text(written[1:-1], span)
        try:
            return ast.Text(unescaped(written[1:-1]), span)
        except BadEscape as bad:
            begin = span.start + 1
            escape = Span(self.source, begin + bad.start, begin + bad.end)
            self.report("bad-escape", escape, f"`{escape.text}` is not an escape", bad.hint)
            return ast.Text("", span)

    def maybe_string(self, token: Token | None) -> ast.Text | None:
        return None if token is None else self.string(token)

    def digits(self, token: Token) -> ast.Number:
        text, span = text_of(token), self.place(token)
        if len(text) > MAX_DIGITS:
            self.report("number-too-long", span, f"a number of {len(text)} digits", "an Int has 64 bits")
            text = "0"
        return ast.Number(text, span)

    # Rules of the grammar for lists of names --------------------------------------------------------------------------

    def names(self, span: Span, *names: Token) -> tuple[ast.Name, ...]:
        return tuple(map(self.name, names))

    names_by_or = ids = names

    def texts(self, span: Span, *texts: Token) -> tuple[ast.Text, ...]:
        return tuple(map(self.string, texts))

    def path(self, span: Span, *parts: Token) -> ast.Name:
        return ast.Name(".".join(map(text_of, parts)), span)
