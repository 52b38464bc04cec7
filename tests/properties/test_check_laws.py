"""Whatever parses is checked to a policy set or to findings; what checks is core without a hole, and runs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.language import core
from pdp.language.expand import walk
from pdp.language.operators import TABLE, resolve
from pdp.language.types import RECOVERY
from tests.unit.language.checking import check, findings

WORLD = """
vocabulary Role "urn:role" { nurse  head in nurse }
vocabulary Level "urn:level" ordered { low high }
vocabulary Mark = Role or Level
entity User { role: Role  mark: Mark?  size: Int  rate: Decimal  name: Text  friends: Set<User>  tags: List<Text> }
entity Robot { size: Int  level: Level }
entity Record { owner: User?  who: Anybody  made: Instant  due: Date  keep: Duration  at: Ip  marks: Set<Mark>
    period: { start: Instant, end: Instant? } }
kind Anybody = User or Robot
action read on Record by User, Robot
context { ip: Ip? from caller  n: Int from caller }
define near(a: Anybody, b: User) = a == b or a in b.friends
define limit = 3
"""
LEAVES = (
    *("subject", "resource", "resource.who", "resource.owner", "subject.role", "subject.size", "subject.name", "now"),
    *("resource.made", "resource.due", "resource.keep", "resource.at", "resource.marks", "resource.period", "limit"),
    *("resource.period.end", "context.ip", "context.n", "context", "action", "x", "y", "1", "2.5", '"a"', "true", "{}"),
    *("Role.nurse", "Level.low", "Mark.high", "Role", "User", 'User "u"', 'ip("10.0.0.0/8")', "3 days", "[1, 2]", "[]"),
    *("{Role.nurse, Level.low}", "subject.friends", "subject.tags", "subject.mark", "resource.who.level", "nothing"),
)
SIGNS = "and or == != < <= > >= in overlaps contains + - *"
INFIX = (*SIGNS.split(), "subset of", "like", "matches", "within")
CALLS = sorted({each.symbol for each in TABLE.values() if each.symbol.isidentifier()} - set(INFIX) - {"between"})
NAMES = ("role", "size", "level", "owner", "end", "ip", "friends", "nothing")


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(INFIX), inner).map(lambda each: f"({each[0]} {each[1]} {each[2]})"),
        inner.map(lambda one: f"(not {one})"),
        inner.map(lambda one: f"(-{one})"),
        st.tuples(inner, st.sampled_from(NAMES)).map(lambda each: f"({each[0]} has {each[1]})"),
        st.tuples(inner, st.sampled_from(NAMES)).map(lambda each: f"{each[0]}.{each[1]}"),
        st.tuples(inner, st.sampled_from(["User", "Robot", "Anybody"])).map(lambda each: f"({each[0]} is {each[1]})"),
        st.tuples(inner, inner, inner).map(lambda each: f"(if {each[0]} then {each[1]} else {each[2]})"),
        st.tuples(st.sampled_from(["any x", "all y"]), inner, inner).map(lambda e: f"({e[0]} in {e[1]}: {e[2]})"),
        st.tuples(inner, inner, inner).map(lambda each: f"({each[0]} between {each[1]} and {each[2]})"),
        st.tuples(st.sampled_from([*CALLS, "near"]), inner).map(lambda each: f"{each[0]}({each[1]})"),
        st.tuples(st.sampled_from([*CALLS, "near"]), pair).map(lambda each: f"{each[0]}({each[1][0]}, {each[1][1]})"),
        pair.map(lambda each: f"{{{each[0]}, {each[1]}}}"),
    )


EXPRESSIONS = st.recursive(st.sampled_from(LEAVES), _joined, max_leaves=8)


def _sound(node: core.Expr) -> None:
    """The invariants of core: no hole, a span of policy text, operators that are those of their operands' types."""
    for each in walk(node):
        assert each.type is not RECOVERY
        assert each.span.text
        if isinstance(each, core.Operation):
            found = resolve(TABLE[each.operator].symbol, tuple(argument.type for argument in each.arguments))
            assert found is not None
            assert found[0].key == each.operator
            assert each.type == found[1]
        if isinstance(each, core.Select | core.Has):
            assert each.slots


@given(EXPRESSIONS, EXPRESSIONS)
def test_any_expression_gives_sound_core_or_findings(when: str, unless: str) -> None:
    text = f"{WORLD}permit read on Record as r when {when} unless {unless}"
    errors = [each for each in findings(text) if each.severity == "error"]
    if errors:
        assert all(each.message and each.span.text for each in errors)
        return
    (rule,) = check(text).rules
    _sound(rule.condition)


@given(EXPRESSIONS)
def test_any_define_gives_sound_core_or_findings(body: str) -> None:
    text = f"{WORLD}define made(x: User, y: Anybody) = {body}\npermit read on Record as r when subject is User and "
    text += "made(subject, resource.who)"
    if not any(each.severity == "error" for each in findings(text)):
        _sound(check(text).rules[0].condition)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_declarations_never_matters(seed: int) -> None:
    declared = [f"{line}\n" for line in WORLD.replace("\n    ", " ").strip().split("\n")]
    rules = [f"permit read on Record as r{n} when context.n == {n}\n" for n in range(5)]
    mixed = declared + rules
    random.Random(seed).shuffle(mixed)
    straight, shuffled = check("".join(declared + rules)), check("".join(mixed))
    assert straight.rules == shuffled.rules
    assert straight.schema.entities == shuffled.schema.entities
