"""What to say about a token that fits nowhere: what the author probably meant, else what could have stood there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source, Span
from pdp.diagnostics.suggest import closest
from pdp.language import slips
from pdp.language.automaton import Failure
from pdp.language.expected import DECLARATION_WORDS, expected
from pdp.language.lex import END, STRAY, end_of, text_of
from pdp.language.slips import unexpected

Guess = Callable[[Failure, Span], "Diagnostic | None"]


def explain(failure: Failure, source: Source) -> Diagnostic:
    """The finding for a failure: the first guess that fits, else what was expected."""
    token = failure.token
    if failure.kind == END:
        return _ended(failure, source)
    place = Span(source, token.start(), end_of(token))
    for guess in _GUESSES:
        found = guess(failure, place)
        if found is not None:
            return found
    return unexpected(place, expected(failure))


def _ended(failure: Failure, source: Source) -> Diagnostic:
    end = end_of(failure.previous) if failure.previous else failure.token.start()
    line = slips.open_line(failure, source, end)
    hint = expected(failure) if line is None else f"the `{{` of line {line} is not closed"
    message = "the text ends in the middle of a declaration"
    return Diagnostic("unexpected-end", Span(source, end, end), message, hint)


# Guesses, in order ----------------------------------------------------------------------------------------------------

_STRAY_HINTS = {
    ";": "a declaration ends where the next begins: leave it out",
    "&": "write `and`",
    "|": "write `or`",
    "%": "write `mod(a, b)`",
    "`": 'write text in double quotes, as in "a text"',
    "@": "what a rule is based on stands in `cites`, who answers for it in `owner`",
    "\\": "line ends mean nothing: leave it out",
    "$": "the subject, resource, action and context have these names",
    "“": 'write plain quotes, as in "a text"',
    "”": 'write plain quotes, as in "a text"',
    "‘": 'write plain quotes, as in "a text"',
    "’": 'write plain quotes, as in "a text"',
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
    "∈": "write `in`",
}


def _stray_character(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind != STRAY:
        return None
    text, source = place.text, place.source
    if text in ("'", '"'):
        line_end = source.text.find("\n", place.start)
        rest = Span(source, place.start, len(source.text) if line_end < 0 else line_end)
        rest = Span(source, rest.start, rest.start + len(rest.text.rstrip()))
        return Diagnostic("unclosed-text", rest, "the text is not closed on its line", f"end it with {text}")
    if not text.isascii() and text.isalpha():
        message = f"`{text}` cannot be part of a name"
        return Diagnostic("unknown-character", place, message, "names are ASCII letters, digits and `_`")
    if not text.isascii():
        name = unicodedata.name(text, "a character without a name")
        hint = "write a plain space" if text.isspace() else _STRAY_HINTS.get(text, "")
        shown = f"U+{ord(text):04X}" if text.isspace() or not text.isprintable() else f"`{text}` (U+{ord(text):04X})"
        return Diagnostic("unknown-character", place, f"{shown}, {name}, has no meaning in Ward", hint)
    hint = _STRAY_HINTS.get(text, "")
    return Diagnostic("unknown-character", place, f"`{text}` has no meaning in Ward", hint)


def _division(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind == "POINTER" and failure.expects("STAR"):
        return unexpected(place, "there is no division sign: write `div(a, b)`; a field is named after `release only`")
    return None


def _quoted_id(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind not in ("STRING", "QUOTED") or not failure.expects("ID"):
        return None
    return unexpected(place, f"an id is written without quotes: `{place.text[1:-1]}`")


def _quoted_name(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind not in ("STRING", "QUOTED") or not place.source.text[place.end :].lstrip().startswith(":"):
        return None
    return unexpected(place, f"the name of an attribute is written without quotes: `{place.text[1:-1]}`")


def _single_quotes(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind != "QUOTED" or not failure.expects("STRING"):
        return None
    message = f"{place.text} is in single quotes"
    return Diagnostic("single-quotes", place, message, f'write "{place.text[1:-1]}"')


def _late_sentence(failure: Failure, place: Span) -> Diagnostic | None:
    if failure.kind != "STRING" or not (failure.expects("CITES") and failure.expects("UNLESS")):
        return None
    return unexpected(place, "the sentence of a rule stands right after its id; what follows are clauses")


def _method(failure: Failure, place: Span) -> Diagnostic | None:
    previous = failure.previous
    if place.text != "(" or previous is None or not place.source.text[: previous.start()].rstrip().endswith("."):
        return None
    return unexpected(place, f"there are no methods: write `{text_of(previous)}(..)`, with the value inside")


def _rule_in_parentheses(failure: Failure, place: Span) -> Diagnostic | None:
    if place.text != "(" or failure.previous is None or text_of(failure.previous) not in ("permit", "forbid"):
        return None
    return unexpected(
        place, f"write `{text_of(failure.previous)} ACTIONS on TYPES as ID`, and the condition after `when`"
    )


def _misplaced_not(failure: Failure, place: Span) -> Diagnostic | None:
    if place.text != "not" or failure.previous is None:
        return None
    if text_of(failure.previous) == "is":
        return unexpected(place, "write `not x is T`")
    if failure.expects("IN"):
        return unexpected(place, "`not` stands before the whole comparison: write `not x in y`")
    if failure.expects("INT"):
        return unexpected(place, "`not` binds looser than comparisons: set parentheses around it")
    return None


def _square_type(failure: Failure, place: Span) -> Diagnostic | None:
    previous = failure.previous
    if place.text not in ("[", "(") or previous is None or text_of(previous) not in ("Set", "List"):
        return None
    return unexpected(place, f"write `{text_of(previous)}<Text>`")


def _hyphen(failure: Failure, place: Span) -> Diagnostic | None:
    previous = failure.previous
    if place.text != "-" or previous is None or end_of(previous) != place.start or failure.kind != "MINUS":
        return None
    return unexpected(place, "only ids of rules and fixtures hold hyphens: write `_`")


def _doubled_equals(failure: Failure, place: Span) -> Diagnostic | None:
    if place.text in ("==", ":", ":=") and failure.expects("EQUAL"):
        return unexpected(place, "write `=`")
    if place.text == "=" and failure.expects("COLON"):
        return unexpected(place, "write `:`")
    return None


def _conditional(failure: Failure, place: Span) -> Diagnostic | None:
    if place.text != "?" or not failure.expects("EQ"):
        return None
    return unexpected(place, "write `if c then a else b`")


def _reserved_word(failure: Failure, place: Span) -> Diagnostic | None:
    """A word where a name is due; unless the word is right, and a name is missing before it."""
    if failure.kind not in failure.automaton.lexer.words.values():
        return None
    if not failure.expects("NAME"):
        return None
    before = place.source.text[end_of(failure.previous) if failure.previous else 0 : place.start]
    begins = place.text in DECLARATION_WORDS and "\n" not in before
    if failure.expects("NAME", failure.kind) and not begins:
        return None
    hint = "choose another name"
    if failure.expects("LAYER"):
        hint += ": after an attribute, this word says where its value comes from"
    return Diagnostic("reserved-word", place, f"`{place.text}` is a reserved word", hint)


def _misspelt_keyword(failure: Failure, place: Span) -> Diagnostic | None:
    lexer = failure.automaton.lexer
    words = [word for word, kind in lexer.words.items() if failure.expects(kind)]
    near = closest(place.text, words) if failure.kind == "NAME" else None
    near = near or _FOREIGN.get(place.text.lower())
    if near not in words:
        return None
    return Diagnostic("unknown-keyword", place, f"`{place.text}` is not a keyword", f"did you mean `{near}`?")


_FOREIGN = {
    "allow": "permit",
    "grant": "permit",
    "deny": "forbid",
    "rule": "permit",
    "import": "use",
    "type": "entity",
    "enum": "vocabulary",
    "def": "define",
    "function": "define",
    "let": "define",
    "if": "when",
    "where": "when",
    "id": "as",
    "named": "as",
}
"""Keywords of other languages, and ours."""

_GUESSES: tuple[Guess, ...] = (
    _stray_character,
    slips.unclosed_brace,
    slips.foreign_comment,
    _division,
    _quoted_id,
    _quoted_name,
    _single_quotes,
    slips.unnamed_argument,
    _late_sentence,
    slips.late_id,
    slips.is_not_equality,
    slips.foreign_quantifier,
    slips.set_in_parentheses,
    _method,
    _rule_in_parentheses,
    _misplaced_not,
    _square_type,
    _hyphen,
    slips.place_as_name,
    slips.default_value,
    _doubled_equals,
    _conditional,
    slips.word_of_a_list,
    slips.reserved_id,
    slips.id_of_words,
    _misspelt_keyword,
    _reserved_word,
)
