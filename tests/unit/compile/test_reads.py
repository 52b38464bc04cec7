"""The read set: everything that an answer can depend on, and by which place it is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.compile.program import Program, compile_program
from pdp.compile.reads import Reads
from pdp.language.core import PolicySet
from pdp.model.frame import Frame
from pdp.model.value import UNKNOWN, Entity
from tests.generators import PAIRS, frames, policy_sets
from tests.unit.compile.support import compiled, frame, meant, program, row


def reads(text: str, action: str = "read", resource_type: str = "Record") -> Reads:
    function = program(text).function(action, resource_type)
    assert function is not None
    return function.reads


@pytest.mark.parametrize(
    ("rule", "paths"),
    [
        ("permit read on Record as a", set()),
        ("permit read on Record as a when resource.level == 1", {"resource", "resource.level"}),
        (
            'permit read on Record as a when any r in resource.readers: r.department == "icu"',
            {"resource", "resource.readers", "resource.readers[*]", "resource.readers[*].department"},
        ),
        (
            "permit read on Record as a when resource has author",
            {"resource", "resource.author"},
        ),
        (
            'permit read on Record as a when resource in Patient "p1"',
            {"resource", "resource.(parents)", "Patient::p1"},
        ),
        (
            'permit read on Record as a when Patient "p1".vip',
            {"Patient::p1", "Patient::p1.vip"},
        ),
        (
            "permit read on Record as a when context.transport.tls > 1",
            {"context", "context.transport", "context.transport.tls"},
        ),
        # Effects and duties count.
        ("mask fields of (resource.tags) on Record as a", {"resource", "resource.tags"}),
        ("permit read on Record as a release only /id when resource.open", {"resource", "resource.open"}),
        (
            'permit read on Record as a require notify(to: "x", about: resource.level)',
            {"resource", "resource.level"},
        ),
        # What cannot be read is left out: no record is a note.
        ("forbid read on Record, Note as a when resource is Note and resource.text == context.purpose", set()),
    ],
)
def test_paths(rule: str, paths: set[str]) -> None:
    assert reads(rule).paths == paths


def test_what_requests_say_is_told_from_what_is_stored() -> None:
    found = reads(
        "permit read on Record as a when subject is Clinician and subject.role == Role.nurse and subject.clearance > 1"
        ' and context.purpose == "x"'
    )
    assert [each.name for each in found.subject_attributes["Clinician"]] == ["role"]
    assert [each.name for each in found.context] == ["purpose"]
    assert found.resource_attributes == ()
    assert (found.subject, found.resource) == (True, False)
    page = reads("permit page on Clinician as a when action.loud and resource.clearance > 2", "page", "Clinician")
    assert [each.name for each in page.action] == ["loud"]


def test_semantics_23_an_alias_of_the_subject_is_read_as_the_subject() -> None:
    """The author may be who asks: then what the token says of the subject is what is read of the author."""
    found = reads("permit read on Record as a when resource has author and resource.author.role == Role.nurse")
    assert found.subject
    assert [each.name for each in found.subject_attributes["Clinician"]] == ["role"]


def test_types_are_part_of_the_question_and_read_nothing() -> None:
    assert not reads("permit read on Record as a when subject is Clinician").subject
    assert not reads("permit read on Record as a when resource.open").subject


def test_attributes_belong_to_the_type_that_declares_them() -> None:
    """`level` lies in different places of a record and a note; each function reads its own."""
    made = program("permit read on Record, Note as a when resource.level == 1")
    for kind in ("Record", "Note"):
        rows = {f"{kind}::x": row(made.schema, f"{kind}::x", level=1), "Clinician::n": row(made.schema, "Clinician::n")}
        for level in (1, UNKNOWN):
            rows[f"{kind}::x"] = row(made.schema, f"{kind}::x", level=level)
            given_frame = frame(made.schema, "Clinician::n", f"{kind}::x", rows)
            function = made.function("read", kind)
            assert function is not None
            assert function.all_known(given_frame) is (level == 1 if level is not UNKNOWN else False)


@given(
    policy_sets(most_rules=4, depth=2),
    st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair))),
)
def test_semantics_23_where_all_is_known_nothing_unknown_was_met(
    policies: PolicySet, question: tuple[tuple[str, str], Frame]
) -> None:
    pair, given_frame = question
    made = compile_program(policies)
    function = made.function(*pair)
    assert function is not None
    if function.all_known(given_frame):
        assert not [each for each in meant(made, *pair, given_frame)[1] if each[1] == "unknown-value"]


@given(
    policy_sets(most_rules=3, depth=2),
    st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair), frames(pair))),
)
def test_semantics_23_what_is_not_read_changes_nothing(
    policies: PolicySet, question: tuple[tuple[str, str], Frame, Frame]
) -> None:
    """Take from another frame every root that the read set leaves out: the answer stays."""
    pair, one, other = question
    made = compile_program(policies)
    function = made.function(*pair)
    assert function is not None
    reads = function.reads
    if reads.subject or reads.resource or any("::" in name for name in reads.roots):
        return
    context = list(other.context_row)
    for attribute in reads.context:
        context[attribute.slot] = one.context_row[attribute.slot]
    mixed = Frame(
        other.subject if _type(other.subject) == _type(one.subject) else one.subject,
        other.resource,
        other.subject_row,
        other.resource_row,
        one.action_row,
        tuple(context),
        other.rows,
        one.now,
    )
    assert compiled(made, *pair, mixed) == compiled(made, *pair, one)


def _type(reference: Entity) -> Any:
    return reference.partition("::")[0]


def test_all_known_looks_at_members_of_collections() -> None:
    made = program('permit read on Record as a when any r in resource.readers: r.department == "icu"')
    schema = made.schema
    readers = ["a", "b"]
    rows = {
        "Clinician::n": row(schema, "Clinician::n"),
        "Clinician::a": row(schema, "Clinician::a", department="icu"),
        "Record::r": row(schema, "Record::r", readers=readers),
    }
    assert all_known(made, frame(schema, "Clinician::n", "Record::r", rows)) is False  # Nobody knows b.
    rows["Clinician::b"] = row(schema, "Clinician::b", department="er")
    assert all_known(made, frame(schema, "Clinician::n", "Record::r", rows)) is True
    rows["Clinician::b"] = row(schema, "Clinician::b", clearance=2)
    assert all_known(made, frame(schema, "Clinician::n", "Record::r", rows)) is False  # Even though a settles it.


def all_known(made: Program, given_frame: Frame) -> bool:
    function = made.function("read", "Record")
    assert function is not None
    return function.all_known(given_frame)


def test_what_only_emergency_rules_read_is_not_read() -> None:
    made = program("emergency read on Record as glass when resource.open", "permit read on Record as a")
    function = made.function("read", "Record")
    assert function is not None
    assert function.reads.paths == set()
