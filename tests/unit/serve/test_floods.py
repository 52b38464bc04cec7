"""Refusals that anybody can cause in any number: each is answered and counted, and the disk does not fill."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path
from threading import Thread

import pytest

from pdp.config import Profile
from pdp.model.decision import Reason
from pdp.serve import floods
from pdp.serve.floods import OF_THEIR_OWN, SECOND, Floods
from tests.unit.serve.test_app import BODY, World, break_the_log

PEP = (Profile("portal", b"secret-of-the-portal"),)


def made() -> Floods:
    numbers = count(1)
    return Floods(lambda: f"shared-{next(numbers)}")


def shed(asked: Floods, now: int, door: str = "ext_authz") -> str:
    return asked.shared(door, "-", Reason.OVERLOADED, "overload", now)


def test_of_an_overload_the_first_in_each_second_has_its_own_record_and_the_others_share_one() -> None:
    asked = made()
    assert [shed(asked, 0), shed(asked, 1), shed(asked, 999_999)] == ["", "shared-1", "shared-1"]
    assert asked.over(999_999) == []
    assert shed(asked, SECOND) == ""
    (told,) = asked.over(SECOND)
    assert (told.identifier, told.shared, told.now, told.reason) == ("shared-1", 2, 1, Reason.OVERLOADED)
    assert asked.over(5 * SECOND) == []


def test_other_refusals_share_only_beyond_a_bound() -> None:
    asked = made()
    given = [asked.shared("-", "-", Reason.BAD_REQUEST, "http-400", 0) for _ in range(OF_THEIR_OWN + 5)]
    assert given == [""] * OF_THEIR_OWN + ["shared-1"] * 5
    assert asked.shared("-", "-", Reason.BAD_REQUEST, "http-431", 0) == ""


def test_of_all_kinds_together_a_day_of_refusals_fills_no_disk() -> None:
    asked, own, seen = made(), 0, 0
    for second in range(3_600):
        for kind in range(20):
            for _ in range(5):  # Of no kind so many that they would share.
                seen += 1
                own += not asked.shared("authzen", "-", Reason.BAD_REQUEST, f"kind-{kind}", second * SECOND)
    told = sum(each.shared for each in asked.over(0, all_of_them=True))
    assert own <= floods.STORE + 3_600 * floods.PER_SECOND
    assert own + told == seen


def test_a_clock_that_steps_back_gives_nobody_more_records() -> None:
    asked, own = made(), 0
    for step in range(20_000):
        own += not asked.shared("authzen", "-", Reason.BAD_REQUEST, f"kind-{step % 200}", 10**15 - step)
    assert own == floods.STORE


def test_what_could_not_be_written_is_told_again() -> None:
    asked = made()
    for now in (0, 1, 2):
        shed(asked, now)
    told = asked.over(SECOND)
    asked.back(told)
    assert asked.over(SECOND) == told


def test_a_clock_that_steps_back_begins_another_second() -> None:
    asked = made()
    assert [shed(asked, 10 * SECOND), shed(asked, 10 * SECOND), shed(asked, 3 * SECOND)] == ["", "shared-1", ""]
    assert [each.shared for each in asked.over(3 * SECOND)] == [1]


def test_threads_count_exactly() -> None:
    asked, seen = made(), Counter[str]()

    def run() -> None:
        mine = Counter(shed(asked, step * 1_000) for step in range(1_000))
        seen.update(mine)

    threads = [Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    told = asked.over(0, all_of_them=True)
    assert sum(each.shared for each in told) + seen[""] == 4_000


def test_checklist_31_34_a_flood_is_refused_one_by_one_and_recorded_in_sum(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.app.worker.late = True
    answers = [world.check() for _ in range(200)] + [world.evaluate() for _ in range(100)]
    assert {each.status for each in answers} == {429}
    world.app.worker.at_end()
    records = world.records()
    assert len(records) < 20
    assert sum(each.get("count", 1) for each in records) == 300
    ids = {each["decision_id"] for each in records}
    assert {each.headers[b"x-pdp-decision"].decode() for each in answers} == ids
    assert len(ids) == len(records)
    counted = world.app.worker.metrics.decisions
    assert sum(counted.values()) == 300


def test_checklist_29_34_who_is_nobody_cannot_fill_the_disk(tmp_path: Path) -> None:
    world = World(tmp_path, profiles=PEP)
    answers = [world.evaluate(BODY) for _ in range(300)]
    assert {each.status for each in answers} == {401}
    world.app.worker.at_end()
    records = world.records()
    assert len(records) <= 2 * (floods.OF_THEIR_OWN + 1)
    assert sum(each.get("count", 1) for each in records) == 300
    assert {each["detail"] for each in records} == {"no-secret"}


@pytest.mark.parametrize(
    ("headers", "detail"),
    [(((b"host", b"ehr.example"),), "no-subject"), (((b"host", b"a, b"), (b"x-user", b"alice")), "malformed-host")],
)
def test_whom_a_known_proxy_does_not_know_cannot_fill_the_disk_either(
    tmp_path: Path, headers: tuple[tuple[bytes, bytes], ...], detail: str
) -> None:
    world = World(tmp_path)
    answers = [world.ask("GET", b"/ext_authz/fhir/Record/r1", headers=headers) for _ in range(300)]
    assert {each.status for each in answers} <= {401, 403}
    world.app.worker.at_end()
    records = world.records()
    assert len(records) <= 2 * (floods.OF_THEIR_OWN + 1)
    assert sum(each.get("count", 1) for each in records) == 300
    assert {(each["detail"], each["pep"]) for each in records} == {(detail, "default")}
    assert {each.headers[b"x-pdp-decision"].decode() for each in answers} == {each["decision_id"] for each in records}


def test_who_is_known_has_a_record_of_each_refusal(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(300):
        world.ask("GET", b"/ext_authz/nowhere", headers=((b"host", b"ehr.example"), (b"x-user", b"nina")))
    assert len(world.records()) == 300


def test_a_flood_that_cannot_be_written_waits_for_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.app.worker.late = True
    for _ in range(3):
        world.check()
    before = sum(each.get("count", 1) for each in world.records())
    with monkeypatch.context() as broken:
        break_the_log(world, broken)
        world.app.worker.at_end()
    world.app.worker.at_end()
    assert before < 3
    assert sum(each.get("count", 1) for each in world.records()) == 3
