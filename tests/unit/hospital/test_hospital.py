"""The synthetic hospital: the same seed is the same hospital, its log is a real one, its truth speaks of that log."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.keys import published
from pdp.audit.leaf import Leaf, leaves
from pdp.audit.verify import verify
from tests.hospital.hospital import AUDIT, CONTEXT, PLANTS, TRUTH, hospital, write
from tests.hospital.people import SMALL

TINY = replace(SMALL, days=8, patients=300, results=20)
SEED = 7


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small hospital, written once for all that look at it."""
    place = tmp_path_factory.mktemp("hospital")
    write(hospital(SMALL, SEED), place)
    return place


@pytest.fixture(scope="module")
def decisions(place: Path) -> dict[str, Leaf]:
    return {each.id: each for each in leaves(place / AUDIT) if each.kind == "decision"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_questions_context_and_truth(tmp_path: Path) -> None:
    one, other = hospital(TINY, 3), hospital(TINY, 3)
    assert list(one.days()) == list(other.days())
    assert one.planted == other.planted
    write(one, tmp_path / "one")
    write(other, tmp_path / "other")
    names = [TRUTH, PLANTS, *(f"{CONTEXT}/{each.name}" for each in (tmp_path / "one" / CONTEXT).iterdir())]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_another_seed_gives_another_hospital() -> None:
    assert hospital(TINY, 3).planted.asks != hospital(TINY, 4).planted.asks


def test_its_log_verifies(place: Path) -> None:
    report = verify(place / AUDIT, published(place / AUDIT / "keys"))
    assert report.findings == []
    assert report.size > 10_000


def test_the_truth_speaks_of_decisions_that_are_in_the_log(place: Path, decisions: dict[str, Leaf]) -> None:
    rows = table(place / TRUTH)
    assert rows
    for row in rows:
        leaf = decisions[row["decision"]]
        assert leaf.members["ts"].startswith(row["time"].rstrip("Z"))
        assert (leaf.members["sub"]["type"], leaf.detail["sub"]["id"]) == (row["subject_type"], row["subject"])


def test_every_kind_is_planted_blatantly_and_subtly(place: Path) -> None:
    grades: dict[str, set[str]] = {}
    for row in table(place / PLANTS):
        grades.setdefault(row["kind"], set()).add(row["grade"])
    assert len(grades) >= 18
    assert all(each == {"blatant", "subtle"} for each in grades.values()), grades


def test_misuse_is_a_small_part_of_what_happens(place: Path, decisions: dict[str, Leaf]) -> None:
    assert len(table(place / TRUTH)) < len(decisions) / 10


def test_nobody_of_ordinary_work_is_denied_often(place: Path, decisions: dict[str, Leaf]) -> None:
    bad = {row["decision"] for row in table(place / TRUTH)}
    ordinary = [each for each in decisions.values() if each.id not in bad]
    denied = [each for each in ordinary if each.members["dec"]["effect"] == "deny"]
    assert 0 < len(denied) < len(ordinary) / 20


def test_nobody_is_the_culprit_of_two_kinds(place: Path) -> None:
    kinds: dict[str, set[str]] = {}
    for row in table(place / TRUTH):
        if row["subject_type"] == "user":
            kinds.setdefault(row["subject"], set()).add(row["kind"])
    assert all(len(each) == 1 for each in kinds.values())
