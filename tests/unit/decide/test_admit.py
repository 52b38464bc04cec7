"""What an enforcement point may assert, and what becomes of the rest (SEMANTICS 5)."""

from __future__ import annotations

import pytest

from pdp.decide.admit import admit
from tests.unit.decide.fakes import SCHEMA, asks

SAID = asks(
    subject_properties={"level": 3, "role": "chief", "shoe_size": 44},
    action_properties={"soft": True},
    resource_properties={"note": "n", "secret": False},
    context={"mood": "calm", "weather": "fine"},
)


@pytest.mark.parametrize(
    ("may", "discarded"),
    [
        (["*"], ["resource.secret", "subject.role"]),
        (["subject.*"], ["action.soft", "context.mood", "resource.note", "resource.secret", "subject.role"]),
        (
            ["subject.level", "context.mood"],
            ["action.soft", "resource.note", "resource.secret", "subject.role"],
        ),
        ([], ["action.soft", "context.mood", "resource.note", "resource.secret", "subject.level", "subject.role"]),
        (["subject.role", "resource.*", "action.*", "context.*"], ["resource.secret", "subject.level", "subject.role"]),
    ],
)
def test_semantics_05_what_may_not_be_asserted_is_dropped_and_named(may: list[str], discarded: list[str]) -> None:
    admitted, named = admit(SAID, SCHEMA, frozenset(may))
    assert list(named) == discarded
    assert admitted.refused == frozenset(discarded)
    kept = {
        *(f"subject.{name}" for name in admitted.subject_properties),
        *(f"action.{name}" for name in admitted.action_properties),
        *(f"resource.{name}" for name in admitted.resource_properties),
        *(f"context.{name}" for name in admitted.context),
    }
    assert kept.isdisjoint(discarded)


def test_semantics_05_what_the_store_owns_nobody_may_assert() -> None:
    _, named = admit(SAID, SCHEMA, frozenset({"*", "resource.secret", "subject.role"}))
    assert named == ("resource.secret", "subject.role")


def test_what_is_not_declared_is_ignored_in_silence() -> None:
    request = asks(subject_properties={"shoe_size": 44}, context={"weather": "fine"})
    assert admit(request, SCHEMA, frozenset()) == (request, ())


def test_nothing_refused_leaves_the_request_as_it_is() -> None:
    request = asks(subject_properties={"level": 3, "role": None})
    admitted, named = admit(request, SCHEMA, frozenset({"subject.level"}))
    assert admitted is request
    assert named == ()


def test_an_undeclared_type_has_nothing_to_refuse() -> None:
    request = asks(resource_type="alien", resource_properties={"note": "n"}, action="nope", action_properties={"a": 1})
    assert admit(request, SCHEMA, frozenset())[1] == ()


def test_what_was_refused_before_stays_refused() -> None:
    request = asks(subject_properties={"role": "x"}, refused=frozenset({"context.mood"}))
    assert admit(request, SCHEMA, frozenset())[0].refused == {"context.mood", "subject.role"}
