"""Lines and columns, in characters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdp.diagnostics.source import Source, Span


def test_lines_end_at_line_feeds_alone() -> None:
    source = Source("x", "a\r\nb\x0bc\u2028d\n")
    assert [source.line(number) for number in (1, 2, 3)] == ["a", "b\x0bc\u2028d", ""]


@given(st.text(st.sampled_from("ab\n😀\t"), max_size=40), st.data())
def test_line_and_column_lead_back_to_the_character(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    source = Source("x", text)
    line, column = source.line_column(offset)
    assert text[offset : offset + 1].rstrip("\n") == source.line(line)[column - 1 : column]
    assert Span(source, offset, offset).where == f"x:{line}:{column}"
