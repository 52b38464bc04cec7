"""The run itself: order, bounds, what is not well formed, what is hidden, cases and their scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pdp.audit.detect import window
from pdp.audit.detect.detector import Detector
from pdp.audit.detect.replay import replay
from pdp.audit.detect.report import Report
from pdp.audit.detect.rules import load
from pdp.audit.leaf import LOCKED, PLAIN, Leaf
from pdp.audit.veil.pseudonym import pseudonyms
from tests.unit.audit.detect.house import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    NOW,
    House,
    access,
    many,
    numbered,
    patient,
    record,
    settle,
    staff,
)

SECOND = 1_000_000


def summary(report: Report) -> list[tuple[Any, ...]]:
    return [(each.key, *each.identity, each.points, each.count, each.places) for each in report.findings]


def mixed(seed: int, streams: int = 3) -> list[list[Leaf]]:
    """What so many writers wrote in the same hours, each in its order: much of it misuse. With heartbeats."""
    random = Random(seed)
    written: list[list[Leaf]] = []
    for number in range(streams):
        stream, time, mine = f"host/{number}/1", NOON, []
        while time < NOON + 3 * HOUR:
            time += random.randrange(1, 40) * SECOND + number
            who = random.choice(["ann", "bob", "eve"])
            of = f"p-{random.randrange(60)}"
            purpose = random.choice(["", "", "BTG", "HRESCH"])
            client = random.choice("abc")
            allowed = random.random() < 0.8
            mine.append(access(who, of, time, allowed=allowed, purpose=purpose, client=client, stream=stream))
        beats = range(NOON, NOON + 3 * HOUR, MINUTE)
        mine += [record("heartbeat", beat + number, stream, every=60, state="beating") for beat in beats]
        mine.append(record("heartbeat", NOON + 3 * HOUR + number, stream, every=60, state="closing"))
        mine.sort(key=lambda each: each.time)
        written.append(numbered(mine))
    places = {}
    for index, each in enumerate(sorted((one for mine in written for one in mine), key=lambda one: one.id)):
        places[each.id] = index
    return [[Leaf(places[each.id], each.payload, each.members, each.detail) for each in mine] for mine in written]


def interleaved(written: list[list[Leaf]], seed: int, burst: int) -> list[Leaf]:
    """As a sealer might have taken it: now from this writer, now from that, so many minutes at a time."""
    random = Random(seed)
    rest = [list(each) for each in written]
    made: list[Leaf] = []
    until = NOON
    while any(rest):
        until += burst
        order = list(range(len(rest)))
        random.shuffle(order)
        for number in order:
            while rest[number] and rest[number][0].time <= until:
                made.append(rest[number].pop(0))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_the_findings_are_the_same_however_the_streams_were_interleaved(tmp_path: Path, seed: int) -> None:
    house = House(tmp_path)
    written = mixed(seed)
    found = []
    for burst in (SECOND, 10 * SECOND, 5 * MINUTE, 13 * MINUTE):
        detector = Detector(load(), house.context(), PLAIN, NOW)
        found.append(summary(replay(interleaved(written, seed + burst, burst), detector)))
        assert detector.tally.late == 0
    assert found[0]
    assert found[1:] == found[:1] * 3


def test_inside_one_stream_its_own_order_stands_whatever_the_clock_says(tmp_path: Path) -> None:
    steps = [NOON, NOON + 5 * MINUTE, NOON - HOUR, NOON - HOUR + MINUTE, NOON + 10 * MINUTE]
    leaves = numbered([access(of=f"p-{17 * each}", time=time) for each, time in enumerate(steps)])
    seen: list[str] = []
    detector = Detector(load(), House(tmp_path).context(), PLAIN, NOW)
    detector._see = lambda event: seen.append(event.place.id)  # type: ignore[method-assign]
    replay(leaves, detector)
    assert seen == [each.id for each in leaves]


def test_a_clock_far_ahead_in_one_stream_keeps_nobody_else_from_being_judged(tmp_path: Path) -> None:
    wrong = [access(of=f"p-{each}", time=NOW + 9_000 * DAY, stream="host/9/1") for each in (1, 2)]
    leaves = [one for pair in zip(wrong, many(2), strict=True) for one in pair] + many(4, who="bob", time=NOON + HOUR)
    found = {each.rule: each.who for each in House(tmp_path).run(leaves).findings}
    assert found == {"M20": "host/9/1", "M11": "bob"}


def test_what_is_not_well_formed_is_passed_by(tmp_path: Path) -> None:
    odd: list[Leaf] = [
        record("decision", NOON),
        record("decision", NOON, dec="allow", sub=[], res=7, act=None, detail={"sub": 3, "patient": []}),
        record("decision", 0, dec={"effect": "allow", "rule": {}}, sub={"type": "user"}, detail={"sub": {"id": "ann"}}),
        record("heartbeat", NOON, every="often", state=3),
        record("audit.status", NOON, event=[]),
        record("case.disposition", NOON, disposition="appropriate", detail={"pairs": [3, {"rule": 1}], "sub": "x"}),
        record("disclosure", NOON, detail={"patient": "p", "recipient": 3}),
        record("policy.activate", NOON, by=None),
        record("finding", NOON, records="none"),
        record("no-such-kind", NOON),
    ]
    house = House(tmp_path)
    for each in odd:
        text = json.dumps(dict(each.members), default=str)
        house.run([each, settle(NOON + HOUR), Leaf(None, text.encode(), json.loads(text), {})])


class Hidden:
    """Details are locked; the pseudonyms of two epochs can be worked out."""

    def __init__(self) -> None:
        self.epochs = [pseudonyms(epoch, bytes([epoch]) * 32) for epoch in (1, 2)]

    def open(self, _members: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        return {}, LOCKED

    def names(self, kind: str, identifier: str, /) -> frozenset[str]:
        return frozenset(each(kind, identifier) for each in self.epochs)


def hidden(leaves: Iterable[Leaf], opener: Hidden, epoch: int) -> list[Leaf]:
    """The same, as it stands in a log that hides everybody, for who has no key of its details."""
    made = []
    for each in leaves:
        members = json.loads(json.dumps(dict(each.members)))
        name = opener.epochs[epoch]
        members["sub"]["id_p"] = name(members["sub"]["type"], each.detail["sub"]["id"])
        members["res"]["id_p"] = name(members["res"]["type"], each.detail["res"]["id"])
        members["res"]["patient_p"] = name("Patient", each.detail["patient"]["id"])
        made.append(Leaf(each.index, b"", members, {}, LOCKED))
    return made


def test_rules_that_need_ids_work_by_pseudonym_over_two_epochs(tmp_path: Path) -> None:
    own = patient("q-0")
    marked = {"type": "Record", "id": "r-1", "attributes": {"patient": "q-0", "labels": ["PSY"]}}
    others = [patient(f"q-{97 * each}") for each in range(5)]
    house = House(tmp_path, own, marked, *others).file("employees", "staff,patient", "ann,q-0")
    opener = Hidden()
    clear = [access(of="q-0"), access(of="q-0", resource=("Record", "r-1")), *many(5, time=NOON + HOUR)]
    locked = [*hidden(clear[:4], opener, 0), *hidden(clear[4:], opener, 1)]
    report = house.run(locked, opener)
    expected = house.run(clear)
    assert sorted(each.identity for each in report.findings) == sorted(each.identity for each in expected.findings)
    assert {each.rule for each in report.findings} == {"M5", "M11", "M13"}
    assert report.detector.tally.locked == len(clear)
    assert report.detector.tally.nameless == 0


def test_who_is_in_no_file_keeps_the_pseudonym_and_is_counted(tmp_path: Path) -> None:
    opener = Hidden()
    leaves = hidden(many(10, who="stranger", allowed=False), opener, 0)
    report = House(tmp_path).run(leaves, opener)
    (finding,) = (each for each in report.findings if each.rule == "M2")
    assert finding.who in opener.names("user", "stranger")
    assert report.detector.tally.nameless == 10


def test_a_run_that_is_written_down_and_taken_up_again_finds_the_same(tmp_path: Path) -> None:
    house = House(tmp_path)
    leaves = interleaved(mixed(5), 5, 30 * SECOND)
    leaves = [Leaf(index, each.payload, each.members, each.detail) for index, each in enumerate(leaves)]
    whole = summary(house.run_as_they_are(leaves))
    for cut in (1, len(leaves) // 3, len(leaves) // 2, len(leaves) - 1):
        first = Detector(load(), house.context(), PLAIN, NOW)
        found = [one for each in leaves[:cut] for one in first.feed(each)]
        waiting = first.first_waiting()
        kept = json.loads(json.dumps(first.dump()))
        second = Detector(load(), house.context(), PLAIN, NOW)
        second.load(kept)
        found += [one for each in leaves[cut if waiting is None else waiting :] for one in second.feed(each)]
        found += second.rest()
        assert [each.key for each in found] == [each[0] for each in whole]
        assert {each.case for each in found} == {each.case for each in house.run_as_they_are(leaves).findings}


def test_memory_is_bounded_by_the_windows(tmp_path: Path) -> None:
    """A year of one busy house, a day at a time: what is remembered stops growing."""
    house = House(tmp_path, *(staff(f"n{each}") for each in range(10)))
    detector = Detector(load(), house.context(), PLAIN, NOW + 800 * DAY)
    random, sizes = Random(3), []
    seq = 0
    for day in range(360):
        for each in range(60):
            seq += 1
            leaf = access(
                f"n{random.randrange(10)}", f"p-{random.randrange(100_000)}", NOON + day * DAY + each * MINUTE
            )
            members = {**leaf.members, "seq": seq}
            detector.feed(Leaf(seq, b"", members, leaf.detail))
            detector.alerts.clear()
        if day % 60 == 59:
            sizes.append(detector.sizes())
    assert max(sizes[2:]) < 1.2 * sizes[1]


# ---------------------------------------------------------------------------------------------------- cases


def test_a_score_is_a_sum_of_named_parts_and_each_rule_has_its_most(tmp_path: Path) -> None:
    people = [patient(f"p-{each}", excludes=["ann"]) for each in range(6)]
    report = House(tmp_path, *people).run([access(of=f"p-{each}", time=NOON + each) for each in range(6)])
    (case,) = report.cases
    parts = {each.rule: (each.findings, each.points) for each in case.parts(report.detector.by_id)}
    assert parts == {"M18": (6, 70), "M11": (1, 25)}
    assert case.score(report.detector.by_id) == 95
    said = case.parts(report.detector.by_id)[0].says
    assert said == "70 for M18 (a restriction was overridden, 6 findings)"


def test_findings_of_one_subject_are_one_case_until_it_is_quiet_for_a_week(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann", "bob"]))
    report = house.run(
        [access(time=NOON + each * DAY) for each in (0, 3, 6, 14)] + [access("bob", time=NOON + 15 * DAY)]
    )
    assert sorted((each.who, len(each.findings)) for each in report.cases) == [("ann", 1), ("ann", 3), ("bob", 1)]


def test_somebody_is_told_once_and_again_when_it_has_grown_by_half(tmp_path: Path) -> None:
    house = House(tmp_path, *(patient(f"p-{each}", excludes=["ann"]) for each in range(6)))
    report = house.run([access(of=f"p-{each}", time=NOON + each) for each in range(6)])
    assert [each.score for each in report.alerts] == [40, 60, 95]


def test_alike_findings_of_a_day_are_one_that_counts(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann"]))
    report = house.run([access(time=NOON + each * MINUTE) for each in range(80)])
    (finding,) = report.findings
    assert (finding.count, len(finding.places)) == (80, 50)


def test_what_was_found_appropriate_is_not_found_again_for_a_while(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann"]), patient("p-2", excludes=["ann"]))
    fine = record(
        "case.disposition",
        NOON + HOUR,
        "host/200/1",
        disposition="appropriate",
        sub={"type": "user"},
        detail={"sub": {"id": "ann"}, "pairs": [{"rule": "M18", "patient": "p-1"}]},
    )
    times = [NOON, NOON + 2 * DAY, NOON + 89 * DAY, NOON + 91 * DAY]
    seen = [access(time=times[0]), fine, *(access(time=each) for each in times[1:3]), access(of="p-2", time=times[2])]
    report = house.run([*seen, access(time=times[3])])
    assert [(each.patient, each.first) for each in report.findings] == [
        ("p-1", times[0]),
        ("p-2", times[2]),
        ("p-1", times[3]),
    ]
    assert report.detector.facts.suppressed["M18", "found appropriate"] == 2
    other = record("case.disposition", NOON, disposition="breach", sub={"type": "user"}, detail=dict(fine.detail))
    assert len(house.run([other, access(time=NOON + MINUTE)]).findings) == 1


def test_rules_whose_data_are_missing_say_so_and_one_is_for_others(tmp_path: Path) -> None:
    said = House(tmp_path, care=False).run([access()]).detector.not_judged()
    assert said["M4"] == "needs employees"
    assert said["M9"] == "needs schedule"
    assert said["M20"] == "needs records of kind heartbeat, and there are none"
    assert said["M23"].startswith("drug diversion")
    assert "M1" not in said


def test_without_any_context_what_needs_none_still_works() -> None:
    from pdp.audit.detect.context import Context

    detector = Detector(load(), Context.load(), PLAIN, NOW)
    report = replay(numbered(many(10, allowed=False)), detector)
    assert {each.rule for each in report.findings} == {"M1", "M2"}
    assert detector.tally.judged == 0
    assert "M11" in detector.not_judged()


def test_what_is_before_the_period_is_learned_from_and_not_found(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann"]))
    report = house.run([access(time=NOON + each * DAY) for each in range(4)], since=NOON + 2 * DAY)
    assert [each.first for each in report.findings] == [NOON + 2 * DAY, NOON + 3 * DAY]


def test_the_report_says_all_of_it_for_people_and_programs(tmp_path: Path) -> None:
    house = House(tmp_path, patient("p-1", excludes=["ann"], care_team=["eve"]))
    report = house.run([access(), access("eve"), *many(5, who="bob")])
    said = report.members()
    assert (said["judged"], said["unexplained"], said["explained"]) == (7, 6, {"care-team": 1})
    assert said["alerts_per_day"] == 1.0
    assert json.loads(json.dumps(said)) == said
    text = "\n".join(report.lines())
    assert "14.3 % explained" in text
    assert "not judged: M9: needs schedule" in text
    assert "somebody whom the patient keeps away" in text


def test_a_record_of_a_stream_without_a_name_stops_nobody(tmp_path: Path) -> None:
    strange = [record("heartbeat", NOON + number * HOUR, "", every=60) for number in range(4)]
    house = House(tmp_path, patient("p", excludes=["ann"]))
    report = house.run([access(time=NOON - HOUR), *strange, access(of="p", time=NOON + 5 * HOUR)])
    assert "M18" in {each.rule for each in report.findings}


def test_who_asks_for_ever_new_things_fills_no_memory_and_flushes_out_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "MAX_KEYS", 100)
    detector = Detector(load(), House(tmp_path).context(), PLAIN, NOW)
    flood = [
        access(f"u-{number}", f"q-{number}", NOON + number * MINUTE // 60, allowed=False, client=f"c-{number}")
        for number in range(2_000)
    ]
    slow = [access("eve", f"p-{number * 3}", NOON + number * MINUTE // 6, allowed=False) for number in range(12)]
    leaves = numbered(sorted([*flood, *slow], key=lambda each: each.time))
    report = replay(leaves, detector)
    assert detector.sizes() < 2_000
    assert ("M2", "eve") in {(each.rule, each.who) for each in report.findings}
    assert "forgotten early" in detector.not_judged()["M1 (in part)"]


def test_an_emergency_from_the_future_hides_no_later_one(tmp_path: Path) -> None:
    times = [NOON, NOW + 3_000 * DAY, *(NOON + number * DAY for number in range(1, 6)), NOON + 40 * DAY]
    leaves = [access("ann", f"p-{number}", time, purpose="BTG") for number, time in enumerate(times)]
    report = House(tmp_path).file("reviews", "staff,patient,at,reason").run(leaves)
    assert "M8-review" in {each.rule for each in report.findings}
