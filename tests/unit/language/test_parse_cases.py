"""The pages of tests/cases/syntax, each chunk of them a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.diagnostics.diagnostic import PolicyError
from pdp.language import parse
from tests.chunks import Chunk, in_folder

PAGES = Path(__file__).parents[2] / "cases" / "syntax"


@pytest.mark.parametrize("chunk", in_folder(PAGES), ids=str)
def test_a_page_says_exactly_what_is_found(chunk: Chunk) -> None:
    try:
        parse.policy(chunk.source)
        found = ()
    except PolicyError as error:
        found = error.diagnostics
    chunk.judge(found)
