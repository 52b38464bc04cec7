"""One line of the table, and how it is printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from measure import Spread


@dataclass(frozen=True, slots=True)
class Line:
    """`met` None: there is no bar, or no peer to hold it against."""

    row: str
    what: str
    figure: str
    bar: str = ""
    ratio: str = ""
    met: bool | None = None


def microseconds(figure: Spread) -> str:
    return f"{_short(figure.median)} µs ({_short(figure.low)}..{_short(figure.high)})"


def seconds(figure: Spread) -> str:
    return f"{figure.median:.2f} s ({figure.low:.2f}..{figure.high:.2f})"


def milliseconds(figure: Spread) -> str:
    return f"{_short(figure.median)} ms ({_short(figure.low)}..{_short(figure.high)})"


def rate(figure: Spread) -> str:
    return f"{figure.median:,.0f}/s ({figure.low:,.0f}..{figure.high:,.0f})"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


TITLES = Line("row", "what", "median (p10..p90 of the rounds)", "bar", "ratio")


def printed(lines: Iterable[Line]) -> None:
    """One line after the other, as they come: a long run shows where it is."""
    for each in lines:
        verdict = "" if each.met is None else "met" if each.met else "MISSED"
        print(f"{each.row:14}{each.what:62}{each.figure:34}{each.bar:30}{each.ratio:18}{verdict}".rstrip(), flush=True)
