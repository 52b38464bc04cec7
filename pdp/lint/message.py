"""A map read as a protobuf message: each field by one name, of one type, and no field that nobody knows.

Protobuf's JSON takes `failure_mode_allow` and `failureModeAllow`; here both are the first. A value that is not of its
type, and a field that is not in the list of known ones, is a finding: what was not understood is never fine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from pdp.diagnostics.source import Span
from pdp.diagnostics.suggest import closest
from pdp.lint.document import List, Map, Node, Scalar
from pdp.lint.findings import Findings

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECONDS: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s").fullmatch
_GO_SECONDS: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)").fullmatch
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


ANY: Final = frozenset({"*"})
"""For a message whose other fields do not matter here. (None is for maps, whose keys are names, not fields.)"""


def snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


class Message:
    """A message, or its absence: then it has no field, and `anchor` is where it would belong."""

    def __init__(
        self, node: Node | None, anchor: Span, findings: Findings, known: Iterable[str] | None, what: str
    ) -> None:
        self.node = node
        self.anchor = anchor
        self.what = what  # what it is, in words: "the ext_authz filter"
        self.findings = findings
        self.fields: dict[str, tuple[Scalar, Node]] = {}
        if isinstance(node, Map):
            self._take(node, None if known is None else frozenset(known))
        elif node is not None and not (isinstance(node, Scalar) and node.null):
            self.misread(node, "a map")

    def _take(self, node: Map, known: frozenset[str] | None) -> None:
        for key, value in node.entries:
            name = key.text if known is None or key.text == "@type" else snake(key.text)
            if name in self.fields and key.text != self.fields[name][0].text:
                self.findings.add(
                    "proxy-name-twice", key.span, f"`{name}` stands twice in one map", "leave one of them out"
                )
            if known is not None and known != ANY and name not in known and name != "@type":
                self._unknown(key, known)
            elif not (isinstance(value, Scalar) and value.null):
                self.fields[name] = (key, value)

    def _unknown(self, key: Scalar, known: frozenset[str]) -> None:
        near = closest(snake(key.text), known)
        self.findings.add(
            "proxy-unknown-field",
            key.span,
            f"`{key.text}` is no known field of {self.what}",
            f"did you mean `{near}`?"
            if near
            else "what it does was not judged: compare with the proxy's own reference",
        )

    def misread(self, node: Node, wanted: str) -> None:
        self.findings.add(
            "proxy-not-understood", first_line(node.span), f"{wanted} was expected here", "what it does was not judged"
        )

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    @property
    def present(self) -> bool:
        return isinstance(self.node, Map)

    def at(self, name: str) -> Span:
        """Where a field stands, with its value if that is short; where it is missing, what it is missing from."""
        if name not in self.fields:
            return self.anchor
        key, value = self.fields[name]
        whole = Span(key.span.source, key.span.start, value.span.end)
        return whole if isinstance(value, Scalar) and "\n" not in whole.text else key.span

    def node_at(self, name: str) -> Node | None:
        return self.fields[name][1] if name in self.fields else None

    # ------------------------------------------------------------------------------------------------- typed values

    def message(self, name: str, known: Iterable[str] | None, what: str = "") -> Message:
        key, value = self.fields.get(name, (None, None))
        return Message(value, key.span if key else self.anchor, self.findings, known, what or f"`{name}`")

    def messages(self, name: str, known: Iterable[str] | None, what: str = "") -> list[Message]:
        return [Message(each, beginning(each), self.findings, known, what or f"`{name}`") for each in self.items(name)]

    def items(self, name: str) -> tuple[Node, ...]:
        node = self.node_at(name)
        if isinstance(node, List):
            return node.items
        if node is not None:
            self.misread(node, "a list")
        return ()

    def flag(self, name: str) -> bool | None:
        """None where the field is absent, or is no boolean (which is a finding)."""
        scalar = self._scalar(name)
        if scalar is not None and scalar.flag is None:
            self.misread(scalar, "true or false")
        return scalar.flag if scalar is not None else None

    def text(self, name: str) -> str:
        """Empty where the field is absent."""
        scalar = self._scalar(name)
        return scalar.text if scalar is not None else ""

    def texts(self, name: str) -> list[tuple[str, Span]]:
        found = []
        for each in self.items(name):
            if isinstance(each, Scalar):
                found.append((each.text, each.span))
            else:
                self.misread(each, "a text")
        return found

    def number(self, name: str) -> int | None:
        scalar = self._scalar(name)
        if scalar is not None and scalar.number is None:
            self.misread(scalar, "a whole number")
        return scalar.number if scalar is not None else None

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """An enum's value by name, also where its number is given; "" where it is absent or unknown (a finding)."""
        scalar = self._scalar(name)
        if scalar is None:
            return ""
        if scalar.text in choices:
            return scalar.text
        if scalar.number is not None and 0 <= scalar.number < len(choices):
            return choices[scalar.number]
        self.misread(scalar, f"one of {', '.join(choices)}")
        return ""

    def seconds(self, name: str, units: bool = False) -> float | None:
        """A duration: `0.25s`. `units`: as Go writes them too, `250ms` and `10m`."""
        scalar = self._scalar(name)
        if scalar is None:
            return None
        found = (_GO_SECONDS if units else _SECONDS)(scalar.text)
        if found is None:
            self.misread(scalar, "a duration such as 0.25s")
            return None
        return float(found[1]) * (_UNITS[found[2]] if units else 1.0)

    def named(self, name: str) -> Iterator[tuple[str, Message]]:
        """The entries of a map field, each a message whose fields are not judged here."""
        holder = self.message(name, None)
        for key, value in holder.fields.values():
            yield key.text, Message(value, key.span, self.findings, None, f"`{key.text}`")

    def _scalar(self, name: str) -> Scalar | None:
        node = self.node_at(name)
        if node is None or isinstance(node, Scalar):
            return node
        self.misread(node, "a single value")
        return None


def first_line(span: Span) -> Span:
    end = span.source.text.find("\n", span.start, span.end)
    return span if end < 0 else Span(span.source, span.start, end)


def beginning(node: Node) -> Span:
    """What to underline of an item of a list: its first entry, where it is a map."""
    if isinstance(node, Map) and node.entries:
        key, value = node.entries[0]
        return first_line(Span(key.span.source, key.span.start, value.span.end))
    return first_line(node.span)
