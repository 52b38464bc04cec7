"""What our own sources say of one request (`from source limits` of the context): read, never kept (SEMANTICS 23)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.compile.program import Program, compile_program
from pdp.decide.admit import admit
from pdp.decide.engine import Engine
from pdp.diagnostics.source import Source
from pdp.language import check, parse
from pdp.model.decision import Decision, Reason
from pdp.model.entities import Entities
from pdp.model.request import Request

WARD: Final = """
entity User as "user"
entity Record as "record"
action read, write on Record by User
context {
    subject_left: Int? from source limits   client_left: Int? from source limits   mood: Text? from caller
}
permit read on Record as plenty "plenty is left" when context has subject_left and context.subject_left >= 3
permit write on Record as writers "whoever is calm" when context has mood and context.mood == "calm"
forbid read on Record as few "few are left" when context has client_left and context.client_left == 0
"""


@cache
def program() -> Program:
    policies, diagnostics = check.policies([parse.policy(Source("limits.ward", WARD))])
    assert policies is not None, diagnostics
    return compile_program(policies)


def engine(size: int = 1_024) -> Engine:
    return Engine(program(), Entities({}, "empty"), size)


def asks(action: str = "read", sourced: Any = None, **said: Any) -> Request:
    return Request("user", "ann", action, "record", "r1", sourced=sourced, **said)


def left(**numbers: Any) -> dict[str, dict[str, Any]]:
    return {"limits": numbers}


def test_a_rule_reads_what_is_left() -> None:
    asked = engine()
    assert asked.decide(asks(sourced=left(subject_left=3)), 0).allowed
    assert not asked.decide(asks(sourced=left(subject_left=2)), 0).allowed
    assert asked.decide(asks(sourced=left(subject_left=9)), 0).allowed
    assert asked.decide(asks(sourced=left(subject_left=9, client_left=0)), 0).reason is Reason.FORBIDDEN


def test_what_no_source_says_is_absent_where_the_source_spoke_and_else_unknown() -> None:
    asked = engine()
    assert asked.decide(asks(sourced=left()), 0).reason is Reason.NO_RULE
    for silent in (None, {}, {"elsewhere": {"subject_left": 9}}):
        # The forbid that cannot be evaluated denies.
        assert asked.decide(asks(sourced=silent), 0).reason is Reason.FORBIDDEN
    for wrong in ("9", True, 1.5, [9], 1 << 64):
        assert not asked.decide(asks(sourced=left(subject_left=wrong)), 0).allowed


def test_checklist_28_nobody_else_may_say_it() -> None:
    asked = engine()
    for place in ("context", "token", "certificate"):
        lying: dict[str, Any] = {place: {"subject_left": 9}}
        assert not asked.decide(asks(**lying), 0).allowed
        assert not asked.decide(asks(sourced=left(subject_left=1), **lying), 0).allowed
        assert not asked.decide(asks(sourced=left(), **lying), 0).allowed
    admitted, refused = admit(asks(context={"subject_left": 9}), program().schema, frozenset({"*"}))
    assert refused == ("context.subject_left",)
    assert not asked.decide(replace(admitted, sourced=left()), 0).allowed


def test_an_answer_that_has_read_it_is_kept_by_nobody() -> None:
    asked = engine()
    decision = asked.decide(asks(sourced=left(subject_left=3)), 7)
    assert decision.allowed
    assert decision.valid_until == 7  # So that no proxy keeps it either.
    assert len(asked._cache.entries) == 0


def test_an_answer_that_has_not_read_it_is_kept_and_found_whatever_is_left() -> None:
    asked = engine()
    calm = {"mood": "calm"}
    first = asked.decide(asks("write", left(subject_left=3), context=calm), 0)
    assert first.allowed
    assert len(asked._cache.entries) == 1
    assert asked.decide(asks("write", left(subject_left=0), context=calm), 0) is first
    assert asked.decide(asks("write", None, context=calm), 0) is first
    assert len(asked._cache.entries) == 1


NUMBERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "subject_left": st.one_of(st.integers(0, 5), st.sampled_from([None, "3", True])),
        "client_left": st.integers(0, 2),
        "other": st.just(1),
    },
)
REQUESTS: Final = st.builds(
    asks,
    st.sampled_from(["read", "write"]),
    st.one_of(st.none(), st.just({}), st.fixed_dictionaries({"limits": NUMBERS}, optional={"elsewhere": NUMBERS})),
    context=st.sampled_from([{}, {"mood": "calm"}, {"mood": "angry"}, {"subject_left": 5}]),
)


@settings(max_examples=200)
@given(st.lists(REQUESTS, min_size=5, max_size=40))
def test_semantics_23_the_cache_never_changes_an_answer_by_what_a_source_says(asked: list[Request]) -> None:
    cached, fresh = engine(), engine(0)

    def told(decision: Decision) -> Decision:
        return replace(decision, valid_until=0)

    for now, request in enumerate(asked):
        assert told(cached.decide(request, now)) == told(fresh.decide_uncached(request, now))
    assert all("subject_left" not in str(key) for key in cached._cache.entries)
