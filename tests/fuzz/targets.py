"""What is fuzzed: for each parser of bytes from outside, a function that takes any bytes and raises only for a fault.

`scripts/fuzz` runs them under a coverage-guided fuzzer; `test_corpus.py` replays what `tests/corpus/NAME/` keeps.
A refusal is no fault. Each target asserts what must hold where the parser accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pdp.doors import path
from pdp.doors.original import Refused, checked_host
from pdp.model.request import RequestError, strict_json


def raw_path(data: bytes) -> None:
    try:
        found = path.segments(data)
    except path.AmbiguousPath:
        return
    for segment in found:
        assert segment
        assert segment.strip(".")
        assert not set(segment) & set("/\\%;?#\0")


def query(data: bytes) -> None:
    try:
        names = path.query_names(data)
    except path.AmbiguousPath:
        return
    assert len(names) <= data.count(b"&") + 1


def host(data: bytes) -> None:
    try:
        found = checked_host([data])
    except Refused:
        return
    assert not set(found) & set(", @/\\?#\r\n\0")


def json_text(data: bytes) -> None:
    try:
        strict_json(data)
    except RequestError:
        return
    data.decode("utf-8")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "path": raw_path,
    "query": query,
    "host": host,
    "json": json_text,
}
