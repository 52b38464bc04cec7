"""The pages of tests/cases/types/near-misses: what is said of a mistake leads to what was meant, hints included."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.diagnostics.diagnostic import Diagnostic, PolicyError
from pdp.language import parse
from pdp.language.check import policies
from tests.chunks import Chunk, chunks

FOLDER = Path(__file__).parents[2] / "cases" / "types" / "near-misses"
PAGES = [
    (world, chunk) for page in sorted(FOLDER.glob("*.ward")) for world, *rest in [[*chunks(page)]] for chunk in rest
]


def findings(*parts: Chunk) -> list[Diagnostic]:
    try:
        return list(policies([parse.policy(part.source) for part in parts])[1])
    except PolicyError as error:
        return list(error.diagnostics)


@pytest.mark.parametrize(("world", "chunk"), PAGES, ids=str)
def test_a_near_miss_is_told_what_to_write(world: Chunk, chunk: Chunk) -> None:
    assert not [each for each in findings(world) if each.severity == "error"]
    chunk.judge(findings(world, chunk))
