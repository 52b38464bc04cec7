"""What to say about a token that fits nowhere: what was due, and what the author may have meant."""

from __future__ import annotations

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source, Span
from pdp.language.automaton import Failure
from pdp.language.lex import END, end_of, text_of


def explain(failure: Failure, source: Source) -> Diagnostic:
    token = failure.token
    if failure.kind == END:
        return Diagnostic("unexpected-end", Span(source, token.start(), token.start()), "the text ends too early")
    span = Span(source, token.start(), end_of(token))
    return Diagnostic("unexpected-token", span, f"unexpected `{text_of(token)}`")
