"""Somebody hears of it before anybody is denied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.journal.space import Space
from pdp.config import Settings
from pdp.serve.ladder import Ladder, Step, Watch
from pdp.serve.runtime import Runtime
from pdp.serve.worker import Worker
from tests.audited import Kept

START = 1_000_000.0


class Place:
    """A disk and a sealer that do what they are told."""

    def __init__(self, **settings: Any) -> None:
        self.free, self.ticks, self.looks = 50, 0.0, 0
        self.ladder = Ladder(Settings(**settings), START, self.look, lambda: self.ticks)

    def look(self, _: Path) -> Space | None:
        self.looks += 1
        return Space(self.free, 100) if self.free >= 0 else None

    def rungs(self, later: float = 0.0, **sealer: Any) -> list[tuple[Step, str]]:
        self.ticks += 2
        return [(each.step, each.problem) for each in self.ladder.rungs(START + later, sealer)]


FULL, WAITS = "the disk of the audit log is nearly full", "the audit log waits to be sealed"


@pytest.mark.parametrize(
    ("free", "step"),
    [
        (10, None),
        (9, Step.ALARM),
        (5, Step.ALARM),
        (4, Step.DEGRADED),
        (2, Step.DEGRADED),
        (1, Step.NOT_READY),
        (0, Step.NOT_READY),
    ],
)
def test_space_goes_up_in_steps(free: int, step: Step | None) -> None:
    place = Place()
    place.free = free
    assert place.rungs() == ([(step, FULL)] if step else [])


def test_what_nobody_can_say_is_no_step() -> None:
    place = Place()
    place.free = -1
    assert place.rungs() == []


def test_steps_can_be_switched_off() -> None:
    place = Place(audit_space_warn_percent=0, audit_space_low_percent=0, audit_space_stop_percent=0)
    place.free = 0
    assert place.rungs() == []


@pytest.mark.parametrize(
    ("waited", "step"), [(60, None), (61, Step.DEGRADED), (300, Step.DEGRADED), (301, Step.NOT_READY)]
)
def test_records_that_wait_to_be_sealed_go_up_in_steps(waited: float, step: Step | None) -> None:
    place = Place()
    assert place.rungs(500 + waited, drained_at=START + 500) == ([(step, WAITS)] if step else [])
    assert place.rungs(waited) == ([(step, WAITS)] if step else []), "also where no sealer ever ran"


def test_the_disk_is_looked_at_once_a_second() -> None:
    place = Place()
    for _ in range(10):
        place.ladder.rungs(START, {})
    assert place.looks == 1


def test_each_step_is_said_once_and_so_is_its_end() -> None:
    place, said = Place(), list[str]()
    watch = Watch(place.ladder, said.append)
    for free in (50, 9, 9, 8, 4, 4, 1, 1, 50, 50):
        place.free = free
        place.ticks += 2
        told = watch.look(START, {})
    assert [each.split(" of the disk")[0] for each in said] == [
        "ALARM: less than 10 %",
        "ALARM: less than 5 %",
        "ALARM: less than 2 %",
        f"mended: {FULL}",
    ]
    assert said[2].endswith("(/ready is 503)")
    assert told == {"unsealed_seconds": 0.0, "free_bytes": 50, "total_bytes": 100}


def test_ready_is_degraded_and_then_503(tmp_path: Path) -> None:
    place = Place()
    worker = Worker(Settings(audit_dir=tmp_path, state_dir=tmp_path), Runtime(tmp_path), Kept())
    worker._ladder = place.ladder

    def ready() -> tuple[int, list[str]]:
        place.ticks += 2
        status, body = worker.ready(int(START * 1_000_000))
        return status, [each for each in json.loads(body)["problems"] if each == FULL]

    assert ready()[1] == []
    place.free = 9
    assert ready()[1] == [], "an alarm alone is no business of whoever asks"
    place.free = 4
    assert ready()[1] == [FULL]
    place.free = 1
    place.ticks += 2
    assert not worker.able(int(START * 1_000_000))
