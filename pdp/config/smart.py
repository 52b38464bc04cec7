"""`[smart]`: which SMART scopes a request needs, and where the patient of a request stands in the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pdp.config.reading import Table
from pdp.identity.scopes import Need, Smart, is_need


def smart(given: Any, file: Path, problems: list[str]) -> Smart:
    """The section of a settings file."""
    if not isinstance(given, dict):
        problems.append(f"{file}: `smart` must be a table: [smart]")
        return Smart()
    table = Table(f"{file}: [smart]", given, file.parent, problems)
    found = Smart(
        dict(_entry(name, value, table) for name, value in table.table("needs").items()),
        table.text("patient_type", Smart().patient_type),
        table.text("patient_attribute", Smart().patient_attribute),
    )
    table.close()
    return found


def _entry(name: str, value: object, table: Table) -> tuple[tuple[str, str], tuple[Need, ...]]:
    action, on, resource_type = name.partition(" on ")
    if not on or not all(map(_wire_name, (action, resource_type))):
        table.wrong(f"`needs` has `{name}`, which is not written as `ACTION on TYPE`, in wire names")
    # An empty list would open: it would ask for nothing.
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and is_need(each) for each in value):
        table.wrong(f'`needs` of `{name}` must list what is needed, such as "Observation.r" (one of c, r, u, d, s)')
        return (action, resource_type), ()
    return (action, resource_type), tuple(Need(*each.split(".")) for each in value)


def _wire_name(text: str) -> bool:
    return bool(text) and text.isprintable() and " " not in text
