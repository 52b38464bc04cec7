"""What detection finds of the misuse in a small hospital. The floors stand well below what was measured
(docs/bench.md): they guard against a rule that falls silent, or that begins to cry wolf.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hospital.people import SMALL
from tests.hospital.score import Claim, Plant, Score, Truth, claims, detected, score

if TYPE_CHECKING:
    from pdp.audit.detect.report import Report

PRECISION, RECALL, BLATANT = 0.75, 0.70, 0.85
EXPLAINED = 0.85
WRONG_A_DAY = 1.5


@pytest.fixture(scope="module")
def report(place: Path) -> Report:
    return detected(place)


@pytest.fixture(scope="module")
def ours(place: Path, report: Report) -> Score:
    return score(Truth.read(place, SMALL.days), claims(report))


def test_most_of_what_was_planted_is_found(ours: Score) -> None:
    assert ours.recall >= RECALL, [f"{each.kind} {each.grade}" for each in ours.missed]


def test_nearly_all_that_is_blatant_is_found(ours: Score) -> None:
    found, of = ours.by_grade["blatant"]
    assert found / of >= BLATANT, [each.kind for each in ours.missed if each.grade == "blatant"]


def test_few_cases_are_wrong(ours: Score) -> None:
    assert ours.precision >= PRECISION, ours.wrong
    assert ours.wrong_a_day <= WRONG_A_DAY


def test_ordinary_work_is_explained(report: Report) -> None:
    assert report.explained_share >= EXPLAINED


def test_explanations_are_what_makes_it_precise(place: Path, ours: Score) -> None:
    without = score(Truth.read(place, SMALL.days), claims(detected(place, explaining=False)))
    assert without.precision < ours.precision
    assert without.alerts_a_day > ours.alerts_a_day


def test_every_record_is_read_in_the_order_of_time(report: Report) -> None:
    assert report.detector.tally.late == 0
    assert report.detector.tally.locked == 0


# ----------------------------------------------------------------------------------------------------- the score itself

PLANTS = [
    Plant("0", "own-chart", "M5", "blatant", 0, 0, frozenset({"a", "b"})),
    Plant("1", "silence", "M20", "subtle", 1_000_000_000, 2_000_000_000, frozenset()),
]


def test_a_claim_is_right_where_it_rests_on_something_labelled() -> None:
    made = score(Truth(PLANTS, 2), [Claim(frozenset({"b", "x"})), Claim(frozenset({"y"}), frozenset({"M11"}))])
    assert (made.precision, made.recall) == (0.5, 0.5)
    assert (made.access_precision, made.access_recall) == (1 / 3, 0.5)
    assert (made.alerts_a_day, made.wrong_a_day) == (1, 0.5)
    assert made.wrong == {"M11": 1}
    assert [each.kind for each in made.missed] == ["silence"]


@pytest.mark.parametrize(("first", "right"), [(1_500_000_000, 1), (9_000_000_000, 0)])
def test_a_silence_is_found_by_its_time(first: int, right: int) -> None:
    made = score(Truth(PLANTS, 1), [Claim(frozenset(), frozenset({"M20"}), first, first, True)])
    assert made.right == right


def test_nothing_told_is_no_recall_and_nothing_wrong() -> None:
    made = score(Truth(PLANTS, 1), [])
    assert (made.precision, made.recall) == (1, 0)
