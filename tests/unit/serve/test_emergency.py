"""Where the log cannot be written: who is permitted all the same, and what is on record of it. Mostly nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal.reader import slots
from pdp.audit.journal.wal import Overloaded
from pdp.audit.log import Log
from pdp.config import ConfigError, Settings, load
from pdp.config.emergency import Emergency
from pdp.serve import emergency
from tests.audited import records
from tests.unit.audit.disks import RESERVE, SEGMENT, Faulty
from tests.unit.serve.test_app import BODY, World


class Place:
    """A service whose first disk does what it is told."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, on: bool = True) -> None:
        self.first, self.second = directory / "first", directory / "second"
        settings = {"emergency": Emergency(self.second, frozenset({"ETREAT"}))} if on else {}
        monkeypatch.setattr("pdp.serve.desk.purpose_of", lambda request: request.context.get("purpose", ""))
        monkeypatch.setattr("pdp.serve.desk.admitted", lambda request, *_: (request, ()))
        monkeypatch.setattr(
            emergency, "_log", lambda settings: self.log(self.second) if settings.emergency.on else None
        )
        self.said: list[str] = []
        monkeypatch.setattr(emergency, "say", self.said.append)
        self.world = World(directory, audit_dir=self.first, audit_details="clear", **settings)
        self.desk = self.world.app._desk
        self.main = self.log(self.first)
        self.desk._log = self.main
        self.hand = self.main.hand

    @staticmethod
    def log(directory: Path) -> Log:
        return Log(directory, f"host.example/{directory.name}", segment_bytes=SEGMENT, reserve_bytes=RESERVE)

    def breaks(self, error: Exception | None = None) -> None:
        def fail(*_: object) -> None:
            raise error or EvidenceError("the log has no space")

        self.main.hand = self.main.note = fail  # type: ignore[method-assign, assignment]

    def mends(self) -> None:
        del self.main.hand, self.main.note

    def ask(self, purpose: str = "ETREAT", **more: Any) -> SimpleNamespace:
        return self.world.evaluate(BODY | {"context": {"purpose": purpose}} | more)

    def close(self) -> None:
        self.main.close()
        self.desk.spool.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path, monkeypatch)
    yield found
    found.close()


def permitted(answer: SimpleNamespace) -> bool:
    return answer.status == 200 and json.loads(answer.body)["decision"] is True


def told(directory: Path) -> list[dict[str, Any]]:
    found = [json.loads(frame.payload) for slot in slots(directory) for _, frame in slot.frames()]
    return [each for each in found if each.get("event") == emergency.USED]


def test_a_permit_for_a_listed_purpose_is_recorded_on_the_second_disk(place: Place) -> None:
    place.breaks()
    answer = place.ask()
    assert permitted(answer)
    assert answer.headers[b"x-pdp-receipt"].startswith(b"host.example/second/")
    (record,) = records(place.second)
    assert record["decision_id"] == answer.headers[b"x-pdp-decision"].decode()
    assert place.world.app.worker.metrics.audit_emergencies == 1
    assert [each for each in place.said if "ALARM" in each]


DENIED: dict[str, Callable[[Place], SimpleNamespace]] = {
    "another purpose": lambda place: place.ask("TREAT"),
    "no purpose": lambda place: place.world.evaluate(),
    "a deny": lambda place: place.ask(subject={"type": "user", "id": "bob"}),
    "the proxy door": lambda place: place.world.check(),
    "a batch with another purpose": lambda place: place.world.ask(
        path=b"/access/v1/evaluations",
        body=json.dumps(
            BODY | {"evaluations": [{"context": {"purpose": each}} for each in ("ETREAT", "TREAT")]}
        ).encode(),
    ),
    "unreadable": lambda place: place.world.ask(body=b"{"),
}


@pytest.mark.parametrize("what", DENIED)
def test_everything_else_stays_a_deny(place: Place, what: str) -> None:
    place.breaks()
    answer = DENIED[what](place)
    assert answer.status in (400, 403, 500)
    assert b"true" not in answer.body
    assert records(place.second) == []
    assert place.world.app.worker.metrics.audit_emergencies == 0


def test_a_batch_of_nothing_else_is_permitted(place: Place) -> None:
    place.breaks()
    items = [{"context": {"purpose": "ETREAT"}}] * 2
    answer = place.world.ask(path=b"/access/v1/evaluations", body=json.dumps(BODY | {"evaluations": items}).encode())
    assert [each["decision"] for each in json.loads(answer.body)["evaluations"]] == [True, True]
    assert len(records(place.second)) == 2


def test_without_the_setting_nothing_is_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, monkeypatch, on=False)
    place.breaks()
    assert place.ask().status == 500
    assert not place.second.exists()
    place.close()


def test_where_the_second_disk_fails_too_it_is_a_deny(place: Place) -> None:
    place.breaks()
    place.second.write_text("a file is in the way")
    assert place.ask().status == 500


def test_a_disk_that_is_behind_is_no_emergency(place: Place) -> None:
    place.breaks(Overloaded("overloaded"))
    assert place.ask().status == 429
    assert not place.second.exists()


def test_a_write_that_fails_afterwards_goes_to_the_second_disk_too(place: Place) -> None:
    disk = Faulty()
    place.desk._log = broken = Log(
        place.first, "host.example", segment_bytes=SEGMENT, reserve_bytes=RESERVE, disk=disk, retry_seconds=3_600.0
    )
    broken.open()
    disk.fail("fdatasync", times=1_000_000)
    answer = place.ask()
    assert permitted(answer)
    assert answer.headers[b"x-pdp-receipt"].startswith(b"host.example/second/")
    assert len(records(place.second)) == 1
    assert place.ask("TREAT").status == 500
    broken.close()


def test_while_the_log_works_the_second_disk_is_not_used(place: Place) -> None:
    assert permitted(place.ask())
    assert records(place.second) == []
    place.desk.tell_emergencies()
    assert told(place.first) == told(place.second) == []


def test_both_logs_say_afterwards_that_it_was_used(place: Place) -> None:
    place.breaks()
    ids = [place.ask().headers[b"x-pdp-decision"].decode() for _ in range(3)]
    for _ in range(3):
        place.desk.tell_emergencies()
    assert told(place.first) == []
    place.mends()
    place.desk.tell_emergencies()
    place.main.close()
    place.desk.spool.close()
    for where in (place.first, place.second):
        (found,) = told(where)
        assert (found["permits"], found["decisions"]) == (3, ids)
    for _ in range(3):
        place.desk.tell_emergencies()
    assert len(told(place.first)) == 1


def test_the_space_is_taken_at_start(place: Place) -> None:
    place.desk.spool.open()
    assert list((place.second / "wal/0").glob("seg-*.wal"))


def test_a_second_disk_that_cannot_be_used_is_said_at_start(place: Place) -> None:
    place.second.write_text("a file is in the way")
    place.desk.spool.open()
    assert any("without it there is no exception" in each for each in place.said)


@pytest.mark.parametrize(
    "text",
    [
        "emergency = 1",
        "[emergency]",
        '[emergency]\naudit_dir = "second"',
        '[emergency]\npurposes = ["ETREAT"]',
        '[emergency]\naudit_dir = "second"\npurposes = []',
        '[emergency]\naudit_dir = "audit"\npurposes = ["ETREAT"]',
        '[emergency]\naudit_dir = "second"\npurposes = ["ETREAT"]\nalways = true',
    ],
)
def test_half_a_setting_opens_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pdp.toml").write_text(text)
    with pytest.raises(ConfigError, match="emergency"):
        load({}, tmp_path)


def test_the_setting_is_read(tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text('[emergency]\naudit_dir = "second"\npurposes = ["ETREAT", "BTG"]')
    assert load({}, tmp_path).emergency == Emergency(tmp_path / "second", frozenset({"ETREAT", "BTG"}))
    assert Settings().emergency.on is False
