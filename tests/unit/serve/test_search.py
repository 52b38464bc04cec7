"""Searching beside deciding: turns, ends, and what is on record, without a socket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pdp.config import Profile, Settings
from pdp.decide.engine import Engine
from pdp.decide.search import Walk
from pdp.doors.route import Table
from pdp.identity.caller import Caller
from pdp.model.decision import Capabilities, Reason
from pdp.model.entities import Entities
from pdp.serve import search
from pdp.serve.app import Application
from pdp.serve.limits import FREE, Limits
from pdp.serve.runtime import Runtime, key, make_key
from pdp.serve.snapshot import Snapshot
from pdp.serve.subjects import HEADER, Subjects, Vouched
from tests.audited import Kept
from tests.unit.decide.test_search import CAN, PROGRAM, many

ASKED = {"subject": {"type": "user", "id": "ann"}, "action": {"name": "read"}, "resource": {"type": "record"}}
CALLED = [(b"content-type", b"application/json")]


class World:
    """One application over `many` records."""

    def __init__(self, directory: Path, count: int = 50, may: bool = True, **settings: Any) -> None:
        (directory / "runtime").mkdir(mode=0o700)
        self.log = Kept()
        profile = Profile("portal", None, search=may, capabilities=CAN)
        runtime = Runtime(directory / "runtime")
        self.app = Application(Settings(profiles=(profile,), **settings), runtime, self.log)
        self.put(count)

    @property
    def searches(self) -> Any:
        """What the search endpoints share."""
        _, handler = self.app._doors[b"/access/v1/search/resource"]
        return handler.func.__self__._searches  # type: ignore[attr-defined]

    def put(self, count: int, revision: str = "d") -> None:
        engine = Engine(PROGRAM, Entities(many(count, set(range(0, count, 2))), revision))
        schema = PROGRAM.schema
        self.app.worker.snapshot = Snapshot(engine, schema, Table((), schema), "p", revision, "s", 0.0)

    async def ask(
        self,
        payload: object = ASKED,
        path: bytes = b"/access/v1/search/resource",
        headers: list[tuple[bytes, bytes]] = CALLED,
    ) -> tuple[int, Any]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(payload).encode()}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": headers}
        await self.app(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    def search(self, **page: Any) -> tuple[int, Any]:
        return asyncio.run(self.ask(ASKED | {"page": page}))

    def records(self) -> list[dict[str, Any]]:
        return self.log.records()


def names(answer: Any) -> list[str]:
    return [each["id"] for each in answer["results"]]


def test_a_page_that_runs_out_of_time_is_short_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(search, "PAGE_SECONDS", 0.0)
    status, answer = world.search()
    assert (status, names(answer)) == (200, [])  # Not one slice; and there is a next page.
    monkeypatch.setattr(search, "PAGE_SECONDS", 2.0)
    _, answer = world.search(token=answer["page"]["next_token"])
    assert len(names(answer)) == 25
    assert answer["page"]["next_token"] == ""


def test_a_search_stops_where_the_event_loop_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    step = Walk.step

    def late(walk: Walk, most: int) -> bool:
        world.app.worker.late = True
        return step(walk, most)

    monkeypatch.setattr(Walk, "step", late)
    status, answer = world.search()
    assert status == 200
    assert 0 < len(names(answer)) < 25
    assert answer["page"]["next_token"]
    assert world.search()[0] == 429  # Nothing new is begun until the loop has caught up.


def test_a_page_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, taken = World(tmp_path), []
    world.app._desk.limits.none = False
    monkeypatch.setattr(Limits, "take", lambda _, *given: (taken.append(given), FREE)[1])
    _, answer = world.search(limit=10)
    assert len(taken) == 1
    world.search(token=answer["page"]["next_token"])
    assert len(taken) == 2


def test_one_search_computes_at_a_time_and_few_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(search, "MAX_WAITING", 2)
    computing = most = 0
    step = Walk.step

    async def everything() -> list[tuple[int, Any]]:
        return await asyncio.gather(*(world.ask() for _ in range(6)))

    def counted(walk: Walk, size: int) -> bool:
        nonlocal computing, most
        computing += walk.position == 0
        most = max(most, computing)
        more = step(walk, size)
        computing -= not more
        return more

    monkeypatch.setattr(Walk, "step", counted)
    statuses = sorted(status for status, _ in asyncio.run(everything()))
    assert statuses == [200, 200, 200, 429, 429, 429]
    assert most == 1
    assert asyncio.run(world.ask())[0] == 200  # Whoever has had a turn has given it back.


def test_a_search_that_waits_too_long_is_shed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    monkeypatch.setattr(search, "WAIT_SECONDS", 0.01)

    async def behind_another() -> tuple[int, Any]:
        async with world.searches._turn:
            return await world.ask()

    assert asyncio.run(behind_another())[0] == 429
    assert world.search()[0] == 200


def test_a_session_that_ends_while_a_search_waits_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    ann = Vouched(Caller("user", "ann", "token"))

    async def vouched(*_: object) -> Vouched:
        return ann

    monkeypatch.setattr(Subjects, "vouched", vouched)
    headers = [*CALLED, (HEADER, b"x")]
    monkeypatch.setattr(Subjects, "again", lambda *_: ann)
    assert len(names(asyncio.run(world.ask(headers=headers))[1])) == 25
    monkeypatch.setattr(Subjects, "again", lambda *_: Vouched(None, Reason.SESSION_ENDED, "revoked"))
    status, answer = asyncio.run(world.ask(headers=headers))
    assert (status, answer["results"], answer["context"]["reasons"]) == (200, [], [{"code": "session_ended"}])
    assert world.records()[-1]["detail"] == "revoked"
    assert world.search()[0] == 200


def test_a_fault_gives_the_turn_back_and_nothing_else_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)

    def broken(_walk: Walk, _most: int) -> bool:
        raise RuntimeError("078-05-1120")

    with monkeypatch.context() as patched:
        patched.setattr(Walk, "step", broken)
        status, answer = world.search()
    assert status == 500
    assert "078-05" not in json.dumps([answer, world.records()])
    assert world.search()[0] == 200


def test_a_page_sees_one_snapshot_whatever_is_swapped_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    step = Walk.step

    def swapped(walk: Walk, most: int) -> bool:
        world.put(4, "other")
        return step(walk, most)

    monkeypatch.setattr(Walk, "step", swapped)
    _, answer = world.search()
    assert len(names(answer)) == 25
    assert world.records()[-1]["data_revision"] == "d"
    assert len(names(world.search()[1])) == 2


def test_what_was_listed_goes_with_its_snapshot(tmp_path: Path) -> None:
    import gc

    world = World(tmp_path)
    world.search()
    searches = world.searches
    assert len(searches._catalogues) == 1
    world.put(3, "other")
    gc.collect()
    assert len(searches._catalogues) == 0


def test_a_denied_search_is_recorded_with_what_was_asked(tmp_path: Path) -> None:
    world = World(tmp_path, may=False)
    assert world.search()[0] == 403
    assert world.records()[-1]["detail"] == "may-not-search"


def test_no_program_is_no_search(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.app.worker.snapshot = None
    assert world.search()[0] == 500


def test_an_enforcement_point_that_can_do_nothing_finds_what_needs_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    payload = ASKED | {"context": {"supported_obligations": []}}
    _, answer = asyncio.run(world.ask(payload))
    assert len(names(answer)) == 25
    assert Capabilities() != CAN


def test_the_key_of_a_start_is_shared_private_and_new(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    assert key(runtime) != key(runtime)  # Without one, each for itself.
    make_key(runtime)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert key(runtime) == key(runtime)
    assert len(key(runtime)) == 32
    (tmp_path / "key").write_bytes(b"short")
    assert len(key(runtime)) == 32
    with pytest.raises(FileExistsError):
        make_key(runtime)
