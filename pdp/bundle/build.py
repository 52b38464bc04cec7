"""From a directory of policies and data to what a worker decides with: read, parse, check, compile, load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pdp.bundle import collector, data, files
from pdp.compile.program import Program, compile_program
from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.diagnostics.source import Source
from pdp.language import check, parse
from pdp.language.ast import Module
from pdp.language.core import PolicySet, Route
from pdp.model.entities import Entities

MAX_POLICY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Built:
    """A whole policy set, ready to decide with and to be written (`artefact.write`)."""

    policies: PolicySet
    program: Program
    entities: Entities
    warnings: tuple[Diagnostic, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # what it was built from, by the path below its directory

    @property
    def routes(self) -> tuple[Route, ...]:
        return self.policies.routes

    @property
    def source_digest(self) -> str:
        return self.program.source_digest

    @property
    def revision(self) -> str:
        return self.entities.revision


def build(directory: Path) -> Built:
    """Builds what stands below a directory: `**/*.ward`, and `data/`. Raises PolicyError with every finding."""
    with collector.paused():
        parsed = modules(directory)
        policies, warnings = check.policies(parsed)
        program = compile_program(policies)
        texts = {Path(each.source.name).relative_to(directory).as_posix(): each.source.text for each in parsed}
        return Built(policies, program, data.load(directory, policies.schema), warnings, texts)


def modules(directory: Path) -> list[Module]:
    """Every policy file, parsed. Raises PolicyError with the findings of all files."""
    problems: list[Diagnostic] = []
    paths = files.found(directory, (".ward",), problems)
    if not paths and not problems:
        hint = "policy files end in .ward, and may stand in directories below"
        problems.append(files.about(directory, "no-policies", "there is no policy file here", hint))
    parsed = []
    for path in paths:
        text = files.text(path, MAX_POLICY_BYTES, problems)
        if text is None:
            continue
        try:
            parsed.append(parse.policy(Source(path.as_posix(), text)))
        except PolicyError as error:
            problems += error.diagnostics
    if problems:
        raise PolicyError(problems)
    return parsed
