"""Checks texts, and says what was found in a way that tests can read."""

from __future__ import annotations

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source
from pdp.language import ast, core, parse
from pdp.language.check import policies


def check(*texts: str, notes: bool = False) -> core.PolicySet:
    """The policy set of some files. Raises PolicyError."""
    return policies(_modules(texts), notes=notes)[0]


def findings(*texts: str, notes: bool = False) -> tuple[Diagnostic, ...]:
    """Everything that is said of some files."""
    try:
        return policies(_modules(texts), notes=notes)[1]
    except PolicyError as error:
        return error.diagnostics


def found(*texts: str) -> list[tuple[str, str]]:
    """Code and underlined text of every finding but those about ids and unused names."""
    quiet = ("rule-without-id", "unused-name")
    return [(each.code, each.span.text) for each in findings(*texts) if each.code not in quiet]


def _modules(texts: tuple[str, ...]) -> list[ast.Module]:
    return [parse.policy(Source(f"{number}.ward", text)) for number, text in enumerate(texts, 1)]
