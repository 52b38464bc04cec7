"""`[retention]`: how long the records of the audit log are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdp.audit.tree.pruned import Retention
from pdp.config.reading import Table


def retention(given: Any, file: Path, problems: list[str]) -> Retention:
    if not isinstance(given, Mapping):
        problems.append(f"{file}: `retention` must be a table: [retention]")
        return Retention()
    table = Table(f"{file}: [retention]", given, file.parent, problems)
    made = Retention(table.number("years", 6, 1, 100), table.number("margin_days", 90, 0, 3_650))
    table.close()
    return made
