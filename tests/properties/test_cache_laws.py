"""The cache never changes an answer (SEMANTICS 23 to 26): requests that nearly agree, time, profiles, evictions."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Thread
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.bundle import data
from pdp.compile.program import Program, compile_program
from pdp.decide.cache import Uncacheable, tagged
from pdp.decide.engine import Engine
from pdp.diagnostics.source import Source
from pdp.language import check, parse
from pdp.language.core import PolicySet
from pdp.model.decision import Capabilities, Decision, Reason
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import Entity
from tests.generators import policy_sets
from tests.properties.asking import CAPABILITIES, JUNK, MOMENTS, requests, stores

Step = tuple[int, int, int, int | None]
"""Which request, when, for which profile; and which known entity is evicted before."""

STEPS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.integers(0, len(MOMENTS) - 1),
        st.integers(0, len(CAPABILITIES) - 1),
        st.one_of(st.none(), st.integers(0, 20)),
    ),
    min_size=30,
    max_size=60,
)


def alike(one: Request, other: Request) -> list[Request]:
    """Requests that differ from the first in one part each: what a key that leaves something out would confuse."""
    parts = (
        "subject_id",
        "subject_properties",
        "action_properties",
        "resource_properties",
        "context",
        "token",
        "certificate",
        "route",
        "searched_fields",
    )
    mixed = [replace(one, **{part: getattr(other, part)}) for part in parts]
    return [one, other, *mixed, replace(one, resource_id=other.resource_id)]


def same(cached: Decision, uncached: Decision, now: int) -> bool:
    """The same answer; one that is not kept, since something is unknown, may say that it holds for no time."""
    return cached == uncached or cached == replace(uncached, valid_until=now)


@settings(max_examples=60)
@given(policies=policy_sets(), store=stores(), one=requests(), other=requests(), steps=STEPS)
def test_semantics_23_the_cache_never_changes_an_answer(
    policies: PolicySet, store: Entities, one: Request, other: Request, steps: list[Step]
) -> None:
    program = compile_program(policies)
    cached, fresh = Engine(program, store), Engine(program, store, cache_size=0)
    pool = alike(one, other)
    known = sorted(store.rows)
    for which, when, profile, evicted in steps:
        if evicted is not None and known:
            cached.evict(known[evicted % len(known)])
        request, now, capabilities = pool[which], MOMENTS[when], CAPABILITIES[profile]
        expected = fresh.decide_uncached(request, now, capabilities)
        got = cached.decide(request, now, capabilities)
        assert same(got, expected, now)
        # What it says of its own horizon holds too: within it, time alone changes nothing.
        if now < got.valid_until:
            later = min(got.valid_until - 1, now + 86_400_000_000)
            assert same(fresh.decide_uncached(request, later, capabilities), replace(got), later)


@settings(max_examples=40)
@given(policies=policy_sets(), store=stores(), one=requests(), other=requests())
def test_a_tiny_cache_answers_as_a_large_one(
    policies: PolicySet, store: Entities, one: Request, other: Request
) -> None:
    program = compile_program(policies)
    tiny, large = Engine(program, store, 1), Engine(program, store)
    for request in alike(one, other) * 2:
        assert tiny.decide(request, MOMENTS[0]) == large.decide(request, MOMENTS[0])


@settings(max_examples=8)
@given(
    policies=policy_sets(), store=stores(), pairs=st.lists(st.tuples(requests(), requests()), min_size=4, max_size=4)
)
def test_many_threads_answer_as_one(policies: PolicySet, store: Entities, pairs: list[tuple[Request, Request]]) -> None:
    program = compile_program(policies)
    shared, alone = Engine(program, store, 32), Engine(program, store, 0)
    asked = [each for pair in pairs for each in alike(*pair)]
    expected: dict[tuple[int, int], Decision] = {}
    profiles: tuple[Capabilities, ...] = CAPABILITIES[:2]
    for number, request in enumerate(asked):
        for profile, capabilities in enumerate(profiles):
            expected[number, profile] = alone.decide_uncached(request, MOMENTS[0], capabilities)
    wrong: list[int] = []
    start = Barrier(4)

    def run(offset: int) -> None:
        start.wait()
        for step in range(3 * len(asked)):
            number, profile = (step * 5 + offset) % len(asked), (step + offset) % 2
            got = shared.decide(asked[number], MOMENTS[0], profiles[profile])
            if not same(got, expected[number, profile], MOMENTS[0]):
                wrong.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=run, args=(number * 7,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []


# A policy set in which every kind of place decides something, and questions that nearly agree.

WARD: Final = """
vocabulary Purpose "urn:p" { TREAT  ETREAT in TREAT  PAY  BTG emergency }
entity Ward
entity User in Ward as "user" {
    role: Text from token   nick: Text? from token   level: Int? from caller   purposes: Set<Purpose> from token
    trusted: Bool? from certificate   vip: Bool   boss: User?   until: Instant?
}
entity Record in User as "record" {
    holder: User   folder: Text? from route   note: Text? from caller   tags: Set<Text>   patient: User?
}
action read on Record, User by User { soft: Bool? from caller }
action drop on Record by User
context { purpose: Purpose? from caller provisioned by purposes   mood: Text? from caller   count: Int? from caller }

permit read on Record as own "own" when resource.holder == subject
permit read on Record as chief "chiefs" when subject.role == "chief" release only /id when not subject.vip
permit read on Record as treating "treatment" when context has purpose and context.purpose in Purpose.TREAT
permit read, drop on Record as led "by level" when subject has level and subject.level >= 2
permit read on Record as below "by boss" when resource.holder has boss and resource.holder.boss == subject
permit drop on Record as same-level "as the holder" when resource.holder has level and resource.holder.level == 1
permit drop on Record as patient "the patient" when resource has patient and resource.patient == subject
permit read on Record as filed "filed" when resource has folder and resource.folder == "open"
permit read on User as peer "peers" when resource.role == subject.role and (not resource has nick)
permit read on User as ward "one ward" when subject in Ward "icu"
permit read on Record as timed "for a time" when subject has until and now < subject.until
permit read on Record as daily "by day" when clock_between(now, "08:00", "12:00", "UTC") and subject.vip
forbid any on Record as angry "not in anger" when context has mood and context.mood == "angry"
forbid read on Record as counted "counted out" when context has count and context.count == 1
forbid any on any as untrusted "trusted only" when subject has trusted and not subject.trusted
forbid read on Record as soft "softly" when action has soft and action.soft and resource.tags contains "hard"
mask /ssn on Record as noted "noted" when resource has note and resource.note == "secret"
"""

DATA: Final = """[
{"type": "Ward", "id": "icu"},
{"type": "user", "id": "ann", "parents": [{"type": "Ward", "id": "icu"}],
 "attributes": {"vip": true, "boss": "bob", "until": "2026-03-01T11:30:00Z"}},
{"type": "user", "id": "bob", "attributes": {"vip": false}},
{"type": "record", "id": "r1", "attributes": {"holder": "ann", "tags": ["hard"], "patient": "bob"}},
{"type": "record", "id": "r2", "attributes": {"holder": "bob", "tags": []}}
]"""


@cache
def whole() -> tuple[Program, Entities]:
    policies, _ = check.policies([parse.policy(Source("laws.ward", WARD))])
    with TemporaryDirectory() as directory:
        Path(directory, "data").mkdir()
        Path(directory, "data", "a.json").write_text(DATA)
        return compile_program(policies), data.load(Path(directory), policies.schema)


def sometimes(**members: tuple[Any, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in members.items()})


TOKENS: Final = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["chief", "nurse", "nurse"]),
        "purposes": st.sampled_from([["TREAT"], ["TREAT", "PAY", "ETREAT"], []]),
    },
    optional={"nick": st.just("x"), "mood": st.just("calm")},
)


def mostly(usual: st.SearchStrategy[Any], *others: Any) -> st.SearchStrategy[Any]:
    """What makes an answer unknown is drawn seldom, so that most answers are kept."""
    return st.integers(0, 9).flatmap(lambda chosen: st.sampled_from(others) if chosen == 9 else usual)


NEARLY: Final = st.builds(
    Request,
    st.just("user"),
    st.sampled_from(["ann", "ann", "ann", "bob", "bob", "bob", "bob", "eve", ""]),
    st.sampled_from(["read", "read", "read", "drop"]),
    st.sampled_from(["record", "record", "record", "user"]),
    st.sampled_from(["r1", "r2", "ann", "bob"]),
    subject_properties=mostly(sometimes(level=(1, 2)), {"level": True}, {"level": Decimal(2)}, {"role": "chief"}),
    action_properties=mostly(sometimes(soft=(True, False)), {"soft": 1}),
    resource_properties=mostly(sometimes(note=("secret", "plain")), {"note": 1}, {"folder": "open"}, {"nick": "x"}),
    context=mostly(
        sometimes(purpose=("TREAT", "ETREAT", "PAY"), mood=("calm", "calm", "angry"), count=(1, 2, 3)),
        {"purpose": "BTG"},
        {"purpose": ["TREAT"]},
        {"count": True},
        {"count": Decimal(1)},
    ),
    token=mostly(TOKENS, None, {}, {"role": "chief"}),
    certificate=mostly(sometimes(trusted=(True, True, False)), None, {"trusted": 1}),
    route=mostly(sometimes(folder=("open", "shut"), holder=("ann", "bob")), None),
    searched_fields=st.sampled_from([frozenset(), frozenset(), frozenset({"/ssn"})]),
    refused=mostly(st.just(frozenset()), frozenset({"context.mood"}), frozenset({"subject.level"})),
)


@settings(max_examples=150)
@given(pool=st.lists(NEARLY, min_size=6, max_size=12), steps=STEPS)
def test_semantics_23_the_cache_never_changes_an_answer_whatever_place_decides(
    pool: list[Request], steps: list[Step]
) -> None:
    program, store = whole()
    cached, fresh = Engine(program, store), Engine(program, store, cache_size=0)
    asked = [variant for one, other in pairwise(pool) for variant in alike(one, other)]
    for which, when, profile, evicted in steps:
        if evicted is not None:
            cached.evict(sorted(store.rows)[evicted % len(store)])
        request, now, capabilities = asked[(which * 7 + when) % len(asked)], MOMENTS[when], CAPABILITIES[profile]
        for each in (request, asked[which]):
            assert same(cached.decide(each, now, capabilities), fresh.decide_uncached(each, now, capabilities), now)


def test_the_questions_above_meet_the_cache_and_every_kind_of_answer() -> None:
    """Else the law would say nothing."""
    program, store = whole()
    engine = Engine(program, store)
    reasons, kept = Counter[str](), 0

    @settings(max_examples=2_000, database=None)
    @given(NEARLY)
    def ask(request: Request) -> None:
        nonlocal kept
        before = len(engine._entries)
        decision = engine.decide(request, MOMENTS[0], CAPABILITIES[1])
        reasons[decision.reason] += 1
        if len(engine._entries) > before:
            kept += 1
            assert engine.decide(request, MOMENTS[0], CAPABILITIES[1]) == decision

    ask()
    assert kept > 10
    for reason in (Reason.PERMITTED, Reason.FORBIDDEN, Reason.NO_RULE, Reason.INDETERMINATE, Reason.BAD_REQUEST):
        assert reasons[reason] > 2, reasons


# Keys.

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.sampled_from([Decimal(0), Decimal(1), Decimal("1.0"), Decimal("-0")]),
        st.sampled_from(["", "0", "1", "True", "None", "i", "b", "x"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab1"), inner, max_size=2)),
    max_leaves=6,
)


def spelt(value: Any) -> Any:
    """A JSON value with all its types written out, for comparison."""
    if isinstance(value, list):
        return ["list", *map(spelt, value)]
    if isinstance(value, dict):
        return ["dict", *([name, spelt(value[name])] for name in sorted(value))]
    return [type(value).__name__, str(value)]


@settings(max_examples=1_000)
@given(JSON, JSON)
def test_semantics_23_members_of_a_key_are_equal_exactly_if_values_and_types_are(one: Any, other: Any) -> None:
    assert (tagged(one) == tagged(other)) is (spelt(one) == spelt(other))
    hash(tagged(one))


def test_semantics_23_true_one_and_a_decimal_one_are_three_keys() -> None:
    values: list[Any] = [True, 1, Decimal(1), Decimal("1.0"), "1", [1], [True], ["1"], {"1": 1}, {"1": True}, None]
    assert len({tagged(each) for each in values}) == len(values)
    assert len({tagged(each) for each in JUNK}) == len(JUNK)


def test_what_is_not_json_is_never_a_key() -> None:
    for value in (1.0, float("nan"), b"x", ("a",), {1}, object(), Entity("a").__class__):
        try:
            tagged(value)
        except Uncacheable:
            continue
        raise AssertionError(value)
