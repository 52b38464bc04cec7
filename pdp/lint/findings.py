"""The findings of one run: each code at most once at a place, with the severity that its catalogue entry says."""

from __future__ import annotations

from pdp.diagnostics.diagnostic import Diagnostic
from pdp.diagnostics.source import Span
from pdp.lint.catalogue import CATALOGUE


class Findings:
    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int], Diagnostic] = {}
        self._read: set[tuple[str, int]] = set()

    def first(self, span: Span) -> bool:
        """Is this text read for the first time? By aliases it may stand in many places."""
        place = (span.source.name, span.start)
        known = place in self._read
        self._read.add(place)
        return not known

    def add(self, code: str, span: Span, message: str, hint: str) -> None:
        """`message`: what is open, in a clause; `hint`: what to do."""
        key = (code, span.source.name, span.start)
        self._found.setdefault(key, Diagnostic(code, span, message, hint, CATALOGUE[code].severity))

    @property
    def all(self) -> list[Diagnostic]:
        return sorted(self._found.values(), key=lambda each: each.order)
