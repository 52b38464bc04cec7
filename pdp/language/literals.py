"""What a literal argument must look like: patterns, zones, clocks; and JSON pointers."""

from __future__ import annotations

import re
from typing import Final

from pdp.language import calendar, patterns
from pdp.language.findings import near

_POINTER: Final = re.compile(r"(/([^~/\x00]|~[01])*)+")

_OFFSET: Final = re.compile(r"(GMT|UTC|Z)? ?[-+]? ?[0-9][0-9:.]*", re.IGNORECASE)


def problem(operator: str, position: int, written: str) -> tuple[str, str, str] | None:
    """Code, message and hint of what is wrong with the literal argument at a position of an operator, or None."""
    if operator == "like":
        return _pattern(written, glob=True)
    if operator == "matches":
        return _pattern(written, glob=False)
    if operator == "clock_between" and position < 3:
        return _clock(written)
    return _zone(written)


def _pattern(written: str, *, glob: bool) -> tuple[str, str, str] | None:
    try:
        patterns.regex(patterns.glob_as_regex(written) if glob else written)
    except patterns.PatternError as error:
        hint = "`*` any run, `?` one character, `\\\\*` a star itself" if glob else "patterns are RE2 syntax"
        return "invalid-pattern", f"this is not a pattern: {error}", hint
    return None


def _zone(written: str) -> tuple[str, str, str] | None:
    if written in calendar.zone_names():
        return None
    hint = near(written, calendar.zone_names()) or "zones are IANA names, such as `America/Chicago`"
    if _OFFSET.fullmatch(written):
        hint = "zones are IANA names, such as `Europe/Berlin`, never offsets: these change with summer time"
    return "unknown-zone", f"there is no time zone `{written}`", hint


def _clock(written: str) -> tuple[str, str, str] | None:
    try:
        calendar.minutes_of_clock(written)
    except ValueError as error:
        return "invalid-literal", "this is not a time of day", str(error)
    return None


def is_pointer(written: str) -> bool:
    """RFC 6901, without the empty pointer: a field, not the whole."""
    return _POINTER.fullmatch(written) is not None


def pointer_problem(written: str) -> tuple[str, str] | None:
    """Message and hint of what is wrong with a pointer that stands in a policy, or None.

    `/` alone is one, to the member with the empty name. Who writes it means the whole, and would mask nothing.
    """
    if written == "/":
        return "`/` alone names no field", "a pointer names a member, as in `/name`; it covers all that is below it"
    if not is_pointer(written):
        hint = "`/name/given`; `~` is written `~0`, and `/` inside a name `~1` (RFC 6901)"
        return f"`{written}` is not a JSON pointer", hint
    return None
