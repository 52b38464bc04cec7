"""A worker that follows the store: what others revoke, a file of revocations, a store that fails, clocks that step."""

import json
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.config import Profile, Settings
from pdp.config.sessions import SessionSettings
from pdp.identity.caller import Caller, Evidence
from pdp.identity.revocations import CLIENT, SECOND, SESSION, SUBJECT, TOKEN, Revocation
from pdp.identity.sessions import IDLE, REVOKED, UNAVAILABLE, Limits, _first, key_of
from pdp.identity.store import FILE, Store, prepare
from pdp.serve.callers import Callers, Ended
from pdp.serve.sessions import FORGET_SECONDS, Following
from tests.in_time import in_time
from tests.unit.identity.tokens import ISSUER, NOW, NOW_SECONDS, issuer, token

TOKEN_OF_DORA = Caller(
    "user", "dora", "token", issuer=ISSUER, session="s-1", issued=NOW, authenticated=NOW, expires=NOW + 3_600 * SECOND
)
DAY = 86_400


class Clocks:
    """Time, as it is set and as it goes."""

    def __init__(self) -> None:
        self.now, self.seconds = NOW, 0.0

    def go(self, *workers: Following, seconds: float = 0.2) -> None:
        self.now += int(seconds * SECOND)
        self.seconds += seconds
        for each in workers:
            each.step(self.now, self.seconds)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def chosen(directory: Path, **changed: Any) -> Settings:
    usual: dict[str, Any] = {"limits": Limits(100, 1_000)}
    return Settings(state_dir=directory / "state", issuers=(issuer(),), sessions=SessionSettings(**(usual | changed)))


def started(directory: Path, clocks: Clocks, **changed: Any) -> Following:
    prepare(directory / "state")
    made = Following(chosen(directory, **changed))
    clocks.go(made)
    return made


def judge(worker: Following, clocks: Clocks, caller: Caller = TOKEN_OF_DORA) -> str:
    return worker.sessions.judge(caller, clocks.now)


# --------------------------------------------------------------------------------------------------------- following


def test_what_is_revoked_is_refused_in_every_worker_after_one_look(tmp_path: Path, clocks: Clocks) -> None:
    workers = [started(tmp_path, clocks) for _ in range(3)]
    assert [judge(each, clocks) for each in workers] == ["", "", ""]
    Store(tmp_path / "state").revoke([Revocation(ISSUER, SUBJECT, "dora", clocks.now)], clocks.now)
    clocks.go(*workers)
    assert [judge(each, clocks) for each in workers] == [REVOKED, REVOKED, REVOKED]
    assert judge(started(tmp_path, clocks), clocks) == REVOKED


def test_what_is_revoked_after_an_older_state_was_restored_in_place_counts(tmp_path: Path, clocks: Clocks) -> None:
    worker, store = started(tmp_path, clocks), Store(tmp_path / "state")
    old = Caller("user", "old", "token", issuer=ISSUER, session="s-0", issued=NOW, authenticated=NOW)
    for name in ("old", "a", "b", "c"):
        store.revoke([Revocation(ISSUER, SUBJECT, name, clocks.now + SECOND)], clocks.now)
    clocks.go(worker)
    with closing(sqlite3.connect(tmp_path / "state" / FILE)) as restored, restored:
        restored.execute("DELETE FROM revocations")
        restored.execute("UPDATE counter SET sequence = 0")
    store.revoke([Revocation(ISSUER, SUBJECT, "dora", clocks.now + SECOND)], clocks.now)
    clocks.go(worker)
    assert judge(worker, clocks) == REVOKED
    assert judge(worker, clocks, old) == REVOKED, "what was known stays in force"


def test_use_in_one_worker_keeps_the_session_alive_in_another(tmp_path: Path, clocks: Clocks) -> None:
    here, there = started(tmp_path, clocks), started(tmp_path, clocks)
    assert judge(there, clocks) == ""
    for _ in range(6):
        clocks.go(here, there, seconds=50)
        assert judge(here, clocks) == ""
        clocks.go(here, there, seconds=2)
    assert judge(there, clocks) == ""


def test_what_ended_here_has_ended_there_and_after_a_restart(tmp_path: Path, clocks: Clocks) -> None:
    here, there = started(tmp_path, clocks), started(tmp_path, clocks)
    assert [judge(each, clocks) for each in (here, there)] == ["", ""]
    clocks.go(here, there, seconds=101)
    assert judge(here, clocks) == IDLE
    clocks.go(here, there, seconds=2)
    again = started(tmp_path, clocks)
    renewed = Caller(
        "user",
        "dora",
        "token",
        issuer=ISSUER,
        session="s-1",
        issued=clocks.now,
        authenticated=NOW,
        tells_authentication=True,
    )
    assert [judge(each, clocks, renewed) for each in (here, there, again)] == [IDLE, IDLE, IDLE]


def test_a_step_back_of_the_clock_over_a_restart_opens_nothing(tmp_path: Path, clocks: Clocks) -> None:
    first = started(tmp_path, clocks)
    other = Caller("user", "nina", "token", issuer=ISSUER, session="s-2", issued=NOW, authenticated=NOW)
    assert judge(first, clocks) == ""
    clocks.go(first, seconds=90)
    assert judge(first, clocks, other) == ""
    clocks.go(first, seconds=90)
    clocks.go(first, seconds=2)
    assert judge(first, clocks, other) == ""
    clocks.go(first, seconds=2)
    clocks.now = NOW + 20 * SECOND
    again = started(tmp_path, clocks)
    clocks.go(again)
    assert judge(again, clocks) == IDLE
    assert judge(again, clocks, other) == ""


def test_a_clock_that_was_set_forward_makes_us_forget_nothing(tmp_path: Path, clocks: Clocks) -> None:
    worker = started(tmp_path, clocks, remember_seconds=DAY)
    Store(tmp_path / "state").revoke([Revocation(ISSUER, SUBJECT, "dora", clocks.now)], clocks.now)
    clocks.now += 400 * DAY * SECOND
    clocks.go(worker, seconds=FORGET_SECONDS)
    assert len(Store(tmp_path / "state").revocations()) == 1
    clocks.go(worker, seconds=FORGET_SECONDS)  # An hour later it still says so: then it is true.
    assert Store(tmp_path / "state").revocations() == []
    assert len(worker.sessions.revoked) == 0


# -------------------------------------------------------------------------------------------------- a store that fails


def test_without_a_store_everybody_is_denied_until_there_is_one(tmp_path: Path, clocks: Clocks) -> None:
    worker = Following(chosen(tmp_path))
    clocks.go(worker)
    assert judge(worker, clocks) == UNAVAILABLE
    assert worker.problems() == ["sessions"]
    assert not worker.able(clocks.now)
    prepare(tmp_path / "state")
    clocks.go(worker)
    assert judge(worker, clocks) == ""
    assert worker.problems() == []
    assert worker.able(clocks.now)


def test_when_the_store_is_lost_what_is_known_holds_for_a_while_then_everybody_is_denied(
    tmp_path: Path, clocks: Clocks
) -> None:
    worker = started(tmp_path, clocks, unread_seconds=60, limits=Limits(0, 0))
    nina = Caller("user", "nina", "token", issuer=ISSUER, issued=NOW, authenticated=NOW)
    Store(tmp_path / "state").revoke([Revocation(ISSUER, SUBJECT, "dora", clocks.now)], clocks.now)
    clocks.go(worker)
    (tmp_path / "state" / FILE).unlink()
    clocks.go(worker, seconds=50)
    assert judge(worker, clocks) == REVOKED
    assert judge(worker, clocks, nina) == ""
    assert "sessions" in worker.problems()
    clocks.go(worker, seconds=20)
    assert judge(worker, clocks, nina) == UNAVAILABLE
    prepare(tmp_path / "state")  # A new one would know nothing of what was revoked: it is not followed.
    clocks.go(worker)
    assert judge(worker, clocks, nina) == UNAVAILABLE
    assert not worker.able(clocks.now)


def test_a_store_whose_log_was_cut_short_is_said_as_soon_as_a_session_cannot_be_judged(
    tmp_path: Path, clocks: Clocks, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = started(tmp_path, clocks)
    people = [
        Caller("user", f"u-{n}", "token", issuer=ISSUER, session=f"s-{n}", issued=NOW, authenticated=NOW)
        for n in range(500)
    ]
    Store(tmp_path / "state").save([_first(key_of(each), each, clocks.now) for each in people], clocks.now)
    clocks.go(worker)
    log = (tmp_path / "state" / f"{FILE}-wal").read_bytes()
    os.truncate(tmp_path / "state" / f"{FILE}-wal", 0)
    assert UNAVAILABLE in [judge(worker, clocks, each) for each in people]
    capfd.readouterr()
    for _ in range(3):
        clocks.go(worker, seconds=0.1)
        assert worker.problems() == ["sessions"]
    assert capfd.readouterr().err.count("ALARM") == 1
    (tmp_path / "state" / f"{FILE}-wal").write_bytes(log)
    clocks.go(worker, seconds=0.1)
    assert worker.problems() == []


def test_more_sessions_than_there_is_room_for_are_said(tmp_path: Path, clocks: Clocks) -> None:
    worker = started(tmp_path, clocks, in_memory=2)
    people = [
        Caller("user", f"u-{n}", "token", issuer=ISSUER, session=f"s-{n}", issued=NOW, authenticated=NOW)
        for n in range(10)
    ]
    assert UNAVAILABLE in [judge(worker, clocks, each) for each in people]
    clocks.go(worker, seconds=0.1)
    assert worker.problems() == ["sessions"]
    clocks.go(worker, seconds=2)
    clocks.go(worker)
    assert worker.problems() == []


def test_a_store_that_cannot_be_written_is_said_and_uses_are_written_later(tmp_path: Path, clocks: Clocks) -> None:
    worker = started(tmp_path, clocks)
    blocker = Store(tmp_path / "state")
    assert judge(worker, clocks) == ""
    blocker._connection.execute("BEGIN IMMEDIATE")
    clocks.go(worker, seconds=2)
    assert worker.problems() == ["sessions cannot be written"]
    assert judge(worker, clocks) == ""
    blocker._connection.execute("ROLLBACK")
    clocks.go(worker, seconds=2)
    assert worker.problems() == []
    assert len(blocker.sessions(0)) == 1


# ------------------------------------------------------------------------------------------------------------ the file


def line(**members: Any) -> str:
    return json.dumps({"issuer": ISSUER, **members}) + "\n"


def test_a_file_only_ever_adds(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "revoked.jsonl"
    worker = started(tmp_path, clocks, revocations_file=path)
    nina = Caller("user", "nina", "token", issuer=ISSUER, session="s-2", issued=NOW, authenticated=NOW)
    assert worker.problems() == ["the file of revocations"]
    path.write_text(line(subject="dora"))
    clocks.go(worker)
    assert worker.problems() == []
    assert judge(worker, clocks) == REVOKED
    path.write_text("{broken\n" + line(session="s-2"))
    clocks.go(worker)
    assert worker.problems() == ["the file of revocations"]
    assert [judge(worker, clocks), judge(worker, clocks, nina)] == [REVOKED, REVOKED]
    path.unlink()
    clocks.go(worker)
    assert [judge(worker, clocks), judge(worker, clocks, nina)] == [REVOKED, REVOKED]
    assert judge(started(tmp_path, clocks), clocks) == REVOKED  # without the file


def test_a_file_counts_in_memory_also_while_the_store_cannot_be_written(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "revoked.jsonl"
    worker = started(tmp_path, clocks, revocations_file=path)
    blocker = Store(tmp_path / "state")
    blocker._connection.execute("BEGIN IMMEDIATE")
    path.write_text(line(subject="dora"))
    clocks.go(worker)
    assert judge(worker, clocks) == REVOKED
    assert blocker.revocations() == []
    blocker._connection.execute("ROLLBACK")
    clocks.go(worker)
    assert len(blocker.revocations()) == 1
    assert worker.problems() == []


def test_a_pipe_in_place_of_the_file_keeps_nobody_waiting(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "revoked.jsonl"
    path.write_text(line(subject="dora"))
    worker = started(tmp_path, clocks, revocations_file=path)
    path.unlink()
    os.mkfifo(path)
    in_time(lambda: [clocks.go(worker) for _ in range(2)])  # type: ignore[func-returns-value]
    assert worker.problems() == ["the file of revocations"]
    assert judge(worker, clocks) == REVOKED
    path.unlink()
    path.write_text(line(session="s-9"))
    clocks.go(worker)
    assert worker.problems() == []


def test_a_file_that_is_rewritten_every_day_does_not_move_its_instants(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "revoked.jsonl"
    path.write_text(line(subject="dora", not_before=NOW_SECONDS - 5))
    worker = started(tmp_path, clocks, revocations_file=path)
    assert judge(worker, clocks) == ""
    path.write_text(line(subject="dora", not_before=NOW_SECONDS - 9) + line(subject="nina"))
    clocks.go(worker)
    assert judge(worker, clocks) == ""
    assert {each.value: each.not_before for each in Store(tmp_path / "state").revocations()}["dora"] == NOW - 5 * SECOND


# ------------------------------------------------------------------------------------------------ before every cache

PEOPLE = ("dora", "nina", "otto")
REVOKING = st.builds(
    lambda kind, number: (
        kind,
        {SUBJECT: PEOPLE[number], SESSION: f"s-{number}", TOKEN: f"t-{number}"}.get(kind, "app"),
    ),
    st.sampled_from([SUBJECT, SESSION, TOKEN, CLIENT]),
    st.integers(0, 2),
)
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("revoke"), REVOKING, st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.integers(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(HISTORY)
def test_checklist_23_no_cache_outlives_a_revocation(history: list[Any]) -> None:
    """Tokens are verified once and cached; whoever is revoked is refused by the next look all the same, everywhere."""
    with TemporaryDirectory() as name:
        directory, clocks = Path(name), Clocks()
        profile = Profile("p", evidence=("token",))
        workers = [started(directory, clocks) for _ in range(2)]
        doors = [Callers(chosen(directory), directory, each.sessions.judge) for each in workers]
        sent = [token(sub=person, sid=f"s-{n}", jti=f"t-{n}", client_id="app") for n, person in enumerate(PEOPLE)]
        store, over = Store(directory / "state"), set()
        for what, which, where in history:
            if what == "revoke":
                store.revoke([Revocation(ISSUER, *which, clocks.now)], clocks.now)
                over |= {n for n, person in enumerate(PEOPLE) if which[1] in (person, f"s-{n}", f"t-{n}", "app")}
                clocks.go(*workers)
            elif what == "restart":
                workers[where] = started(directory, clocks)
                doors[where] = Callers(chosen(directory), directory, workers[where].sessions.judge)
            else:
                evidence = Evidence((b"Bearer " + sent[which],))
                refused = True
                with suppress(Ended):
                    doors[where].shown(evidence, ("token",), profile, clocks.now)
                    refused = False
                assert refused == (which in over)
