"""One code of the catalogue, and what it takes to show it."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.diagnostics.diagnostic import Severity


@dataclass(frozen=True, slots=True)
class Entry:
    """What a code means, with a text that triggers it and one near it that does not.

    `bad` and `good` of the stages check and lint stand on the prelude of the language page, unless `alone`. A code that
    no text can show leaves both empty, and `test` names the test file that shows it. `repeat` is put in front of `bad`
    many times, where only size matters.
    """

    stage: str  # "parse", "check", "lint", "data"
    summary: str  # one clause, no full stop
    explanation: str  # sentences: why it is wrong, what to do
    bad: str = ""
    good: str = ""
    severity: Severity = Severity.ERROR
    alone: bool = False
    test: str = ""
    repeat: tuple[str, int] = ("", 0)
