"""Istio."""

from __future__ import annotations

from collections.abc import Sequence

from pdp.lint.document import Node
from pdp.lint.findings import Findings


def embedded(node: Node, findings: Findings) -> list[Node]:
    return []


def judge(documents: Sequence[Node], findings: Findings) -> None:
    pass
