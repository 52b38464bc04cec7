"""One finding: code, span, message, hint. `PolicyError` carries many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pdp.diagnostics.source import Span


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    code: str  # a key of codes.CATALOGUE; never reused, never renamed
    span: Span  # half-open, characters, carries its Source
    message: str  # one clause, lower case, no full stop; policy text in backticks
    hint: str = ""  # what to do next; may be a sentence
    severity: Severity = Severity.ERROR

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """By place, so that the same input prints the same output."""
        return (self.span.source.name, self.span.start, self.span.end, self.code, self.message)


class PolicyError(Exception):
    """A policy set that does not check. `diagnostics` holds every finding, sorted, warnings included."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.order))
        errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in self.diagnostics)
        super().__init__(f"{errors} error{'s' if errors != 1 else ''} in the policy set")
