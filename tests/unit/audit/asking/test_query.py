"""Who saw this patient in March: the records that are meant, and loudly those of which nobody can tell."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdp.audit.asking.asked import Asked
from pdp.audit.asking.period import Period
from pdp.audit.asking.query import Tally, search
from pdp.audit.asking.row import row
from pdp.audit.leaf import PLAIN, Opener
from pdp.audit.record import stamp
from pdp.audit.tree.pruned import Pruned
from pdp.audit.tree.tiles import place
from tests.unit.audit.hosts import Writer, sealed
from tests.unit.audit.stories import DAY, HOUR, MARCH, MINUTE, Locks, decided, direct, grown, log, name, stamped


def found(directory: Path, opener: Opener = PLAIN, thorough: bool = False, **asked: Any) -> tuple[list[str], Tally]:
    looked = search(directory, Asked(**asked), opener, thorough=thorough)
    return [hit.id for hit in looked.hits()], looked.tally


def ids(directory: Path, opener: Opener = PLAIN, **asked: Any) -> list[str]:
    """Those found, the same whether bytes are sieved or every record is read; and all could be judged."""
    these, tally = found(directory, opener, **asked)
    assert tally.whole
    assert found(directory, opener, thorough=True, **asked)[0] == these
    return these


def test_a_patient_is_found_in_clear_records_by_every_question_that_fits(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="a", patient="pat-1", request_id="r-1", trace="t-1"),
        decided(id="b", patient="pat-2", effect="deny", reason="no_permit", rule=(), action="write"),
        decided(id="c", who="dora", patient="pat-1", purpose="ETREAT", pep="nginx", at=MARCH + DAY),
    )
    assert ids(tmp_path, patient="pat-1") == ["a", "c"]
    assert ids(tmp_path, subject="nina") == ["a", "b"]
    assert ids(tmp_path, subject="user:nina") == ids(tmp_path, subject="user/nina") == ["a", "b"]
    assert ids(tmp_path, subject="admin/nina") == []
    assert ids(tmp_path, resource="Record/r1") == ["a", "b", "c"]
    assert ids(tmp_path, resource="Patient/r1") == []
    assert ids(tmp_path, effect="deny") == ids(tmp_path, reason="no_permit") == ids(tmp_path, action="write") == ["b"]
    assert ids(tmp_path, action="W") == ["b"]
    assert ids(tmp_path, rule="treated-patient", patient="pat-1", subject="dora") == ["c"]
    assert ids(tmp_path, request_id="r-1") == ids(tmp_path, trace="t-1") == ids(tmp_path, decision="a") == ["a"]
    assert ids(tmp_path, pep="nginx") == ids(tmp_path, purpose="ETREAT") == ["c"]
    assert ids(tmp_path, period=Period(MARCH, MARCH + HOUR)) == ["a", "b"]


def test_what_is_not_sealed_yet_is_found_too(tmp_path: Path) -> None:
    writer = log(tmp_path, decided(id="a"))
    grown(tmp_path, writer, decided(id="b"), decided(id="c", patient="pat-2"), seal=False)
    looked = search(tmp_path, Asked(patient="pat-1"))
    assert [(hit.id, hit.index) for hit in looked.hits()] == [("a", 0), ("b", None)]
    assert (looked.tally.sealed, looked.tally.waiting) == (1, 2)


def test_a_patient_is_found_under_the_pseudonyms_of_every_key(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="clear"),
        decided(id="first", epoch=1, kid="day-1"),
        decided(id="second", epoch=2, kid="day-2", hidden=True),
        decided(id="other", patient="pat-2", epoch=2, kid="day-2"),
    )
    keys = Locks(1, 2, locked=("day-1", "day-2"))
    assert ids(tmp_path, keys, patient="pat-1") == ["clear", "first", "second"]
    assert ids(tmp_path, keys, subject="nina", patient="pat-1") == ["clear", "first", "second"]
    assert ids(tmp_path, keys, resource="Record/r1", patient="pat-2") == ["other"]
    assert keys.opened  # To show what is in them; nothing had to be opened to judge:
    assert ids(tmp_path, keys, patient="pat-9") == []


def test_details_are_not_opened_where_the_pseudonym_tells(tmp_path: Path) -> None:
    log(tmp_path, *(decided(patient=f"pat-{number}", epoch=1, kid="day-1") for number in range(50)))
    keys = Locks(1)
    assert len(ids(tmp_path, keys, patient="pat-7")) == 1
    assert keys.opened == 2  # Once for each of the two ways, to show it.


def test_a_pseudonym_can_be_asked_for_without_keys_and_with_keys_finds_the_others(tmp_path: Path) -> None:
    log(tmp_path, decided(id="first", epoch=1, kid="day"), decided(id="second", epoch=2, kid="day"))
    asked = name(1, "Patient", "pat-1")
    these, tally = found(tmp_path, patient=asked)
    assert these == ["first"]
    assert tally.unjudged == {"locked": 1}
    assert ids(tmp_path, Locks(1, 2), patient=asked) == ["first", "second"]


def test_a_query_that_cannot_look_into_records_says_how_many_and_which(tmp_path: Path) -> None:
    """Absence is not safety: none of them may pass as a no."""
    log(
        tmp_path,
        decided(id="seen", epoch=2, kid="day-3"),
        decided(id="locked", epoch=1, kid="day-1"),
        decided(id="erased", epoch=1, kid="day-2"),
        {**decided(id="damaged", epoch=1), "detail": {"kid": "day-3", "c": "e30="[:-1] + "!"}},
        decided(id="other-time", epoch=1, kid="day-1", at=MARCH + 90 * DAY),
    )
    keys = Locks(2, locked=("day-1",), erased=("day-2",))
    for thorough in (False, True):
        these, tally = found(tmp_path, keys, thorough, patient="pat-1", period=Period(MARCH, MARCH + DAY))
        assert these == ["seen"]
        assert tally.unjudged == {"locked": 1, "erased": 1, "damaged": 1}
        assert tally.examples["erased"] == ["record 2 (erased)"]
    assert found(tmp_path, PLAIN, patient="pat-1")[1].unjudged == {"locked": 5}


@pytest.mark.parametrize(
    "rest",
    ['"v":1', '"kind":"decision","id":"x}', '}"kind"', '"kind":"decision"} trailing', '"kind":"decision","a":\x01}'],
)
def test_a_record_that_is_none_is_reported_and_nothing_else_is_lost(rest: str, tmp_path: Path) -> None:
    writer = log(tmp_path, decided(id="a"))
    grown(tmp_path, writer, stamped(writer, rest))
    grown(tmp_path, writer, decided(id="b"))
    these, tally = found(tmp_path, thorough=True, patient="pat-1")
    assert these == ["a", "b"]
    assert tally.unjudged == {"malformed": 1}
    assert tally.examples["malformed"][0].startswith("record 1: ")


@pytest.mark.parametrize(
    "members",
    [
        {"detail": 5, "res": [], "sub": "x", "dec": 1, "act": None, "pou": [], "ctx": 7, "identity": "z"},
        {"detail": {"res": 1, "patient": [], "sub": "nina", "actors": 7, "results": 9}, "sub": {}, "ts": 5},
        {"detail": None, "dec": {"rule": "r", "effect": ["allow"]}, "count": "x", "id": 9},
        {"kind": "decision.results", "detail": {"results": {"sha256": "x"}}},
        {"res": {"type": 5, "id_p": 6, "patient_p": []}, "detail": {"kid": 5, "c": []}},
    ],
)
def test_members_of_any_type_are_no_crash(members: dict[str, Any], tmp_path: Path) -> None:
    log(tmp_path, {"v": 1, "kind": "decision", "id": "odd", **members})
    for asked in ({}, {"patient": "pat-1"}, {"subject": "nina"}, {"resource": "Record/r1"}, {"rule": "r"}):
        for hit in search(tmp_path, Asked(**asked), Locks()).hits():
            assert row(hit).kind


def test_every_name_that_a_search_gave_away_is_found(tmp_path: Path) -> None:
    searched = {"search": {"for": "resource", "found": 2, "more": True}}
    log(
        tmp_path,
        decided(
            id="s", patient="", resource="Patient ", more=searched, detail={"results": ["pat-1", "pat-2"]}, kid="d"
        ),
        {"v": 1, "id": "s", "kind": "decision.results", "ts": "2026-03-01T00:00:00.000000Z", "part": 2}
        | {"detail": {"results": ["pat-3"]}},
        decided(id="t", patient="", more=searched, resource="Record ", detail={"results": ["pat-1"]}),
    )
    assert ids(tmp_path, Locks(), patient="pat-2") == ["s"]
    assert ids(tmp_path, Locks(), patient="pat-3", subject="nina", effect="allow") == ["s"]
    assert ids(tmp_path, Locks(), patient="pat-3", subject="dora") == []
    assert ids(tmp_path, Locks(), patient="pat-9") == []
    assert found(tmp_path, Locks(locked=("d",)), patient="pat-9")[1].unjudged == {"locked": 2}


def test_who_asked_for_whom_and_through_whom_is_the_same_person(tmp_path: Path) -> None:
    log(
        tmp_path,
        decided(id="a", more={"identity": {"via": "token", "type": "app"}}, detail={"identity": {"id": "portal"}}),
        decided(id="b", detail={"actors": ["portal"]}),
        decided(id="c", who="x", more={"refused_token": {"type": "user"}}, detail={"refused_token": {"id": "nina"}}),
    )
    assert ids(tmp_path, subject="portal") == ["a", "b"]
    assert ids(tmp_path, subject="app/portal") == ["a", "b"]
    assert ids(tmp_path, subject="nina") == ["a", "b", "c"]


def test_who_acted_through_others_is_found_in_encrypted_details_and_doubted_in_locked_ones(tmp_path: Path) -> None:
    through = {"identity": {"via": "token", "actors": 1}}
    log(
        tmp_path,
        decided(id="a", epoch=1, kid="d", more=through, detail={"actors": ["portal"]}),
        decided(id="b", epoch=1, kid="d"),
    )
    assert ids(tmp_path, Locks(), subject="portal") == ["a"]
    assert found(tmp_path, Locks(locked=("d",)), subject="portal")[1].unjudged == {"locked": 1}


def test_names_that_somebody_made_up_stand_in_the_detail_and_are_found(tmp_path: Path) -> None:
    hidden = {"act": {"action": "peek"}, "res": {"type": "Chart", "id": "r1"}, "sub": {"type": "ghost", "id": "nina"}}
    record = decided(id="a", kid="d", epoch=1, hidden=True, action="?", detail=hidden)
    record["res"] = {"type": "?", "id_p": name(1, "Chart", "r1"), "patient_p": name(1, "Patient", "pat-1")}
    record["sub"] = {"type": "?", "id_p": name(1, "ghost", "nina")}
    log(tmp_path, record)
    for asked in ({"action": "peek"}, {"resource": "Chart/r1"}, {"subject": "ghost/nina"}, {"patient": "pat-1"}):
        assert ids(tmp_path, Locks(), **asked) == ["a"]
        if "patient" not in asked:
            assert found(tmp_path, Locks(locked=("d",)), **asked)[1].unjudged == {"locked": 1}
    assert ids(tmp_path, Locks(), action="read") == ids(tmp_path, Locks(), subject="user/nina") == []
    [opened] = [row(each) for each in search(tmp_path, Asked(), Locks()).hits()]
    assert (opened.action, opened.who, opened.resource, opened.patient) == ("peek", "ghost nina", "Chart r1", "pat-1")
    [closed] = [row(each) for each in search(tmp_path, Asked(), Locks(locked=("d",))).hits()]
    assert (closed.action, closed.resource) == ("?", f"? {name(1, 'Chart', 'r1')}")


def test_a_text_that_is_written_in_another_way_is_found(tmp_path: Path) -> None:
    """Whoever may write a record could escape a letter to hide it from a search of bytes."""
    writer = Writer(tmp_path)
    rest = (
        '"v":1,"id":"e","kind":"decision","ts":"2026-03-01T00:00:00.000000Z","detail":{"patient":{"id":"p\\u0061t-1"}},'
    )
    writer.write_these([stamped(writer, rest + '"res":{"type":"Record"}}')])
    writer.write_these([stamped(writer, rest.replace('":', '" : ') + '"res": {"type" : "Record"}}')])
    sealed(tmp_path)
    assert ids(tmp_path, patient="pat-1") == ["e", "e"]


@pytest.mark.parametrize(
    "odd", ['a"b', "a\\b", "a\nb", "\x1b[31mred", "ü", "\u2028", "\x7f", "'; DROP TABLE x;--", "%"]
)
def test_any_id_is_found(odd: str, tmp_path: Path) -> None:
    log(tmp_path, decided(id="a", who=odd, patient=odd), decided(id="b", who=f"{odd}x", patient=f"x{odd}"))
    assert ids(tmp_path, patient=odd) == ids(tmp_path, subject=odd) == ["a"]


def test_a_period_is_found_by_halving_and_nothing_of_it_is_missed(tmp_path: Path) -> None:
    draw = random.Random(4)
    moments = [MARCH + number * 2 * HOUR + draw.randrange(-8, 8) * HOUR for number in range(3_000)]
    direct(tmp_path, *(decided(id=f"d{number}", at=at) for number, at in enumerate(moments)))
    wide = Period(MARCH + 90 * DAY, MARCH + 91 * DAY)
    wanted = [f"d{number}" for number, at in enumerate(moments) if at in wide]
    assert ids(tmp_path, period=wide) == wanted != []


def test_a_bundle_that_is_gone_is_said(tmp_path: Path) -> None:
    log(tmp_path, *(decided(id=f"d{number}") for number in range(600)))
    (tmp_path / "log" / place("entries", 0)).unlink()
    these, tally = found(tmp_path, patient="pat-1")
    assert these == [f"d{number}" for number in range(256, 600)]
    assert tally.unjudged == {"missing": 256}
    (tmp_path / "log" / place("entries", 1)).write_bytes(b"\xff\xff")
    assert found(tmp_path, patient="pat-1")[1].unjudged == {"missing": 512}


def test_what_was_pruned_is_said_unless_all_of_it_is_older_than_what_is_asked(tmp_path: Path) -> None:
    what = Pruned(256, record="p", at=stamp(MARCH + DAY), by="root", before=stamp(MARCH + HOUR))
    told = {"v": 1, "id": "p", "kind": "prune", "ts": what.at, "by": what.by, **what.said()}
    direct(tmp_path, *(decided(id=f"d{number}", at=MARCH + number * MINUTE) for number in range(300)), told)
    (tmp_path / "log" / place("entries", 0)).unlink()
    (tmp_path / "log/pruned").write_bytes(replace(what, index=300).encoded())
    late = [f"d{number}" for number in range(256, 300)]
    these, tally = found(tmp_path, patient="pat-1")
    assert (these, tally.unjudged) == (late, {"pruned": 256})
    assert ids(tmp_path, patient="pat-1", period=Period(MARCH + HOUR, MARCH + DAY)) == late
    (tmp_path / "log/pruned").write_bytes(replace(what, index=300, before=stamp(MARCH - DAY)).encoded())
    assert found(tmp_path, patient="pat-1")[1].unjudged == {"missing": 256}  # No record says so.


def test_who_asked_the_log_about_a_patient_is_found(tmp_path: Path) -> None:
    read = {"v": 1, "kind": "audit.read", "ts": stamp(MARCH), "detail": {"asked": {"patient": "pat-1"}}}
    log(tmp_path, read | {"id": "a"}, read | {"id": "b", "detail": {"asked": {"patient": "pat-2"}}}, decided(id="c"))
    assert ids(tmp_path, patient="pat-1", kinds=frozenset({"audit.read"})) == ["a"]
    assert ids(tmp_path, patient="pat-1") == ["c"]


def test_a_log_that_is_sealed_while_it_is_read_shows_each_record_once(tmp_path: Path) -> None:
    writer = log(tmp_path, *(decided(id=f"d{number}") for number in range(300)))
    grown(tmp_path, writer, *(decided(id=f"e{number}") for number in range(20)), seal=False)
    hits = search(tmp_path, Asked(patient="pat-1")).hits()
    these = [next(hits).id for _ in range(100)]
    grown(tmp_path, writer, decided(id="late"))
    these += [hit.id for hit in hits]
    assert these == [f"d{number}" for number in range(300)] + [f"e{number}" for number in range(20)]


TEXTS = st.sampled_from(["pat-1", "pat-2", 'p"', "nina", "ü", "Record", "p1-aaaaaaaaaaaaaaaaaaaaaaaaaa"])
STRANGE = {"act": {"action": "peek"}, "pou": {"asserted": "FUN"}, "sub": {"type": "ghost"}, "res": {"type": "Patient"}}
RECORDS = st.builds(
    decided,
    TEXTS,
    TEXTS,
    id=st.sampled_from("abc"),
    at=st.sampled_from([MARCH, MARCH + DAY, MARCH + 40 * DAY]),
    kind=st.sampled_from(["user", "Patient", "?"]),
    resource=st.sampled_from(["Record r1", "Patient pat-1", "? nina"]),
    effect=st.sampled_from(["allow", "deny"]),
    epoch=st.integers(0, 2),
    action=st.sampled_from(["read", "?"]),
    purpose=st.sampled_from(["TREAT", "?"]),
    kid=st.sampled_from(["", "one", "two", "three"]),
    hidden=st.booleans(),
    more=st.sampled_from(
        [
            {},
            {"search": {"for": "resource"}},
            {"identity": {"via": "t", "actors": 2}},
            {"identity": {"via": "t", "type": "user"}},
        ]
    ),
    detail=st.sampled_from(
        [{}, {"results": ["pat-1", "nina"]}, {"actors": ["nina"]}, {"identity": {"id": "nina"}}, STRANGE]
    ),
)
QUESTIONS = st.builds(
    Asked,
    patient=st.just("") | TEXTS,
    subject=st.just("") | TEXTS | st.just("user/nina") | st.just(name(1, "user", "nina")),
    resource=st.sampled_from(["", "", "Record/r1", "nina"]),
    effect=st.sampled_from(["", "allow"]),
    action=st.sampled_from(["", "", "peek"]),
    purpose=st.sampled_from(["", "", "FUN"]),
    period=st.sampled_from([None, Period(MARCH, MARCH + DAY + 1)]),
    kinds=st.sampled_from([frozenset(), frozenset({"decision", "decision.results"})]),
)
KEYS = st.sampled_from([PLAIN, Locks(1, 2), Locks(2, erased=("one",), locked=("two",))])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, max_size=12), asked=QUESTIONS, keys=KEYS)
def test_the_sieve_never_changes_an_answer(
    records: list[dict[str, Any]], asked: Asked, keys: Opener, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("log")
    direct(directory, *records)
    answers = []
    for thorough in (False, True):
        looked = search(directory, asked, keys, thorough=thorough)
        rows = [(hit.index, hit.payload) for hit in looked.hits()]
        answers.append((rows, looked.tally.unjudged, looked.tally.examples))
    assert answers[0] == answers[1]
