"""How long a session goes on: the limits, what opens one again and what does not, clocks that step, bounded memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import FOREVER, Caller
from pdp.identity.revocations import SECOND, SUBJECT, Revocation
from pdp.identity.sessions import IDLE, REVOKED, TOO_OLD, UNAVAILABLE, Limits, Sessions, key_of
from pdp.identity.store import Session, Store, StoreError, prepare

ISSUER = "https://idp.hospital.example"
START = 1_780_000_000 * SECOND
LIMITS = Limits(idle_seconds=100, absolute_seconds=1_000)


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def caller(issued: float = 0, authenticated: float | None = None, **changed: Any) -> Caller:
    """A token of the session `s-1`, issued then. `authenticated` None: it does not tell."""
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "session": "s-1",
        "token_id": f"t-{issued}",
        "issued": at(issued),
        "authenticated": at(issued if authenticated is None else authenticated),
        "tells_authentication": authenticated is not None,
        "expires": at(issued + 3_600),
    }
    return Caller("user", "dora", "token", **(usual | changed))


class Memory:
    """A store without a file."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Session] = {}
        self.broken = False
        self.reads = 0

    def session(self, key: bytes) -> Session | None:
        self.reads += 1
        if self.broken:
            raise StoreError("broken")
        found = self.rows.get(key)
        return None if found is None else replace(found)

    def save(self, sessions: Sessions) -> None:
        for each in sessions.changed():
            known = self.rows.setdefault(each.key, each)
            known.merged(each)
        sessions.saved()


def worker(kept: Memory | None = None, now: float = 0, limits: Limits = LIMITS, **settings: Any) -> Sessions:
    made = Sessions(limits, unread_seconds=10_000_000, **settings)
    made.opened(kept or Memory())
    made.look(at(now))
    made.read([], [], at(now))
    return made


# --------------------------------------------------------------------------------------------------------- the limits


def test_use_keeps_a_session_alive_until_it_is_idle_or_too_old() -> None:
    sessions, token = worker(), caller(0, 0)
    for second in range(0, 1_000, 90):
        assert sessions.judge(token, at(second)) == ""
    assert sessions.judge(token, at(1_001)) == TOO_OLD


def test_the_limits_themselves_are_still_within() -> None:
    sessions, token = worker(), caller(0, 0)
    assert sessions.judge(token, at(100)) == ""
    assert sessions.judge(token, at(200)) == ""
    assert sessions.judge(token, at(300) + 1) == IDLE


def test_at_first_sight_a_session_was_last_used_when_its_token_was_issued() -> None:
    # Somebody who comes from another application an hour after logging in has a new token, and is not idle.
    assert worker().judge(caller(issued=500, authenticated=0), at(510)) == ""
    assert worker().judge(caller(issued=500, authenticated=0), at(601)) == IDLE


def test_no_limit_is_no_limit() -> None:
    free = worker(limits=Limits(0, 0))
    assert free.judge(caller(0, 0), at(1_000_000)) == ""
    assert worker(limits=Limits(0, 1_000)).judge(caller(0, 0), at(1_000)) == ""
    assert worker(limits=Limits(100, 0)).judge(caller(500, 0), at(550)) == ""


def test_an_issuer_has_limits_of_its_own() -> None:
    sessions = worker(by_issuer={ISSUER: Limits(5, 10)})
    assert sessions.judge(caller(0, 0), at(6)) == IDLE
    assert sessions.judge(caller(0, 0, issuer="https://other.example"), at(6)) == ""


def test_a_certificate_has_no_session_but_can_be_revoked() -> None:
    peer = Caller("service", "billing", "certificate", issuer="hospital.example")
    sessions = worker()
    assert sessions.judge(peer, at(1_000_000)) == ""
    sessions.revoked.add(Revocation("hospital.example", SUBJECT, "billing", at(5)))
    assert sessions.judge(peer, at(1_000_000)) == REVOKED


def test_what_a_token_does_not_tell_counts_from_first_sight() -> None:
    sessions = worker()
    silent = replace(caller(0), issued=0, authenticated=0, session="", token_id="")
    assert sessions.judge(silent, at(50)) == ""
    assert sessions.judge(silent, at(149)) == ""
    assert sessions.judge(silent, at(250)) == IDLE


# ------------------------------------------------------------------------------------------- what opens one again


def test_a_renewed_token_does_not_open_what_has_ended() -> None:
    sessions = worker()
    assert sessions.judge(caller(0, 0), at(10)) == ""
    assert sessions.judge(caller(0, 0), at(200)) == IDLE
    assert sessions.judge(caller(205, 0), at(206)) == IDLE  # its login is the old one
    assert sessions.judge(caller(205), at(206)) == IDLE  # it does not tell when its login was
    assert sessions.judge(caller(0, 0), at(20)) == IDLE


def test_a_newer_login_opens_it_and_leaves_older_tokens_out() -> None:
    sessions, old = worker(), caller(0, 0)
    assert sessions.judge(old, at(10)) == ""
    assert sessions.judge(old, at(200)) == IDLE
    assert sessions.judge(caller(205, 10), at(206)) == IDLE  # not later than the last use
    assert sessions.judge(caller(210, 208), at(211)) == ""
    assert sessions.judge(caller(215, 208), at(216)) == ""  # renewed from the new login
    assert sessions.judge(old, at(217)) == IDLE  # of before
    assert sessions.judge(caller(210, 208), at(218)) == ""


def test_a_login_in_the_second_of_its_token_opens_it_too() -> None:
    sessions = worker()
    assert sessions.judge(caller(0, 0), at(10)) == ""
    assert sessions.judge(caller(0, 0), at(200)) == IDLE
    assert sessions.judge(caller(210, 210), at(211)) == ""


def test_a_login_while_the_session_lasts_makes_it_younger() -> None:
    sessions = worker()
    for second in range(0, 950, 90):
        assert sessions.judge(caller(0, 0), at(second)) == ""
    assert sessions.judge(caller(950, 950), at(951)) == ""
    assert sessions.judge(caller(0, 0), at(1_001)) == TOO_OLD  # that token, not the session
    assert sessions.judge(caller(950, 950), at(1_002)) == ""


def test_too_old_is_cured_by_a_newer_login_alone() -> None:
    sessions = worker(limits=Limits(0, 1_000))
    assert sessions.judge(caller(0, 0), at(900)) == ""
    assert sessions.judge(caller(0, 0), at(1_001)) == TOO_OLD
    assert sessions.judge(caller(1_002, 0), at(1_003)) == TOO_OLD
    assert sessions.judge(caller(1_002), at(1_003)) == TOO_OLD
    assert sessions.judge(caller(1_002, 890), at(1_003)) == ""
    assert sessions.judge(caller(0, 0), at(1_004)) == IDLE


def test_tokens_that_do_not_tell_of_the_login_are_as_old_as_their_session() -> None:
    sessions = worker()
    for second in range(0, 1_000, 50):
        assert sessions.judge(caller(second), at(second + 1)) == ""
    assert sessions.judge(caller(1_000), at(1_001)) == TOO_OLD


def test_a_token_without_a_session_is_one_by_its_id() -> None:
    sessions = worker()
    first, second = caller(0, session=""), caller(150, session="")
    assert sessions.judge(first, at(10)) == ""
    assert sessions.judge(first, at(150)) == IDLE
    assert sessions.judge(second, at(151)) == ""
    assert sessions.judge(first, at(152)) == IDLE


def test_without_any_id_the_subject_is_the_session_and_a_newer_token_opens_it() -> None:
    sessions = worker()
    first, second = caller(0, session="", token_id=""), caller(150, session="", token_id="")
    assert sessions.judge(first, at(10)) == ""
    assert sessions.judge(first, at(150)) == IDLE
    assert sessions.judge(second, at(151)) == ""
    assert sessions.judge(first, at(152)) == IDLE


def test_no_two_sessions_share_a_key() -> None:
    keys = {
        key_of(caller(session=session, token_id=token, issuer=issuer))
        for session in ("", "a", "b")
        for token in ("", "a", "b")
        for issuer in ("", "a", "aa")
    }
    # With `sid` the token's own id does not matter.
    assert len(keys) == 3 * (2 + 2 + 1)


# -------------------------------------------------------------------------------------------------------- the clock


def test_a_clock_that_steps_back_opens_nothing() -> None:
    sessions, token = worker(), caller(0, 0)
    assert sessions.judge(token, at(10)) == ""
    assert sessions.judge(token, at(150)) == IDLE
    assert sessions.look(at(20)) is None
    assert sessions.judge(token, at(20)) == IDLE


def test_what_was_over_while_nobody_asked_stays_over_when_the_clock_steps_back() -> None:
    sessions, token = worker(), caller(0, 0)
    assert sessions.judge(token, at(10)) == ""
    sessions.look(at(500))
    assert sessions.look(at(20)) == (at(500), at(20))
    assert sessions.judge(token, at(21)) == IDLE


def test_before_the_step_is_noticed_the_earlier_time_does_not_count() -> None:
    sessions, token = worker(), caller(0, 0)
    assert sessions.judge(token, at(10)) == ""
    sessions.look(at(500))
    assert sessions.judge(token, at(20)) == IDLE


def test_a_use_of_the_future_is_one_of_now_when_the_clock_steps_back() -> None:
    sessions, token = worker(limits=Limits(100, 0)), caller(0, 0)
    sessions.look(at(90))
    assert sessions.judge(token, at(90)) == ""
    sessions.look(at(10))
    assert sessions.judge(token, at(111)) == IDLE


def test_too_old_stays_too_old_when_the_clock_steps_back() -> None:
    sessions, token = worker(limits=Limits(0, 1_000)), caller(0, 0)
    assert sessions.judge(token, at(10)) == ""
    sessions.look(at(1_500))
    sessions.look(at(20))
    assert sessions.judge(token, at(21)) == TOO_OLD


def test_the_step_is_noticed_over_a_restart(tmp_path: Path) -> None:
    prepare(tmp_path / "state")
    store = Store(tmp_path / "state")
    key = key_of(caller(0, 0))
    store.save([Session(key, 0, 0, at(0), at(10), "", 100 * SECOND, 0, at(9_999))], at(10))
    store.save([Session(b"other", 0, 0, at(0), at(500), "", 0, 0, at(9_999))], at(500))
    assert store.clock() == at(500)
    store.settle(store.clock(), at(20))
    found, other = store.session(key), store.session(b"other")
    assert found is not None
    assert other is not None
    assert (found.ended, other.ended, other.used) == (IDLE, "", at(20))


# ------------------------------------------------------------------------------------------------- several workers


def test_use_here_keeps_the_session_alive_there() -> None:
    kept = Memory()
    here, there, token = worker(kept), worker(kept), caller(0, 0)
    assert there.judge(token, at(0)) == ""
    kept.save(there)
    for second in range(0, 300, 50):
        assert here.judge(token, at(second)) == ""
        kept.save(here)
    assert there.judge(token, at(300)) == ""  # it asks the store before it ends a session


def test_what_ended_here_has_ended_there() -> None:
    kept = Memory()
    here, there, token = worker(kept), worker(kept), caller(0, 0)
    assert here.judge(token, at(0)) == ""
    assert there.judge(token, at(0)) == ""
    assert here.judge(token, at(101)) == IDLE
    rows = here.changed()
    there.read([], rows, at(101))
    assert there.judge(token, at(99)) == IDLE


def test_a_login_opens_it_in_every_worker() -> None:
    kept = Memory()
    here, there, token = worker(kept), worker(kept), caller(0, 0)
    assert [each.judge(token, at(0)) for each in (here, there)] == ["", ""]
    assert [each.judge(token, at(200)) for each in (here, there)] == [IDLE, IDLE]
    kept.save(here)
    again = caller(210, 205)
    assert here.judge(again, at(211)) == ""
    there.read([], here.changed(), at(211))
    assert there.judge(again, at(212)) == ""
    assert there.judge(token, at(213)) == IDLE


SESSIONS = st.builds(
    Session,
    key=st.just(b"k"),
    generation=st.integers(0, 9),
    floor=st.integers(0, 9),
    opened=st.integers(1, 9),
    used=st.integers(1, 9),
    ended=st.sampled_from(["", IDLE]),
    idle=st.just(0),
    absolute=st.just(0),
    kept_until=st.integers(0, 9),
)


@given(SESSIONS, SESSIONS)
def test_the_store_takes_in_what_is_new_as_a_worker_does(one: Session, other: Session) -> None:
    store = _shared()
    store.forget(FOREVER, 0)
    store.save([one], 0)
    store.save([other], 0)
    expected = replace(one)
    expected.merged(other)
    assert store.session(b"k") == expected


@given(SESSIONS, SESSIONS)
def test_nothing_is_open_after_both_knew_it_over(one: Session, other: Session) -> None:
    merged = replace(one)
    merged.merged(other)
    if one.ended and other.ended:
        assert merged.ended
    if one.ended and other.generation <= one.used:
        assert merged.ended or one.generation > other.used


_STORES: list[Store] = []


def _shared() -> Store:
    if not _STORES:
        import tempfile

        directory = Path(tempfile.mkdtemp()) / "state"
        prepare(directory)
        _STORES.append(Store(directory))
    return _STORES[0]


@pytest.fixture(scope="module", autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    import shutil

    for each in _STORES:
        each.close()
        shutil.rmtree(each._path.parent.parent)
    _STORES.clear()


# --------------------------------------------------------------------------------------------- memory, and no store


def test_memory_is_bounded_and_what_was_dropped_is_not_new() -> None:
    kept = Memory()
    sessions = worker(kept, max_sessions=20)
    ended = caller(0, 0, session="ended")
    assert sessions.judge(ended, at(0)) == ""
    assert sessions.judge(ended, at(101)) == IDLE
    kept.save(sessions)
    for number in range(200):
        assert sessions.judge(caller(101, 101, session=f"flood-{number}"), at(102)) == ""
        kept.save(sessions)
        assert len(sessions) <= 22
    assert sessions.judge(caller(101, session="ended"), at(103)) == IDLE


def test_what_is_used_is_not_dropped() -> None:
    kept = Memory()
    sessions, token = worker(kept, max_sessions=20), caller(0, 0)
    assert sessions.judge(token, at(0)) == ""
    reads = kept.reads
    for number in range(100):
        assert sessions.judge(caller(0, 0, session=f"flood-{number}"), at(1)) == ""
        assert sessions.judge(token, at(1)) == ""
        kept.save(sessions)
    assert kept.reads == reads + 100


def test_a_flood_that_cannot_be_saved_is_denied_and_those_known_go_on() -> None:
    sessions, token = worker(max_sessions=20), caller(0, 0)
    assert sessions.judge(token, at(0)) == ""
    verdicts = [sessions.judge(caller(0, 0, session=f"flood-{number}"), at(1)) for number in range(200)]
    assert verdicts[-1] == UNAVAILABLE
    assert len(sessions) < 60
    assert sessions.judge(token, at(2)) == ""


def test_a_session_that_cannot_be_looked_up_is_not_taken_for_a_new_one() -> None:
    kept = Memory()
    sessions = worker(kept)
    assert sessions.judge(caller(0, 0), at(0)) == ""
    kept.broken = True
    assert sessions.judge(caller(0, 0), at(1)) == ""
    assert sessions.judge(caller(0, 0, session="s-2"), at(1)) == UNAVAILABLE
    assert sessions.judge(caller(0, 0), at(102)) == UNAVAILABLE  # was it used elsewhere? nobody knows


def test_what_could_not_be_saved_is_saved_later() -> None:
    kept = Memory()
    sessions = worker(kept)
    assert sessions.judge(caller(0, 0), at(0)) == ""
    lost = sessions.changed()
    sessions.unsaved(lost)
    assert sessions.judge(caller(0, 0), at(50)) == ""
    kept.save(sessions)
    assert [each.used for each in kept.rows.values()] == [at(50)]


def test_before_the_store_was_read_and_when_it_was_not_for_long_everybody_is_denied() -> None:
    sessions, token = Sessions(LIMITS, unread_seconds=60), caller(0, 0)
    sessions.opened(Memory())
    assert sessions.judge(token, at(0)) == UNAVAILABLE
    assert sessions.judge(Caller("service", "s", "certificate"), at(0)) == UNAVAILABLE
    sessions.read([], [], at(0))
    assert sessions.judge(token, at(60)) == ""
    assert sessions.judge(token, at(61)) == UNAVAILABLE
    sessions.read([], [], at(61))
    assert sessions.judge(token, at(62)) == ""


def test_revocations_that_are_known_stay_in_force_without_a_store() -> None:
    kept = Memory()
    sessions = worker(kept)
    sessions.read([Revocation(ISSUER, SUBJECT, "dora", at(5))], [], at(0))
    kept.broken = True
    assert sessions.judge(caller(0, 0), at(6)) == REVOKED


@given(st.lists(st.tuples(st.sampled_from(["use", "renew", "step", "tick"]), st.integers(0, 300)), max_size=40))
def test_whatever_happens_what_has_ended_is_opened_by_a_newer_login_alone(history: list[tuple[str, int]]) -> None:
    sessions, now, over = worker(), 0.0, False
    token = caller(0, 0)
    for what, amount in history:
        if what == "step":
            now = max(0.0, now - amount)
            sessions.look(at(now))
        elif what == "tick":
            now += amount
            sessions.look(at(now))
        elif what == "renew":
            token = caller(now, 0)
        else:
            word = sessions.judge(token, at(now))
            assert not (over and not word)
            over = over or word in (IDLE, TOO_OLD)
