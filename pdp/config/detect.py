"""`[detect]`: misuse is looked for in the log, by a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdp.audit.detect.wanted import Watching
from pdp.config.reading import Table


def detecting(given: Any, file: Path, problems: list[str]) -> Watching | None:
    if not isinstance(given, Mapping):
        problems.append(f"{file}: `detect` must be a table: [detect]")
        return None
    table = Table(f"{file}: [detect]", given, file.parent, problems)
    made = Watching(
        table.path("context_dir"),
        table.path("data_dir"),
        table.path("rules_file"),
        table.number("every_seconds", 10, 1, 3_600),
        table.number("first_days", 1, 0, 3_660),
    )
    for key, path in (("context_dir", made.context), ("data_dir", made.data)):
        if path is not None and not path.is_dir():
            table.wrong(f"`{key}`: {path} is not a directory")
    from pdp.audit.detect.rules import RulesError, load  # Only where it is wanted: every process reads the settings.

    try:
        load(made.rules)
    except RulesError as error:
        for each in error.problems:
            table.wrong(each)
    table.close()
    return made
