"""The table of failing closed, cell by cell, and what a profile makes of a result."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from pdp.decide import combine
from pdp.model.decision import (
    FOREVER,
    WHOLE,
    Capabilities,
    Decision,
    Effect,
    Fields,
    Grant,
    Obligation,
    PdpFault,
    PolicyResult,
    Reason,
    Refusal,
)
from pdp.model.frame import Frame
from pdp.model.value import Entity
from tests.unit.decide.fakes import ERROR, Rule, computed, errs, forbid, mask, permit, void

ALL = Capabilities(fields=True, obligations=frozenset({"notify", "log"}))
NOW = 1_000


def frame() -> Frame:
    return Frame(Entity("User::a"), Entity("Record::r"), (), (), (), (), {}, NOW)


def result(satisfied: list[Rule] = [], erred: list[Rule] = [], until: int = FOREVER) -> PolicyResult:  # noqa: B006
    given: Any = satisfied
    return combine.policy_result(given, [(rule, ERROR) for rule in erred], frame(), until)  # type: ignore[misc]


def answer(
    satisfied: list[Rule] = [],  # noqa: B006
    erred: list[Rule] = [],  # noqa: B006
    capabilities: Capabilities = ALL,
    searched: frozenset[str] = frozenset(),
) -> Decision:
    return combine.decision(result(satisfied, erred), capabilities, searched, "digest", "revision")


STATES = ("satisfied", "not", "error")


@pytest.mark.parametrize(
    ("of_permit", "of_forbid", "of_mask", "of_void"), list(product(STATES, (*STATES, None), (*STATES, None), STATES))
)
def test_semantics_04_the_table_in_full(
    of_permit: str, of_forbid: str | None, of_mask: str | None, of_void: str
) -> None:
    """Each cell for a permit, a forbid, a mask and a mask whose fields cannot be told, in every combination."""
    rules = {"p": (permit("p"), of_permit), "f": (forbid("f"), of_forbid), "m": (mask("m", "/ssn"), of_mask)}
    rules["v"] = (void("v"), of_void)
    got = answer(
        [rule for rule, state in rules.values() if state == "satisfied"],
        [rule for rule, state in rules.values() if state == "error"],
    )
    if of_forbid in ("satisfied", "error"):
        expected: tuple[Effect, Reason, tuple[str, ...]] = (Effect.DENY, Reason.FORBIDDEN, ("f",))
    elif of_permit != "satisfied":
        reason = Reason.INDETERMINATE if of_permit == "error" else Reason.NO_RULE
        expected = (Effect.DENY, reason, ())
    elif of_void in ("satisfied", "error"):
        expected = (Effect.DENY, Reason.MASKED, ("v",))
    else:
        expected = (Effect.ALLOW, Reason.PERMITTED, ("p",))
    assert (got.effect, got.reason, got.rules) == expected
    assert got.fields.masked == (frozenset({"/ssn"}) if got.allowed and of_mask in ("satisfied", "error") else set())
    # All errors are in the record, once for a condition and once for fields.
    erring = [name for name, (_, state) in rules.items() if state == "error"]
    assert sorted(error.rule for error in got.errors) == sorted(erring + (["v"] if of_void != "not" else []))


@pytest.mark.parametrize("effect", ["emergency", "", "PERMIT", "allow"])
@pytest.mark.parametrize("erred", [True, False])
def test_an_effect_that_the_table_does_not_have_is_a_fault_never_a_permit(effect: str, erred: bool) -> None:
    rule = Rule("x", effect, grant=Grant("x"))
    with pytest.raises(PdpFault):
        result([] if erred else [rule], [rule] if erred else [])


def test_semantics_04_nothing_at_all_is_a_deny() -> None:
    assert answer() == Decision(Effect.DENY, Reason.NO_RULE, program_digest="digest", data_revision="revision")


def test_semantics_04_a_permit_that_errs_does_not_spoil_another() -> None:
    got = answer([permit("b")], [permit("a")])
    assert got.allowed
    assert got.rules == ("b",)
    assert [error.rule for error in got.errors] == ["a"]


def test_semantics_17_forbid_beats_permit_and_output_is_sorted() -> None:
    got = answer([forbid("z"), permit("a"), forbid("b")], [forbid("k")])
    assert got.reason is Reason.FORBIDDEN
    assert got.rules == ("b", "k", "z")
    assert [(refusal.rule, refusal.erred) for refusal in got.refusals] == [("b", False), ("k", True), ("z", False)]


def test_an_undeclared_question_is_denied() -> None:
    got = combine.decision(combine.UNDECLARED, ALL)
    assert (got.effect, got.reason) == (Effect.DENY, Reason.UNDECLARED)


# Fields (SEMANTICS 18).


def test_semantics_18_released_is_the_union_over_the_permits() -> None:
    got = answer([permit("a", fields=frozenset({"/id"})), permit("b", fields=frozenset({"/name"}))])
    assert got.fields == Fields(frozenset({"/id", "/name"}))
    assert got.rules == ("a", "b")


def test_semantics_18_a_permit_without_a_limit_releases_all() -> None:
    got = answer([permit("a", fields=frozenset({"/id"})), permit("b")])
    assert got.fields == WHOLE


def test_semantics_18_a_permit_that_releases_nothing_is_still_a_limit() -> None:
    assert answer([permit("a", fields=frozenset())]).fields == Fields(frozenset())
    assert answer([permit("a", fields=frozenset())], capabilities=Capabilities()).reason is Reason.UNSUPPORTED


def test_semantics_18_every_mask_that_applies_or_errs_restricts() -> None:
    got = answer([permit("a"), mask("m", "/ssn")], [mask("n", "/name")])
    assert got.fields == Fields(None, frozenset({"/ssn", "/name"}))
    assert got.rules == ("a",)


def test_semantics_18_an_erring_field_set_voids_its_permit() -> None:
    got = answer([computed("a", errs)])
    assert (got.reason, [error.rule for error in got.errors]) == (Reason.INDETERMINATE, ["a"])
    assert answer([computed("a", errs), permit("b")]).rules == ("b",)


def test_semantics_18_an_erring_release_condition_restricts_and_is_recorded() -> None:
    error = result([], [permit("a")]).errors[0]
    got = answer([computed("a", lambda frame: Grant("a", frozenset({"/id"}), errors=(error,)))])
    assert got.fields == Fields(frozenset({"/id"}))
    assert got.errors == (error,)


def test_semantics_18_an_erring_mask_set_denies_what_is_permitted() -> None:
    assert answer([permit("a"), void("m")]).reason is Reason.MASKED
    assert answer([void("m")]).reason is Reason.NO_RULE  # Who is not permitted does not hear of the mask.


@pytest.mark.parametrize(
    ("masked", "searched", "allowed"),
    [
        ("/ssn", "/ssn", False),
        ("/ssn", "/ssn/last", False),
        ("/name/given", "/name", False),  # To sort by the name is to sort by the given name.
        ("/name/given", "/name/family", True),
        ("/name/given", "/name/0/given", False),
        ("/name/0/given", "/name/given", False),
        ("/name/given", "/name/-/given", False),
        ("/ssn", "/ssnot", True),
        ("", "/anything", False),
        ("/ssn", "", False),
        ("/ssn", "ssn", False),  # No pointer at all: refused, not ignored.
        ("/a~1b", "/a~1b", False),
        ("/a~1b", "/a/b", True),
        ("/ssn", "/a~2", False),
    ],
)
def test_semantics_18_a_search_over_a_masked_field_is_denied(masked: str, searched: str, allowed: bool) -> None:
    got = answer([permit("a"), mask("m", masked), mask("other", "/zzz")], searched=frozenset({searched}))
    assert got.allowed is allowed
    if not allowed:
        assert got.reason is Reason.MASKED
        assert got.fields == WHOLE


@pytest.mark.parametrize(
    ("released", "searched", "allowed"),
    [
        ("/name", "/name", True),
        ("/name", "/name/given", True),
        ("/name/given", "/name", False),
        ("/name", "/names", False),
        ("/items/0", "/items/1", False),
        ("", "/anything", True),
        ("", "anything", False),
    ],
)
def test_semantics_18_a_search_over_an_unreleased_field_is_denied(released: str, searched: str, allowed: bool) -> None:
    got = answer([permit("a", fields=frozenset({released}))], searched=frozenset({searched, released}))
    assert got.allowed is allowed


def test_a_search_is_free_where_nothing_is_limited() -> None:
    assert answer([permit("a")], searched=frozenset({"/ssn"})).allowed


def test_semantics_18_a_search_denied_names_the_masks_or_else_the_permits() -> None:
    assert answer([permit("a"), mask("m", "/ssn")], searched=frozenset({"/ssn"})).rules == ("m",)
    assert answer([permit("a", fields=frozenset({"/id"}))], searched=frozenset({"/ssn"})).rules == ("a",)


# Obligations and profiles (SEMANTICS 19).


def duty(name: str, rule: str = "a", binding: bool = True) -> Obligation:
    return Obligation(name, (), rule, binding)


def test_semantics_19_obligations_of_all_permits_that_contribute_apply() -> None:
    got = answer([permit("b", obligations=(duty("log", "b"),)), permit("a", obligations=(duty("notify"), duty("log")))])
    assert [(each.rule, each.name) for each in got.obligations] == [("a", "notify"), ("a", "log"), ("b", "log")]


def test_semantics_19_a_duty_that_cannot_be_carried_out_voids_its_permit() -> None:
    heavy = permit("a", obligations=(duty("notify"),))
    got = answer([heavy, permit("b")], capabilities=Capabilities())
    assert (got.allowed, got.rules, got.obligations) == (True, ("b",), ())
    alone = answer([heavy], capabilities=Capabilities(obligations=frozenset({"log"})))
    assert (alone.reason, alone.rules, alone.obligations) == (Reason.UNSUPPORTED, ("a",), ())


def test_semantics_19_advice_needs_no_capability() -> None:
    got = answer([permit("a", obligations=(duty("hint", binding=False),))], capabilities=Capabilities())
    assert got.allowed
    assert [each.name for each in got.obligations] == ["hint"]


def test_semantics_19_a_field_limit_needs_the_capability() -> None:
    limited = permit("a", fields=frozenset({"/id"}))
    assert answer([limited], capabilities=Capabilities()).reason is Reason.UNSUPPORTED
    # Another permit without a limit does not need it.
    assert answer([limited, permit("b")], capabilities=Capabilities()).rules == ("b",)


def test_semantics_19_no_permit_counts_where_a_mask_applies_and_fields_cannot_be_left_out() -> None:
    got = answer([permit("a"), mask("m", "/ssn")], capabilities=Capabilities())
    assert (got.allowed, got.reason, got.rules) == (False, Reason.UNSUPPORTED, ("m",))
    assert answer([permit("a")], [mask("m", "/ssn")], Capabilities()).reason is Reason.UNSUPPORTED


def test_a_mask_over_no_field_masks_nothing() -> None:
    assert answer([permit("a"), mask("m")], capabilities=Capabilities()).allowed


def test_semantics_19_a_limit_is_dropped_with_the_permit_that_cannot_be_carried() -> None:
    """What an uncarried permit would release is not released by the way."""
    got = answer(
        [permit("a", fields=frozenset({"/id"}), obligations=(duty("page"),)), permit("b", fields=frozenset({"/code"}))]
    )
    assert got.fields.released == frozenset({"/code"})


# What may be told (SEMANTICS 28).


def test_semantics_28_a_cure_is_shown_only_if_every_denying_rule_has_one() -> None:
    cured = forbid("a", because="say why", cures=("purpose",), exception="privacy")
    assert answer([cured, permit("p")]).refusals == (Refusal("a", False, "say why", "privacy", ("purpose",)),)
    both = answer([cured, forbid("b"), permit("p")]).refusals
    assert [refusal.cures for refusal in both] == [(), ()]
    assert both[0].because == "say why"


@pytest.mark.parametrize(
    ("beside", "capabilities", "is_told"),
    [
        ([permit("p")], Capabilities(), True),
        ([], Capabilities(), False),  # nothing permits it: after the login it is denied as before
        ([void("v"), permit("p")], ALL, False),  # a mask whose fields cannot be told denies too
        ([mask("m", "/ssn"), permit("p")], Capabilities(), False),  # this enforcement point can leave nothing out
        ([mask("m", "/ssn"), permit("p")], ALL, True),
        ([permit("p", fields=frozenset({"/id"}))], Capabilities(), False),
        ([permit("p", obligations=(duty("fly"),))], ALL, False),  # nor do what the permit requires
        ([permit("p", obligations=(duty("fly"),)), permit("q")], ALL, True),
        ([computed("p", errs)], ALL, False),  # the only permit erred
    ],
)
def test_semantics_28_a_cure_is_shown_only_where_it_would_lead_to_a_permit(
    beside: list[Rule], capabilities: Capabilities, is_told: bool
) -> None:
    denied = answer([forbid("a", cures=("step_up",)), *beside], capabilities=capabilities)
    assert (denied.reason, denied.rules) == (Reason.FORBIDDEN, ("a",))
    assert denied.refusals[0].cures == (("step_up",) if is_told else ())


def test_semantics_28_a_search_by_a_masked_field_has_no_cure() -> None:
    rules = [forbid("a", cures=("step_up",)), mask("m", "/ssn"), permit("p")]
    assert answer(rules).refusals[0].cures == ("step_up",)
    assert answer(rules, searched=frozenset({"/ssn"})).refusals[0].cures == ()


def test_semantics_28_a_forbid_that_erred_has_no_cure() -> None:
    assert answer([], [forbid("a", cures=("consent",))]).refusals == (Refusal("a", True),)


def test_semantics_28_who_is_not_permitted_does_not_hear_of_masks_or_duties() -> None:
    assert answer([mask("m", "/ssn"), void("v")], capabilities=Capabilities()).rules == ()


def test_semantics_28_a_forbid_that_erred_says_what_it_may() -> None:
    (refusal,) = answer([], [forbid("a", because="say why", exception="privacy")]).refusals
    assert (refusal.because, refusal.exception, refusal.erred) == ("say why", "privacy", True)


def test_a_forbid_that_has_nothing_to_tell_denies_all_the_same() -> None:
    bare = Rule("a", "forbid", refusal=None, refusal_erred=None)
    assert answer([permit("p"), bare]).refusals == (Refusal("a"),)
    assert answer([permit("p")], [bare]).refusals == (Refusal("a", erred=True),)


def test_semantics_17_masks_are_sorted_by_rule() -> None:
    for first, second in (("/a", "/b"), ("/b", "/a")):
        assert [name for name, _ in result([mask("n", second), mask("m", first), mask("k", "")]).masks] == [
            "k",
            "m",
            "n",
        ]


# Time.


def test_semantics_25_the_horizon_passes_through() -> None:
    assert combine.decision(result([permit("a")], until=5_000), ALL).valid_until == 5_000


def test_semantics_23_an_answer_with_an_error_holds_for_no_time() -> None:
    assert result([permit("a")], [permit("b")], until=5_000).valid_until == NOW
    assert result([computed("a", errs)], until=5_000).valid_until == NOW
