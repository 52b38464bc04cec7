"""Codes of nginx."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry

STAGE: Final = "nginx"

ENTRIES: Final[dict[str, Entry]] = {}
