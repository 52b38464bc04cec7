"""How well detection does on the synthetic hospital, beside two peers that are simpler. Not a timing, but for its rate.

Whoever tunes a threshold uses other seeds than these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from measure import Spread, spread
from rows import Effort
from table import Line, rate

from tests.hospital.hospital import hospital, write
from tests.hospital.people import FULL, SMALL, Size
from tests.hospital.score import Score, Truth, by_volume, claims, detected, score

SEEDS = (7, 8, 9)
ROUGH = (10, 12.0)
"""A seed, and how much more of what is legitimate nothing explains."""
TOGETHER = 2
QUICK_SECONDS = 1.0
"""An effort whose rounds are no longer than this gets small hospitals."""


@dataclass(frozen=True, slots=True)
class Found:
    """In one hospital."""

    ours: Score
    share: float
    records: int
    rate: float
    without: Score
    volume: Score


def detection(effort: Effort) -> Iterator[Line]:
    """Planted misuse in a synthetic hospital: precision, recall and alerts a day, beside two naive peers."""
    size = SMALL if effort.seconds <= QUICK_SECONDS else FULL
    hospitals = [*((size, seed) for seed in SEEDS), (replace(size, noise=ROUGH[1]), ROUGH[0])]
    with ProcessPoolExecutor(TOGETHER) as pool:
        *usual, rough = pool.map(_found, *zip(*hospitals, strict=True))
    ours = [each.ours for each in usual]
    who = f"{size.staff} staff, {size.patients:,} patients, {size.days} days"
    made = f"{spread([each.records for each in usual]).median:,.0f} records, {ours[0].plants} planted"
    yield Line("detection", f"{who}, {len(SEEDS)} seeds; median and range", made)
    yield from _of("ours", ours)
    yield Line("detection", "accesses of the staff that something explains", _percent([each.share for each in usual]))
    yield Line("detection", f"records a second, {TOGETHER} at once", rate(spread([each.rate for each in usual])))
    for grade in ("blatant", "subtle"):
        found = [each.by_grade[grade][0] / each.by_grade[grade][1] for each in ours]
        yield Line("detection", f"planted and found, {grade}", _percent(found))
    yield from _kinds(ours)
    yield from _of("the same rules, nothing explained away", [each.without for each in usual], ours)
    volume = [each.volume for each in usual]
    yield from _of("volume alone: three times the median of the role in a day", volume, ours)
    share = f"{rough.share:.0%} explained"
    yield from _of(f"ours, with {ROUGH[1]:.0f} times the noise: {share}", [rough.ours], ours)


def _found(size: Size, seed: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
        place = Path(name)
        write(hospital(size, seed), place)
        truth = Truth.read(place, size.days)
        report = detected(place)
        records = report.detector.tally.records
        ours = score(truth, claims(report))
        without = score(truth, claims(detected(place, explaining=False)))
        volume = score(truth, by_volume(place))
    return Found(ours, report.explained_share, records, records / report.seconds, without, volume)


def _of(what: str, scores: list[Score], beside: list[Score] | None = None) -> Iterator[Line]:
    def figures(of: Callable[[Score], float]) -> list[float]:
        return [of(each) for each in scores]

    yield Line("detection", what, "")
    cases = figures(lambda each: each.precision), figures(lambda each: each.recall)
    yield Line("detection", "  precision of cases, recall of what was planted", ", ".join(map(_percent, cases)))
    accesses = figures(lambda each: each.access_precision), figures(lambda each: each.access_recall)
    yield Line("detection", "  precision and recall of single accesses", ", ".join(map(_percent, accesses)))
    told, wrong = figures(lambda each: each.alerts_a_day), figures(lambda each: each.wrong_a_day)
    ratio = "" if beside is None else f"{_whole(told) / _whole([each.alerts_a_day for each in beside]):.1f} x ours"
    yield Line("detection", "  cases that somebody is told of, a day", _number(told), "", ratio)
    yield Line("detection", "  of them wrong, a day", _number(wrong))


def _kinds(scores: list[Score]) -> Iterator[Line]:
    """Every kind over all seeds, those found least first."""
    kinds: dict[str, tuple[int, int]] = {}
    for each in scores:
        for kind, (found, of) in each.by_kind.items():
            before = kinds.get(kind, (0, 0))
            kinds[kind] = (before[0] + found, before[1] + of)
    listed = sorted(kinds.items(), key=lambda each: (each[1][0] / each[1][1], each[0]))
    for start in range(0, len(listed), 4):
        some = "; ".join(f"{kind} {found} of {of}" for kind, (found, of) in listed[start : start + 4])
        yield Line("detection", f"  {some}", "")


def _percent(figures: list[float]) -> str:
    figure = _whole(figures)
    return f"{figure.median:.0%}" + (f" ({figure.low:.0%}..{figure.high:.0%})" if len(figures) > 1 else "")


def _number(figures: list[float]) -> str:
    figure = _whole(figures)
    return f"{figure.median:.2f}" + (f" ({figure.low:.2f}..{figure.high:.2f})" if len(figures) > 1 else "")


def _whole(figures: list[float]) -> Spread:
    """The range, not percentiles: there are few seeds."""
    return Spread(spread(figures).median, min(figures), max(figures))
