"""The records of a data file, one by one, with where each stands: strict JSON, in an array or one a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pdp.model.request import RequestError, strict_json_at

_SPACE: Final = re.compile(r"[ \t\n\r]*")


class NotJson(Exception):
    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def elements(text: str) -> Iterator[tuple[object, int, int]]:
    """The elements of a file that is one JSON array, with where they stand."""
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        raise NotJson("expected an array of entities", at)
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        at += 1
    else:
        while True:
            value, end = _value(text, at)
            yield value, at, end
            at = _skip(text, end)
            mark = text[at : at + 1]
            at += 1
            if mark == "]":
                break
            if mark != ",":
                raise NotJson("expected `,` or `]` after an entity", at - 1)
            at = _skip(text, at)
    at = _skip(text, at)
    if at != len(text):
        raise NotJson("expected nothing after the array", at)


def lines(text: str) -> Iterator[tuple[object, int, int]]:
    """The values of a file that holds one a line; empty lines are none."""
    at = _skip(text, 0)
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        value, end = _value(text, at)
        if end > line_end or text[end:line_end].strip(" \t\r"):
            raise NotJson("expected one object on each line", min(end, line_end))
        yield value, at, end
        at = _skip(text, line_end)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _value(text: str, at: int) -> tuple[object, int]:
    try:
        return strict_json_at(text, at)
    except RequestError as error:
        raise NotJson(f"not JSON: {error.message}", at) from error
    except ValueError as error:
        raise NotJson("not JSON", getattr(error, "pos", at)) from error
