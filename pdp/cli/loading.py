"""From a path on the command line to a checked policy set, its program and its data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pdp.bundle import collector
from pdp.cli.failure import UNCHECKED, Failure
from pdp.cli.reading import policy_files, source
from pdp.cli.terminal import count
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError, Severity

if TYPE_CHECKING:
    from pdp.decide.engine import Engine
    from pdp.language.core import PolicySet
    from pdp.model.entities import Entities


MOST_FINDINGS: Final = 40


@dataclass(frozen=True, slots=True)
class Loaded:
    """`directory`: where data and test tables may stand; "" where the path named a single file."""

    policies: PolicySet
    warnings: tuple[Diagnostic, ...]
    files: int
    directory: str


def checked(path: str, *, notes: bool = False) -> Loaded:
    """Read, parse and check; `notes`: with notes among the warnings.

    Raises PolicyError with every finding of every file, and Failure.
    """
    from pdp.language.check import policies
    from pdp.language.parse import policy

    findings: list[Diagnostic] = []
    paths = policy_files(path, findings)
    modules = []
    for file in paths:
        text = source(file, findings)
        try:
            if text is not None:
                modules.append(policy(text))
        except PolicyError as error:
            findings.extend(error.diagnostics)
    if findings:
        # What depends on a file that cannot be read would be found wrong everywhere: only its own findings are shown.
        raise PolicyError(findings)
    policy_set, warnings = policies(modules, notes=notes)
    return Loaded(policy_set, warnings, len(paths), path if os.path.isdir(path) else "")


def entities(loaded: Loaded) -> Entities:
    """The data beside the policies; none for a single file. Raises PolicyError."""
    from pdp.model.entities import Entities

    if not loaded.directory:
        return Entities()
    from pathlib import Path

    from pdp.bundle.data import load

    return load(Path(loaded.directory), loaded.policies.schema)


def engine(loaded: Loaded) -> Engine:
    """The real engine over the data beside the policies. Raises PolicyError."""
    from pdp.compile.program import compile_program
    from pdp.decide.engine import Engine

    return Engine(compile_program(loaded.policies), entities(loaded))


@contextmanager
def diagnosed() -> Iterator[None]:
    """Inside, a policy set that does not check ends the command with its findings on stderr."""
    try:
        with collector.paused():
            yield
    except PolicyError as error:
        raise unchecked(error.diagnostics) from error


def unchecked(diagnostics: tuple[Diagnostic, ...]) -> Failure:
    """Print the findings for people; the failure that ends the command counts them."""
    sys.stdout.flush()
    print(for_people(diagnostics), file=sys.stderr)
    return Failure(f"the policy set does not check: {tally(diagnostics)}", code=UNCHECKED)


def for_people(diagnostics: tuple[Diagnostic, ...], command: str = "check") -> str:
    """The findings with their lines, errors first where there are too many to show."""
    from pdp.diagnostics.render import text

    if len(diagnostics) <= MOST_FINDINGS:
        return text(diagnostics)
    by_weight = sorted(diagnostics, key=lambda each: (each.severity is not Severity.ERROR, each.order))
    more = len(diagnostics) - MOST_FINDINGS
    return f"{text(by_weight[:MOST_FINDINGS])}\nand {more:,} more (pdp {command} --output json has them all)\n"


def tally(diagnostics: tuple[Diagnostic, ...]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(each.severity is Severity.ERROR for each in diagnostics)
    warnings = sum(each.severity is Severity.WARNING for each in diagnostics)
    parts = [count(errors, "error")] if errors else []
    parts += [count(warnings, "warning")] if warnings else []
    notes = len(diagnostics) - errors - warnings
    parts += [count(notes, "note")] if notes else []
    return ", ".join(parts) or "no findings"
