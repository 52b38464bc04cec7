"""`[witness.NAME]`: who is asked to cosign the log's checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pdp.audit.tree.cosign import Asked, Cosigner, cosigner
from pdp.audit.tree.note import NoteError
from pdp.config.reading import Table, named


def witnesses(given: Any, file: Path, problems: list[str]) -> tuple[Asked, ...]:
    """The witnesses of a settings file."""
    found = []
    for name, table in named("witness", given, file, problems):
        url, key = table.url("url"), _key(table)
        for each in ("url", "vkey"):
            if each not in table:
                table.wrong(f"`{each}` is missing")
        made = (
            table.path("ca_file"),
            table.number("interval_seconds", 10, 1, 86_400),
            table.number("timeout_seconds", 5, 1, 60),
        )
        if url and key is not None:
            found.append(Asked(name, url, key, *made))
        table.close()
    problems += _twice(found, file)
    return tuple(found)


def _key(table: Table) -> Cosigner | None:
    try:
        return cosigner(table.text("vkey")) if "vkey" in table else None
    except NoteError as error:
        table.wrong(f"`vkey`: {error}; that of a witness is of type 4")
        return None


def _twice(found: Iterable[Asked], file: Path) -> list[str]:
    """One witness under two names would count twice for whoever reads the settings."""
    seen: dict[bytes, str] = {}
    return [
        f"{file}: [witness.{each.name}] has the key of [witness.{seen[each.key.public]}]"
        for each in found
        if seen.setdefault(each.key.public, each.name) != each.name
    ]
