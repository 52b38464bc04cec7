"""The files of the context as rows: CSV with a header, JSON lines. Wrong rows are told, never guessed at."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdp.audit.leaf import instant

DAY: Final = 86_400_000_000
EVER: Final = 1 << 62
"""Microseconds since the epoch: later than anything that is recorded."""
MAX_PROBLEMS: Final = 20


class ContextError(Exception):
    """A file of the context that cannot be read as one: `problems`, each one sentence."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


class Span(NamedTuple):
    """Somebody, or a unit, and a time: [start, end), microseconds. What is not said is ""."""

    start: int
    end: int
    staff: str
    unit: str
    kind: str


class Row(NamedTuple):
    """One row, and where it stands, for what is said of it."""

    where: str
    said: Mapping[str, str]

    def text(self, column: str) -> str:
        return self.said.get(column, "")

    def first(self, column: str) -> int:
        """The instant from which, microseconds; 0: since ever. Raises ValueError."""
        return 0 if not self.text(column) else bound(self.text(column))

    def last(self, column: str) -> int:
        """The instant up to which, excluded. Raises ValueError."""
        return EVER if not self.text(column) else bound(self.text(column), end=True)

    def span(self) -> Span:
        return Span(self.first("from"), self.last("to"), self.text("staff"), self.text("unit"), self.text("kind"))


def bound(text: str, end: bool = False) -> int:
    """RFC 3339, or a date alone (UTC): its first instant, or, as an `end`, the next one after it. Raises ValueError."""
    if len(text) == 10:
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return int(day.timestamp()) * 1_000_000 + (DAY if end else 0)
    found = instant(text)
    if not found:
        raise ValueError(f"`{text[:40]}` is no time with a zone, like 2026-03-01T07:30:00Z, and no date")
    return found


def rows(path: Path, columns: Sequence[str], problems: list[str]) -> Iterator[Row]:
    """Those of a CSV file. Whatever is wrong stands in `problems` afterwards."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            head = [each.strip() for each in next(lines, [])]
            missing = [each for each in columns if each not in head]
            if missing:
                problems.append(f"{path.name}: no column {', '.join(missing)}")
                return
            twice = [each for each, times in Counter(head).items() if each and times > 1]
            if twice:
                problems.append(f"{path.name}: more than one column {', '.join(twice[:5])}")
                return
            for line in lines:
                if not line:
                    continue
                where = f"{path.name}:{lines.line_num}"
                if len(line) != len(head):
                    told(problems, f"{where}: {len(line)} values for {len(head)} columns")
                    continue
                yield Row(where, {name: value.strip() for name, value in zip(head, line, strict=True)})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{path.name}: cannot be read: {error}")


def entities(path: Path, problems: list[str]) -> Iterator[Mapping[str, Any]]:
    """Those of a data file: JSON lines, or one JSON array."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: cannot be read: {error}")
        return
    try:
        if path.suffix == ".json":
            found = json.loads(text)
            listed = [(1, each) for each in found] if isinstance(found, list) else []
        else:
            listed = [(number, json.loads(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    except (ValueError, RecursionError) as error:
        problems.append(f"{path.name}: is no JSON: {error}")
        return
    for number, each in listed:
        if isinstance(each, dict) and isinstance(each.get("type"), str) and isinstance(each.get("id"), str):
            yield each
        else:
            told(problems, f"{path.name}:{number}: is no entity with `type` and `id`")


def told(problems: list[str], sentence: str) -> None:
    if len(problems) < MAX_PROBLEMS:
        problems.append(sentence)
