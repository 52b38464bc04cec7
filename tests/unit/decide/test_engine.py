"""Deciding with and without the cache: what is kept, for how long, for whom, and what is denied before any rule."""

from __future__ import annotations

import sys
from copy import copy
from decimal import Decimal
from threading import Barrier, Thread
from typing import Any

import pytest

from pdp.decide.cache import MAX_EVICTIONS, MAX_KEY_SIZE
from pdp.decide.engine import Engine
from pdp.model.decision import FOREVER, NO_CAPABILITIES, Capabilities, Effect, Grant, Obligation, PdpFault, Reason
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import ABSENT, Unsettled
from tests.unit.decide.fakes import (
    ANN,
    BOB,
    LEVEL,
    OF_CONTEXT,
    OF_RECORD,
    OF_USER,
    R1,
    R2,
    SECRET,
    STORE,
    VIP,
    Function,
    Program,
    Reads,
    asks,
    computed,
    errs,
    forbid,
    mask,
    of_context,
    of_resource,
    of_subject,
    permit,
    row,
)

ALL = Capabilities(fields=True, obligations=frozenset({"notify"}))


def engine(*functions: Function, store: Entities = STORE, size: int = 100) -> Engine:
    given: Any = Program(*functions)
    return Engine(given, store, size)


def vips() -> Function:
    return Function([permit("vip", of_subject(VIP))], Reads(subject=True))


def moods() -> Function:
    mood = OF_CONTEXT["mood"]
    return Function([permit("calm", lambda frame: of_context(mood)(frame) == "calm")], Reads(context=(mood,)))


def counts() -> Function:
    count = OF_CONTEXT["count"]
    return Function([permit("one", lambda frame: of_context(count)(frame) == 1)], Reads(context=(count,)))


# Before any rule.


@pytest.mark.parametrize(
    "request_",
    [
        Request("alien", "ann", "read", "record", "r1"),
        Request("User", "ann", "read", "record", "r1"),  # The Ward name is not the wire name.
        Request("user", "ann", "erase", "record", "r1"),
        Request("user", "ann", "read", "alien", "r1"),
        Request("user", "ann", "drop", "record", "r1"),  # Declared both, not together.
        Request("robot", "r2d2", "read", "record", "r1"),  # Declared, but not among those who may ask.
        Request("user", "ann", "read", "robot", "r2d2"),
        Request(None, "ann", "read", "record", "r1"),  # type: ignore[arg-type]
        Request("user", "ann", ["read"], "record", "r1"),  # type: ignore[arg-type]
    ],
)
def test_semantics_13_what_is_not_declared_is_denied_before_any_rule(request_: Request) -> None:
    function = Function([permit("everybody")])
    asked = engine(function)
    for decide in (asked.decide, asked.decide_uncached):
        decision = decide(request_, 0)
        assert (decision.effect, decision.reason) == (Effect.DENY, Reason.UNDECLARED)
    assert function.evaluations == 0


@pytest.mark.parametrize("part", ["subject", "resource"])
@pytest.mark.parametrize(
    "identifier", ["", "a" * 513, "a\0b", "e\u0301", "a\ud800", "é\udfff", 7, True, None, ["r1"], b"r1", "\u212b"]
)
def test_semantics_09_an_identifier_must_be_sound_also_when_no_rule_reads_it(part: str, identifier: Any) -> None:
    function = Function([permit("everybody")])
    asked = engine(function)
    assert asked.decide(asks(), 0).allowed  # The answer for everybody is in the cache now.
    for decide in (asked.decide, asked.decide_uncached):
        assert decide(asks(**{part: identifier}), 0).reason is Reason.BAD_REQUEST
    assert function.evaluations == 1


@pytest.mark.parametrize("identifier", ["r1", "a" * 512, "\u00e9", "a::b", " ", "日本"])
def test_a_sound_identifier_is_taken_as_it_is(identifier: str) -> None:
    assert engine(Function([permit("everybody")])).decide(asks(resource=identifier), 0).allowed


# What is kept.


def test_semantics_23_the_key_is_what_is_read() -> None:
    function = vips()
    asked = engine(function)
    assert asked.decide(asks("ann"), 0).allowed
    assert asked.decide(asks("ann", "r2"), 5).allowed  # Another record: nobody reads which.
    assert asked.decide(asks("ann", context={"mood": "calm"}), 5).allowed
    assert function.evaluations == 1
    assert not asked.decide(asks("bob"), 5).allowed
    assert function.evaluations == 2


def test_semantics_23_the_resource_is_in_the_key_where_it_is_read() -> None:
    function = Function([permit("open", lambda frame: not of_resource(SECRET)(frame))], Reads(resource=True))
    asked = engine(function)
    assert asked.decide(asks("ann", "r1"), 0).allowed
    assert not asked.decide(asks("ann", "r2"), 0).allowed
    assert asked.decide(asks("bob", "r1"), 0).allowed
    assert function.evaluations == 2


def test_semantics_23_what_is_absent_is_kept_as_well() -> None:
    mood = OF_CONTEXT["mood"]
    function = Function([permit("none", lambda frame: of_context(mood)(frame) is ABSENT)], Reads(context=(mood,)))
    asked = engine(function)
    for _ in range(3):
        assert asked.decide(asks(), 0).allowed
    assert function.evaluations == 1
    assert not asked.decide(asks(context={"mood": "calm"}), 0).allowed


def test_a_hit_is_the_same_decision() -> None:
    asked = engine(vips())
    assert asked.decide(asks("ann"), 0) is asked.decide(asks("ann"), 1)
    assert asked.decide(asks("ann"), 0) == asked.decide_uncached(asks("ann"), 0)


def test_semantics_23_true_one_and_decimals_are_different_keys() -> None:
    function = counts()
    asked = engine(function)
    assert asked.decide(asks(context={"count": 1}), 0).allowed
    for other in (True, Decimal(1), Decimal("1.0"), "1", 1.0, [1], {"1": 1}):
        assert asked.decide(asks(context={"count": other}), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks(context={"count": 1}), 0).allowed
    assert asked.decide(asks(context={"count": 0}), 0).reason is Reason.NO_RULE
    assert asked.decide(asks(context={"count": False}), 0).reason is Reason.INDETERMINATE


def test_semantics_23_an_answer_from_something_unknown_is_not_kept_even_if_absorbed() -> None:
    function = Function([permit("everybody")], Reads(context=(OF_CONTEXT["mood"],)))
    asked = engine(function)
    for _ in range(2):
        decision = asked.decide(asks(context={"mood": 7}), 3)  # Ill-typed: unknown, though nobody minds.
        assert (decision.allowed, decision.valid_until) == (True, 3)  # Nobody else may keep it either.
    assert function.evaluations == 2
    for _ in range(2):
        assert asked.decide(asks(context={"mood": "calm"}), 0).allowed
    assert function.evaluations == 3


def test_semantics_23_errors_and_indeterminate_answers_are_not_kept() -> None:
    for rules in ([permit("a", errs)], [permit("a"), permit("b", errs)], [forbid("a", errs)], [computed("a", errs)]):
        function = Function(rules)
        asked = engine(function)
        asked.decide(asks(), 0)
        asked.decide(asks(), 0)
        assert function.evaluations == 2


def test_a_deny_is_kept_as_well() -> None:
    function = Function([forbid("never")])
    asked = engine(function)
    assert asked.decide(asks(), 0) is asked.decide(asks("bob"), 9)
    assert function.evaluations == 1


def test_the_cache_is_bounded_and_may_be_off() -> None:
    function = moods()
    asked = engine(function, size=2)
    for mood in ("a", "b", "c"):
        asked.decide(asks(context={"mood": mood}), 0)
    assert len(asked._entries) == 2
    off = engine(function, size=0)
    assert not off.decide(asks(context={"mood": "a"}), 0).allowed
    assert len(off._entries) == 0


def test_a_giant_key_is_answered_and_not_kept() -> None:
    function = moods()
    asked = engine(function)
    assert not asked.decide(asks(context={"mood": "x" * MAX_KEY_SIZE}), 0).allowed
    assert len(asked._entries) == 0


def test_plans_do_not_share_answers() -> None:
    """One key for two actions would let one open the other."""
    reads, drops = Function([permit("read")], resource_type="User"), Function([], action="drop", resource_type="User")
    asked = engine(reads, drops)
    assert asked.decide(asks(resource="bob", resource_type="user"), 0).allowed
    assert not asked.decide(asks(resource="bob", resource_type="user", action="drop"), 0).allowed


# Profiles (SEMANTICS 19 and 24).


def test_semantics_24_the_profile_is_applied_after_the_cache() -> None:
    function = Function([permit("a", fields=frozenset({"/id"})), permit("b", obligations=(duty(),))])
    asked = engine(function)
    some = Capabilities(obligations=frozenset({"notify"}))
    for _ in range(2):
        assert asked.decide(asks(), 0).reason is Reason.UNSUPPORTED
        assert asked.decide(asks(), 0, ALL).rules == ("a", "b")
        assert asked.decide(asks(), 0, some).rules == ("b",)
        assert asked.decide(asks(), 0, Capabilities(obligations=frozenset({"notify"}))).rules == ("b",)
    assert function.evaluations == 1


def duty() -> Obligation:
    return Obligation("notify", (), "b")


def test_semantics_24_what_is_remembered_without_the_cache_is_before_the_profile_too() -> None:
    asked = engine(Function([permit("a", fields=frozenset({"/id"}))]))
    for _ in range(2):
        assert asked.decide_uncached(asks(), 0).reason is Reason.UNSUPPORTED
        assert asked.decide_uncached(asks(), 0, ALL).allowed
        assert asked.decide_uncached(asks(searched_fields=frozenset({"/ssn"})), 0, ALL).reason is Reason.MASKED
        assert asked.decide_uncached(asks(searched_fields=frozenset({"/id"})), 0, ALL).allowed


def test_the_same_rules_give_the_same_decision_where_nothing_is_computed() -> None:
    asked = engine(Function([permit("vip", of_subject(VIP)), forbid("secret", of_resource(SECRET))]))
    for who, which in (("ann", "r1"), ("ann", "r2")):
        first = asked.decide_uncached(asks(who, which), 0)
        assert asked.decide_uncached(asks(who, which), 9) is first
    timed = engine(hourly())
    assert timed.decide_uncached(asks(), 10) is timed.decide_uncached(asks(), 20)
    assert timed.decide_uncached(asks(), 210).valid_until == 300


def test_answers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdp.decide.engine.MAX_ANSWERS", 3)
    asked = engine(hourly())
    for hour in range(10):
        assert asked.decide_uncached(asks(), hour * 100).allowed is (hour % 2 == 0)
    (prepared,) = asked._plans.values()
    assert 0 < len(prepared.answers) <= 3


def test_a_plan_for_explaining() -> None:
    asked = engine(vips())
    assert asked.plan(asks(action="nope")) is None
    plan = asked.plan(asks())
    assert plan is not None
    assert plan.bind(asks(), STORE, 7).subject == ANN


def test_many_profiles_do_not_grow_without_bound() -> None:
    asked = engine(Function([permit("a")]))
    for number in range(100):
        assert asked.decide(asks(), 0, Capabilities(obligations=frozenset({str(number)}))).allowed
    (entry,) = asked._entries.values()
    assert len(entry.answer.finished) <= 16


def test_semantics_18_a_search_over_a_masked_field_is_denied_also_on_a_hit() -> None:
    asked = engine(Function([permit("a"), mask("m", "/ssn")]))
    for decide in (asked.decide, asked.decide_uncached):
        for _ in range(2):
            assert decide(asks(), 0, ALL).allowed
            assert decide(asks(searched_fields=frozenset({"/ssn"})), 0, ALL).reason is Reason.MASKED
            assert decide(asks(searched_fields=frozenset({"/name"})), 0, ALL).allowed


def test_a_computed_grant_is_computed_for_each_request() -> None:
    note = OF_RECORD["note"]

    def grant(frame: Any) -> Grant:
        return Grant("a", obligations=(Obligation("notify", (("about", of_resource(note)(frame)),), "a"),))

    asked = engine(Function([computed("a", grant)], Reads(resource_attributes=(note,))))
    for decide in (asked.decide, asked.decide_uncached):
        for text in ("x", "y", "x"):
            decision = decide(asks(resource_properties={"note": text}), 0, ALL)
            assert decision.obligations[0].arguments == (("about", text),)


def test_nothing_that_does_not_settle_escapes() -> None:
    def unsettled(frame: Any) -> bool:
        raise Unsettled("x")

    asked = engine(Function([permit("a", unsettled)]))
    for decide in (asked.decide, asked.decide_uncached):
        with pytest.raises(PdpFault):
            decide(asks(), 0)


# Time (SEMANTICS 25).


def hourly() -> Function:
    """Permits in even hours, of 100 each."""
    return Function(
        [permit("even", lambda frame: frame.now // 100 % 2 == 0)], until=lambda frame: (frame.now // 100 + 1) * 100
    )


def test_semantics_25_an_entry_holds_up_to_its_horizon_and_not_at_it() -> None:
    function = hourly()
    asked = engine(function)
    assert asked.decide(asks(), 210).valid_until == 300
    assert asked.decide(asks(), 299).allowed
    assert function.evaluations == 1
    assert not asked.decide(asks(), 300).allowed
    assert function.evaluations == 2


def test_semantics_25_a_clock_that_steps_back_leaves_the_entry() -> None:
    function = hourly()
    asked = engine(function)
    assert asked.decide(asks(), 210).allowed
    assert not asked.decide(asks(), 150).allowed
    assert asked.decide(asks(), 205).allowed
    assert function.evaluations == 3


def test_semantics_25_without_an_exact_horizon_nothing_is_kept() -> None:
    function = Function([permit("a")], until=lambda frame: frame.now)
    asked = engine(function)
    assert asked.decide(asks(), 7).valid_until == 7
    asked.decide(asks(), 7)
    assert function.evaluations == 2
    assert len(asked._entries) == 0


def test_semantics_25_what_time_alone_never_changes_holds_forever() -> None:
    assert engine(vips()).decide(asks(), 3).valid_until == FOREVER


def test_semantics_26_digest_and_revision_stand_in_every_answer() -> None:
    asked = engine(vips())
    for request in (asks(), asks("bob"), asks(""), asks(action="nope")):
        decision = asked.decide(request, 0)
        assert (decision.program_digest, decision.data_revision) == ("program", "data-1")
    assert asked.refused(Reason.OVERLOADED).data_revision == "data-1"


# Evictions (SEMANTICS 23).


def test_semantics_23_an_eviction_drops_what_read_the_entity_and_nothing_else() -> None:
    function = vips()
    asked = engine(function)
    asked.decide(asks("ann", "r1"), 0)
    asked.decide(asks("bob", "r2"), 0)
    asked.evict(ANN)
    asked.decide(asks("bob", "r2"), 0)  # Bob is below Ann: dropped too, in doubt.
    assert function.evaluations == 3
    asked.decide(asks("ann", "r1"), 0)
    assert function.evaluations == 4
    asked.evict(BOB)
    asked.decide(asks("ann", "r1"), 0)
    assert function.evaluations == 4
    asked.decide(asks("bob", "r2"), 0)
    assert function.evaluations == 5


def test_semantics_23_an_eviction_drops_whatever_looks_through_references() -> None:
    function = Function([permit("a")], Reads(resource=True, paths=frozenset({"resource.owner.vip"})))
    asked = engine(function)
    for _ in range(2):
        asked.decide(asks("bob", "r1"), 0)
    assert function.evaluations == 1
    asked.evict(ANN)
    asked.decide(asks("bob", "r1"), 0)
    assert function.evaluations == 2


def test_semantics_23_a_fill_is_dropped_when_an_eviction_came_meanwhile() -> None:
    function = vips()
    asked = engine(function)
    function.during = lambda: asked.evict(R1)
    asked.decide(asks("ann"), 0)
    assert len(asked._entries) == 0


def test_semantics_23_many_evictions_forget_everything_but_never_too_little() -> None:
    function = vips()
    asked = engine(function)
    asked.decide(asks("ann"), 0)
    asked.evict(ANN)
    for number in range(MAX_EVICTIONS):
        asked.evict(R1 if number % 2 else BOB)
    asked.decide(asks("ann"), 0)
    assert function.evaluations == 2
    asked.decide(asks("ann"), 0)
    assert function.evaluations == 2


def test_semantics_23_an_entry_in_hand_does_not_outlive_what_was_forgotten() -> None:
    """A thread may hold an entry while another empties the cache."""
    asked = engine(vips())
    asked.decide(asks("ann"), 0)
    (entry,) = asked._entries.values()
    cache, rows = asked._cache, STORE.rows
    assert cache.outlives(entry, rows)
    for _ in range(MAX_EVICTIONS):
        cache.evict(R2)
    assert cache.outlives(entry, rows)
    old = copy(entry)
    for _ in range(MAX_EVICTIONS // 2):
        cache.evict(R2)
    assert not cache.outlives(old, rows)
    asked.decide(asks("ann"), 0)
    (young,) = asked._entries.values()
    cache.evict(R2)
    assert cache.outlives(young, rows)
    cache.evict(ANN)
    assert not cache.outlives(young, rows)


# Places (SEMANTICS 5) and the cache.


def test_semantics_23_a_value_offered_by_a_place_that_does_not_own_it_is_not_answered_from_the_cache() -> None:
    nick = OF_USER["nick"]
    function = Function(
        [permit("nameless", lambda frame: of_subject(nick)(frame) is ABSENT)],
        Reads(subject_attributes={"User": (nick,)}),
    )
    asked = engine(function)
    assert asked.decide(asks(token={}), 0).allowed
    assert asked.decide(asks(token={"nick": "x"}), 0).reason is Reason.NO_RULE
    assert asked.decide(asks(token={}, subject_properties={"nick": "x"}), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks(token={}, certificate={"nick": "x"}), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks(token={}, refused=frozenset({"subject.nick"})), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks(token=None), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks(token={}), 0).allowed
    # What its own place says stands, whoever else says something.
    assert asked.decide(asks(token={"nick": "x"}, subject_properties={"nick": "y"}), 0).reason is Reason.NO_RULE


def test_the_subject_behind_a_reference_is_in_the_key() -> None:
    """`resource.owner.level` is what the caller says of the subject, if the owner is the subject, and else unknown."""
    level = LEVEL
    function = Function(
        [permit("a", lambda frame: of_subject(level)(frame) == 3 and frame.subject == ANN)],
        Reads(subject_attributes={"User": (level,)}, resource=True, paths=frozenset({"resource.owner.level"})),
    )
    asked = engine(function)
    assert asked.decide(asks("ann", subject_properties={"level": 3}), 0).allowed
    assert not asked.decide(asks("bob", subject_properties={"level": 3}), 0).allowed


def test_one_entity_as_subject_and_resource_does_not_answer_for_two() -> None:
    function = Function(
        [permit("a", lambda frame: of_resource(LEVEL)(frame) == 3)],
        Reads(resource_attributes=(LEVEL,)),
        resource_type="User",
    )
    asked = engine(function)

    def ask(subject: str, resource: str) -> bool:
        request = asks(subject, resource, "user", subject_properties={"level": 9}, resource_properties={"level": 3})
        allowed = asked.decide(request, 0).allowed
        assert allowed is asked.decide_uncached(request, 0).allowed
        return allowed

    assert ask("ann", "bob")
    assert not ask("bob", "bob")  # The caller says two things of one entity.


def test_semantics_06_a_route_claim_is_part_of_the_key() -> None:
    owner = OF_RECORD["owner"]
    function = Function(
        [permit("owner", lambda frame: of_resource(owner)(frame) == frame.subject)], Reads(subject=True, resource=True)
    )
    asked = engine(function)
    assert asked.decide(asks("ann", "r1"), 0).allowed
    assert asked.decide(asks("ann", "r1", route={"owner": "ann"}), 0).allowed
    assert asked.decide(asks("ann", "r1", route={"owner": "bob"}), 0).reason is Reason.INDETERMINATE
    assert asked.decide(asks("ann", "r1", route={}), 0).allowed


# Threads.


def test_threads_answer_as_one() -> None:
    store = Entities({f"User::u{n}": row(OF_USER, vip=n % 3 == 0) for n in range(40)}, "d")  # type: ignore[misc]
    function = Function([permit("vip", of_subject(VIP)), mask("m", "/ssn")], Reads(subject=True))
    asked = engine(function, store=store, size=16)
    expected = {n: (n % 3 == 0) for n in range(40)}
    wrong: list[int] = []
    start = Barrier(6)

    def run(offset: int) -> None:
        start.wait()
        for step in range(1_500):
            n = (step * 7 + offset) % 40
            capabilities = ALL if step % 2 else NO_CAPABILITIES
            decision = asked.decide(asks(f"u{n}"), step, capabilities)
            if decision.allowed != (expected[n] and capabilities is ALL):
                wrong.append(n)
            if step % 50 == 0:
                asked.evict(f"User::u{n}")  # type: ignore[arg-type]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(asked._entries) <= 16


def test_threads_that_meet_a_kind_first_at_once_give_it_one_number() -> None:
    for _ in range(20):
        asked = engine(
            Function([permit("read")], resource_type="User"), Function([], action="drop", resource_type="User")
        )
        start = Barrier(4)
        wrong: list[str] = []

        def run(action: str, asked: Engine = asked, start: Barrier = start, wrong: list[str] = wrong) -> None:
            start.wait()
            for _ in range(20):
                allowed = asked.decide(asks(resource="bob", resource_type="user", action=action), 0).allowed
                if allowed != (action == "read"):
                    wrong.append(action)

        threads = [Thread(target=run, args=(("read", "drop")[number % 2],)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
