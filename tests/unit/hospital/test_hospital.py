"""The synthetic hospital: the same seed is the same hospital, its log is a real one, its truth speaks of that log."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.checking.findings import Kind
from pdp.audit.checking.verify import verify
from pdp.audit.leaf import CLEAR, Leaf, leaves
from pdp.audit.tree.keys import published
from pdp.audit.veil.privacy import Keys, vault_of
from tests.hospital.hospital import AUDIT, CONTEXT, PLANTS, TRUTH, hospital, write
from tests.hospital.people import SMALL

TINY = replace(SMALL, days=8, patients=300, results=20)
SIX_HOURS = 360


@pytest.fixture(scope="module")
def decisions(place: Path) -> dict[str, Leaf]:
    vault = vault_of(place / AUDIT)
    assert vault is not None
    return {each.id: each for each in leaves(place / AUDIT, Keys(vault)) if each.kind == "decision"}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_questions_context_and_truth(tmp_path: Path) -> None:
    one, other = hospital(TINY, 3), hospital(TINY, 3)
    assert list(one.days()) == list(other.days())
    assert one.planted == other.planted
    write(one, tmp_path / "one", sealed_every=SIX_HOURS)
    write(other, tmp_path / "other", sealed_every=SIX_HOURS)
    names = [TRUTH, PLANTS, *(f"{CONTEXT}/{each.name}" for each in (tmp_path / "one" / CONTEXT).iterdir())]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_another_seed_gives_another_hospital() -> None:
    assert hospital(TINY, 3).planted.asks != hospital(TINY, 4).planted.asks


def test_its_log_verifies_but_for_the_silences_that_were_planted(place: Path) -> None:
    report = verify(place / AUDIT, published(place / AUDIT / "keys"))
    silences = [each for each in table(place / PLANTS) if each["kind"] == "silence"]
    assert [each.kind for each in report.findings] == [Kind.SILENT] * len(silences)
    assert report.size > 10_000
    assert report.waiting == 0


def test_its_details_are_encrypted(place: Path, decisions: dict[str, Leaf]) -> None:
    leaf = next(iter(leaves(place / AUDIT)))
    assert leaf.opened == CLEAR
    assert all(b'"p10' not in each.payload for each in decisions.values())


def test_its_workers_say_each_minute_that_they_are_there(place: Path) -> None:
    beats = [each for each in leaves(place / AUDIT) if each.kind == "heartbeat"]
    silent = sum(51 for each in table(place / PLANTS) if each["kind"] == "silence") // 2
    assert len(beats) == pytest.approx(2 * SMALL.days * 24 * 60, abs=silent + 60)


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
