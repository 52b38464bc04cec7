"""Whom a revocation covers, how one is read, and that what is stored is in force again after any end."""

import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.identity.caller import FOREVER, Caller
from pdp.identity.revocations import (
    CLIENT,
    KINDS,
    SECOND,
    SESSION,
    SUBJECT,
    TOKEN,
    TOKENS,
    Revocation,
    Revoked,
    instant,
    lines,
    read,
)
from pdp.identity.store import FILE, Session, Store, StoreError, prepare
from pdp.model.request import RequestError

ISSUER = "https://idp.hospital.example"
NOW = 1_780_000_000 * SECOND
CALLER = Caller(
    "user",
    "dora",
    "token",
    issuer=ISSUER,
    client="portal",
    token_id="t-1",
    session="s-1",
    issued=NOW - 10 * SECOND,
    authenticated=NOW - 600 * SECOND,
)
VALUES = {SUBJECT: "dora", TOKENS: "dora", SESSION: "s-1", TOKEN: "t-1", CLIENT: "portal"}


def revoked(*revocations: Revocation) -> Revoked:
    table = Revoked()
    for each in revocations:
        table.add(each)
    return table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    prepare(tmp_path / "state")
    return Store(tmp_path / "state")


# --------------------------------------------------------------------------------------------------- whom they cover


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_older_is_refused_and_what_is_newer_is_good(kind: str) -> None:
    table = revoked(Revocation(ISSUER, kind, VALUES[kind], NOW))
    assert table.covers(CALLER)
    assert not table.covers(replace(CALLER, issued=NOW, authenticated=NOW))
    assert not table.covers(replace(CALLER, subject_id="x", session="x", token_id="x", client="x"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_permanent_one_is_never_outlived(kind: str) -> None:
    table = revoked(Revocation(ISSUER, kind, VALUES[kind], FOREVER))
    assert table.covers(replace(CALLER, issued=NOW * 2, authenticated=NOW * 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_tells_no_age_counts_as_old(kind: str) -> None:
    assert revoked(Revocation(ISSUER, kind, VALUES[kind], 1)).covers(replace(CALLER, issued=0, authenticated=0))


def test_a_token_renewed_from_an_old_login_is_old_unless_only_tokens_were_revoked() -> None:
    renewed = replace(CALLER, issued=NOW + 5 * SECOND)
    assert revoked(Revocation(ISSUER, SUBJECT, "dora", NOW)).covers(renewed)
    assert revoked(Revocation(ISSUER, SESSION, "s-1", NOW)).covers(renewed)
    assert not revoked(Revocation(ISSUER, TOKENS, "dora", NOW)).covers(renewed)
    assert not revoked(Revocation(ISSUER, CLIENT, "portal", NOW)).covers(renewed)


def test_another_issuer_is_another_subject_and_a_star_is_every_issuer() -> None:
    elsewhere = replace(CALLER, issuer="https://other.example")
    assert not revoked(Revocation(ISSUER, SUBJECT, "dora", NOW)).covers(elsewhere)
    assert revoked(Revocation("*", SUBJECT, "dora", NOW)).covers(elsewhere)


def test_the_subject_is_found_under_the_name_that_its_issuer_uses() -> None:
    mapped = replace(CALLER, subject_id="hospital:4711", sub="dora")
    assert revoked(Revocation(ISSUER, SUBJECT, "dora", NOW)).covers(mapped)
    assert revoked(Revocation(ISSUER, TOKENS, "dora", NOW)).covers(mapped)
    assert revoked(Revocation(ISSUER, SUBJECT, "hospital:4711", NOW)).covers(mapped)


def test_what_a_caller_does_not_have_matches_nothing() -> None:
    bare = Caller("user", "dora", "certificate", issuer="hospital.example")
    assert not revoked(*(Revocation(ISSUER, kind, "", FOREVER) for kind in KINDS)).covers(bare)


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_checklist_26_no_order_of_events_moves_an_instant_back(instants: list[int]) -> None:
    table = revoked(*(Revocation(ISSUER, SUBJECT, "dora", each) for each in instants))
    for age in range(0, 1_001, 50):
        assert table.covers(replace(CALLER, issued=age, authenticated=age)) == (age < max(instants))


def test_checklist_26_an_instant_of_the_future_is_now_and_a_whole_second_is_all_of_it() -> None:
    seconds = NOW // SECOND
    assert instant(seconds + 3_600, NOW) == NOW
    assert instant(seconds - 60, NOW) == (seconds - 59) * SECOND
    # A token of the same second may be the older one.
    same = replace(CALLER, issued=(seconds - 60) * SECOND, authenticated=(seconds - 60) * SECOND)
    assert revoked(Revocation(ISSUER, SUBJECT, "dora", instant(seconds - 60, NOW))).covers(same)


# ---------------------------------------------------------------------------------------------------------- reading


def test_a_subject_starts_anew_while_a_session_or_a_token_never_comes_back() -> None:
    assert read({"issuer": ISSUER, "subject": "dora"}, NOW, "api") == Revocation(
        ISSUER, SUBJECT, "dora", NOW, "", "api"
    )
    assert read({"issuer": ISSUER, "client": "portal"}, NOW, "api").not_before == NOW
    assert read({"issuer": ISSUER, "session": "s-1"}, NOW, "api").not_before == FOREVER
    assert read({"issuer": ISSUER, "token": "t-1"}, NOW, "api").not_before == FOREVER
    asked = {"issuer": ISSUER, "subject": "dora", "not_before": 5, "reason": "left"}
    assert read(asked, NOW, "api") == Revocation(ISSUER, SUBJECT, "dora", 5 * SECOND, "left", "api")
    assert read({"issuer": ISSUER, "subject": "dora", "not_before": "forever"}, NOW, "api").not_before == FOREVER


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], ""),
        ({}, ""),
        ({"issuer": ISSUER}, ""),
        ({"issuer": ISSUER, "subject": "dora", "session": "s"}, ""),
        ({"subject": "dora"}, "issuer"),
        ({"issuer": ISSUER, "subject": ""}, "subject"),
        ({"issuer": ISSUER, "subject": 7}, "subject"),
        ({"issuer": ISSUER, "subject": "a\0b"}, "subject"),
        ({"issuer": ISSUER, "subject": "x" * 2_049}, "subject"),
        ({"issuer": ISSUER, "subject": "Jose\u0301"}, "subject"),  # In tokens it is always "Jos\u00e9".
        ({"issuer": "https://idp.jose\u0301.example", "subject": "dora"}, "issuer"),
        ({"issuer": ISSUER, "subject": "dora", "not_before": -1}, "not_before"),
        ({"issuer": ISSUER, "subject": "dora", "not_before": True}, "not_before"),
        ({"issuer": ISSUER, "subject": "dora", "not_before": "now"}, "not_before"),
        ({"issuer": ISSUER, "subject": "dora", "not_before": 2**60}, "not_before"),
        ({"issuer": ISSUER, "subject": "dora", "notbefore": 5}, "notbefore"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused_and_the_member_is_named(given: Any, field: str) -> None:
    with pytest.raises(RequestError) as error:
        read(given, NOW, "api")
    assert error.value.field == field


def test_a_broken_line_is_named_and_the_others_count() -> None:
    good = {"issuer": ISSUER, "subject": "dora"}
    text = "\n".join([json.dumps(good), "{broken", "", json.dumps({**good, "subject": "nina", "not_before": 9})])
    found = list(lines(text.encode()))
    assert found[0] == Revocation(ISSUER, SUBJECT, "dora", FOREVER, "", "file")
    assert isinstance(found[1], str)
    assert found[1].startswith("line 2: ")
    assert found[2] == Revocation(ISSUER, SUBJECT, "nina", 9 * SECOND, "", "file")
    assert len(found) == 3


@given(st.binary())
def test_whatever_a_file_holds_is_read_or_named(data: bytes) -> None:
    for each in lines(data):
        assert isinstance(each, str | Revocation)


# ---------------------------------------------------------------------------------------------------------- the store


def test_a_revocation_is_there_for_whoever_opens_the_store_next(tmp_path: Path, store: Store) -> None:
    kept = store.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW, "left", "api")], NOW)[0]
    assert kept.id
    assert Store(tmp_path / "state").revocations() == [kept]


def test_the_same_again_is_the_same_revocation_and_an_older_one_changes_nothing(store: Store) -> None:
    first = store.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW, "", "api")], NOW)[0]
    again = store.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW, "", "api")], NOW + 5)[0]
    older = store.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW - 99, "", "file")], NOW + 5)[0]
    assert first == again == older
    newer = store.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW + 99, "", "file")], NOW + 7)[0]
    assert (newer.id, newer.not_before, newer.source) == (first.id, NOW + 99, "file")
    assert newer.sequence > first.sequence
    assert store.revocations() == [newer]


def test_another_connection_sees_that_something_was_written(tmp_path: Path, store: Store) -> None:
    other = Store(tmp_path / "state")
    before = store.version()
    assert store.version() == before
    other.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW)], NOW)
    assert store.version() != before
    assert [each.value for each in store.revocations(after=0)] == ["dora"]
    assert store.revocations(after=store.sequence()) == []


def test_checklist_26_a_jti_is_taken_once_for_one_event_and_that_outlives_a_restart(
    tmp_path: Path, store: Store
) -> None:
    revocation = Revocation(ISSUER, SUBJECT, "dora", NOW)
    assert store.take_event(ISSUER, "e-1", b"event", "kind", [revocation], NOW)
    again = Store(tmp_path / "state")
    assert again.take_event(ISSUER, "e-1", b"event", "kind", [replace(revocation, value="nina")], NOW)
    assert [each.value for each in again.revocations()] == ["dora"]
    assert not again.take_event(ISSUER, "e-1", b"another", "kind", [replace(revocation, value="nina")], NOW)
    assert [each.value for each in again.revocations()] == ["dora"]
    assert again.take_event("https://other.example", "e-1", b"another", "kind", [], NOW)


def test_an_event_is_noted_with_all_that_it_revokes_or_not_at_all(store: Store) -> None:
    with pytest.raises(OverflowError):  # A fault in the middle of it.
        store.take_event(ISSUER, "e-1", b"event", "kind", [Revocation(ISSUER, SUBJECT, "dora", 2**70)], NOW)
    assert store.revocations() == []
    assert store.take_event(ISSUER, "e-1", b"another", "kind", [], NOW)


def test_nothing_is_forgotten_before_its_time(store: Store) -> None:
    day = 86_400 * SECOND
    store.revoke([Revocation(ISSUER, SUBJECT, "old", NOW)], NOW)
    store.revoke([Revocation(ISSUER, SUBJECT, "later", NOW + 9 * day)], NOW)
    store.revoke([Revocation(ISSUER, SUBJECT, "never", FOREVER)], NOW)
    ended = [Revocation(ISSUER, kind, "its life", FOREVER, "", "transmitter idp") for kind in (SESSION, TOKEN)]
    store.revoke(ended, NOW)
    store.take_event(ISSUER, "e-1", b"event", "kind", [], NOW)
    store.save([Session(b"k", 0, 0, NOW, NOW, "idle", 0, 0, NOW + day)], NOW)
    store.forget(NOW + day, day)
    assert len(store.revocations()) == 5
    assert store.session(b"k") is not None
    store.forget(NOW + day + 1, day)
    assert {each.value for each in store.revocations()} == {"later", "never"}
    assert store.session(b"k") is None
    assert store.take_event(ISSUER, "e-1", b"another", "kind", [], NOW)


@pytest.mark.parametrize("source", ["api", "file"])
@pytest.mark.parametrize("kind", [SESSION, TOKEN])
def test_what_an_operator_ended_for_ever_stays_so_however_long_its_provider_renews_it(
    store: Store, kind: str, source: str
) -> None:
    year = 366 * 86_400 * SECOND
    by_hand = Revocation(ISSUER, kind, "s-1", FOREVER, "", source)
    by_event = replace(by_hand, source="transmitter idp")
    store.revoke([by_event], NOW)
    first = store.revoke([by_hand], NOW)[0]
    assert store.revoke([by_event], NOW) == [first]
    store.forget(NOW + year, 30 * 86_400 * SECOND)
    assert [(each.value, each.source) for each in store.revocations()] == [("s-1", source)]


def test_the_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "state")
    assert (tmp_path / "a/state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a/state" / FILE).stat().st_mode & 0o777 == 0o600
    opened = Store(tmp_path / "a/state")
    opened.revoke([Revocation(ISSUER, SUBJECT, "dora", NOW)], NOW)
    assert all(each.stat().st_mode & 0o077 == 0 for each in (tmp_path / "a/state").iterdir())
    (tmp_path / "open").mkdir(mode=0o777)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StoreError, match="open to every user"):
        prepare(tmp_path / "open")
    prepare(tmp_path / "open" / "within")  # As in a volume that an orchestrator mounts.


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database" * 1_000)


def _another(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE other (x)").connection.close()


def _damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096:8_192] = os.urandom(4_096)
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_emptied, _garbage, _another, _damaged])
def test_a_store_that_cannot_be_trusted_is_refused_at_start_and_left_as_it_is(tmp_path: Path, harm: Any) -> None:
    prepare(tmp_path / "state")
    harm(tmp_path / "state" / FILE)
    before = (tmp_path / "state" / FILE).read_bytes()
    with pytest.raises(StoreError, match=FILE):
        prepare(tmp_path / "state")
    assert (tmp_path / "state" / FILE).read_bytes() == before


def test_a_worker_never_makes_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(StoreError):
        Store(tmp_path / "state")
    assert not (tmp_path / "state" / FILE).exists()


def test_a_store_that_was_replaced_is_not_followed(tmp_path: Path, store: Store) -> None:
    (tmp_path / "state" / FILE).rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        store.version()
    prepare(tmp_path / "state")
    with pytest.raises(StoreError, match="replaced"):
        store.version()
