"""What a spreadsheet would run is a text, in every CSV that we write."""

from __future__ import annotations

import pytest

from pdp.audit.spreadsheet import guarded


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "  =1", "'=1", '"=1', "\uff1d1", " '\uff201"])
def test_what_looks_like_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "nina", "a=b", "Patient/1", "?=1"])
def test_anything_else_stays(text: str) -> None:
    assert guarded(text) == text
