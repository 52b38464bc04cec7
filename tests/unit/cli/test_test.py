"""`pdp test`: what passes, what fails and how it is told, coverage, JUnit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pdp.analyze import testing
from pdp.analyze.agreement import differences
from pdp.analyze.table import cases
from pdp.cli.loading import checked
from pdp.decide.engine import Engine
from pdp.language.schema import Schema
from pdp.language.vocabulary import codes
from pdp.model.decision import Decision, Effect, PdpFault, Reason, RuleError
from pdp.model.request import Request

from .conftest import Pdp, golden


def spoil(clinic: Path, old: str, new: str) -> Path:
    policy = clinic / "policy.ward"
    assert old in policy.read_text()
    policy.write_text(policy.read_text().replace(old, new))
    return clinic


def test_tests_of_files_and_of_tables_run(pdp: Pdp) -> None:
    ran = pdp("test", "clinic")
    assert (ran.code, ran.err) == (0, "")
    golden("test.txt", ran.out)


def test_a_failing_test_says_what_was_expected_and_explains(pdp: Pdp, clinic: Path) -> None:
    spoil(clinic, "expect allow by author", "expect deny by vip\n    expect errors author")
    ran = pdp("test", clinic)
    assert ran.code == 1
    golden("test-failed.txt", ran.out.replace(str(clinic), "clinic"))


def test_a_failing_case_of_a_table_is_named_by_its_place(pdp: Pdp, clinic: Path) -> None:
    table = clinic / "tests" / "search.json"
    table.write_text(table.read_text().replace('"rules": ["search"]', '"rules": ["serch"]'))
    ran = pdp("test", clinic)
    assert ran.code == 1
    assert "search.json:cases[0]" in ran.out
    assert "rules: expected serch, got search" in ran.out


def test_a_test_whose_world_cannot_stand_fails_with_one_message(pdp: Pdp, clinic: Path) -> None:
    table = clinic / "tests" / "search.json"
    table.write_text(table.read_text().replace('"clearance": 2', '"clearance": "two"'))
    ran = pdp("test", clinic, "--filter", "by name")
    assert ran.code == 1
    assert 'cannot run: given Clinician "nina": `clearance`: expected Int, found a text' in ran.out


def test_filter_takes_titles_and_files(pdp: Pdp) -> None:
    assert pdp("test", "clinic", "--filter", "TRAINEE").out.startswith("1 test passed")
    assert pdp("test", "clinic", "--filter", "search.json").out.startswith("4 tests passed")
    none = pdp("test", "clinic", "--filter", "nothing of the kind")
    assert (none.code, "no test of clinic" in none.err) == (2, True)


def test_no_tests_at_all_is_not_success(pdp: Pdp, tmp_path: Path) -> None:
    (tmp_path / "a.ward").write_text('entity User\naction read on User\npermit read on User as open "All"\n')
    ran = pdp("test", tmp_path)
    assert (ran.code, "there are no tests in" in ran.err) == (2, True)


def test_coverage_under_the_bar_is_a_failure(pdp: Pdp) -> None:
    assert pdp("test", "clinic", "--min-coverage", "50").code == 0
    ran = pdp("test", "clinic", "--min-coverage", "100")
    assert ran.code == 1
    assert "% (at least 100 % wanted)" in ran.out
    assert pdp("test", "clinic", "--min-coverage", "101").code == 2
    assert pdp("test", "clinic", "--min-coverage", "nan").code == 2


def test_a_rule_that_was_never_evaluated_is_not_called_satisfied_or_not(pdp: Pdp, tmp_path: Path) -> None:
    (tmp_path / "a.ward").write_text(
        """
        entity User { level: Int? }
        entity Record { level: Int? }
        action read, write on Record by User
        permit read on Record as errs "E" when subject has level
        permit read on Record as half "H" when subject has level or resource has level
        permit write on Record as unasked "U" when subject has level
        test "an error" {
            given Record "r" { }
            when User "nobody" does read on Record "r"
            expect deny
        }
        test "true beside an error" {
            given Record "r" { level: 1 }
            when User "nobody" does read on Record "r"
            expect allow by half
        }
        """
    )
    said = pdp("test", tmp_path, "--uncovered").out
    assert "permit errs was never evaluated to true or false" in said
    assert "permit half is never unsatisfied" in said
    assert "permit unasked is asked about by no test" in said
    assert "is never satisfied" not in said
    assert "is always satisfied" not in said


def test_coverage_names_what_no_test_has_seen(pdp: Pdp) -> None:
    said = json.loads(pdp("test", "clinic", "--filter", "trainee", "--output", "json").out)["coverage"]
    rules = {each["id"]: each for each in said["rules"]}
    assert (rules["care-team"]["satisfied"], rules["care-team"]["unsatisfied"]) == (True, False)
    assert (rules["author"]["satisfied"], rules["author"]["unsatisfied"]) == (False, False)
    assert (rules["search"]["constant"], rules["search"]["conditions"]) == (True, [])
    release = [each for each in rules["care-team"]["conditions"] if each["clause"] == "release"]
    assert [(each["text"], each["true"], each["false"]) for each in release] == [
        ("subject.role == Role.trainee", True, False)
    ]
    assert said["percent"] == int(1000 * said["covered"] / said["total"]) / 10


def test_json_holds_every_test(pdp: Pdp) -> None:
    said = json.loads(pdp("test", "clinic", "--output", "json").out)
    assert (said["passed"], said["failed"], len(said["tests"])) == (10, 0, 10)
    assert {each["file"] for each in said["tests"]} == {"clinic/policy.ward", "clinic/tests/search.json"}
    assert all(each["got"]["decision"] in ("allow", "deny") for each in said["tests"])


def test_junit_has_the_shape_that_build_servers_read(pdp: Pdp, clinic: Path) -> None:
    spoil(clinic, "expect allow by author", "expect deny")
    root = ElementTree.fromstring(pdp("test", clinic, "--output", "junit").out)
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("10", "1", "0")
    assert [len(suite.findall("testcase")) for suite in root.findall("testsuite")] == [6, 4]
    for suite in root.iter("testsuite"):
        assert {"name", "tests", "failures", "errors", "skipped", "time"} <= set(suite.keys())
    for case in root.iter("testcase"):
        assert {"name", "classname", "time"} <= set(case.keys())
        assert re.fullmatch(r"\d+\.\d{6}", case.get("time", ""))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "decision: expected deny, got allow"
    assert "permit author: permits" in (failure.text or "")


def test_junit_of_a_test_that_cannot_run_is_an_error(pdp: Pdp, clinic: Path) -> None:
    table = clinic / "tests" / "search.json"
    table.write_text(table.read_text().replace('"vip": false', '"vip": "no\\u0007"'))
    root = ElementTree.fromstring(pdp("test", clinic, "--output", "junit").out)
    assert (root.get("failures"), root.get("errors")) == ("0", "4")


def test_a_compiler_that_disagrees_fails_every_test_it_touches(pdp: Pdp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack: a fault in the compiled path that opens. The expectation alone might have been written from it."""
    honest = Engine.decide_uncached

    def opens(self: Engine, *arguments: object) -> Decision:
        decision = honest(self, *arguments)  # type: ignore[arg-type]
        return replace(decision, effect=Effect.ALLOW, reason=Reason.PERMITTED)

    monkeypatch.setattr(Engine, "decide_uncached", opens)
    ran = pdp("test", "clinic", "--filter", "nobody but the author")
    assert ran.code == 1
    assert "FAULT: the compiled rules and the interpreter disagree: effect: compiled allow, interpreted deny" in ran.out
    undeclared = pdp("test", "clinic", "--filter", "nobody deletes")
    assert "FAULT: the compiled rules and the interpreter disagree" in undeclared.out
    assert "allowed, though nothing of the kind is declared" in undeclared.out


def test_a_cache_that_changes_an_answer_fails_the_test(pdp: Pdp, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Engine.decide
    monkeypatch.setattr(Engine, "decide", lambda self, *given: replace(honest(self, *given), rules=("stale",)))
    ran = pdp("test", "clinic", "--filter", "trainee")
    assert (ran.code, "cached: rules" in ran.out) == (1, True)


def test_a_fault_in_one_test_fails_that_test_and_not_the_run(pdp: Pdp, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Engine.decide_uncached

    def faulty(self: Engine, request: Request, *rest: object) -> Decision:
        if request.subject_id == "tom":
            raise PdpFault("an evaluation did not settle")
        return honest(self, request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "decide_uncached", faulty)
    ran = pdp("test", "clinic")
    assert (ran.code, ran.out.count("FAILED ")) == (1, 2)
    assert "FAULT: the engine could not decide: an evaluation did not settle" in ran.out


def test_a_title_cannot_steer_a_terminal(pdp: Pdp, clinic: Path) -> None:
    table = clinic / "tests" / "search.json"
    table.write_text(table.read_text().replace("by name", "\\u001b[2J").replace('["search"]', '["\\u001b[31m"]'))
    ran = pdp("test", clinic)
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "a clinician searches \\x1b[2J" in ran.out


def test_the_table_of_the_page_is_one(pdp: Pdp) -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    (text,) = [each for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL) if '"cases"' in each]
    read = cases(text, "page", checked(str(Path(__file__).parent / "clinic")).policies.schema)
    assert [each.expected.effect for each in read] == ["allow", "deny"]


def test_differences_compare_every_part_of_the_answer(pdp: Pdp) -> None:
    one = Decision(Effect.DENY, Reason.NO_RULE)
    assert differences(one, one) == ()
    other = replace(one, errors=(RuleError("r", "overflow", "too large", "a:1:1"),), rules=("r",))
    assert [each.partition(":")[0] for each in differences(one, other)] == ["rules", "errors"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"cases": [', '"cases": {', "not JSON"),
        ('"cases": [', '"case": [', "unknown member 'case'"),
        ('"decision": "allow"', '"decision": "permit"', 'cases[0].expect.decision: must be "allow" or "deny"'),
        ('"decision": "allow"', '"decison": "allow"', "cases[0].expect: unknown member 'decison'"),
        ('"reason": "masked"', '"reason": "hidden"', "cases[1].expect.reason: must be one of"),
        ('"subject": "user:nina"', '"subject": "nina"', 'cases[0].subject: must be "type:id"'),
        ('"type": "Patient"', '"type": "Patiënt"', "entities[2].type: there is no entity type"),
        ('"2026-03-01T10:00:00Z"', '"yesterday"', "cases[0].now: expected Instant"),
        ('"name": "a clinician', '"title": "a clinician', "cases[0]: unknown member 'title'"),
        ('"searching": ["/name"]', '"searching": "/name"', "cases[0].searching: must be an array of texts"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_message_with_its_place(
    pdp: Pdp, clinic: Path, old: str, new: str, message: str
) -> None:
    table = clinic / "tests" / "search.json"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    for command in ("test", "check"):
        ran = pdp(command, clinic)
        assert ran.code == 3
        assert message in ran.err
        assert "search.json: " in ran.err


def test_everything_can_be_carried_out_in_a_test() -> None:
    schema = Schema({}, {}, {}, {}, {}, {}, {"notify": None}, codes({}), {}, {})  # type: ignore[dict-item]
    assert testing.everything(schema).fields
    assert testing.everything(schema).obligations == {"notify"}
