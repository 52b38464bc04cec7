"""nginx."""

from __future__ import annotations

from collections.abc import Sequence

from pdp.diagnostics.source import Source
from pdp.lint.findings import Findings


def recognised(source: Source) -> bool:
    return False


def judge(sources: Sequence[Source], findings: Findings) -> None:
    pass
