"""Duties of Ward as AuthZEN's obligations, and what a request says that its point understands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.doors import duties
from pdp.model.decision import Capabilities, Decision, Effect, Obligation, Reason
from pdp.model.request import RequestError

ALL = Capabilities(True, frozenset({"notification", "session_termination", "step_up", "watermark", "notify_patient"}))


def narrowed(supported: object, capabilities: Capabilities = ALL) -> Capabilities:
    return duties.narrowed(capabilities, {"supported_obligations": supported})


def test_types_are_the_names_of_duties_and_step_up_is_spelled_as_the_draft_does() -> None:
    assert duties.types(ALL.obligations) == [
        "notification",
        "notify_patient",
        "session_termination",
        "step-up",
        "watermark",
    ]


def test_every_duty_has_an_id_of_its_own() -> None:
    given = (Obligation("step_up", (("acr_value", "high"),), "a"), Obligation("watermark", (), "b", binding=False))
    assert duties.listed(Decision(Effect.ALLOW, Reason.PERMITTED, obligations=given), "id") == [
        {"id": "id.0", "type": "step-up", "properties": {"acr_value": "high"}, "binding": True},
        {"id": "id.1", "type": "watermark", "properties": {}, "binding": False},
    ]


@pytest.mark.parametrize(
    ("supported", "kept"),
    [
        (["notification"], {"notification"}),
        (["step-up"], {"step_up"}),
        (["step_up"], set()),
        (["custom"], {"watermark", "notify_patient"}),
        (["custom", "step-up"], {"watermark", "notify_patient", "step_up"}),
        (["Notification", " notification", "*", "all"], set()),
        ([], set()),
    ],
)
def test_semantics_19_what_is_said_is_what_is_left(supported: list[str], kept: set[str]) -> None:
    assert narrowed(supported) == Capabilities(True, frozenset(kept))


@given(st.lists(st.sampled_from([*sorted(ALL.obligations), "step-up", "custom", "x"])), st.sets(st.sampled_from("ab")))
def test_semantics_19_a_request_only_narrows(supported: list[str], more: set[str]) -> None:
    given = Capabilities(False, frozenset({"notification", *more}))
    left = narrowed(supported, given)
    assert left.obligations <= given.obligations
    assert left.fields is False


def test_who_says_nothing_or_all_keeps_the_very_capabilities() -> None:
    assert duties.narrowed(ALL, {}) is ALL
    assert narrowed(None) is ALL
    assert narrowed(["notification", "session_termination", "step-up", "custom"]) is ALL


@pytest.mark.parametrize("said", ["notification", 1, True, {}, [None], [1], [["notification"]]])
def test_checklist_27_only_a_list_of_texts_says_what_is_supported(said: Any) -> None:
    with pytest.raises(RequestError) as error:
        duties.checked({"supported_obligations": said})
    assert error.value.field == "context.supported_obligations"


def test_an_obligation_comes_with_an_answer_unless_it_is_said_not_to_be_understood() -> None:
    assert duties.understood("step-up", {})
    assert duties.understood("step-up", {"supported_obligations": ["step-up"]})
    assert not duties.understood("step-up", {"supported_obligations": ["notification"]})
