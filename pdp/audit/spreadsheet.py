"""What a spreadsheet would run as a formula, made a text: for everybody who writes CSV."""

from __future__ import annotations

from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What it begins with, as it stands or full-width."""


def guarded(text: str) -> str:
    """With an apostrophe before it, where a spreadsheet would take it for a formula, also behind spaces and quotes."""
    return f"'{text}" if text.lstrip(" '\"").startswith(FORMULA) else text
