r"""Text literals: `\" \\ \n \t \u{1F600}`, in both directions."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,8})\}|(.))")
_PLAIN = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_UNSAFE = re.compile(
    '["\\\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]'
)


class BadEscape(Exception):
    """`start` and `end` within what was given."""

    def __init__(self, start: int, end: int, hint: str) -> None:
        super().__init__(hint)
        self.start, self.end, self.hint = start, end, hint


def unescaped(written: str) -> str:
    """What stands between the quotes, as the text it means. Raises BadEscape."""
    return _ESCAPE.sub(_meaning, written)


def _meaning(escape: re.Match[str]) -> str:
    digits, letter = escape.groups()
    if digits is None:
        if letter in _PLAIN:
            return _PLAIN[letter]
        hint = 'the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{1F600}`'
        raise BadEscape(escape.start(), escape.end(), hint)
    point = int(digits, 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise BadEscape(escape.start(), escape.end(), "write the number of a character, at most 10FFFF, no surrogate")
    return chr(point)


def quoted(text: str) -> str:
    """A text as Ward writes it. What is invisible, or changes the direction of reading, is written as an escape."""
    return '"' + _UNSAFE.sub(lambda match: _written(match[0]), text) + '"'


def _written(character: str) -> str:
    return _NAMED.get(character) or f"\\u{{{ord(character):X}}}"
