"""Slips of structure: ids, clauses and braces that do not stand as another language, or a hurry, would have them."""

from __future__ import annotations

import difflib
import re
from typing import Final

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Source, Span
from pdp.language.automaton import Failure
from pdp.language.expected import CURES, DECLARATION_WORDS, EXCEPTIONS
from pdp.language.lex import Token, end_of, text_of

_TAIL: Final = 200
"""How much of the text before a token is looked at."""
_QUANTIFIERS: Final = {"exists": "any", "some": "any", "forall": "all", "every": "all", "each": "all"}
_LISTS: Final = {"exception": EXCEPTIONS, "cure": CURES}
_DUTY: Final = re.compile(r"\b(?:require|advise)\s+(\w+)\s*\((?:[^()]|\([^()]*\))*$")
_ID_BEFORE: Final = re.compile(r"\bas[ \t]+([\w-]+)[ \t]+$")
_SURE: Final = 0.75
"""How near a word after an id must be to a keyword to be taken for it, and not for a part of the id."""


def unexpected(place: Span, hint: str) -> Diagnostic:
    return Diagnostic("unexpected-token", place, f"`{place.text}` cannot stand here", hint)


def _before(place: Span) -> str:
    return place.source.text[max(0, place.start - _TAIL) : place.start]


def _previous(failure: Failure) -> str:
    return text_of(failure.previous) if failure.previous else ""


# Expressions ----------------------------------------------------------------------------------------------------------


def is_not_equality(failure: Failure, place: Span) -> Diagnostic | None:
    """`subject.role is Role.nurse`, `resource.free is true`."""
    if place.text == "." and re.search(r"\bis\s+\w+\s*$", _before(place)):
        return unexpected(place, "write `==`, or `in` for a code and its kinds; `is` asks for the type of an entity")
    if place.text not in ("true", "false") or _previous(failure) != "is":
        return None
    operand = re.search(r"([\w.]+)\s+is\s*$", _before(place))
    said = operand[1] if operand else "x"
    return unexpected(place, f"write `{said}`" if place.text == "true" else f"write `not {said}`")


def foreign_quantifier(failure: Failure, place: Span) -> Diagnostic | None:
    """`exists r in xs: ..`"""
    word = _previous(failure)
    if failure.kind != "NAME" or failure.previous is None or word not in _QUANTIFIERS or not failure.expects("EQ"):
        return None
    there = Span(place.source, failure.previous.start(), end_of(failure.previous))
    hint = f"write `{_QUANTIFIERS[word]} {place.text} in ..: ..`"
    return Diagnostic("unknown-keyword", there, f"`{word}` is not a keyword", hint)


def set_in_parentheses(failure: Failure, place: Span) -> Diagnostic | None:
    if place.text != "," or not failure.expects("RPAR"):
        return None
    return unexpected(place, "a set is written in braces: `{a, b}`")


# Rules ----------------------------------------------------------------------------------------------------------------


def id_of_words(failure: Failure, place: Span) -> Diagnostic | None:
    """`as clinical view`"""
    first = _ID_BEFORE.search(_before(place))
    if failure.kind != "NAME" or first is None or not failure.expects("UNLESS") or place.text in ("if", "where"):
        return None
    words = [word for word, kind in failure.automaton.lexer.words.items() if failure.expects(kind)]
    if difflib.get_close_matches(place.text.lower(), words, 1, _SURE):
        return None
    return unexpected(place, f"the words of an id are joined by `-`: `{first[1]}-{place.text}`")


def reserved_id(failure: Failure, place: Span) -> Diagnostic | None:
    """`as owner`"""
    if _previous(failure) != "as" or not failure.expects("ID"):
        return None
    if failure.kind not in failure.automaton.lexer.words.values():
        return None
    hint = f"choose another id; it may hold the word, as in `the-{place.text}`"
    return Diagnostic("reserved-word", place, f"`{place.text}` is a reserved word", hint)


def late_id(failure: Failure, place: Span) -> Diagnostic | None:
    """`permit read on Record "sentence" as r`"""
    if place.text != "as" or not (failure.expects("CITES") and failure.expects("UNLESS")):
        return None
    return unexpected(place, "`as ID` stands before the sentence, right after the types")


def word_of_a_list(failure: Failure, place: Span) -> Diagnostic | None:
    """`exception emergency`"""
    clause = _previous(failure)
    if clause not in _LISTS or not failure.expects("NAME"):
        return None
    return unexpected(place, f"the words for `{clause}` are {', '.join(_LISTS[clause])}")


def unnamed_argument(failure: Failure, place: Span) -> Diagnostic | None:
    """`require notify("a", "b")`"""
    duty = _DUTY.search(_before(place))
    if (
        duty is None
        or place.text in ("=", "==", ":=")
        or not (failure.expects("COLON") or failure.expects("NAME", "COLON"))
    ):
        return None
    declared = re.search(rf"\bobligation\s+{duty[1]}\s*\(\s*(\w+)", place.source.text)
    return unexpected(place, f"arguments are named: `{duty[1]}({declared[1] if declared else 'name'}: ..)`")


# Attributes and comments ----------------------------------------------------------------------------------------------


def place_as_name(failure: Failure, place: Span) -> Diagnostic | None:
    """`{ a: Int  from: Instant }`"""
    word = _previous(failure)
    if place.text != ":" or failure.previous is None or word not in ("from", "provisioned"):
        return None
    there = Span(place.source, failure.previous.start(), end_of(failure.previous))
    message = f"`{word}` is reserved as the name of an attribute"
    return Diagnostic("reserved-word", there, message, "choose another name: it says where the value before comes from")


def default_value(failure: Failure, place: Span) -> Diagnostic | None:
    """`price: Decimal = 0`"""
    if place.text not in ("=", ":=") or not (failure.expects("OPTIONAL") or failure.expects("FROM")):
        return None
    return unexpected(place, "there are no default values; an attribute that may be absent is written `name: Type?`")


def foreign_comment(failure: Failure, place: Span) -> Diagnostic | None:
    """`/* .. */`, `-- ..`, `// ..`"""
    if not place.source.text.startswith(("/*", "//", "--"), place.start):
        return None
    if place.text == "-" and failure.expects("INT"):
        return None
    return unexpected(place, "a comment begins with `#`, and ends with its line")


# Braces ---------------------------------------------------------------------------------------------------------------


def unclosed_brace(failure: Failure, place: Span) -> Diagnostic | None:
    """A declaration begins, and the one before it is not closed."""
    word = next_declaration(failure)
    line = open_line(failure, place.source, word.start()) if word else None
    if word is None or line is None:
        return None
    there = Span(place.source, word.start(), end_of(word))
    return unexpected(there, f"the `{{` of line {line} is not closed: write `}}` before this")


def next_declaration(failure: Failure) -> Token | None:
    """The word that begins the next declaration, where it stands in an open brace: what fails, or what is before it.

    A word is an attribute too, and fails only at what follows it. It begins a line, no further right than the
    declaration that is open.
    """
    for word, follows in ((failure.token, "RBRACE"), (failure.previous, "COLON")):
        if word is None or word.start() <= failure.begun or text_of(word) not in DECLARATION_WORDS:
            continue
        indent = _indent(word.string, word.start())
        if indent is not None and indent <= (_indent(word.string, failure.begun) or 0) and failure.expects(follows):
            return word
    return None


def _indent(text: str, position: int) -> int | None:
    """How far from its line's begin a position is, if there is only space between."""
    begin = text.rfind("\n", 0, position) + 1
    return None if text[begin:position].strip() else position - begin


def open_line(failure: Failure, source: Source, end: int) -> int | None:
    """The line of the innermost `{` that the declaration has not closed before a position."""
    open_braces: list[int] = []
    for token in failure.automaton.lexer.tokens(source.text, failure.begun):
        if token.start() >= end:
            break
        sign = text_of(token)
        if sign == "{":
            open_braces.append(token.start())
        elif sign == "}" and open_braces:
            open_braces.pop()
    return source.line_column(open_braces[-1])[0] if open_braces else None
