"""No permit leaves before its record is on disk, at any door; when it cannot be, the answer is a deny."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pdp.audit.journal.wal import Overloaded, Ticket
from pdp.audit.log import EvidenceError, Log
from pdp.model.decision import Reason
from tests.audited import Kept, records
from tests.unit.audit.disks import RESERVE, SEGMENT
from tests.unit.serve.test_app import BODY, JSON, World
from tests.unit.serve.test_grpc_door import Place, denied

PATIENCE = 10.0
BATCH = json.dumps(BODY | {"evaluations": [{}, {}]}).encode()


class Held(Kept):
    """Takes records, and settles their tickets when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: list[Ticket] = []
        self.taken = threading.Event()

    def hand(self, records: Any) -> Ticket:
        super().hand(records)
        ticket = Ticket((), 1, 0)
        self.tickets.append(ticket)
        self.taken.set()
        return ticket

    def settle(self, error: str = "") -> None:
        self.taken.clear()
        tickets, self.tickets = self.tickets, []
        woken: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        for each in tickets:
            each.settle(error, woken)
        for loop, those in woken.items():
            loop.call_soon_threadsafe(lambda those=those: [each.resolve() for each in those])


def hold(world: World) -> Held:
    held = Held()
    world.app._desk._log = held  # type: ignore[assignment]
    return held


DOORS: dict[str, Callable[[World], Any]] = {
    "evaluation": lambda world: world.evaluate(),
    "evaluations": lambda world: world.ask(path=b"/access/v1/evaluations", body=BATCH),
    "unreadable": lambda world: world.ask(body=b"{"),
    "envoy": lambda world: world.check(),
    "route": lambda world: world.check(b"/nowhere"),
    "unknown-user": lambda world: world.evaluate(BODY | {"subject": {"type": "user", "id": "bob"}}),
}
REFUSALS = {"unreadable", "route", "unknown-user"}


@pytest.mark.parametrize("door", DOORS)
def test_checklist_34_nothing_leaves_before_its_record_is_on_disk(tmp_path: Path, door: str) -> None:
    world = World(tmp_path)
    held = hold(world)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(DOORS[door](world)))
    asking.start()
    assert held.taken.wait(PATIENCE)
    asking.join(0.05)
    assert answers == []
    assert asking.is_alive()
    held.settle()
    asking.join(PATIENCE)
    assert answers[0].status in (200, 400, 403)
    assert held.records()


@pytest.mark.parametrize("door", sorted(DOORS.keys() - REFUSALS))
def test_checklist_34_a_record_that_is_lost_on_its_way_is_a_deny(tmp_path: Path, door: str) -> None:
    world = World(tmp_path)
    held = hold(world)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(DOORS[door](world)))
    asking.start()
    assert held.taken.wait(PATIENCE)
    held.settle("the log has no space")
    asking.join(PATIENCE)
    (answer,) = answers
    assert answer.status in (403, 500)
    assert b"true" not in answer.body
    metrics = world.app.worker.metrics
    assert metrics.audit_failures == 1
    assert {effect for _, effect, _ in metrics.decisions} == {"deny"}
    assert {reason for _, _, reason in metrics.decisions} == {"audit_unavailable"}
    assert json.loads(world.ask("GET", b"/ready").body)["status"] == "unavailable"


def test_a_refusal_whose_record_is_lost_is_still_that_refusal(tmp_path: Path) -> None:
    world = World(tmp_path)
    held = hold(world)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(world.check(b"/nowhere")))
    asking.start()
    assert held.taken.wait(PATIENCE)
    held.settle("the log has no space")
    asking.join(PATIENCE)
    assert answers[0].status == 403
    assert {reason for _, _, reason in world.app.worker.metrics.decisions} == {"no_route"}


def test_checklist_34_a_grpc_permit_waits_for_its_record(tmp_path: Path) -> None:
    place = Place(tmp_path)
    held = hold(place.world)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(place.ask()))
    asking.start()
    assert held.taken.wait(PATIENCE)
    asking.join(0.05)
    assert answers == []
    held.settle("the log has no space")
    asking.join(PATIENCE)
    denied(answers[0])


def test_a_grpc_permit_whose_record_does_not_come_in_time_is_a_deny(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdp.serve.desk.RECORD_SECONDS", 0.01)
    place = Place(tmp_path)
    hold(place.world)
    denied(place.ask())


def test_a_log_that_is_behind_sheds_and_is_no_alarm(tmp_path: Path) -> None:
    world = World(tmp_path)

    def behind(_records: object) -> Ticket:
        raise Overloaded("overloaded")

    world.log.hand = behind  # type: ignore[assignment]
    answer = world.evaluate()
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (429, "overloaded")
    assert world.check().status == 429
    metrics = world.app.worker.metrics
    assert metrics.shed == 2
    assert {reason for _, _, reason in metrics.decisions} == {"overloaded"}
    held = hold(world)
    world.app._at_end()
    assert {(each["reason"], each["detail"]) for each in held.records()} == {("overloaded", "audit-overload")}
    assert json.loads(world.ask("GET", b"/ready").body)["status"] != "unavailable"


def test_others_are_answered_while_one_waits_for_the_disk(tmp_path: Path) -> None:
    """The event loop is not held up."""
    world = World(tmp_path)
    held = hold(world)

    async def ask(path: bytes) -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(BODY).encode()}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        method = "GET" if path == b"/live" else "POST"
        scope = {"type": "http", "method": method, "raw_path": path, "query_string": b"", "headers": [JSON]}
        await world.app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    async def both() -> None:
        waiting = [asyncio.create_task(ask(b"/access/v1/evaluation")) for _ in range(3)]
        await asyncio.sleep(0)
        assert await ask(b"/live") == 200
        while len(held.tickets) < 3:
            await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        held.settle()
        assert await asyncio.gather(*waiting) == [200] * 3

    asyncio.run(both())


def test_a_flood_whose_record_was_lost_is_told_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.app.worker.late = True
    for _ in range(3):
        world.check()
    held = hold(world)
    world.app._at_end()
    assert len(held.tickets) == 1
    held.settle("the log has no space")
    world.app._at_end()
    assert len(held.tickets) == 1
    held.settle()
    world.app._at_end()
    assert held.tickets == []
    assert [each["count"] for each in held.records()] == [2, 2]  # One of them was lost.


@pytest.fixture
def real(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.app._desk._log = Log(tmp_path / "audit", "host.example", segment_bytes=SEGMENT, reserve_bytes=RESERVE)
    yield world
    world.app._desk._log.close()


def test_with_the_real_log_every_answer_is_on_record(real: World, tmp_path: Path) -> None:
    answers = [ask(real) for ask in DOORS.values()]
    found = {each["decision_id"].partition(".")[0] for each in records(tmp_path / "audit")}
    assert {each.headers[b"x-pdp-decision"].decode() for each in answers} == found


def test_a_record_that_cannot_be_encoded_is_a_deny(real: World) -> None:
    body = json.dumps(BODY | {"resource": {"type": "record", "id": "x\ud800"}}).encode()
    answer = real.ask(body=body)
    assert answer.status in (400, 500)


def fails_once(patch: pytest.MonkeyPatch, name: str) -> None:
    """A fault of ours after the record, and before the answer."""
    module, _, function = name.rpartition(".")
    real, faults = getattr(import_module(module), function), [RuntimeError("too late for the record")]

    def answer(*given: Any) -> Any:
        if faults:
            raise faults.pop()
        return real(*given)

    patch.setattr(name, answer)


@pytest.mark.parametrize(
    ("door", "answers"), [("evaluation", "pdp.doors.authzen.answer"), ("envoy", "pdp.doors.envoy.answer")]
)
def test_a_permit_that_could_not_leave_and_the_deny_that_left_are_two_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, answers: str
) -> None:
    world = World(tmp_path)
    fails_once(monkeypatch, answers)
    answer = DOORS[door](world)
    assert answer.status in (403, 500)
    permit, deny = world.records()
    assert (permit["effect"], deny["effect"]) == ("allow", "deny")
    assert permit["decision_id"] != deny["decision_id"] == answer.headers[b"x-pdp-decision"].decode()


def test_the_same_over_grpc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    fails_once(monkeypatch, "pdp.doors.envoy_grpc.answer")
    identifier = denied(place.ask())
    permit, deny = place.world.records()
    assert (permit["effect"], deny["effect"]) == ("allow", "deny")
    assert permit["decision_id"] != deny["decision_id"] == identifier


def test_refusals_that_share_a_record_are_told_once_however_slow_the_disk_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    desk = world.app._desk
    held = hold(world)
    world.app.worker.late = True
    for _ in range(3):
        desk.unattended(refused(world))
    for second in range(1, 4):
        desk.tell_floods((1_000 + second) * 1_000_000)
    assert [each.get("count", 1) for each in held.records()] == [1, 2]
    held.settle("the log has no space")
    desk.tell_floods(1_005 * 1_000_000)
    assert [each.get("count", 1) for each in held.records()] == [1, 2, 2]
    held.settle()
    desk.tell_floods(1_006 * 1_000_000)
    assert len(held.records()) == 3


def refused(world: World) -> Any:
    exchange = world.app._desk.exchange("authzen")
    exchange.now = 1_000 * 1_000_000
    world.app._desk.record_refusal(exchange, Reason.OVERLOADED, "overload")
    return exchange


def test_who_sends_what_cannot_be_read_does_not_say_that_the_log_works(tmp_path: Path) -> None:
    world = World(tmp_path)
    held = hold(world)
    world.app.worker.audit_failed(EvidenceError("the log has no space"))
    world.app.malformed(b"/access/v1/evaluation", "http-400", 400)
    assert held.records()
    assert world.app.worker._audit_problem
