"""Where the checker collects what it finds: many at once, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pdp.diagnostics.diagnostic import Diagnostic, Severity
from pdp.diagnostics.source import NOWHERE, Span
from pdp.diagnostics.suggest import closest

MANY: Final = 500
"""Among more names than this, only those are looked at that begin and are as long as the one that was written."""


class Findings:
    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}
        self.erred = False

    def error(self, code: str, span: Span, message: str, hint: str = "") -> None:
        self.erred = True
        self._found[Diagnostic(code, span, message, hint)] = None

    def warning(self, code: str, span: Span, message: str, hint: str = "") -> None:
        self._found[Diagnostic(code, span, message, hint, Severity.WARNING)] = None

    def note(self, code: str, span: Span, message: str, hint: str = "") -> None:
        self._found[Diagnostic(code, span, message, hint, Severity.NOTE)] = None

    def sorted(self) -> tuple[Diagnostic, ...]:
        return tuple(sorted(self._found, key=lambda each: each.order))


def near(name: str, choices: Iterable[str]) -> str:
    """A hint: the one name that the author probably meant, or nothing."""
    several = list(choices)
    if len(several) > MANY:
        several = [each for each in several if each[:1] == name[:1] and abs(len(each) - len(name)) <= 2]
    found = closest(name, several)
    return f"did you mean `{found}`?" if found else ""


def place(span: Span) -> str:
    """`file:line`, for hints that point elsewhere."""
    if span is NOWHERE:
        return "a place that is built in"
    return f"{span.source.name}:{span.source.line_column(span.start)[0]}"


def a(noun: object) -> str:
    """`an Int`, `a Bool`."""
    written = str(noun)
    return f"{'an' if written[:1] in 'AEIOaeio' else 'a'} {written}"
