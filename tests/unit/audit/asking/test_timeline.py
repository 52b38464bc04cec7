"""A story in the order of time, with what there is to see in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.asking import timeline
from pdp.audit.asking.asked import Asked
from pdp.audit.asking.query import search
from pdp.audit.asking.timeline import SYSTEM, Event, Story, TooMuch
from pdp.audit.record import stamp
from tests.unit.audit.stories import HOUR, MARCH, MINUTE, decided, log


def told(directory: Path, **asked: str) -> list[Event]:
    story = Story("Patient")
    for leaf in search(directory, Asked(**asked)).hits():
        story.take(leaf)
    for leaf in search(directory, Asked(kinds=SYSTEM)).hits():
        story.take_system(leaf)
    return story.told()


def said(kind: str, at: int, **more: object) -> dict[str, object]:
    return {"v": 1, "id": kind, "kind": kind, "ts": stamp(at), **more}


def names(events: list[Event]) -> list[str]:
    return [each.told or each.row.decision for each in events if each.row is not None or each.told]


def test_the_order_is_that_of_time_not_that_of_the_log(tmp_path: Path) -> None:
    log(tmp_path, decided(id="b", at=MARCH + HOUR), decided(id="a", at=MARCH), decided(id="c", at=MARCH + 2 * HOUR))
    assert names(told(tmp_path, patient="pat-1")) == ["a", "b", "c"]


def test_marks_say_what_there_is_to_see(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="a", at=MARCH, effect="deny"),
        decided(id="b", at=MARCH + MINUTE, effect="deny"),
        decided(id="c", at=MARCH + 2 * MINUTE, purpose="BTG"),
        decided(id="d", at=MARCH + 3 * MINUTE),
        decided(id="e", who="dora", at=MARCH + 4 * MINUTE),
        decided(id="f", who="dora", at=MARCH + 5 * MINUTE, effect="deny"),
        decided(id="g", who="dora", at=MARCH + 5 * HOUR),
    )
    marks = {each.row.decision: each.marks for each in told(tmp_path, patient="pat-1") if each.row is not None}
    assert marks == {
        "a": (),
        "b": (),
        "c": ("first access", "purpose was TREAT", "EMERGENCY", "after 2 denials"),
        "d": ("purpose was BTG",),
        "e": ("first access",),
        "f": (),
        "g": (),
    }


def test_what_the_log_says_of_itself_stands_between(tmp_path: Path) -> None:
    beats = [said("heartbeat", MARCH + number * MINUTE) for number in (0, 1, 2, 40, 41)]
    log(
        tmp_path,
        decided(id="a", at=MARCH + MINUTE),
        *beats,
        said("policy.activate", MARCH + 10 * MINUTE, bundle={"sha256": "ab" * 32, "version": "7"}),
        said("audit.status", MARCH + 20 * MINUTE, event="corruption", what="chain", slot=0, segment=2),
        said("audit.status", MARCH + 20 * MINUTE, event="key-published"),
        said("policy.activate", MARCH + 20 * HOUR),
        decided(id="b", at=MARCH + 50 * MINUTE),
    )
    assert names(told(tmp_path, patient="pat-1")) == [
        "a",
        "no heartbeat of pdp.example/host-1/0 for 38 minutes from here on",
        "another policy set is in force: abababababababab 7",
        "THE LOG WAS DAMAGED: corruption chain slot 0 segment 2",
        "b",
    ]
    assert told(tmp_path, patient="pat-9") == []


def test_changes_of_keys_and_prunings_say_which(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="a", at=MARCH),
        said("key.rotate", MARCH + MINUTE, of="pseudonyms", epoch=2),
        said("key.erase", MARCH + 2 * MINUTE, kids=["20260101-x"]),
        said("prune", MARCH + 3 * MINUTE, min_index=256, before="2020-01-01T00:00:00Z", records=256, hashes="kept"),
        decided(id="b", at=MARCH + 4 * MINUTE),
    )
    assert names(told(tmp_path, patient="pat-1"))[1:-1] == [
        "another key: pseudonyms epoch 2",
        "keys of details were erased: kids 20260101-x",
        "records were pruned: up to record 256, before 2020-01-01 records 256 hashes kept",
    ]


def test_a_story_that_nobody_could_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log(tmp_path, *(decided() for _ in range(4)))
    monkeypatch.setattr(timeline, "MOST", 3)
    with pytest.raises(TooMuch):
        told(tmp_path, patient="pat-1")
