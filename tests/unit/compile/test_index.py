"""The index finds what can apply; it never changes an answer, least of all where something is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile.program import Program, compile_program
from pdp.language.core import PolicySet
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, Row
from tests.generators import PAIRS, frames, policy_sets
from tests.unit.compile.support import compiled, frame, meant, program, row

DEPARTMENTS = "\n".join(
    f'permit read on Record as d{number} when subject is Clinician and subject.department == "d{number}"'
    f' and resource.department == "d{number}" and subject.role in Role.clinician'
    for number in range(50)
)


def worlds() -> st.SearchStrategy[tuple[tuple[str, str], Frame]]:
    return st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair)))


@given(policy_sets(most_rules=9, depth=1), st.lists(worlds(), min_size=1, max_size=3))
def test_semantics_03_with_and_without_an_index_the_answer_is_one(
    policies: PolicySet, questions: list[tuple[tuple[str, str], Frame]]
) -> None:
    indexed, plain = compile_program(policies), compile_program(policies, indexed=False)
    for pair, given_frame in questions:
        assert compiled(indexed, *pair, given_frame) == compiled(plain, *pair, given_frame)
        assert compiled(indexed, *pair, given_frame) == meant(indexed, *pair, given_frame)


def asked(made: Program, subject: dict[str, Any], resource: dict[str, Any], **context: Any) -> Frame:
    rows: dict[str, Row] = {
        "Clinician::nina": row(made.schema, "Clinician::nina", **subject),
        "Record::r1": row(made.schema, "Record::r1", **resource),
    }
    return frame(made.schema, "Clinician::nina", "Record::r1", rows, **context)


def candidates(made: Program, given_frame: Frame) -> list[str]:
    function = made.function("read", "Record")
    assert function is not None
    return sorted(each.id for each in function.candidates(given_frame))


def test_only_the_rules_that_can_apply_are_looked_at() -> None:
    made = program(DEPARTMENTS)
    given_frame = asked(made, {"role": "nurse", "department": "d7"}, {"department": "d7"})
    assert candidates(made, given_frame) == ["d7"]
    assert compiled(made, "read", "Record", given_frame) == (["d7"], [])


@pytest.mark.parametrize("state", [UNKNOWN, "nobody"])
def test_semantics_03_under_an_unknown_pin_every_rule_is_a_candidate(state: object) -> None:
    made = program(DEPARTMENTS)
    given_frame = asked(made, {"role": "nurse", "department": state}, {"department": "d7"})
    satisfied, erred = compiled(made, "read", "Record", given_frame)
    assert satisfied == []
    # The record's department is known, so one rule alone could have applied: the others are false whatever errs.
    assert [each[:3] for each in erred] == ([("d7", "unknown-value", "subject.department")] if state is UNKNOWN else [])
    assert (satisfied, erred) == meant(made, "read", "Record", given_frame)


def test_semantics_03_where_nothing_is_known_all_of_them_err() -> None:
    made = program(DEPARTMENTS)
    given_frame = asked(made, {}, {})
    assert len(compiled(made, "read", "Record", given_frame)[1]) == 50
    assert compiled(made, "read", "Record", given_frame) == meant(made, "read", "Record", given_frame)


def test_a_forbid_on_a_pin_that_a_silent_source_owns_denies() -> None:
    made = program(
        "\n".join(f'forbid read on Record as f{n} when resource.department == "d{n}"' for n in range(20)) + DEPARTMENTS
    )
    given_frame = asked(made, {"role": "nurse", "department": "d7"}, {"department": UNKNOWN})
    assert {each[0] for each in compiled(made, "read", "Record", given_frame)[1]} == {
        *(f"f{n}" for n in range(20)),
        "d7",
    }


def test_an_absent_guarded_pin_is_no_error_and_costs_no_interpreter() -> None:
    rules = "\n".join(
        f'permit read on Record as s{n} when context has site and context.site == "s{n}"' for n in range(20)
    )
    made = program(rules)
    absent, known = asked(made, {}, {}), asked(made, {}, {}, site="s3")
    assert candidates(made, absent) == []
    assert compiled(made, "read", "Record", absent) == ([], []) == meant(made, "read", "Record", absent)
    assert compiled(made, "read", "Record", known) == (["s3"], [])


def test_a_guard_in_some_rules_makes_absence_no_less_an_error_in_others() -> None:
    rules = "\n".join(
        f"permit read on Record as a{n} when resource has author and resource.author.clearance == {n}" for n in range(9)
    ) + "\n".join(
        f"\nforbid read on Record as b{n} when (resource has author or resource.level == 1) and resource.level == {n}"
        for n in range(9)
    )
    made = program(rules)
    for author in (ABSENT, UNKNOWN, "otto"):
        for level in (UNKNOWN, 1, 2):
            given_frame = asked(made, {}, {"author": author, "level": level})
            assert compiled(made, "read", "Record", given_frame) == meant(made, "read", "Record", given_frame)


def test_a_pin_that_nothing_matches_still_errs_on_unknown() -> None:
    made = program(
        'permit read on Record as none when resource.department == "a" and resource.department == "b"',
        "\n".join(f'permit read on Record as d{n} when resource.department == "d{n}"' for n in range(20)),
    )
    given_frame = asked(made, {}, {"department": UNKNOWN})
    assert compiled(made, "read", "Record", given_frame) == meant(made, "read", "Record", given_frame)
    assert "none" in [each[0] for each in compiled(made, "read", "Record", given_frame)[1]]


def test_memory_is_linear_each_rule_lies_in_one_table() -> None:
    made = program(DEPARTMENTS)
    for group in made._image.groups:
        places = [rule for _, entries, _ in group.tables for found in entries.values() for _, rule in found]
        assert len(places) <= 3 * 50  # Three codes lie below Role.clinician.
        assert len(group.tables) <= 1


def test_the_type_of_the_subject_is_a_pin() -> None:
    made = program(
        "permit read on Record as people when subject is Clinician and subject.clearance >= 2",
        "permit read on Record as machines when subject is Robot and subject.serial == 7",
    )
    schema = made.schema
    rows = {
        "Clinician::nina": row(schema, "Clinician::nina", clearance=2),
        "Robot::r": row(schema, "Robot::r", serial=7),
        "Record::r1": row(schema, "Record::r1"),
    }
    for subject, expected in (("Clinician::nina", ["people"]), ("Robot::r", ["machines"])):
        given_frame = frame(schema, subject, "Record::r1", rows)
        assert candidates(made, given_frame) == expected
        assert compiled(made, "read", "Record", given_frame) == (expected, [])


def test_a_subject_of_no_declared_type_satisfies_nothing() -> None:
    made = program("permit read on Record as all-of-them")
    given_frame = frame(made.schema, "Note::n1", "Record::r1", {"Record::r1": row(made.schema, "Record::r1")})
    function = made.function("read", "Record")
    assert function is not None
    assert function.evaluate(given_frame) == ([], [])
