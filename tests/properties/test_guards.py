"""What checks never reads an attribute that is absent, nor one of another type (SEMANTICS 1, LANGUAGE 4).

Conditions are drawn from atoms that test and read optional attributes, and joined at random. Those that check are run
by the interpreter in worlds where everything is known: whatever is absent then, no rule may trip over it.
"""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from pdp.diagnostics.diagnostic import PolicyError
from pdp.language import core
from pdp.language.semantics import EvaluationError, evaluate
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, Entity
from tests.unit.language.checking import check

WORLD = """
entity User { boss: User?  level: Int?  friends: List<User> }
entity Robot { level: Int? }
entity Record { owner: Anybody  author: User?  note: Text?  period: { end: Int? } }
kind Anybody = User or Robot
action read on Record by User, Robot
context { why: Text? from caller }
define high(who: Anybody) = who has level and who.level > 3
define led(who: User) = who has boss and (high(who.boss) or not who.boss has level)
"""
ATOMS = (
    *("resource has author", "resource.author == subject", "resource has note", 'resource.note == "x"'),
    *("resource.period has end", "resource.period.end > 3", "context has why", 'context.why == "x"'),
    *("subject is User", "resource.owner is User", "resource.owner is Robot", "subject.level > 2", "subject has level"),
    *("subject.boss == subject", "subject has boss", "subject.boss has level", "subject.boss.level > 1"),
    *("high(subject)", "led(subject)", "high(resource.owner)", "led(resource.owner)", "resource.owner == subject"),
    *(
        "resource.owner has level",
        "resource.owner.level > 2",
        "resource.owner has boss",
        "resource.owner.boss == subject",
    ),
    *("any f in subject.friends: f has boss and f.boss == subject", "any f in subject.friends: resource has note"),
    *("all f in subject.friends: not f has level or f.level > 2", "true", "false"),
)
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS).map(lambda atom: f"({atom})"),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} and {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} or {pair[1]})"),
        inner.map(lambda one: f"(not {one})"),
        st.tuples(inner, inner, inner).map(lambda three: f"(if {three[0]} then {three[1]} else {three[2]})"),
    ),
    max_leaves=7,
)


@st.composite
def worlds(draw: st.DrawFn) -> Frame:
    """Two users, a robot and a record; every optional attribute there or not, everything known."""

    def maybe(value: object) -> object:
        return value if draw(st.booleans()) else ABSENT

    people = [Entity("User::a"), Entity("User::b")]
    none: frozenset[Entity] = frozenset()
    level = st.integers(0, 5)
    rows: dict[Entity, tuple[object, ...]] = {
        each: (
            none,
            maybe(draw(st.sampled_from(people))),
            maybe(draw(level)),
            draw(st.sampled_from([(), tuple(people)])),
        )
        for each in people
    }
    robot = Entity("Robot::r")
    rows[robot] = (none, maybe(draw(level)))
    anybody = st.sampled_from([*people, robot])
    record = Entity("Record::d")
    note, end = maybe("x"), maybe(draw(level))
    rows[record] = (none, draw(anybody), maybe(draw(st.sampled_from(people))), note, (end,))
    subject = draw(anybody)
    return Frame(subject, record, rows[subject], rows[record], (), (maybe("x"),), rows, 0)


@given(CONDITIONS, CONDITIONS, st.lists(worlds(), min_size=6, max_size=6))
def test_semantics_01_what_checks_never_reads_what_is_absent(when: str, unless: str, frames: list[Frame]) -> None:
    try:
        policies = check(f"{WORLD}permit read on Record as r when {when} unless {unless}")
    except PolicyError:
        assume(False)
    (rule,) = policies.rules
    for frame in frames:
        assert isinstance(_value(rule.condition, frame, policies), bool)


def _value(condition: core.Expr, frame: Frame, policies: core.PolicySet) -> object:
    try:
        return evaluate(condition, frame, policies.schema.codes)
    except EvaluationError as error:
        return f"{error.code}: {error.span.text}"
