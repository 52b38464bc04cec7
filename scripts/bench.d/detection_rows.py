"""How well detection does on the synthetic hospital, beside two peers that are simpler. Not a timing, but for its rate.

The hospitals are drawn by seeds that no threshold was chosen on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Spread, spread
from rows import Effort
from table import Line, rate

from tests.hospital.hospital import hospital, write
from tests.hospital.people import FULL, SMALL
from tests.hospital.score import Score, Truth, by_volume, claims, detected, score

SEEDS = (7, 8, 9)
QUICK_SECONDS = 1.0
"""An effort whose rounds are no longer than this gets small hospitals."""


def detection(effort: Effort) -> Iterator[Line]:
    """Planted misuse in a synthetic hospital: precision, recall and alerts a day, beside two naive peers."""
    size = SMALL if effort.seconds <= QUICK_SECONDS else FULL
    ours: list[Score] = []
    without: list[Score] = []
    volume: list[Score] = []
    shares, rates, records = list[float](), list[float](), list[float]()
    for seed in SEEDS:
        with tempfile.TemporaryDirectory(prefix="chaperone-bench-") as name:
            place = Path(name)
            write(hospital(size, seed), place)
            truth = Truth.read(place, size.days)
            report = detected(place)
            ours.append(score(truth, claims(report)))
            shares.append(report.explained_share)
            records.append(report.detector.tally.records)
            rates.append(report.detector.tally.records / report.seconds)
            without.append(score(truth, claims(detected(place, explaining=False))))
            volume.append(score(truth, by_volume(place)))
    who = f"{size.staff} staff, {size.patients:,} patients, {size.days} days"
    made = f"{spread(records).median:,.0f} records, {ours[0].plants} planted"
    yield Line("detection", f"{who}, {len(SEEDS)} seeds; median and range", made)
    yield from _of("ours", ours)
    yield Line("detection", "accesses of the staff that something explains", _percent(spread(shares)))
    yield Line("detection", "records a second", rate(spread(rates)))
    for grade in ("blatant", "subtle"):
        found = spread([each.by_grade[grade][0] / each.by_grade[grade][1] for each in ours])
        yield Line("detection", f"planted and found, {grade}", _percent(found))
    yield from _kinds(ours)
    yield from _of("the same rules, nothing explained away", without, ours)
    yield from _of("volume alone: three times the median of the role in a day", volume, ours)


def _of(what: str, scores: list[Score], beside: list[Score] | None = None) -> Iterator[Line]:
    def figure(of: Callable[[Score], float]) -> Spread:
        return _whole([of(each) for each in scores])

    right, found = figure(lambda each: each.precision), figure(lambda each: each.recall)
    each_day = figure(lambda each: each.alerts_a_day)
    yield Line("detection", what, "")
    yield Line("detection", "  precision of cases, recall of what was planted", f"{_percent(right)}, {_percent(found)}")
    accesses = figure(lambda each: each.access_precision), figure(lambda each: each.access_recall)
    yield Line("detection", "  precision and recall of single accesses", ", ".join(map(_percent, accesses)))
    alerts = f"{each_day.median:.1f} ({each_day.low:.1f}..{each_day.high:.1f})"
    ratio = "" if beside is None else f"{each_day / _whole([each.alerts_a_day for each in beside]):.1f} x ours"
    yield Line("detection", "  cases that somebody is told of, a day", alerts, "", ratio)
    wrong = figure(lambda each: each.wrong_a_day)
    shown = f"{wrong.median:.2f} ({wrong.low:.2f}..{wrong.high:.2f})"
    yield Line("detection", "  of them wrong, a day: what does not depend on how much is planted", shown)


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


def _percent(figure: Spread) -> str:
    return f"{figure.median:.0%} ({figure.low:.0%}..{figure.high:.0%})"


def _whole(figures: list[float]) -> Spread:
    """The range, not percentiles: there are few seeds."""
    return Spread(spread(figures).median, min(figures), max(figures))
