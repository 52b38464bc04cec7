"""The policy sets that we ship: their tests pass and cover every rule, their data answer as the documents say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pdp import config
from pdp.analyze import coverage, testing
from pdp.analyze.case import Case, from_policy
from pdp.bundle.build import Built, build
from pdp.decide.admit import admit
from pdp.decide.engine import Engine
from pdp.model.decision import NO_CAPABILITIES, Capabilities, Decision
from pdp.model.request import Request

POLICIES = Path(__file__).parents[3] / "policies"
NOW = 1_772_640_000_000_000  # 2026-03-04T16:00:00Z


@cache
def built(name: str = "hospital") -> Built:
    return build(POLICIES / name)


@cache
def engine(name: str = "hospital") -> Engine:
    return Engine(built(name).program, built(name).entities)


def ask(who: str, action: str, what: str, capabilities: Capabilities = NO_CAPABILITIES, **context: Any) -> Decision:
    """`who` and `what` are `type:id`, wire types."""
    subject_type, _, subject = who.partition(":")
    resource_type, _, resource = what.partition(":")
    request = Request(subject_type, subject, action, resource_type, resource, context=context)
    return engine().decide(request, NOW, capabilities)


@pytest.mark.parametrize("name", ["hospital", "authzen-certification"])
def test_every_test_of_the_policy_set_passes_and_every_rule_is_seen_both_ways(name: str) -> None:
    program = built(name).program
    recorder = coverage.Recorder(program.policies)
    results = list(testing.run(program, cases(name), recorder))
    failed = [
        f"{each.case.title}: {each.failures} {each.problem} {each.disagreement}" for each in results if not each.passed
    ]
    assert not failed
    report = recorder.report()
    half = [each.id for each in report.rules if not (each.satisfied and (each.unsatisfied or each.constant))]
    assert not half
    assert report.percent == 100


def cases(name: str) -> list[Case]:
    policies = built(name).program.policies
    return [from_policy(each, policies.schema) for each in policies.tests]


def test_the_hospital_has_forty_tests_and_more() -> None:
    assert len(cases("hospital")) >= 40


@pytest.mark.parametrize("name", ["hospital", "authzen-certification"])
def test_every_rule_can_be_read_aloud_and_says_why_and_whose_it_is(name: str) -> None:
    for rule in built(name).program.policies.rules:
        assert rule.sentence, rule.id
        assert rule.citations, rule.id
        assert rule.owner, rule.id


@pytest.mark.parametrize("name", ["hospital", "authzen-certification"])
def test_its_settings_can_be_used(name: str) -> None:
    settings = config.load({"PDP_POLICIES": str(POLICIES / name)}, Path("/"))
    assert settings.source.endswith("pdp.toml")


def test_the_first_question_of_the_readme_is_answered_with_allow() -> None:
    decision = ask("user:dr-osei", "read", "Record:rec-1001", purpose="TREAT")
    assert decision.allowed
    assert decision.rules == ("clinical-view",)


def test_a_limited_permit_does_not_count_at_an_enforcement_point_that_declared_nothing() -> None:
    assert ask("user:trainee-park", "read", "Record:rec-1001").reason == "unsupported_obligation"
    there = ask("user:trainee-park", "read", "Record:rec-1001", Capabilities(fields=True))
    assert there.allowed
    assert there.fields.released is not None
    assert "/note" not in there.fields.released


def test_a_masked_chart_does_not_leave_through_a_point_that_cannot_mask() -> None:
    assert not ask("user:dr-osei", "read", "Patient:pat-100").allowed
    there = ask("user:dr-osei", "read", "Patient:pat-100", Capabilities(fields=True))
    assert there.fields.masked == {"/identifier/ssn"}


@pytest.mark.parametrize(
    ("who", "action", "what", "context"),
    [
        ("user:nobody", "read", "Record:rec-1001", {}),
        ("user:dr-osei", "read", "Record:nothing", {}),
        ("user:dr-miller", "read", "Record:rec-1001", {}),
        ("user:dr-osei", "read", "Record:rec-1001", {"purpose": "BTG"}),
        ("user:dr-osei", "read", "Record:rec-1001", {"purpose": ["TREAT", "HPAYMT"]}),
        ("user:dr-osei", "read", "Record:rec-1001", {"purpose": "HPAYMT"}),
        ("user:dr-osei", "read", "Record:rec-3001", {}),
        ("service:dr-osei", "read", "Record:rec-1001", {}),
        ("member:dr-osei", "read", "Record:rec-1001", {}),
        ("service:analytics", "read", "Patient:pat-100", {"purpose": "HOPERAT"}),
        ("service:old-clinic", "disclose", "Record:rec-1001", {"purpose": "TREAT"}),
        ("user:dr-osei", "disclose", "Record:rec-1001", {"purpose": "TREAT"}),
        ("user:dr-osei", "delete", "Record:rec-1001", {}),
    ],
)
def test_attacks_on_the_sample_are_denied(who: str, action: str, what: str, context: dict[str, Any]) -> None:
    everything = Capabilities(True, frozenset(built().program.schema.obligations))
    assert not ask(who, action, what, everything, **context).allowed


def test_what_a_caller_says_about_itself_opens_nothing() -> None:
    profile = next(
        each
        for each in config.load({"PDP_POLICIES": str(POLICIES / "hospital")}, Path("/")).profiles
        if each.name == "application"
    )
    request = Request(
        "user",
        "reg-dubois",
        "read",
        "Record",
        "rec-1001",
        subject_properties={"role": "physician"},
        resource_properties={"patient": "pat-400", "labels": []},
    )
    admitted, discarded = admit(request, built().program.schema, profile.may_assert)
    assert not engine().decide(admitted, NOW, profile.capabilities).allowed
    assert any("role" in each for each in discarded)


CERTIFICATION = [
    ("alice", {}, "read", {}, "record-1", {}, True),
    ("alice", {}, "write", {}, "record-1", {}, True),
    ("bob", {}, "read", {}, "record-1", {}, True),
    ("bob", {}, "write", {}, "record-1", {}, False),
    ("alice", {}, "write", {}, "record-1", {"status": "archived"}, False),
    ("bob", {"role": "admin"}, "write", {}, "record-2", {"status": "archived"}, True),
    ("alice", {}, "delete", {"soft": True}, "record-1", {}, True),
    ("alice", {}, "delete", {"soft": False}, "record-1", {}, False),
]


@pytest.mark.parametrize("context", [{}, {"time": "2025-06-27T18:03-07:00", "ip": "192.0.2.1"}])
@pytest.mark.parametrize(("who", "about", "action", "how", "what", "state", "expected"), CERTIFICATION)
def test_the_eight_decisions_of_the_certification_and_a_context_that_changes_nothing(
    who: str,
    about: dict[str, Any],
    action: str,
    how: dict[str, Any],
    what: str,
    state: dict[str, Any],
    expected: bool,
    context: dict[str, Any],
) -> None:
    asked = Request("user", who, action, "record", what, about, how, state, context)
    (profile,) = config.load({"PDP_POLICIES": str(POLICIES / "authzen-certification")}, Path("/")).profiles
    admitted, _ = admit(asked, built("authzen-certification").program.schema, profile.may_assert)
    decision = engine("authzen-certification").decide(admitted, NOW, profile.capabilities)
    assert decision.allowed is expected
    assert not decision.errors
