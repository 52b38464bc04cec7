"""How often may be asked, by whom and about whom; and what a policy may read of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pdp.config import ConfigError, Profile
from pdp.config.limits import Limit, Limiting, limiting
from pdp.config.settings import load
from pdp.language.schema import REQUEST_SOURCES
from pdp.serve import limits
from pdp.serve.limits import FREE, LEFT, UNAVAILABLE, Limits
from pdp.serve.runtime import Runtime
from tests.unit.serve.test_app import BODY, World

SECOND = 1_000_000
ALL = Limiting(Limit(10, 1, 10), Limit(20, 1, 20), Limit(1, 60, 2))


def made(directory: Path, limiting: Limiting = ALL, counted: dict[str, int] | None = None) -> Limits:
    runtime = Runtime(directory)
    limits.make(limiting, runtime)
    return Limits(limiting, runtime, counted)


def test_without_limits_there_is_no_table_and_nothing_to_ask(tmp_path: Path) -> None:
    asked = made(tmp_path, Limiting())
    assert asked.take("user:ann", "app", "p1", 0) is FREE
    assert list(tmp_path.iterdir()) == []


def test_each_bucket_refuses_in_its_word(tmp_path: Path) -> None:
    counted: dict[str, int] = {}
    asked = made(tmp_path, counted=counted)
    assert [asked.take("ann", "app", "p1", 0).refused for _ in range(3)] == ["", "", "subject-and-patient-limit"]
    assert [asked.take("ann", "app", "p2", 0).refused for _ in range(2)] == ["", ""]
    assert [asked.take("ann", "app", None, 0).refused for _ in range(7)] == [""] * 6 + ["subject-limit"]
    assert [asked.take("bob", "app", None, 0).refused for _ in range(10)] == [""] * 10
    assert asked.take("eve", "app", None, 0).refused == "client-limit"
    assert asked.take("eve", "", None, 0).refused == ""
    assert counted == {"subject-and-patient-limit": 1, "subject-limit": 1, "client-limit": 1}


def test_retry_after_is_rounded_up_to_seconds(tmp_path: Path) -> None:
    asked = made(tmp_path)
    for _ in range(2):
        asked.take("ann", "", "p1", 0)
    assert asked.take("ann", "", "p1", 1).retry_after == 60
    assert asked.take("ann", "", "p1", 59_500_000).retry_after == 1
    assert asked.take("ann", "", "p1", 60 * SECOND).refused == ""


def test_what_is_left_has_the_names_that_policies_read(tmp_path: Path) -> None:
    assert REQUEST_SOURCES == {"limits": LEFT}
    taken = made(tmp_path).take("ann", "app", "p1", 0)
    assert taken.sourced == {"limits": {"subject_left": 9, "client_left": 19, "subject_patient_left": 1}}
    assert made(tmp_path).take("ann", "", None, 0).left == {"subject_left": 9}
    assert FREE.sourced == {"limits": {}}


def test_a_pair_is_told_from_another_pair_with_the_same_letters(tmp_path: Path) -> None:
    asked = made(tmp_path)
    for _ in range(2):
        assert asked.take("ann", "", "bob", 0).refused == ""
    assert asked.take("annb", "", "ob", 0).refused == ""
    assert asked.take("ann", "", "bob", 0).refused == "subject-and-patient-limit"


def test_a_subject_and_a_client_of_one_name_are_two(tmp_path: Path) -> None:
    asked = made(tmp_path, Limiting(Limit(1, 1, 1), Limit(1, 1, 1)))
    assert asked.take("x", "", None, 0).refused == ""
    assert asked.take("y", "x", None, 0).refused == ""


def test_what_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    counted: dict[str, int] = {}
    asked = Limits(ALL, Runtime(tmp_path), counted)  # Nobody has made the table.
    assert asked.take("ann", "app", None, 0).refused == UNAVAILABLE
    (tmp_path / limits.TABLE).write_bytes(b"")
    assert asked.take("ann", "app", None, 0).refused == UNAVAILABLE
    assert counted == {UNAVAILABLE: 2}


def test_any_text_is_a_name(tmp_path: Path) -> None:
    asked = made(tmp_path)
    for name in ("\ud800", "ä", "\0", "a" * 10_000):
        assert asked.take(name, name, name, 0).refused == ""


# ------------------------------------------------------------------------------------------------------------ settings


def read(directory: Path, text: str) -> Limiting:
    (directory / "pdp.toml").write_text(text)
    return load({}, directory).limits


def test_the_section_is_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "[limits]\nnames = 4096\nhead_seconds = 3\n[limits.subject]\nrate = 50\nper_seconds = 2\nburst = 100\n"
        "[limits.subject_and_patient]\nrate = 5\n",
    )
    assert found == Limiting(Limit(50, 2, 100), None, Limit(5, 1, 5), names=4_096, head_seconds=3)
    (tmp_path / "none").mkdir()
    assert load({}, tmp_path / "none").limits == Limiting()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[limits.subject]\nburst = 3\n", "`rate` is missing"),
        ("[limits.subject]\nrate = 0\n", "`rate` must be a whole number"),
        ("[limits.subject]\nrate = 1.5\n", "`rate` must be a whole number"),
        ("[limits.subject]\nrate = true\n", "`rate` must be a whole number"),
        ("[limits.subject]\nrate = 1\nbrust = 2\n", "unknown key `brust`; did you mean `burst`?"),
        ("[limits.patient]\nrate = 1\n", "unknown key `patient`"),
        ("[limits]\nsubject = 5\n", "[limits.subject]: must be a table"),
        ("limits = 5\n", "`limits` must be a table"),
        ("[limits]\nhead_seconds = 0\n", "`head_seconds` must be a whole number"),
    ],
)
def test_a_mistake_in_the_section_is_said(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)


def test_a_reader_of_nonsense_gives_the_defaults_and_a_problem() -> None:
    problems: list[str] = []
    assert limiting([1], Path("pdp.toml"), problems) == Limiting()
    assert len(problems) == 1


# --------------------------------------------------------------------------------------------------------- at the doors

NARROW = Limiting(Limit(1, 60, 2))


def limited(directory: Path, limiting: Limiting) -> World:
    world = World(directory, limits=limiting)
    limits.make(limiting, Runtime(directory / "runtime"))
    return world


def test_checklist_31_a_proxy_door_refuses_with_429_and_says_for_how_long(tmp_path: Path) -> None:
    world = limited(tmp_path, NARROW)
    answers = [world.check() for _ in range(4)]
    assert [each.status for each in answers] == [200, 200, 429, 429]
    assert 1 <= int(answers[2].headers[b"retry-after"]) <= 60
    assert world.check(user=b"bob").status == 403  # Another subject has another bucket.
    records = world.records()
    assert [each["reason"] for each in records] == ["permitted", "permitted", "rate_limited", "rate_limited", "no_rule"]
    assert {each.get("detail") for each in records[2:4]} == {"subject-limit"}
    assert records[2]["subject"]["id"] == "alice"
    assert world.app.worker.metrics.limited == {"subject-limit": 2}


def test_an_api_door_refuses_with_429_and_each_item_of_a_batch_for_itself(tmp_path: Path) -> None:
    world = limited(tmp_path, NARROW)
    assert [world.evaluate().status for _ in range(3)] == [200, 200, 429]
    assert len(world.engine.asked) == 2
    assert world.records()[2]["subject"]["id"] == "alice"
    bob = {**BODY, "subject": {"type": "user", "id": "bob"}}
    batch = {"evaluations": [bob, BODY, bob, bob]}
    answer = world.ask(path=b"/access/v1/evaluations", body=json.dumps(batch).encode())
    assert answer.status == 200
    told = [each["reason"] for each in world.records()[3:]]
    assert told == ["no_rule", "rate_limited", "no_rule", "rate_limited"]
    assert all(not each["decision"] for each in json.loads(answer.body)["evaluations"])


def test_the_engine_is_told_what_is_left(tmp_path: Path) -> None:
    world = limited(tmp_path, NARROW)
    world.check()
    world.evaluate()
    assert [each.sourced for each, *_ in world.engine.asked] == [
        {"limits": {"subject_left": 1}},
        {"limits": {"subject_left": 0}},
    ]


def test_where_nothing_can_be_counted_nothing_opens(tmp_path: Path) -> None:
    world = World(tmp_path, limits=NARROW)  # There is no table.
    assert world.check().status == 429
    assert world.evaluate().status == 429
    assert {each["detail"] for each in world.records()} == {UNAVAILABLE}


def test_a_page_of_a_search_is_one_request(tmp_path: Path) -> None:
    world = World(tmp_path, limits=NARROW, profiles=(Profile("portal", search=True),))
    limits.make(NARROW, Runtime(tmp_path / "runtime"))
    search = {**BODY, "resource": {"type": "record"}}
    body = json.dumps(search).encode()
    for _ in range(2):
        assert world.evaluate().status == 200
    assert world.ask(path=b"/access/v1/search/resource", body=body).status == 429
    refused = world.records()[-1]
    assert (refused["reason"], refused["detail"], refused["subject"]["id"]) == (
        "rate_limited",
        "subject-limit",
        "alice",
    )
