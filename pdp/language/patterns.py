"""Text patterns, `like` and `matches`: over the whole text, by an automaton, in linear time (SEMANTICS 10).

Both are run by RE2. A glob is translated: ``*`` any run of characters, ``?`` exactly one, a backslash before ``*``,
``?`` or a backslash takes it for itself. In both, "character" is a code point, line ends included.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

MAX_LENGTH: Final = 1_000
MAX_MEMORY_BYTES: Final = 1 << 20


class PatternError(Exception):
    """A pattern that is not one, or is too large. `check` reports it; the rules never run."""


def glob_matches(text: str, pattern: str) -> bool:
    return _compiled(glob_as_regex(pattern)).fullmatch(text) is not None


def regex_matches(text: str, pattern: str) -> bool:
    return regex(pattern).fullmatch(text) is not None


def regex(pattern: str) -> Any:
    r"""The automaton of a regular expression. RE2's ``\C`` is refused: it would match half a character."""
    _refuse_long(pattern)
    escaped = False
    for character in pattern:
        if escaped and character == "C":
            raise PatternError("`\\C` matches a byte, and a text has none")
        escaped = character == "\\" and not escaped
    return _compiled(pattern)


def glob_as_regex(pattern: str) -> str:
    _refuse_long(pattern)
    pieces = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            pieces.append(".*")
        elif character == "?":
            pieces.append(".")
        elif character == "\\":
            pieces.append(re2.escape(_escaped(next(characters, ""))))
        else:
            pieces.append(re2.escape(character))
    return "".join(pieces)


def _escaped(character: str) -> str:
    if character not in ("*", "?", "\\"):
        raise PatternError("a backslash in a glob stands before `*`, `?` or a backslash")
    return character


def _refuse_long(pattern: str) -> None:
    if len(pattern) > MAX_LENGTH:
        raise PatternError(f"the pattern is longer than {MAX_LENGTH} characters")


@lru_cache(maxsize=4_096)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = MAX_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        raise PatternError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from error
