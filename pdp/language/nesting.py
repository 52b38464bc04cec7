"""How deep a tree is: what walks it later may recurse, so that nothing deeper than `MAX_NESTING` leaves the parser."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.diagnostics.source import Source, Span
from pdp.language import ast

MAX_NESTING = 200
_SHORT = "([{.-+*!<"


def too_deep(tree: object, span: Span) -> Span | None:
    """The place where expressions, types or values nest too deep. A chain `a and b and c` is as deep as it is long."""
    text = span.text
    if len(text.split()) + sum(map(text.count, _SHORT)) <= MAX_NESTING:
        return None  # Every level has a word or a sign of its own.
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_NESTING:
            return _place(node, span)
        waiting.extend((child, depth + 1) for child in _children(node))
    return None


def _place(node: object, span: Span) -> Span:
    place = getattr(node, "span", span)
    return place if isinstance(place, Span) else span


def _children(node: object) -> Iterator[object]:
    """The nodes in the slots of a node, also those in tuples."""
    waiting = [getattr(node, slot) for slot in getattr(node, "__slots__", ())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, tuple):
            waiting.extend(value)
        elif not isinstance(value, str | Span | Source | ast.Name | ast.Text) and hasattr(value, "__slots__"):
            yield value
