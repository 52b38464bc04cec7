"""Each explanation: what it explains, and what it nearly explains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pdp.audit.detect.rules import RulesError, load
from pdp.audit.detect.tables import ContextError
from tests.unit.audit.detect.house import DAY, HOUR, NOON, House, access, at, patient, staff

CARE = "patient,staff,unit,from,to"
ORDERS = "patient,staff,unit,from,to,kind"
TODAY = f"{at(NOON - HOUR)},{at(NOON + HOUR)}"
NEXT_MONTH = f"{at(NOON + 30 * DAY)},{at(NOON + 31 * DAY)}"
LAST_YEAR = f"{at(NOON - 300 * DAY)},{at(NOON - 299 * DAY)}"


def explained(house: House, **more: Any) -> str:
    """By what one access is explained; "" by nothing."""
    tally = house.run([access(**more)]).detector.tally
    assert tally.judged == 1
    return next(iter(tally.explained), "")


@pytest.mark.parametrize(
    ("name", "row", "near", "template"),
    [
        ("appointments", f"p-1,ann,,{TODAY}", f"p-1,bob,,{TODAY}", "appointment"),
        (
            "appointments",
            f"p-1,ann,,{at(NOON - 10 * DAY)},{at(NOON - 9 * DAY)}",
            f"p-1,ann,,{LAST_YEAR}",
            "appointment",
        ),
        ("appointments", f"p-1,ann,,{TODAY}", f"p-1,ann,,{NEXT_MONTH}", "appointment"),
        ("appointments", f"p-1,,east,{TODAY}", f"p-1,,west,{TODAY}", "visit"),
        ("appointments", f"p-1,,east-2,{TODAY}", f"p-1,,hospital,{TODAY}", "visit"),
        ("encounters", f"p-1,ann,west,{TODAY}", f"p-2,ann,west,{TODAY}", "encounter"),
        ("encounters", f"p-1,,east,{TODAY}", f"p-1,,west,{TODAY}", "stay"),
        ("encounters", f"p-1,,east,{at(NOON - 9 * DAY)},", f"p-1,,west,{at(NOON - 9 * DAY)},", "stay"),
        ("claims", f"p-1,ann,,{TODAY}", f"p-1,bob,,{TODAY}", "claim"),
        ("claims", f"p-1,,east,{TODAY}", f"p-1,,east,{NEXT_MONTH}", "claim-of-unit"),
    ],
)
def test_what_happens_to_a_patient_explains_who_has_to_do_with_it(
    tmp_path: Path, name: str, row: str, near: str, template: str
) -> None:
    house = House(tmp_path)
    house.file(name, CARE, row)
    assert explained(house) == template
    house.file(name, CARE, near)
    assert explained(house) == ""


@pytest.mark.parametrize(
    ("row", "near", "template"),
    [
        (f"p-1,ann,,{TODAY},laboratory", f"p-1,bob,,{TODAY},laboratory", "order"),
        (f"p-1,,east,{TODAY},laboratory", f"p-1,,west,{TODAY},laboratory", "order-of-unit"),
    ],
)
def test_orders_explain_who_orders_and_who_carries_out(tmp_path: Path, row: str, near: str, template: str) -> None:
    house = House(tmp_path)
    house.file("orders", ORDERS, row)
    assert explained(house) == template
    house.file("orders", ORDERS, near)
    assert explained(house) == ""


def test_an_appointment_with_a_colleague_of_the_unit_explains_physicians_and_not_nurses(tmp_path: Path) -> None:
    house = House(tmp_path, staff("doc", "east", "physician"), staff("far", "west", "physician"))
    house.file("appointments", CARE, f"p-1,doc,,{TODAY}")
    assert [explained(house, who=each) for each in ("eve", "ann", "doc")] == ["colleague", "", "appointment"]
    house.file("appointments", CARE, f"p-1,far,,{TODAY}")
    assert explained(house, who="eve") == ""


def test_a_consult_for_a_colleague_explains_the_unit(tmp_path: Path) -> None:
    house = House(tmp_path, staff("doc", "east", "physician"))
    house.file("orders", ORDERS, f"p-1,doc,,{TODAY},consult")
    assert explained(house) == "consult"
    house.file("orders", ORDERS, f"p-1,doc,,{TODAY},laboratory")
    assert explained(house) == ""


def test_roles_are_explained_by_what_is_their_work_alone(tmp_path: Path) -> None:
    house = House(tmp_path, *(staff(role, "", role) for role in ("pharmacist", "registrar", "privacy_officer")))
    house.file("orders", ORDERS, f"p-1,eve,,{TODAY},medication")
    house.file("appointments", CARE, f"p-2,eve,,{TODAY}")
    house.file("encounters", CARE, f"p-3,eve,,{TODAY}")
    everybody = ("pharmacist", "registrar", "privacy_officer")
    found = {each: [explained(house, who=each, of=f"p-{number}") for number in (1, 2, 3, 4)] for each in everybody}
    assert found == {
        "pharmacist": ["medication", "", "", ""],
        "registrar": ["", "arrival", "admission", ""],
        "privacy_officer": ["duty"] * 4,
    }


def test_studies_explain_researchers_of_them(tmp_path: Path) -> None:
    people = [staff("res", "", "researcher", studies=["s-1"]), staff("other", "", "researcher", studies=["s-2"])]
    house = House(tmp_path, *people, staff("doc", studies=["s-1"]), patient("p-1", studies=["s-1"]))
    assert [explained(house, who=each) for each in ("res", "other", "doc")] == ["study", "", ""]


def test_care_team_and_location_explain_and_so_does_being_on_call(tmp_path: Path) -> None:
    call = {"unit": "west", "start": at(NOON - HOUR), "end": at(NOON + HOUR)}
    house = House(
        tmp_path,
        staff("doc", "east", "physician", on_call=call),
        patient("p-1", care_team=["ann"]),
        patient("p-2", location="west"),
    )
    assert [explained(house, who=each) for each in ("ann", "bob")] == ["care-team", ""]
    assert [explained(house, who=each, of="p-2") for each in ("bob", "doc", "ann")] == ["location", "location", ""]
    assert explained(house, who="doc", of="p-2", time=NOON + 2 * HOUR) == ""


def test_the_unit_of_a_shift_explains_while_it_is_on(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-2", location="west"))
    house.file("schedule", "staff,unit,from,to,kind", f"ann,west,{TODAY},shift")
    assert [explained(house, of="p-2", time=NOON + each * HOUR) for each in (0, 5)] == ["location", ""]


def test_the_portal_is_for_the_own_chart_and_those_one_represents(tmp_path: Path) -> None:
    member = {"type": "member", "id": "m-1", "attributes": {"patient": "p-1", "represents": ["p-2"]}}
    house = House(tmp_path, member)
    seen = [access("m-1", each, kind="member", allowed=False) for each in ("p-1", "p-2", "p-3")]
    detector = house.run(seen).detector
    assert detector.tally.judged == 0
    from pdp.audit.detect.access import Access, Reading
    from pdp.audit.detect.explain import explanation
    from pdp.audit.leaf import PLAIN

    reading = Reading(house.context(), PLAIN)
    events = [reading.event(each) for each in seen]
    found = [explanation(each, load().templates, house.context()) for each in events if isinstance(each, Access)]
    assert found == ["own", "represents", ""]


def test_a_template_that_is_switched_off_or_added_by_the_operator(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.file("appointments", CARE, f"p-1,ann,,{TODAY}")
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[explanation.appointment]\nenabled = false\n"
        '[explanation.night-watch]\ntitle = "the night watch"\nfacts = "role"\nroles = ["watch"]\n'
    )
    assert house.run([access()], rules=mine).detector.tally.unexplained == 1
    assert [each.id for each in load(mine).templates][-1] == "night-watch"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rule.M1]\nthreshhold = 3\n", "did you mean `threshold`"),
        ("[rule.M99]\nthreshold = 3\n", "`rule.M99` is not known"),
        ('[rule.M1]\nthreshold = "3"\n', "must be a whole number"),
        ("[rule.M1]\nthreshold = true\n", "must be a whole number"),
        ('[rule.M1]\nwindow = "soon"\n', "must be a time"),
        ('[rule.M3]\nexplained_by = ["luck"]\n', "names no explanation: luck"),
        ('[explanation.all]\nfacts = "role"\n', "would explain everything to everybody"),
        ('[explanation.all]\nfacts = "stars"\n', "must be one of"),
        ("[settings]\nalert_score = -1\n", "must not be negative"),
        ("[settings]\nalert_score = 99999999999999999999999\n", "at most"),
        ("[rule.M1]\npoints = 99999999999999999999999\n", "at most"),
        ("[rule.M2]\nstep = 1000000000\n", "at most"),
        ('[rule.M1]\nroles = { nurse = "many" }\n', "must give whole numbers"),
        ("[rule.M13.labels]\nNEW = 3\n", "`rule.M13.labels.NEW` must list texts"),
        ("[rule.M18]\noverriding = [[1]]\n", "`rule.M18.overriding` must list texts"),
        ('[rule.M1]\nkind = "own"\n', "cannot be changed"),
        ("= 1", "is no TOML"),
    ],
)
def test_a_rules_file_with_a_mistake_is_refused_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    with pytest.raises(RulesError) as caught:
        load(mine)
    assert said in str(caught.value)


def test_all_explanations_but_one(tmp_path: Path) -> None:
    rule = next(each for each in load().rules if each.id == "M4")
    assert [rule.suppresses(each) for each in ("visit", "colleague", "")] == [True, False, False]


def test_thresholds_of_single_roles_and_of_types_of_subjects(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[rule.M11]\nthreshold = 9\nroles = { nurse = 3, ":service" = 5 }\n')
    rule = next(each for each in load(mine).rules if each.id == "M11")
    assert [rule.limit("nurse"), rule.limit("physician"), rule.limit("", "service")] == [3, 9, 5]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("appointments", "patient,staff\n", "no column unit, from, to"),
        ("appointments", "patient,staff,unit,from,to,staff\n", "more than one column staff"),
        ("appointments", f"{CARE}\np-1,ann,east,today,\n", "is no time"),
        ("appointments", f"{CARE}\np-1,ann\n", "2 values for 5 columns"),
        ("patients", "patient,vip,deceased,discharged\np-1,yes,,\n", "`vip` must be true or false"),
        ("terminations", "staff,at,kind\nann,,left\n", "`at` is empty"),
    ],
)
def test_a_file_of_the_context_with_a_mistake_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    house = House(tmp_path)
    (house.directory / f"{name}.csv").write_text(text)
    with pytest.raises(ContextError, match=said):
        house.context()


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"type": "user"}', '{"type": "user", "id": "x", "attributes": {"on_call": {"unit": 1}}}']
)
def test_entities_that_are_none_are_refused(tmp_path: Path, line: str) -> None:
    house = House(tmp_path)
    (house.directory / "entities.jsonl").write_text(line)
    with pytest.raises(ContextError):
        house.context()


def test_a_date_alone_is_the_whole_day(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.file("schedule", "staff,unit,from,to,kind", "ann,east,2026-03-01,2026-03-01,shift")
    (shift,) = house.context().schedule["ann"]
    assert (shift.end - shift.start, shift.start) == (DAY, NOON - 12 * HOUR)
