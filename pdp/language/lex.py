"""Text into tokens: one regular expression, made from the terminals of the grammar, that matches once per token.

A token is the `re.Match` itself, so that nothing else is made for each. Its one named group is what was written; the
white space after it belongs to the match and not to the group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Token = re.Match[str]

END = "$END"
STRAY = "STRAY"
"""The terminal of a character that begins no token. It stands in no rule of the grammar."""
COMMENT = "COMMENT"
_SPACE = r"[ \t\r\n]*+"


class Lexer:
    """`words`: reserved word -> terminal. `signs`: sign -> terminal. `patterns`: terminal -> pattern, as tried."""

    def __init__(self, words: Mapping[str, str], signs: Mapping[str, str], patterns: Mapping[str, str]) -> None:
        self.words = words
        self.spelling = {kind: text for text, kind in (*words.items(), *signs.items())}
        self._spelled = {**words, **signs}
        self._name = re.compile(f"({patterns['NAME']})")
        rest = {kind: pattern for kind, pattern in patterns.items() if kind not in ("NAME", "ID")}
        by_length = sorted(signs, key=len, reverse=True)
        groups = {
            "": f"{patterns['ID']}|{patterns['NAME']}",
            **rest,
            " ": "|".join(re.escape(sign) for sign in by_length),
            END: r"\Z",
            STRAY: ".",
        }
        self._kinds = (None, *(kind.strip() or None for kind in groups))
        alternatives = "|".join(f"({pattern})" for pattern in groups.values())
        self._any = re.compile(f"(?:{alternatives}){_SPACE}", re.DOTALL)
        self._space = re.compile(_SPACE)

    def tokens(self, text: str, position: int = 0) -> Iterator[Token]:
        """From a position on; the last is the empty END."""
        space = self._space.match(text, position)
        return self._any.finditer(text, space.end() if space else position)

    def kind(self, token: Token) -> str:
        """The terminal of a token: of a word or a sign by its text, of anything else by its pattern."""
        group = token.lastindex or 0
        text = token[group]
        return self._kinds[group] or self._spelled.get(text) or ("ID" if "-" in text else "NAME")

    def first_name(self, token: Token) -> Token:
        """`a` of the token `a-b`: where no id can stand, the hyphen is a minus."""
        name = self._name.match(token.string, token.start())
        assert name is not None
        return name


def text_of(token: Token) -> str:
    """What was written, without the white space after it."""
    return token[token.lastindex or 0]


def end_of(token: Token) -> int:
    return token.end(token.lastindex or 0)
