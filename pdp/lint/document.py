"""YAML (and JSON, which is YAML) -> a tree whose every node knows its place. The only importer of yaml in this room.

The tree is built from the parser's events, not by PyYAML's constructors: nothing is ever instantiated, and size, depth
and aliases are bounded while reading. Plain scalars mean what the readers of proxies take them for: `n`, `off` and
`yes` are booleans to yaml-cpp (Envoy), and not to everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from pdp.diagnostics.source import Source, Span
from pdp.lint.findings import Findings

MAX_CHARACTERS: Final = 1 << 20
MAX_NODES: Final = 200_000
"""With aliases counted as often as they are used."""
MAX_DEPTH: Final = 64

_TRUE: Final = frozenset({"true", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "no", "off", "n"})
_NULL: Final = frozenset({"", "~", "null"})
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_WHOLE: Final = re.compile(r"[-+]?[0-9]+").fullmatch


@dataclass(frozen=True, slots=True)
class Scalar:
    span: Span
    text: str
    plain: bool  # neither quoted nor a block, so that its text may mean a boolean, a number or nothing
    style: str = ""  # "", "'", '"', "|", ">"

    @property
    def null(self) -> bool:
        return self.plain and self.text.lower() in _NULL

    @property
    def flag(self) -> bool | None:
        """What a boolean field reads; None where that is not clear."""
        word = self.text.lower() if self.plain else ""
        return True if word in _TRUE else False if word in _FALSE else None

    @property
    def number(self) -> int | None:
        """A whole number; protobuf's JSON takes quoted ones too."""
        text = self.text.strip()
        return int(text) if _WHOLE(text) and len(text) < 19 else None


@dataclass(frozen=True, slots=True)
class List:
    span: Span
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Map:
    span: Span
    entries: tuple[tuple[Scalar, Node], ...]

    def get(self, name: str) -> Node | None:
        """The last value of this name, as readers that do not refuse a second one take it."""
        found = [value for key, value in self.entries if key.text == name]
        return found[-1] if found else None

    def at(self, name: str) -> Span:
        """Where a name stands, or else where the map begins."""
        return next((key.span for key, _ in self.entries if key.text == name), self.span)


Node = Scalar | List | Map


class _Unreadable(Exception):
    def __init__(self, code: str, offset: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.offset = offset


def documents(source: Source, findings: Findings, start: int = 0, end: int | None = None) -> list[Node]:
    """Every document of a text, or of a part of it (a block inside another document, whose places stay true).

    None of them where the text cannot be read: then there is a finding.
    """
    text = source.text[start:end]
    try:
        if len(text) > MAX_CHARACTERS:
            raise _Unreadable("proxy-too-large", 0, f"the file has more than {MAX_CHARACTERS:,} characters")
        return list(_Reader(source, text, start, findings).documents())
    except _Unreadable as error:
        place = Span(source, start + error.offset, min(start + error.offset + 1, len(source.text)))
        findings.add(error.code, place, str(error), "nothing of this file was judged")
    return []


class _Reader:
    def __init__(self, source: Source, text: str, base: int, findings: Findings) -> None:
        self._source = source
        self._base = base
        self._findings = findings
        self._events = self._parsed(text)
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._nodes = 0

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors = {}
                yield self._node(next(self._events), 0)[0]

    def _parsed(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise _Unreadable(
                "proxy-not-yaml", mark.index if mark else 0, f"this is no YAML: {error.problem or error.context}"
            ) from error
        except yaml.reader.ReaderError as error:
            raise _Unreadable(
                "proxy-not-yaml", min(error.position, len(text)), f"this is no YAML: {error.reason}"
            ) from error
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            raise _Unreadable("proxy-not-yaml", 0, "this is no YAML") from error

    def _node(self, event: yaml.Event, depth: int) -> tuple[Node, int, int]:
        """A node, how many nodes it is, and how deep."""
        self._count(1, depth, event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _Unreadable("proxy-not-yaml", _index(event), "an alias of nothing that stands before it")
            node, size, height = self._anchors[event.anchor]
            self._count(size, depth + height, event)
            return node, size, height
        built: tuple[Node, int, int]
        if isinstance(event, yaml.ScalarEvent):
            built = self._scalar(event), 1, 0
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self._list(event, depth)
        elif isinstance(event, yaml.MappingStartEvent):
            built = self._map(event, depth)
        else:
            raise _Unreadable("proxy-not-yaml", _index(event), "this is no YAML")
        if event.anchor:
            self._anchors[event.anchor] = built
        return built

    def _count(self, more: int, depth: int, event: yaml.Event) -> None:
        self._nodes += more
        if self._nodes > MAX_NODES:
            raise _Unreadable("proxy-too-large", _index(event), f"more than {MAX_NODES:,} values, aliases included")
        if depth > MAX_DEPTH:
            raise _Unreadable("proxy-too-large", _index(event), f"nested deeper than {MAX_DEPTH}")

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        span = self._span(event, event)
        style = event.style or ""
        plain = not style and event.tag in (None, "!") and bool(event.implicit[0])
        self._untagged(event)
        word = event.value.lower()
        if plain and word in _TRUE | _FALSE and word not in ("true", "false"):
            self._findings.add(
                "proxy-boolean-word",
                span,
                f"`{event.value}` is a boolean to some readers and a text to others",
                f'write "{event.value}" for the text, or true or false',
            )
        return Scalar(span, event.value, plain, style)

    def _untagged(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag not in (None, "!", _STRING_TAG):
            place = self._span(event, event)
            self._findings.add("proxy-not-understood", place, "a YAML tag", "write the value without a tag")

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> tuple[Node, int, int]:
        self._untagged(event)
        items, size, height = [], 1, 0
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            node, its_size, its_height = self._node(inner, depth + 1)
            items.append(node)
            size, height = size + its_size, max(height, its_height + 1)
        return List(self._span(event, inner), tuple(items)), size, height

    def _map(self, event: yaml.MappingStartEvent, depth: int) -> tuple[Node, int, int]:
        self._untagged(event)
        entries: list[tuple[Scalar, Node]] = []
        names: set[str] = set()
        size, height = 1, 0
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key, key_size, _ = self._node(inner, depth + 1)
            value, its_size, its_height = self._node(next(self._events), depth + 1)
            size, height = size + key_size + its_size, max(height, its_height + 1)
            if isinstance(key, Scalar) and self._acceptable(key, names):
                entries.append((key, value))
            elif not isinstance(key, Scalar):
                self._findings.add("proxy-not-understood", key.span, "a key that is no text", "write a name")
        return Map(self._span(event, inner), tuple(entries)), size, height

    def _acceptable(self, key: Scalar, names: set[str]) -> bool:
        if key.text == "<<" and key.plain:
            self._findings.add(
                "proxy-merge-key", key.span, "a merge key, which readers treat differently", "write the fields out"
            )
            return False
        if key.text in names:
            self._findings.add(
                "proxy-name-twice", key.span, f"`{key.text}` stands twice in one map", "leave one of them out"
            )
        names.add(key.text)
        return True

    def _span(self, start: yaml.Event, end: yaml.Event) -> Span:
        first, last = self._base + _index(start), self._base + (end.end_mark.index if end.end_mark else 0)
        while last > first and self._source.text[last - 1] in " \t\r\n":
            last -= 1
        return Span(self._source, first, last)


def _index(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0
