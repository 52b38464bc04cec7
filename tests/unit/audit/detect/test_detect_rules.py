"""For each rule: what it finds, and what it nearly finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdp.audit.leaf import Leaf
from tests.unit.audit.detect.house import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    House,
    access,
    at,
    many,
    patient,
    record,
    settle,
    staff,
)

SECOND = 1_000_000


# ------------------------------------------------------------------------------------------ M1 and M2: denied


def test_m1_finds_repeated_denials_and_the_success_after_them(tmp_path: Path) -> None:
    denied = [access(allowed=False, time=NOON + each * MINUTE) for each in range(8)]
    report = House(tmp_path).run([*denied, access(time=NOON + 9 * MINUTE)])
    found = [(each.rule, each.patient, each.because) for each in report.findings if each.rule == "M1"]
    assert found == [
        ("M1", "", "8 denials or more in a short time"),
        ("M1", "p-1", "allowed in the end, after many denials"),
    ]


def test_m1_does_not_find_seven_denials_nor_eight_over_a_day_nor_our_own_faults(tmp_path: Path) -> None:
    few = [access(allowed=False, time=NOON + each * MINUTE) for each in range(7)]
    slow = [access("bob", allowed=False, time=NOON + each * 2 * HOUR) for each in range(8)]
    ours = [access("eve", allowed=False, reason="audit_unavailable", time=NOON + each) for each in range(20)]
    assert House(tmp_path).rules([*few, *slow, *ours], "M1") == []


def test_m1_counts_refusals_alike_that_one_record_stands_for(tmp_path: Path) -> None:
    assert House(tmp_path).rules([access(allowed=False, count=8)], "M1") == [("M1", "ann", "")]


def test_m1_finds_one_patient_whom_several_are_denied_and_not_two(tmp_path: Path) -> None:
    house = House(tmp_path)
    several, two = (
        [access(f"w{each % people}", allowed=False, time=NOON + each * MINUTE) for each in range(20)]
        for people in (4, 2)
    )
    assert ("M1", "p-1", "p-1") in house.rules(several, "M1")
    assert ("M1", "p-1", "p-1") not in house.rules(two, "M1")


def test_m1_finds_one_client_that_is_denied_as_many(tmp_path: Path) -> None:
    house = House(tmp_path)
    denied = [access(f"w{each}", f"p-{7 * each}", NOON + each, allowed=False, client="kiosk") for each in range(60)]
    assert house.rules(denied, "M1") == [("M1", "kiosk", "")]
    assert house.rules(denied[:59], "M1") == []


def test_m2_finds_many_different_things_denied(tmp_path: Path) -> None:
    assert House(tmp_path).rules(many(10, allowed=False), "M2") == [("M2", "ann", "")]


def test_m2_does_not_find_one_thing_denied_often_nor_nine(tmp_path: Path) -> None:
    often = [access(allowed=False, time=NOON + each) for each in range(30)]
    assert House(tmp_path).rules([*often, *many(9, who="bob", allowed=False)], "M2") == []


def test_m2_finds_ids_tried_one_after_the_other_also_when_allowed_and_shuffled(tmp_path: Path) -> None:
    order = [5, 2, 8, 1, 9, 4, 10, 3, 7, 6]
    tried = [access(of=f"p-{each}", time=NOON + number * MINUTE) for number, each in enumerate(order)]
    assert House(tmp_path).rules(tried, "M2") == [("M2", "ann", "")]


def test_m2_does_not_find_ids_far_apart_nor_the_documents_of_one_patient(tmp_path: Path) -> None:
    apart = [access(of=f"p-{3 * each}", time=NOON + each * MINUTE) for each in range(20)]
    one = [access("bob", resource=("Record", f"r-{each}"), time=NOON + each) for each in range(20)]
    assert House(tmp_path).rules([*apart, *one], "M2") == []


# ------------------------------------------------------------------------------- M3 to M7: who the patient is


def test_m3_finds_a_protected_person_and_the_attempt(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", vip=True))
    report = house.run([access(), access("bob", allowed=False, time=NOON + MINUTE)])
    assert [(each.rule, each.who, each.points) for each in report.findings] == [("M3", "ann", 40), ("M3", "bob", 15)]


def test_m3_finds_many_who_look_at_one(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", vip=True))
    seen = [access(who, time=NOON + each * HOUR) for each, who in enumerate(["ann", "bob", "eve"])]
    assert ("M3", "p-1", "p-1") in house.rules(seen, "M3")
    assert ("M3", "p-1", "p-1") not in house.rules(seen[:2] * 3, "M3")


def test_m3_leaves_the_care_team_and_others_patients_alone(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", vip=True, care_team=["ann"]), patient("p-2"))
    report = house.run([access(), access("bob", "p-2")])
    assert [each.rule for each in report.findings] == []
    assert report.detector.facts.suppressed["M3", "care-team"] == 1


EMPLOYED = ("employees", "staff,patient", "bob,p-1", "eve,p-2", "ann,p-3")


def test_m4_finds_a_colleague_of_the_same_unit_and_not_of_another(tmp_path: Path) -> None:
    house = House(tmp_path).file(*EMPLOYED)
    seen = [access("ann", "p-2"), access("ann", "p-1"), access("ann", "p-3"), access("ann", "p-9")]
    assert house.rules(seen, "M4") == [("M4", "ann", "p-2")]


def test_m4_is_explained_by_an_appointment(tmp_path: Path) -> None:
    house = House(tmp_path).file(*EMPLOYED)
    house.file("appointments", "patient,staff,unit,from,to", f"p-2,ann,,{at(NOON)},{at(NOON + HOUR)}")
    assert house.rules([access("ann", "p-2")], "M4") == []


def test_m5_finds_the_own_chart_whatever_explains_it(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-3", care_team=["ann"])).file(*EMPLOYED)
    assert house.rules([access("ann", "p-3"), access("ann", "p-2", allowed=False)], "M5") == [("M5", "ann", "p-3")]
    assert house.rules([access("ann", "p-3", allowed=False)], "M5") == []


PEOPLE = (
    "people",
    "type,id,surname,address,household,near",
    "user,ann,s1,a1,h1,a0 a2",
    "Patient,p-1,s2,a1,h1,",
    "Patient,p-2,s2,a1,h2,",
    "Patient,p-3,s2,a2,h3,",
    "Patient,p-4,s1,a9,h9,",
    "Patient,p-5,s2,a9,h8,",
)


@pytest.mark.parametrize(
    ("of", "points"), [("p-1", 40), ("p-2", 40), ("p-3", 40), ("p-4", 15), ("p-5", None)], ids=lambda value: str(value)
)
def test_m6_finds_household_address_next_door_and_a_rare_surname(tmp_path: Path, of: str, points: int | None) -> None:
    found = House(tmp_path).file(*PEOPLE).run([access(of=of)]).findings
    assert [each.points for each in found if each.rule == "M6"] == ([] if points is None else [points])


def test_m6_a_surname_that_many_have_says_nothing(tmp_path: Path) -> None:
    others = [f"Patient,x-{each},s1,,," for each in range(6)]
    house = House(tmp_path).file(*PEOPLE, *others)
    assert house.rules([access(of="p-4")], "M6") == []


def test_m7_finds_whom_one_represents(tmp_path: Path) -> None:
    member = {"type": "member", "id": "m-ann", "attributes": {"patient": "p-3", "represents": ["p-8"]}}
    house = House(tmp_path, member).file(*EMPLOYED).file("relations", "patient,related,kind", "p-3,p-7,guarantor")
    seen = [access("ann", "p-8"), access("ann", "p-7"), access("ann", "p-6"), access("bob", "p-8")]
    assert house.rules(seen, "M7") == [("M7", "ann", "p-7"), ("M7", "ann", "p-8")]


# -------------------------------------------------------------------------------------------- M8: emergencies


def test_m8_finds_emergencies_that_nothing_explains_and_more_than_others_have(tmp_path: Path) -> None:
    nurses = [staff(f"n{each}") for each in range(8)]
    alone = many(4, purpose="BTG")
    assert House(tmp_path, *nurses).rules(alone, "M8") == [("M8", "ann", "")]


def test_m8_does_not_find_three_nor_what_everybody_of_the_role_does(tmp_path: Path) -> None:
    nurses = [staff(f"n{each}") for each in range(8)]
    house = House(tmp_path, *nurses)
    assert house.rules(many(3, purpose="BTG"), "M8") == []
    others = [one for each in range(8) for one in many(3, who=f"n{each}", purpose="ETREAT", time=NOON - DAY)]
    assert house.rules([*others, *many(4, purpose="BTG")], "M8") == []


def test_m8_finds_one_patient_on_three_days_and_not_on_two(tmp_path: Path) -> None:
    days = [access(purpose="ETREAT", time=NOON + each * DAY) for each in range(3)]
    house = House(tmp_path)
    assert house.rules(days, "M8") == [("M8", "ann", "p-1")]
    assert house.rules([*days[:2], *days[:2]], "M8") == []


def test_m8_finds_what_nobody_has_looked_at_in_time(tmp_path: Path) -> None:
    claimed = many(3, purpose="BTG")
    later = settle(NOON + 4 * DAY)
    house = House(tmp_path).file("reviews", "staff,patient,at,reason", "x,y,2026-01-01T00:00:00Z,z")
    assert ("M8-review", "ann", "") in house.rules([*claimed, later], "M8-review")
    assert house.rules([*claimed, settle(NOON + 2 * DAY)], "M8-review") == []
    house.file("reviews", "staff,patient,at,reason", f"ann,q-97,{at(NOON + DAY)},seen")
    assert house.rules([*claimed, later], "M8-review") == []


def test_m8_finds_emergencies_where_the_ordinary_way_was_open(tmp_path: Path) -> None:
    treated = [patient(f"q-{97 * each}", care_team=["ann"]) for each in range(8)]
    house = House(tmp_path, *treated)
    assert house.rules(many(8, purpose="ETREAT"), "M8-needless") == [("M8-needless", "ann", "")]
    assert house.rules(many(7, purpose="ETREAT") + many(8), "M8-needless") == []


# ----------------------------------------------------------------------------- M9 to M11, M21: when, how much

PLAN = (
    "schedule",
    "staff,unit,from,to,kind",
    f"ann,east,{at(NOON - DAY)},{at(NOON - DAY + 8 * HOUR)},shift",
    f"ann,,{at(NOON + 2 * DAY)},{at(NOON + 4 * DAY)},leave",
    f"ann,east,{at(NOON + 9 * DAY)},{at(NOON + 9 * DAY + 8 * HOUR)},shift",
    f"eve,east,{at(NOON - DAY)},{at(NOON - DAY + 8 * HOUR)},shift",
    f"eve,east,{at(NOON + 9 * DAY)},{at(NOON + 9 * DAY + 8 * HOUR)},on-call",
)


def test_m9_finds_three_patients_off_shift_and_says_when_it_is_leave(tmp_path: Path) -> None:
    report = House(tmp_path).file(*PLAN).run([*many(3), *many(3, time=NOON + 3 * DAY)])
    found = [(each.points, each.because) for each in report.findings if each.rule == "M9"]
    assert found == [(40, "3 patients off shift"), (55, "3 patients on leave")]


def test_m9_does_not_find_two_nor_the_hour_after_a_shift_nor_who_is_in_no_plan(tmp_path: Path) -> None:
    house = House(tmp_path).file(*PLAN)
    near = many(3, time=NOON - DAY + 8 * HOUR + 30 * MINUTE)
    unplanned = many(5, who="bob")
    after_the_plan = many(5, time=NOON + 30 * DAY)
    on_call = many(5, who="eve", time=NOON + 9 * DAY)
    report = house.run([*near, *many(2), *unplanned, *on_call, *after_the_plan])
    assert [each for each in report.findings if each.rule == "M9"] == []
    assert "M9 (in part)" in report.detector.not_judged()


def test_m9_what_is_done_at_home_is_for_those_whose_work_goes_on_there(tmp_path: Path) -> None:
    treated = [patient(f"q-{97 * each}", care_team=["ann", "eve"]) for each in range(3)]
    house = House(tmp_path, *treated).file(*PLAN)
    assert house.rules([*many(3), *many(3, who="eve")], "M9") == [("M9", "ann", "")]


def _days(number: int, size: int, who: str = "ann") -> list[Leaf]:
    return [one for day in range(number) for one in many(size, who=who, time=NOON - (number - day) * DAY)]


def test_m10_finds_many_more_than_own_days_and_the_roles(tmp_path: Path) -> None:
    house = House(tmp_path, *(staff(f"n{each}") for each in range(4)))
    usual = [*_days(5, 13), *(one for each in range(4) for one in _days(5, 12, f"n{each}"))]
    found = house.run([*usual, *many(40)]).findings
    assert [each.because for each in found if each.rule == "M10"] == [
        "40 patients in a day, where 13 are usual for this person and 12 for the role"
    ]


def test_m10_does_not_find_who_always_sees_many_nor_a_role_that_does(tmp_path: Path) -> None:
    house = House(tmp_path, *(staff(f"n{each}") for each in range(4)))
    always = [*_days(5, 30), *many(45)]
    assert house.rules(always, "M10") == []
    role = [*_days(5, 2), *(one for each in range(4) for one in _days(5, 30, f"n{each}")), *many(45)]
    assert house.rules(role, "M10") == []
    again = [access(of=f"q-{each % 39}", time=NOON + each * MINUTE) for each in range(200)]
    assert house.rules(again, "M10") == []


def test_m10_finds_searches_that_name_very_many(tmp_path: Path) -> None:
    def page(size: int, time: int) -> Leaf:
        names = {"detail": {"results": [f"p-{each}" for each in range(size)]}}
        about = {"for": "resource", "found": size, "looked_at": size, "undecided": 0, "more": True}
        return access(of="", time=time, resource=("Patient", ""), action="search", search=about, **names)

    pages = [page(100, NOON + each * MINUTE) for each in range(5)]
    house = House(tmp_path)
    assert house.rules(pages, "M10-search") == [("M10-search", "ann", "")]
    assert house.rules(pages[:4], "M10-search") == []


def test_m10_finds_exports(tmp_path: Path) -> None:
    exported = [access(of="", action="export", resource=("Study", f"s-{each}"), time=NOON + each) for each in range(3)]
    house = House(tmp_path)
    assert house.rules(exported, "M10-export") == [("M10-export", "ann", "")]
    assert house.rules(exported[:2], "M10-export") == []


def test_m11_finds_four_patients_for_whom_nothing_says_why(tmp_path: Path) -> None:
    house = House(tmp_path, patient("q-0", care_team=["ann"]))
    assert house.rules(many(5), "M11") == [("M11", "ann", "")]
    assert house.rules(many(4), "M11") == []


def test_m21_finds_one_here_and_one_there_over_weeks(tmp_path: Path) -> None:
    house = House(tmp_path, *(staff(f"n{each}") for each in range(4)))
    serial = [access(of=f"q-{97 * each}", time=NOON + 3 * each * DAY) for each in range(8)]
    assert house.rules(serial, "M11", "M21") == [("M21", "ann", "")]


def test_m21_does_not_find_seven_nor_eight_in_two_days_nor_what_all_of_the_role_do(tmp_path: Path) -> None:
    house = House(tmp_path, *(staff(f"n{each}") for each in range(4)))
    serial = [access(of=f"q-{97 * each}", time=NOON + 3 * each * DAY) for each in range(8)]
    assert house.rules(serial[:7], "M21") == []
    assert house.rules([*many(3), *many(8, time=NOON + DAY)], "M21") == []
    others = [access(f"n{who}", f"q-{97 * each}", NOON - DAY + each * HOUR) for who in range(4) for each in range(4)]
    assert house.rules([*others, *serial], "M21") == []


# ------------------------------------------------------------------------- M12 to M14, M18: what, and by whom

GONE = (
    "patients",
    "patient,vip,deceased,discharged",
    f"p-1,false,{at(NOON - 31 * DAY)},",
    f"p-2,false,{at(NOON - 29 * DAY)},",
    f"p-3,false,,{at(NOON - 401 * DAY)}",
    f"p-4,false,,{at(NOON - 399 * DAY)}",
    "p-5,false,,",
)


def test_m12_finds_the_dead_and_the_long_gone_and_not_the_recent(tmp_path: Path) -> None:
    house = House(tmp_path).file(*GONE)
    seen = [access(of=f"p-{each}") for each in range(1, 6)]
    assert house.rules(seen, "M12") == [("M12", "ann", "p-1"), ("M12", "ann", "p-3")]


def test_m12_is_explained_by_a_claim_and_not_by_a_care_team_of_then(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-3", care_team=["ann"]), staff("cy", role="billing")).file(*GONE)
    house.file("claims", "patient,staff,unit,from,to", f"p-1,cy,,{at(NOON - DAY)},")
    assert house.rules([access("cy", "p-1"), access("ann", "p-3")], "M12") == [("M12", "ann", "p-3")]


def test_m13_finds_sensitive_records_outside_the_speciality(tmp_path: Path) -> None:
    marked = {"type": "Record", "id": "r-1", "attributes": {"patient": "p-1", "labels": ["PSY", "MH"]}}
    plain = {"type": "Record", "id": "r-2", "attributes": {"patient": "p-1", "labels": ["DEMO"]}}
    house = House(tmp_path, marked, plain, staff("psy", "psychiatry"))
    seen = [access(who, resource=("Record", name)) for who in ("ann", "psy") for name in ("r-1", "r-2")]
    report = house.run(seen)
    found = [(each.who, each.because) for each in report.findings if each.rule == "M13"]
    assert found == [("ann", "marked MH, PSY, outside the speciality")]


def test_m14_finds_who_has_left_allowed_or_not(tmp_path: Path) -> None:
    house = House(tmp_path).file("terminations", "staff,at,kind", f"ann,{at(NOON)},", f"bob,{at(NOON)},role-changed")
    late = NOON + DAY
    seen = [access(time=NOON + HOUR), access(of="p-2", time=late), access(of="p-3", time=late, allowed=False)]
    found = [(each.patient, each.points) for each in house.run(seen).findings if each.rule == "M14"]
    assert found == [("p-2", 60), ("p-3", 25)]


def test_m14_a_change_of_role_is_a_finding_only_where_nothing_explains_it(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-2", care_team=["bob"]))
    house.file("terminations", "staff,at,kind", f"bob,{at(NOON)},role-changed")
    seen = [access("bob", each, NOON + DAY) for each in ("p-1", "p-2")]
    assert house.rules([*seen, access("bob", "p-1", NOON + 40 * DAY)], "M14") == [("M14", "bob", "p-1")]


def test_m18_finds_whom_a_patient_keeps_away(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann"], care_team=["ann"]))
    seen = [access(purpose="ETREAT"), access("bob"), access(allowed=False)]
    assert house.rules(seen, "M18") == [("M18", "ann", "p-1")]


def test_m18_finds_rules_that_override(tmp_path: Path) -> None:
    mine = tmp_path / "rules.toml"
    mine.write_text('[rule.M18]\noverriding = ["glass"]\n')
    report = House(tmp_path).run([access(rule="glass"), access("bob", rule="door")], rules=mine)
    assert [(each.rule, each.who) for each in report.findings] == [("M18", "ann")]


# ------------------------------------------------------------------------- M15 to M17, M19: where, and for what


def test_m15_finds_back_and_forth_between_two_units(tmp_path: Path) -> None:
    house = House(tmp_path)
    learned = [
        access(who, f"p-{each}", NOON - DAY + each * MINUTE, client=client)
        for who, client in (("eve", "ws-east"), ("bob", "ws-west"))
        for each in range(20)
    ]
    three = [access(client=client, time=NOON + each * MINUTE) for each, client in enumerate(["ws-east", "ws-west"] * 2)]
    assert house.rules([*learned, *three[:3]], "M15") == [("M15", "ann", "")]
    assert house.rules([*learned, *three[:2]], "M15") == []


def test_m15_within_one_unit_it_takes_more(tmp_path: Path) -> None:
    house = House(tmp_path)
    seen = [access(client=client, time=NOON + each * MINUTE) for each, client in enumerate(["a", "b"] * 3)]
    assert house.rules(seen[:4], "M15") == []
    assert house.rules(seen[:5], "M15") == [("M15", "ann", "")]
    slow = [access(client=client, time=NOON + each * 20 * MINUTE) for each, client in enumerate(["a", "b"] * 3)]
    assert house.rules(slow, "M15") == []


def test_m15_finds_two_issuers_at_once(tmp_path: Path) -> None:
    seen = [
        access(client="a", time=NOON + each * MINUTE, identity={"via": "token", "issuer": issuer})
        for each, issuer in enumerate(["one", "two", "one"])
    ]
    assert House(tmp_path).rules(seen, "M15") == [("M15", "ann", "")]


def test_m16_finds_what_is_not_in_the_inventory(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.file("services", "service,client,action,resource_type", "lab,lab-host,update,Observation", "mail,*,read,")
    known = [
        access("lab", kind="service", client="lab-host", action="update", resource=("Observation", "o")),
        access("mail", kind="service", client="any", action="read", resource=("Patient", "p")),
    ]
    assert house.rules(known, "M16") == []
    moved = access("lab", kind="service", client="laptop", action="update", resource=("Observation", "o"))
    assert house.rules([moved, access("etl", kind="service")], "M16") == [("M16", "etl", ""), ("M16", "lab", "")]


def test_m16_without_an_inventory_finds_what_was_never_done(tmp_path: Path) -> None:
    house = House(tmp_path)
    usual = [access("lab", kind="service", action="update", time=NOON + each * DAY) for each in range(10)]
    assert house.rules(usual, "M16") == []
    late = access("lab", kind="service", action="read", time=NOON + 9 * DAY)
    early = access("lab", kind="service", action="read", time=NOON + 6 * DAY)
    assert house.rules([*usual, late], "M16") == [("M16", "lab", "")]
    assert house.rules([*usual[:7], early, *usual[7:]], "M16") == []


def test_m17_finds_a_purpose_that_is_not_the_roles(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.rules(many(3, purpose="HRESCH"), "M17") == [("M17", "ann", "")]
    assert house.rules([*many(2, purpose="HRESCH"), *many(9, purpose="TREAT")], "M17") == []


def test_m17_a_role_without_a_row_is_learned_and_some_purposes_are_never_usual(tmp_path: Path) -> None:
    house = House(tmp_path, staff("lib", role="librarian"))
    usual = many(250, who="lib", purpose="HOPERAT", time=NOON - DAY)
    rare = many(3, who="lib", purpose="HRESCH")
    assert house.rules([*usual, *rare], "M17") == [("M17", "lib", "")]
    assert house.rules([*usual[:150], *rare], "M17") == []
    assert house.rules(many(3, who="lib", purpose="HMARKT"), "M17") == [("M17", "lib", "")]


def _live(time: int, by: str = "pdp") -> Leaf:
    return record("policy.activate", time, "host/200/9", by=by)


def test_m19_finds_what_somebody_never_did_and_can_now(tmp_path: Path) -> None:
    usual = [access(time=NOON - each * DAY, action="list") for each in (5, 4, 3)]
    new = [access(of=f"q-{each}", time=NOON + each * MINUTE, action="read") for each in (10, 20)]
    house = House(tmp_path)
    assert house.rules([*usual, _live(NOON), *new], "M19") == [("M19", "ann", "")]


def test_m19_does_not_find_habits_one_patient_a_crowd_or_what_is_later(tmp_path: Path) -> None:
    house = House(tmp_path)
    usual = [access(time=NOON - each * DAY, action="list") for each in (5, 4, 3)]
    new = [access(of=f"q-{each}", time=NOON + each * MINUTE, action="read") for each in (10, 20)]
    habit = [access(time=NOON - 3 * DAY, action="read"), *new]
    assert house.rules([*usual, *habit[:1], _live(NOON), *new], "M19") == []
    assert house.rules([*usual, _live(NOON), new[0], new[0]], "M19") == []
    assert house.rules([*usual, _live(NOON - 3 * HOUR), *new], "M19") == []
    names = [f"w{each}" for each in range(8)]
    crowd = [access(who, time=NOON - 4 * DAY, action="list") for who in names]
    crowd += [access(who, of, NOON + 3 * MINUTE, action="read") for of in ("q-1", "q-2") for who in names]
    assert house.rules([*crowd[:8], _live(NOON), *crowd[8:]], "M19") == []


def test_m19_finds_who_changed_the_policy_and_looks(tmp_path: Path) -> None:
    usual = [access(time=NOON - each * DAY) for each in (5, 4, 3)]
    house = House(tmp_path)
    found = house.run([*usual, _live(NOON, "ann"), *many(2, time=NOON + MINUTE)]).findings
    assert [(each.rule, each.points) for each in found if each.rule == "M19"] == [("M19", 80)]


# -------------------------------------------------------------------------------------- M20, M22: the log itself


def _beats(number: int, stream: str = "host/0/1", start: int = NOON, state: str = "beating") -> list[Leaf]:
    return [record("heartbeat", start + each * MINUTE, stream, every=60, state=state) for each in range(number)]


def _run(house: House, leaves: list[Leaf]) -> list[str]:
    ordered = sorted(leaves, key=lambda leaf: leaf.time)
    return [each.because for each in house.run(ordered).findings if each.rule == "M20"]


def test_m20_finds_a_gap_and_a_stream_that_ends_without_a_word(tmp_path: Path) -> None:
    house = House(tmp_path)
    other = _beats(30, "host/1/1")
    assert _run(house, [*_beats(5), *_beats(5, start=NOON + 10 * MINUTE)]) == ["silent for 6 min or longer"]
    assert len(_run(house, [*other, *_beats(5)])) == 1
    closed = [*_beats(4), *_beats(1, start=NOON + 4 * MINUTE, state="closing")]
    assert _run(house, [*other, *closed]) == []
    assert _run(house, [*_beats(5), *_beats(5, start=NOON + 7 * MINUTE)]) == []


def test_m20_finds_clocks_that_are_set_back_or_ahead_and_what_the_log_reports(tmp_path: Path) -> None:
    house = House(tmp_path)
    back = [*_beats(3), *_beats(1, start=NOON + MINUTE)]
    found = [each.because for each in house.run(back).findings]
    assert found == ["the clock went back by 60 s"]
    ahead = [record("heartbeat", NOON + 4_000 * DAY, every=60, state="beating")]
    assert [each.because for each in house.run(ahead).findings] == ["a record from the future"]
    assert [each.because for each in house.run([record("audit.status", NOON, event="corruption")]).findings] == [
        "the log reports: corruption"
    ]
    assert house.rules([record("audit.status", NOON, event="started")], "M20") == []
    near = [record("heartbeat", NOON, every=60), record("heartbeat", NOON - 4 * SECOND, every=60)]
    assert house.rules(near, "M20") == []


def test_m22_finds_disclosures_that_cannot_be_accounted_for(tmp_path: Path) -> None:
    house = House(tmp_path)

    def by_hand(**detail: str) -> Leaf:
        return record("disclosure", NOON, by="olga", basis="other", detail={"patient": {"id": "p-1"}, **detail})

    whole = {"recipient": "Dr. A", "what": "the summary", "purpose": "asked for"}
    assert house.rules([by_hand(**whole)], "M22") == []
    for lacking in whole:
        rest = {name: value for name, value in whole.items() if name != lacking}
        assert house.rules([by_hand(**rest)], "M22") == [("M22", "olga", "p-1")]
    sent = [access("plan", kind="service", action="disclose", verb="T", purpose=each) for each in ("", "HPAYMT")]
    assert house.rules(sent[:1], "M22") == [("M22", "plan", "p-1")]
    assert house.rules(sent[1:], "M22") == []
