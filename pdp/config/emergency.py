"""`[emergency]`: which permits may be recorded elsewhere where the log cannot be written. Off unless it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdp.config.reading import Table


@dataclass(frozen=True, slots=True)
class Emergency:
    """`purposes`: codes of `context.purpose`, as believed; a permit for no other one is ever recorded elsewhere."""

    audit_dir: Path | None = None
    purposes: frozenset[str] = frozenset()

    @property
    def on(self) -> bool:
        return self.audit_dir is not None


def emergency(given: Any, file: Path, problems: list[str]) -> Emergency:
    """The section of a settings file. Both keys are needed: nothing is opened by half of it."""
    if not isinstance(given, dict):
        problems.append(f"{file}: `emergency` must be a table: [emergency]")
        return Emergency()
    table = Table(f"{file}: [emergency]", given, file.parent, problems)
    found = Emergency(table.path("audit_dir"), frozenset(table.texts("purposes")))
    table.close()
    if found.audit_dir is None or not found.purposes:
        table.wrong('needs `audit_dir`, on another disk, and `purposes`, such as ["ETREAT"]')
        return Emergency()
    return found
