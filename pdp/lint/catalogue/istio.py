"""Codes of Istio."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry

STAGE: Final = "istio"

ENTRIES: Final[dict[str, Entry]] = {}
