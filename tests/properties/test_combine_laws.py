"""Rules together: neither order nor profile nor one more forbid can open what is closed (SEMANTICS 4, 17, 18, 19)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.compile.program import compile_program
from pdp.decide import combine
from pdp.decide.engine import Engine
from pdp.language.core import FieldSet, Literal, PolicySet, Rule
from pdp.language.types import BOOL
from pdp.model.decision import Capabilities, Decision, Fields, Grant, Obligation, PolicyResult, Reason
from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.request import Request
from pdp.model.value import Entity
from tests.generators import policy_sets
from tests.properties.asking import CAPABILITIES, MOMENTS, requests, stores
from tests.unit.decide import fakes
from tests.unit.decide.fakes import ERROR, computed, errs, forbid, mask, permit, void

ALL = CAPABILITIES[3]
FRAME = Frame(Entity("User::a"), Entity("Record::r"), (), (), (), (), {}, 7)
POINTERS = st.frozensets(st.sampled_from(["/id", "/name", "/name/given", "/ssn", "", "/a~1b"]), max_size=3)
DUTIES = st.lists(
    st.builds(Obligation, st.sampled_from(["notify", "count", "page"]), st.just(()), st.just("r"), st.booleans()),
    max_size=2,
).map(tuple)
CAPABLE = st.builds(Capabilities, st.booleans(), st.frozensets(st.sampled_from(["notify", "count", "page"])))


@st.composite
def outcomes(draw: Any) -> list[tuple[fakes.Rule, bool]]:
    """Rules with what became of them: satisfied, or (True) erred. What is not satisfied says nothing."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        name = f"r{number}"
        kind = draw(st.sampled_from(["permit", "permit", "permit", "forbid", "mask", "void", "errs"]))
        if kind == "permit":
            fields = draw(st.one_of(st.none(), POINTERS))
            rule = permit(name, fields=fields, obligations=draw(DUTIES))
        elif kind == "forbid":
            rule = forbid(name, cures=draw(st.sampled_from([(), ("consent",)])))
        elif kind == "mask":
            rule = mask(name, *draw(POINTERS))
        else:
            rule = void(name) if kind == "void" else computed(name, errs)
        found.append((rule, draw(st.integers(0, 4)) == 0))
    return found


def combined(given_: list[tuple[fakes.Rule, bool]]) -> PolicyResult:
    satisfied: Any = [rule for rule, erred in given_ if not erred]
    erring: Any = [(rule, ERROR) for rule, erred in given_ if erred]
    return combine.policy_result(satisfied, erring, FRAME)


def opens(less: Decision, more: Decision) -> bool:
    """Does the first let through something that the second does not?"""
    if not less.allowed:
        return False
    return not more.allowed or _shows_more(less.fields, more.fields)


def _shows_more(one: Fields, other: Fields) -> bool:
    if not one.masked >= other.masked:
        return True
    if other.released is None:
        return False
    return one.released is None or not one.released <= other.released


@given(outcomes(), st.randoms(use_true_random=False), CAPABLE)
def test_semantics_17_order_never_matters(
    given_: list[tuple[fakes.Rule, bool]], random: Any, capabilities: Capabilities
) -> None:
    shuffled = given_.copy()
    random.shuffle(shuffled)
    assert combined(shuffled) == combined(given_)
    decision = combine.decision(combined(given_), capabilities)
    assert list(decision.rules) == sorted(decision.rules)
    assert [each.rule for each in decision.errors] == sorted(each.rule for each in decision.errors)


@given(outcomes(), CAPABLE, st.booleans(), POINTERS)
def test_semantics_17_one_more_forbid_never_opens(
    given_: list[tuple[fakes.Rule, bool]], capabilities: Capabilities, erred: bool, searched: frozenset[str]
) -> None:
    before = combine.decision(combined(given_), capabilities, searched)
    after = combine.decision(combined([*given_, (forbid("z"), erred)]), capabilities, searched)
    assert not opens(after, before)
    assert after.reason is Reason.FORBIDDEN


@given(outcomes(), CAPABLE, st.booleans(), POINTERS, POINTERS)
def test_semantics_18_one_more_mask_never_opens(
    given_: list[tuple[fakes.Rule, bool]],
    capabilities: Capabilities,
    erred: bool,
    masked: frozenset[str],
    searched: frozenset[str],
) -> None:
    before = combine.decision(combined(given_), capabilities, searched)
    after = combine.decision(combined([*given_, (mask("z", *masked), erred)]), capabilities, searched)
    assert not opens(after, before)


@given(outcomes(), CAPABLE, POINTERS)
def test_semantics_19_a_profile_that_can_do_less_never_opens(
    given_: list[tuple[fakes.Rule, bool]], capabilities: Capabilities, searched: frozenset[str]
) -> None:
    full = combine.decision(combined(given_), Capabilities(True, frozenset({"notify", "count", "page"})), searched)
    less = combine.decision(combined(given_), capabilities, searched)
    assert not opens(less, full)


@given(outcomes(), CAPABLE)
def test_semantics_19_what_leaves_can_be_carried_out(
    given_: list[tuple[fakes.Rule, bool]], capabilities: Capabilities
) -> None:
    decision = combine.decision(combined(given_), capabilities)
    if decision.allowed:
        assert all(each.name in capabilities.obligations for each in decision.obligations if each.binding)
        assert capabilities.fields or not decision.fields.limited
        assert decision.rules
    else:
        assert decision.obligations == ()
        assert not decision.fields.limited


@given(outcomes(), CAPABLE)
def test_semantics_04_an_error_never_opens(given_: list[tuple[fakes.Rule, bool]], capabilities: Capabilities) -> None:
    """Were every rule that erred a permit less and a forbid or mask more, as much would be let through."""
    decision = combine.decision(combined(given_), capabilities)
    strict = [(rule, False) for rule, erred in given_ if not (erred and rule.effect == "permit")]
    assert combine.decision(combined(strict), capabilities).allowed is decision.allowed


@given(outcomes(), CAPABLE, POINTERS)
def test_semantics_28_a_cure_is_told_exactly_where_all_have_one_and_the_rest_permits(
    given_: list[tuple[fakes.Rule, bool]], capabilities: Capabilities, searched: frozenset[str]
) -> None:
    decision = combine.decision(combined(given_), capabilities, searched)
    forbids = [(rule, erred) for rule, erred in given_ if rule.effect == "forbid"]
    rest = combined([(rule, erred) for rule, erred in given_ if rule.effect != "forbid"])
    each_curable = all(rule.refusal is not None and rule.refusal.cures and not erred for rule, erred in forbids)
    due = bool(forbids) and each_curable and combine.decision(rest, capabilities, searched).allowed
    assert any(refusal.cures for refusal in decision.refusals) is due


# The same of whole programs.


@settings(max_examples=40)
@given(policies=policy_sets(), store=stores(), request=requests())
def test_semantics_17_the_order_of_rules_never_matters(policies: PolicySet, store: Entities, request: Request) -> None:
    backwards = replace(policies, rules=tuple(reversed(policies.rules)))
    one, other = Engine(compile_program(policies), store), Engine(compile_program(backwards), store)
    for capabilities in CAPABILITIES:
        first, second = one.decide(request, MOMENTS[0], capabilities), other.decide(request, MOMENTS[0], capabilities)
        assert replace(first, program_digest="") == replace(second, program_digest="")


@settings(max_examples=40)
@given(policies=policy_sets(), store=stores(), request=requests(), number=st.integers(0, 20))
def test_semantics_17_one_more_forbid_never_turns_deny_into_allow(
    policies: PolicySet, store: Entities, request: Request, number: int
) -> None:
    """The forbid has the condition of some other rule, so it applies now and then; also one that always does."""
    model = policies.rules[number % len(policies.rules)]
    always = Literal(True, BOOL, model.span)
    for condition in (model.condition, always):
        added = replace(_bare(model), id="zz", effect="forbid", condition=condition)
        stricter = replace(policies, rules=(*policies.rules, added))
        before, after = Engine(compile_program(policies), store), Engine(compile_program(stricter), store)
        for capabilities in CAPABILITIES:
            assert not opens(
                after.decide(request, MOMENTS[0], capabilities), before.decide(request, MOMENTS[0], capabilities)
            )


def _bare(rule: Rule) -> Rule:
    return replace(rule, release=None, duties=(), fields=None)


@settings(max_examples=40)
@given(policies=policy_sets(), store=stores(), request=requests())
def test_semantics_18_a_mask_over_everything_leaves_nothing(
    policies: PolicySet, store: Entities, request: Request
) -> None:
    model = policies.rules[0]
    pairs = frozenset(policies.schema.actions)
    condition = Literal(True, BOOL, model.span)
    whole = replace(
        _bare(model), id="zz", effect="mask", pairs=pairs, condition=condition, fields=FieldSet(frozenset({""}))
    )
    stricter = Engine(compile_program(replace(policies, rules=(*policies.rules, whole))), store)
    decision = stricter.decide(request, MOMENTS[0], ALL)
    if decision.allowed:
        assert "" in decision.fields.masked
        assert request.searched_fields == frozenset()
    assert not stricter.decide(request, MOMENTS[0]).allowed


def test_a_grant_is_what_a_permit_gives() -> None:
    assert Grant("a").fields is None  # No limit: everything. An empty set would be the strictest limit.
