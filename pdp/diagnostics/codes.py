"""Every code that a diagnostic may carry. A code is never renamed, and never used again for something else.

Each stage has its module in `catalogue`, with `ENTRIES`: code -> Entry. `docs/diagnostics.md` is made from them by
`scripts/make-catalogue`; `tests/test_catalogue.py` holds every entry against the parser and the checker.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from pdp.diagnostics import catalogue
from pdp.diagnostics.catalogue.entry import Entry

STAGES: Final = ("parse", "check", "lint", "data")


def _collected() -> dict[str, Entry]:
    """All entries, grouped by stage. No code stands in two modules."""
    found: dict[str, Entry] = {}
    for module in iter_modules(catalogue.__path__):
        entries: dict[str, Entry] = getattr(import_module(f"{catalogue.__name__}.{module.name}"), "ENTRIES", {})
        twice = found.keys() & entries.keys()
        assert not twice, f"codes of two stages: {sorted(twice)}"
        found |= entries
    return dict(sorted(found.items(), key=lambda item: STAGES.index(item[1].stage)))


CATALOGUE: Final = _collected()
