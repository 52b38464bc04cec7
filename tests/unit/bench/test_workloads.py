"""The workloads of `scripts/bench`: seeded, the same rules in every language, the same answers from every engine."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "bench.d"))

import peers
from ours import Ours
from workloads import Workload, gdrive, github, hospital, tinytodo
from workloads.hospital import RULES, Indexed

SMALL = {
    "gdrive": lambda: gdrive(8, 120),
    "github": lambda: github(8, 120),
    "tinytodo": lambda: tinytodo(8, 120),
    "hospital-3": lambda: hospital(3, 200),
}


@cache
def small(name: str) -> Workload:
    return SMALL[name]()


@cache
def answers(name: str) -> tuple[bool, ...]:
    return tuple(Ours(small(name)).answers())


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_workload(name: str) -> None:
    assert SMALL[name]() == small(name)


def test_another_seed_gives_another_workload() -> None:
    assert gdrive(8, 50, seed=2).questions != gdrive(8, 50, seed=1).questions


@pytest.mark.parametrize(("departments", "rules"), [(5, 170), (300, 9_905)])
def test_hospital_has_33_rules_for_each_department_and_5_for_the_house(departments: int, rules: int) -> None:
    assert len(RULES) == 33
    assert hospital(departments, 0).rules == rules


@pytest.mark.parametrize("name", SMALL)
def test_ours_has_as_many_rules_as_the_workload_says(name: str) -> None:
    assert len(Ours(small(name)).built.program.policies.rules) == small(name).rules


@pytest.mark.parametrize("name", SMALL)
def test_both_answers_occur(name: str) -> None:
    assert 10 <= sum(answers(name)) <= len(answers(name)) - 10


@pytest.mark.parametrize("name", SMALL)
def test_cedar_answers_as_we_do(name: str) -> None:
    if peers.cedarpy is None:
        pytest.skip("cedarpy is not installed (the `bench` extra)")
    assert peers.Cedar(small(name)).answers() == list(answers(name))


def test_casbin_answers_as_we_do() -> None:
    if peers.casbin is None:
        pytest.skip("casbin is not installed (the `bench` extra)")
    assert peers.Casbin(small("hospital-3"), 3).answers(200) == list(answers("hospital-3"))


def test_the_index_by_hand_answers_as_we_do() -> None:
    indexed = Indexed(small("hospital-3"), 3)
    assert [indexed.allows(each) for each in small("hospital-3").questions] == list(answers("hospital-3"))


@pytest.mark.parametrize("name", SMALL)
def test_the_cache_answers_as_the_engine_does(name: str) -> None:
    ours = Ours(small(name))
    for _ in range(2):
        assert [ours.engine.decide(*each).allowed for each in ours.arguments] == list(answers(name))
