"""What a person sees: colour where there is a terminal that wants it, and plain text everywhere else."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final, TextIO

_CODES: Final = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}


class Paint:
    """Wraps text in colours, or leaves it alone: `paint("red", "deny")`."""

    __slots__ = ("enabled",)

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, colour: str, text: str) -> str:
        return f"\033[{_CODES[colour]}m{text}\033[0m" if self.enabled and text else text


PLAIN: Final = Paint(False)


def paint(stream: TextIO | None = None) -> Paint:
    """Colours on a terminal, unless NO_COLOR says no (https://no-color.org) or the terminal is dumb."""
    target = stream or sys.stdout
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Paint(wanted and target.isatty())


def printable(text: str) -> str:
    """Text of others on one line of a terminal: no control characters, so no escape sequences."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def emit_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def count(number: int, noun: str) -> str:
    """`count(2, "rule")` is "2 rules"; nouns in -y become -ies."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"
