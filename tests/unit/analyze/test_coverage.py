"""Coverage counts both sides of rules and atoms, as Kleene logic sees them; an error is neither."""

from __future__ import annotations

from pdp.analyze.case import Case, Expected
from pdp.analyze.coverage import Recorder, Report
from pdp.analyze.testing import run
from pdp.analyze.world import Given, Question

from .clinic import HOUSE, NOW, P1, R1, WARD, program, question


def covered(rules: str, *tests: tuple[Question, tuple[Given, ...]]) -> Report:
    compiled = program(rules)
    recorder = Recorder(compiled.policies)
    cases = [Case("t", "s", "w", givens, asked, NOW, Expected("deny")) for asked, givens in tests]
    for result in run(compiled, cases, recorder):
        assert result.disagreement == ()
    return recorder.report()


def sides(report: Report, id_: str = "r") -> list[tuple[str, bool, bool]]:
    (rule,) = [each for each in report.rules if each.id == id_]
    return [(each.text, each.seen_true, each.seen_false) for each in rule.atoms]


TEXT = 'permit read on Record as r "R" when subject.level == 2 and (resource.patient.vip or not resource.level == 2)'


def test_both_sides_of_every_atom_are_counted_also_where_another_settled_it() -> None:
    report = covered(TEXT, (question(), HOUSE), (question("omar"), HOUSE))
    assert sides(report) == [
        ("subject.level == 2", True, True),
        ("resource.patient.vip", False, True),
        ("resource.level == 2", True, False),
    ]
    (rule,) = report.rules
    assert (rule.satisfied, rule.unsatisfied, rule.covered, rule.total) == (False, True, 5, 8)
    assert report.percent == 62.5


def test_an_error_is_neither_true_nor_false() -> None:
    report = covered(TEXT, (question("nobody"), (WARD, P1, R1)))
    assert sides(report)[0] == ("subject.level == 2", False, False)
    assert report.rules[0].unsatisfied, "false and error is false"


def test_another_action_sees_nothing_of_the_rule() -> None:
    report = covered(TEXT, (question(action="update"), HOUSE))
    assert (report.rules[0].satisfied, report.rules[0].unsatisfied, report.covered) == (False, False, 0)


def test_bodies_of_quantifiers_are_seen_member_by_member_and_not_if_there_is_none() -> None:
    text = 'permit read on Record as r "R" when any f in subject.friends: f.level == 1 and f != subject'
    assert sides(covered(text, (question(), HOUSE))) == [("f.level == 1", True, False), ("f != subject", True, False)]
    assert sides(covered(text, (question("omar"), HOUSE))) == [
        ("f.level == 1", False, False),
        ("f != subject", False, False),
    ]


def test_two_uses_of_one_define_are_two_conditions() -> None:
    text = (
        'define high(n: Int) = n > 1\npermit read on Record as r "R" when high(subject.level) and high(resource.level)'
    )
    assert sides(covered(text, (question("omar"), HOUSE))) == [
        ("subject.level > 1", False, True),
        ("resource.level > 1", True, False),
    ]


def test_a_release_condition_is_a_condition_and_a_constant_has_one_side() -> None:
    text = 'permit read on Record as r "R" release only Summary when subject.level == 2'
    report = covered(text, (question(), HOUSE))
    assert [(each.clause, each.seen_true, each.seen_false) for each in report.rules[0].atoms] == [
        ("release", True, False)
    ]
    assert (report.rules[0].constant, report.rules[0].covered, report.rules[0].total) == (True, 2, 3)


def test_emergency_rules_are_not_counted() -> None:
    report = covered('emergency read on Record as e "E"', (question(), HOUSE))
    assert (report.rules, report.percent) == ((), 100.0)
