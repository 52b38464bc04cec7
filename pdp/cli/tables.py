"""The JSON test tables beside a policy set: every `*.json` in a directory called `tests` below it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pdp.analyze.case import Case
from pdp.analyze.table import BadTable
from pdp.analyze.table import cases as cases_of
from pdp.cli.failure import UNCHECKED, Failure
from pdp.cli.reading import raw

if TYPE_CHECKING:
    from pdp.language.schema import Schema

MAX_TABLE_BYTES: Final = 16 << 20


def cases(directory: str, schema: Schema) -> list[Case]:
    """Every case of every table, in the order of files. None where the path was a single file. Raises Failure."""
    return [case for path in _tables(directory) for case in _cases(path, schema)]


def _tables(directory: str) -> list[str]:
    found = []
    for folder, folders, files in os.walk(directory) if directory else ():
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        if "tests" in os.path.relpath(folder, directory).split(os.sep):
            found += [os.path.join(folder, name) for name in sorted(files) if name.endswith(".json")]
    return found


def _cases(path: str, schema: Schema) -> tuple[Case, ...]:
    data = raw(path, MAX_TABLE_BYTES)
    if len(data) > MAX_TABLE_BYTES:
        raise Failure(f"{path} is larger than 16 MiB", "split the table", UNCHECKED)
    try:
        return cases_of(data, os.path.normpath(path), schema)
    except BadTable as error:
        raise Failure(f"{path}: {error}", "docs/cli.md describes the tables", UNCHECKED) from error
