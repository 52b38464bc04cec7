"""Suggestions: only what is near, whatever the case, and always the same one."""

from __future__ import annotations

import pytest

from pdp.diagnostics.suggest import closest


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("clearence", ["clearance", "department"], "clearance"),
        ("permitt", ["permit", "forbid"], "permit"),
        ("AND", ["and", "any"], "and"),
        ("nurse", ["Nurse"], "Nurse"),
        ("zebra", ["clearance", "department"], None),
        ("x", [], None),
        ("", ["a"], None),
    ],
)
def test_only_a_near_name_is_suggested(name: str, choices: list[str], expected: str | None) -> None:
    assert closest(name, choices) == expected


def test_the_order_of_choices_does_not_matter() -> None:
    choices = ["roles", "rolex", "role", "Role"]
    assert {closest("rol", choices), closest("rol", reversed(choices)), closest("rol", set(choices))} == {"Role"}


def test_long_names_cost_nothing() -> None:
    assert closest("a" * 1_000_000, ["a" * 1_000_000]) is None
