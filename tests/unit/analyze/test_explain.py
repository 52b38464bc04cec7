"""Trees of why, and the flips: what is shown is what the interpreter says, and the answer is the engine's."""

from __future__ import annotations

import pytest

from pdp.analyze.report import explanation_json, explanation_text
from pdp.analyze.tree import Truth
from pdp.analyze.why import MOST_ELEMENTS, Why
from pdp.analyze.world import Given

from .clinic import HOUSE, P1, R1, WARD, question, why


def truths(each: Why) -> object:
    """A tree as (kind, truth, children) and atoms as (text, truth)."""
    if not each.children:
        return each.text, each.truth.value
    return each.kind, each.truth.value, [truths(child) for child in each.children]


def condition(text: str, **options: object) -> Why:
    explained = why(f'permit read on Record as r "R" when {text}', **options)  # type: ignore[arg-type]
    found = explained.rules[0].condition
    assert found is not None
    return found


def test_every_node_has_its_own_truth() -> None:
    tree = condition("subject.level == 2 and (resource.patient.vip or not subject in resource.patient.team)")
    assert truths(tree) == (
        "and",
        "false",
        [
            ("subject.level == 2", "true"),
            (
                "or",
                "false",
                [
                    ("resource.patient.vip", "false"),
                    ("not", "false", [("subject in resource.patient.team", "true")]),
                ],
            ),
        ],
    )


def test_semantics_02_an_absorbed_error_is_shown_as_one() -> None:
    gone = (WARD, P1, R1)  # The subject is not found.
    tree = condition("subject.level == 2 or resource.level == 2", givens=gone)
    assert tree.truth is Truth.TRUE
    assert [(each.truth.value, each.absorbed) for each in tree.children] == [("error", True), ("true", False)]
    unsettled = condition("subject.level == 2 or resource.level == 3", givens=gone)
    assert [(each.truth.value, each.absorbed) for each in unsettled.children] == [("error", False), ("false", False)]


def test_semantics_01_the_three_states_are_told_apart() -> None:
    tree = condition("(context has purpose or resource has author) and subject has token_level and subject has badge")
    said = [reading for atom in (*tree.children[0].children, *tree.children[1:]) for reading in atom.reads]
    assert [(each.text, each.state) for each in said] == [
        ("context.purpose", "absent"),
        ("resource.author", "value"),
        ("subject.token_level", "absent"),
        ("subject.badge", "absent"),
    ]
    nobody = condition("subject has token_level", givens=(WARD, P1, R1))
    assert [(each.text, each.state) for each in nobody.reads] == [("subject.token_level", "unknown")]


def test_a_define_is_shown_by_what_it_means() -> None:
    explained = why(
        "define treats(who: User, whom: Patient) = who in whom.team\n"
        'permit read on Record as r "R" when treats(subject, resource.patient)'
    )
    assert explained.rules[0].condition is not None
    assert explained.rules[0].condition.text == "subject in resource.patient.team"


def test_members_of_a_quantifier_are_named() -> None:
    tree = condition("any f in subject.friends: f.level > 1 or f == subject")
    assert (tree.kind, tree.truth, tree.elements) == ("any", Truth.FALSE, 1)
    assert [each.element for each in tree.children] == ['User "omar"']
    assert truths(tree.children[0]) == (
        "or",
        "false",
        [('User "omar".level > 1', "false"), ('User "omar" == subject', "false")],
    )


def test_of_many_members_those_that_settle_it_are_shown() -> None:
    crowd = tuple(Given("User", f"u{i}", (), {"role": "clerk", "level": i, "friends": []}) for i in range(100))
    nina = Given("User", "nina", (), {"role": "nurse", "level": 2, "friends": [f"u{i}" for i in range(100)]})
    tree = condition("any f in subject.friends: f.level == 77", givens=(*HOUSE, *crowd, nina))
    assert (tree.elements, len(tree.children)) == (100, MOST_ELEMENTS)
    assert [each.element for each in tree.children if each.truth is Truth.TRUE] == ['User "u77"']
    assert "and 80 more members" in explanation_text(
        why("permit read on Record as r when any f in subject.friends: f.level == 77", givens=(*HOUSE, *crowd, nina))
    )


def test_the_branch_that_an_if_did_not_take_is_marked() -> None:
    tree = condition("if resource.patient.vip then subject.level > 5 else subject.level > 1")
    assert [(each.truth.value, each.taken) for each in tree.children] == [
        ("false", True),
        ("false", False),
        ("true", True),
    ]


def test_what_determines_the_answer_comes_first() -> None:
    explained = why(
        'permit read on Record as a "A" when subject.level > 9\n'
        'permit read on Record as b "B" when subject has token_level and subject.token_level > 1\n'
        'permit read on Record as z "Z" when subject.level > 1\n'
        'forbid read on Record as c "C" when subject.level > 9\n'
    )
    assert (explained.rules[0].id, explained.rules[0].determining) == ("z", True)
    assert explained.disagreement == ()


def test_an_undeclared_question_is_told_what_is_declared() -> None:
    for asked, said in (
        (question(action="burn"), "the action 'burn' is not declared on Record; there are drop, read, update"),
        (question(subject="e\u0301"), "the subject's identifier is not one"),
    ):
        explained = why('permit any on any as r "R"', asked)
        assert not explained.decision.allowed
        assert said in explained.undeclared
        assert explained.rules == ()


def test_emergency_rules_are_named_and_grant_nothing() -> None:
    explained = why('emergency read on Record as glass "Break it"\npermit update on Record as u "U"\n')
    assert (explained.emergency, explained.decision.allowed) == (("glass",), False)
    assert "emergency rules grant nothing yet: glass" in explanation_text(explained)


def test_a_rule_without_a_condition_always_speaks() -> None:
    explained = why('permit read on Record as r "R"')
    assert explained.rules[0].condition is None
    assert "  always" in explanation_text(explained).splitlines()


# Flips ----------------------------------------------------------------------------------------------------------------


def flips(rules: str, **options: object) -> list[tuple[str, str, str]]:
    explained = why(rules, **options)  # type: ignore[arg-type]
    return [(each.text, f"{each.now}->{each.becomes}", each.effect.value) for each in explained.flips]


def test_one_condition_that_is_missing_is_found_and_two_are_not() -> None:
    one = flips('permit read on Record as r "R" when subject.level == 2 and resource.level == 3')
    assert one == [("resource.level == 3", "false->true", "allow")]
    assert flips('permit read on Record as r "R" when subject.level == 3 and resource.level == 3') == []


def test_a_forbid_in_the_way_is_a_flip_and_so_is_each_pillar_of_an_allow() -> None:
    permit = 'permit read on Record as p "P" when subject.level == 2\n'
    rules = permit + 'forbid read on Record as f "F" when resource.level == {}'
    assert flips(rules.format(2)) == [("resource.level == 2", "true->false", "allow")]
    assert flips(rules.format(3)) == [
        ("resource.level == 3", "false->true", "deny"),
        ("subject.level == 2", "true->false", "deny"),
    ]


def test_an_equal_condition_is_one_wherever_it_stands() -> None:
    rules = (
        'permit read on Record as p "P" when resource.level == 3\n'
        'forbid read on Record as f "F" when resource.level == 3\n'
    )
    assert flips(rules) == [], "made true it would permit and forbid at once"


def test_an_error_is_flipped_both_ways() -> None:
    gone = (WARD, P1, R1)
    assert flips('permit read on Record as r "R" when subject.level == 2', givens=gone) == [
        ("subject.level == 2", "error->true", "allow")
    ]
    rules = 'permit read on Record as p "P"\nforbid read on Record as f "F" when subject.level == 2'
    assert flips(rules, givens=gone) == [("subject.level == 2", "error->false", "allow")]


def test_a_quantifier_is_flipped_as_a_whole() -> None:
    assert flips('permit read on Record as r "R" when any f in subject.friends: f.level > 7') == [
        ("any f in subject.friends: f.level > 7", "false->true", "allow")
    ]


def test_a_closed_condition_inside_a_quantifier_is_flipped_there() -> None:
    assert ("resource.level == 3", "false->true", "allow") in flips(
        'permit read on Record as r "R" when any f in subject.friends: f.level == 1 and resource.level == 3'
    )


def test_a_flip_that_makes_a_permit_whose_duty_errs_changes_nothing() -> None:
    rules = (
        'permit read on Record as r "R" when resource.level == 3 require tell(whom: text(div(1, resource.level - 2)))'
    )
    assert flips(rules) == []


@pytest.mark.parametrize("depth", [20, 150])
def test_a_deep_condition_is_explained_without_a_crash(depth: int) -> None:
    text = "not (" * depth + "subject.level == 2" + ")" * depth
    explained = why(f'permit read on Record as r "R" when {text}')
    assert explained.disagreement == ()
    assert explanation_json(explained)["considered"][0]["condition"] is not None
    assert explanation_text(explained)
