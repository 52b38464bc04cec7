"""What a value may weigh (LANGUAGE 3): longer text makes patterns slow, and no policy needs it."""

from __future__ import annotations

import pytest

from pdp.language.wire import MAX_TEXT, IllTyped, text


def test_semantics_16_a_text_has_a_bound() -> None:
    assert text("x" * MAX_TEXT) == "x" * MAX_TEXT
    with pytest.raises(IllTyped, match="at most 65536 characters"):
        text("x" * (MAX_TEXT + 1))
