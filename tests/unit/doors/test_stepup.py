"""The step-up challenge: for which denials it is made, and what it says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors.stepup import ALLOWED, CURE, StepUp, curable, step_up
from pdp.language.expected import CURES
from pdp.model.decision import Decision, Effect, Reason, Refusal

ASKED = StepUp(("urn:hospital:mfa", "urn:hospital:phr"), ("otp", "hwk"), 300)
CURED = Refusal("strong-login", cures=("step_up",))
DENIED = Decision(Effect.DENY, Reason.FORBIDDEN, ("strong-login",), refusals=(CURED,))


def test_the_challenge_is_that_of_rfc_9470() -> None:
    challenge = step_up(DENIED, ASKED)
    assert challenge is not None
    assert challenge.header == (
        b'Bearer error="insufficient_user_authentication",'
        b' error_description="A different authentication level is required",'
        b' acr_values="urn:hospital:mfa urn:hospital:phr",'
        b' max_age="300"'
    )
    assert challenge.obligation == {
        "type": "step-up",
        "properties": {"acr_value": "urn:hospital:mfa", "amr_values": ["otp", "hwk"], "max_age": 300},
    }


def test_the_cure_is_a_word_of_the_language() -> None:
    assert CURE in CURES


def test_only_what_is_asked_for_is_said() -> None:
    fresh = step_up(DENIED, StepUp(max_age_seconds=60))
    assert fresh is not None
    assert b"acr_values" not in fresh.header
    assert fresh.header.endswith(b', max_age="60"')
    assert fresh.obligation["properties"] == {"amr_values": [], "max_age": 60}
    strong = step_up(DENIED, StepUp(("urn:hospital:mfa",)))
    assert strong is not None
    assert b"max_age" not in strong.header
    assert "max_age" not in strong.obligation["properties"]


def test_where_nothing_is_configured_there_is_no_challenge() -> None:
    assert step_up(DENIED, StepUp()) is None


@pytest.mark.parametrize(
    "decision",
    [
        replace(DENIED, effect=Effect.ALLOW, reason=Reason.PERMITTED),
        replace(DENIED, reason=Reason.NO_RULE),
        replace(DENIED, refusals=()),
        replace(DENIED, refusals=(replace(CURED, erred=True),)),
        replace(DENIED, refusals=(replace(CURED, cures=("consent",)),)),
        replace(DENIED, refusals=(replace(CURED, cures=()),)),  # its cure may not be told: nothing permits it besides
        replace(DENIED, rules=("sealed", "strong-login"), refusals=(CURED, Refusal("sealed"))),
        replace(DENIED, rules=("sealed", "strong-login")),  # a rule that denies, of which nothing may be told
    ],
)
def test_a_deny_that_stays_makes_no_challenge(decision: Decision) -> None:
    assert step_up(decision, ASKED) is None


def test_every_rule_that_denies_may_have_other_cures_beside() -> None:
    both = replace(DENIED, rules=("a", "strong-login"), refusals=(Refusal("a", cures=("consent", "step_up")), CURED))
    assert curable(both)


def test_of_what_is_decided_together_all_must_be_curable() -> None:
    allowed = Decision(Effect.ALLOW, Reason.PERMITTED)
    assert step_up(DENIED, ASKED, [DENIED, allowed, DENIED]) is not None
    assert step_up(DENIED, ASKED, [DENIED, Decision(Effect.DENY, Reason.NO_RULE)]) is None


TEXT = st.text(st.sampled_from(sorted(ALLOWED)), min_size=1, max_size=20)


@given(st.lists(TEXT, max_size=3), st.integers(0, 10**9))
def test_whatever_is_configured_the_header_is_one_line_of_whole_quoted_strings(values: list[str], age: int) -> None:
    challenge = step_up(DENIED, StepUp(tuple(values), (), age))
    if challenge is not None:
        assert all(0x20 <= byte <= 0x7E for byte in challenge.header)
        assert challenge.header.count(b'"') == 2 * challenge.header.count(b'="')
