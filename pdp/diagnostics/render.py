"""Diagnostics for people (text with carets) and for machines (JSON, SARIF 2.1.0).

policies/records.ward:2:16: error[unknown-attribute]: `subject` has no attribute `clearence`
  2 |   when subject.clearence >= resource.sensitivity
    |                ^^^^^^^^^
    = hint: did you mean `clearance`? It is an Int, declared at policies/schema.ward:7
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from pdp import __version__
from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.codes import CATALOGUE
from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Span

MAX_WIDTH: Final = 120
"""Of a source line as shown; a longer one is cut around what is underlined."""
MAX_LINES: Final = 6
TAB: Final = "    "
CUT: Final = "…"
SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def text(diagnostics: Iterable[Diagnostic]) -> str:
    """As a terminal shows them, each with its lines, parted by empty lines."""
    return "\n".join(map(_one, _ordered(diagnostics)))


def _ordered(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda diagnostic: diagnostic.order)


def _one(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    lines = [f"{span.where}: {diagnostic.severity}[{diagnostic.code}]: {visible(diagnostic.message)}"]
    width = 3
    if span.source.text:
        first, last = _lines_of(span)
        width = max(width, len(str(last)) + 2)
        lines.extend(_shown(span, first, last, width))
    if diagnostic.hint:
        lines.append(f"{' ' * (width + 1)}= hint: {visible(diagnostic.hint)}")
    return "\n".join(lines) + "\n"


def visible(written: str) -> str:
    """Text that cannot change how the terminal shows what stands around it."""
    return _INVISIBLE.sub(lambda found: f"<U+{ord(found[0]):04X}>", written)


def _lines_of(span: Span) -> tuple[int, int]:
    """The first and the last line that a span touches; its end is no part of it."""
    first, _ = span.source.line_column(span.start)
    last, _ = span.source.line_column(max(span.start, span.end - 1))
    return first, last


def _shown(span: Span, first: int, last: int, width: int) -> Iterator[str]:
    """The lines of a span, each with its underline. Of a long span, the beginning and the last line."""
    for number, offset in _offsets(span, first, last):
        if number < last and number - first >= MAX_LINES - 1:
            if number - first == MAX_LINES - 1:
                yield f"{'...':>{width}}"
            continue
        yield from _line(span, number, offset, width)


def _offsets(span: Span, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Lines and where they begin, in characters."""
    _, column = span.source.line_column(span.start)
    offset = span.start - column + 1
    for number in range(first, last + 1):
        yield number, offset
        offset = span.source.text.find("\n", offset) + 1


def _line(span: Span, number: int, offset: int, width: int) -> Iterator[str]:
    line = span.source.line(number)
    begin = span.start - offset if span.start >= offset else len(line) - len(line.lstrip())
    begin = min(begin, len(line))
    end = max(min(span.end - offset, len(line)), begin)
    before, marked, after = _cut(line[:begin], line[begin:end], line[end:])
    yield f"{number:>{width}} | {before}{marked}{after}".rstrip()
    yield f"{'':>{width}} | {' ' * columns(before)}{'^' * max(columns(marked), 1)}"


def _cut(before: str, marked: str, after: str) -> tuple[str, str, str]:
    """The three parts of a line as shown, with what is too much of them left out."""
    before, marked, after = _plain(before), _plain(marked), _plain(after)
    half = MAX_WIDTH // 2
    if len(before) + len(marked) + len(after) <= MAX_WIDTH:
        return before, marked, after
    if len(marked) > MAX_WIDTH:
        marked = marked[:half] + CUT + marked[-half:]
    room = max(MAX_WIDTH - len(marked), 20)
    kept = min(len(before), max(room // 2, room - len(after)))
    if kept < len(before):
        before = CUT + before[len(before) - kept :] if kept else CUT
    room -= kept
    return before, marked, after if len(after) <= room else after[:room] + CUT


def _plain(part: str) -> str:
    return visible(part.replace("\t", TAB))


def columns(shown: str) -> int:
    """How wide a terminal shows a text: wide characters take two columns, combining ones none."""
    if shown.isascii():
        return len(shown)
    return sum(_columns(character) for character in shown)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


# For machines ---------------------------------------------------------------------------------------------------------


def as_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Plain objects; lines and columns from 1, in characters, ends exclusive."""
    return [_object(each) for each in _ordered(diagnostics)]


def _object(diagnostic: Diagnostic) -> dict[str, Any]:
    span = diagnostic.span
    places = dict(zip(("start", "end"), map(span.source.line_column, (span.start, span.end)), strict=True))
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "file": span.source.name,
        **{name: {"line": line, "column": column} for name, (line, column) in places.items()},
    }


def as_sarif(diagnostics: Iterable[Diagnostic], catalogue: Mapping[str, Entry] = CATALOGUE) -> dict[str, Any]:
    """SARIF 2.1.0, as code scanning services read it: one run, each code a rule that the catalogue tells about."""
    found = _ordered(diagnostics)
    codes = sorted({each.code for each in found})
    rules = [_sarif_rule(code, catalogue.get(code)) for code in codes]
    driver = {"name": "pdp", "semanticVersion": __version__, "rules": rules}
    results = [_sarif_result(each, codes.index(each.code)) for each in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(code: str, entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": entry.summary},
        "fullDescription": {"text": entry.explanation},
        "defaultConfiguration": {"level": str(entry.severity)},
    }


def _sarif_result(diagnostic: Diagnostic, index: int) -> dict[str, Any]:
    span = diagnostic.span
    start_line, start_column = span.source.line_column(span.start)
    end_line, end_column = span.source.line_column(span.end)
    region = {"startLine": start_line, "startColumn": start_column, "endLine": end_line, "endColumn": end_column}
    location = {"physicalLocation": {"artifactLocation": {"uri": quote(span.source.name)}, "region": region}}
    hint = f". {diagnostic.hint}" if diagnostic.hint else ""
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": index,
        "level": str(diagnostic.severity),
        "message": {"text": diagnostic.message + hint},
        "locations": [location],
    }
