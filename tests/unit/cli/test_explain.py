"""`pdp explain`: the golden text, and the same as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import NOW, Pdp, golden

TREAT = ("--context", '{"purpose": "TREAT"}')


def asked(subject: str, action: str, resource: str) -> tuple[str, ...]:
    return ("--subject", subject, "--action", action, "--resource", resource, *NOW)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("explain-allow.txt", (*asked("user:tom", "read", "Record:r1"), *TREAT)),
        ("explain-forbidden.txt", (*asked("user:tom", "read", "Record:r2"), *TREAT)),
        ("explain-indeterminate.txt", asked("user:nina", "read", "Record:r1")),
        ("explain-no-rule.txt", (*asked("user:tom", "update", "Record:r1"), *TREAT)),
        ("explain-not-found.txt", (*asked("user:nina", "read", "Record:gone"), *TREAT)),
        ("explain-undeclared.txt", asked("user:nina", "delete", "Record:r1")),
    ],
)
def test_the_tree_of_why(pdp: Pdp, name: str, arguments: tuple[str, ...]) -> None:
    ran = pdp("explain", "clinic", *arguments)
    assert (ran.code, ran.err) == (0, "")
    golden(name, ran.out)


def test_json_holds_the_tree_and_the_flips(pdp: Pdp) -> None:
    said = json.loads(pdp("explain", "clinic", *asked("user:tom", "update", "Record:r1"), "--output", "json").out)
    author = next(each for each in said["considered"] if each["id"] == "author")
    assert author["condition"]["kind"] == "and"
    assert [(each["text"], each["truth"]) for each in author["condition"]["children"]] == [
        ("resource has author", "true"),
        ("resource.author == subject", "false"),
    ]
    assert author["condition"]["children"][1]["reads"] == [
        {"path": "resource.author", "state": "value", "value": {"type": "user", "id": "nina"}},
        {"path": "subject", "state": "value", "value": {"type": "user", "id": "tom"}},
    ]
    assert said["flips"] == [
        {
            "condition": "resource.author == subject",
            "where": author["condition"]["children"][1]["where"],
            "rules": ["author"],
            "is": "false",
            "if": "true",
            "decision": "allow",
            "reason": "permitted",
        }
    ]
    assert said["disagreement"] == []


def test_many_quiet_rules_are_counted_not_shown(pdp: Pdp, clinic: Path) -> None:
    policy = clinic / "policy.ward"
    more = "".join(f'permit update on Record as extra-{i} "Extra" when subject.clearance == 1{i}\n' for i in range(20))
    policy.write_text(policy.read_text() + more)
    update = asked("user:tom", "update", "Record:r1")
    assert "and 9 more that said nothing (--all shows them)" in pdp("explain", clinic, *update).out
    assert pdp("explain", clinic, *update, "--all").out.count("permit extra-") == 20


def test_exit_code_of_a_deny(pdp: Pdp) -> None:
    assert pdp("explain", "clinic", *asked("user:tom", "update", "Record:r1"), "--exit-code").code == 1
