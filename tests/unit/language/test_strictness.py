"""Every operator on what has no value is an error, in every place it can stand (SEMANTICS 1): both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pdp.compile.program import compile_program
from pdp.diagnostics.source import Source, Span
from pdp.language.core import (
    And,
    Collect,
    Expr,
    Has,
    If,
    Is,
    Literal,
    Not,
    Operation,
    Or,
    PolicySet,
    Quantifier,
    Select,
    Variable,
)
from pdp.language.operators import TABLE
from pdp.language.schema import Attribute, record
from pdp.language.semantics import EvaluationError, evaluate
from pdp.language.types import BOOL, INT, TEXT, ListType, SetType, Type
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, Missing, State, entity
from tests.unit.language.test_operators import CASES, Case
from tests.world import CODES, SCHEMA, frame, rule, schema_with_context, type_of

SOURCE = Source("test.ward", "." * 400 + "\n")
ELSEWHERE = Span(SOURCE, 300, 301)
HOLES = (ABSENT, UNKNOWN)
ERROR = {"ABSENT": "absent-value", "UNKNOWN": "unknown-value"}


def at(place: int) -> Span:
    return Span(SOURCE, place, place + 1)


@dataclass(frozen=True, slots=True)
class Context:
    """Optional attributes of the context, one for each type."""

    types: tuple[Type, ...]

    @property
    def declared(self) -> dict[str, Attribute]:
        return {f"a{n}": Attribute(f"a{n}", type, True, "caller", slot=n) for n, type in enumerate(self.types)}

    def read(self, number: int) -> Expr:
        """Attribute `number`, at the place of that number."""
        variable = Variable("context", record(self.declared), ELSEWHERE)
        return Select(variable, f"a{number}", (("", number),), self.types[number], at(number))


def errors(condition: Expr, context: Context, world: Frame) -> list[tuple[str, int]]:
    """What the interpreter and the compiled rule say: code and place."""
    found = []
    with pytest.raises(EvaluationError) as caught:
        evaluate(condition, world, CODES)
    found.append((caught.value.code, caught.value.span.start))
    policies = PolicySet(schema_with_context(context.declared), (rule(condition=condition),), (), (), ())
    function = compile_program(policies).function("read", "Record")
    assert function is not None
    satisfied, erred = function.evaluate(world)
    assert satisfied == []
    return found + [(error.code, error.span.start) for _, error in erred]


# Operators ------------------------------------------------------------------------------------------------------------

WITH_VALUES = list({(each.key, each.types): each for each in CASES if not each.error}.values())
PLACES = [
    pytest.param(case, place, hole, id=f"{case.key} of {', '.join(map(str, case.types))}: operand {place} {hole}")
    for case in WITH_VALUES
    for place in range(len(case.types))
    for hole in HOLES
    if place not in TABLE[case.key].literal
]


@pytest.mark.parametrize(("case", "place", "hole"), PLACES)
def test_semantics_01_an_operand_without_a_value_is_the_error(case: Case, place: int, hole: Missing) -> None:
    context = Context(case.types)
    literal = TABLE[case.key].literal
    arguments = tuple(each if number in literal else context.read(number) for number, each in enumerate(case.literals))
    operation = Operation(case.key, arguments, case.result, ELSEWHERE)
    states: list[State] = [*case.operands]
    states[place] = hole
    expected = (ERROR[hole.name], place)
    condition = Operation("equal", (operation, operation), BOOL, ELSEWHERE)
    assert errors(condition, context, frame(context_row=tuple(states))) == [expected, expected]


@pytest.mark.parametrize("case", [each for each in WITH_VALUES if len(each.types) > 1 and not TABLE[each.key].literal])
def test_semantics_02_of_two_operands_without_a_value_the_first_is_the_error(case: Case) -> None:
    context = Context(case.types)
    operation = Operation(case.key, tuple(map(context.read, range(len(case.types)))), case.result, ELSEWHERE)
    states = (UNKNOWN, ABSENT, UNKNOWN)[: len(case.types)]
    condition = Operation("equal", (operation, operation), BOOL, ELSEWHERE)
    assert errors(condition, context, frame(context_row=states)) == [("unknown-value", 0)] * 2


# The other kinds of nodes ---------------------------------------------------------------------------------------------

PERSON = type_of("Clinician or Service")
TRUE, FALSE = Literal(True, BOOL, ELSEWHERE), Literal(False, BOOL, ELSEWHERE)
ONE = Literal(1, INT, ELSEWHERE)
DEPARTMENT = tuple((name, SCHEMA.entities[name].attributes["department"].slot) for name in ("Clinician", "Service"))
MANAGER = (("Clinician", SCHEMA.entities["Clinician"].attributes["manager"].slot),)


def size(collection: Expr) -> Expr:
    return Operation("greater_equal", (Operation("size", (collection,), INT, ELSEWHERE), ONE), BOOL, ELSEWHERE)


NODES: dict[str, tuple[Type, Callable[[Expr], Expr]]] = {
    "the attribute alone": (BOOL, lambda x: x),
    "not": (BOOL, lambda x: Not(x, ELSEWHERE)),
    "and": (BOOL, lambda x: And((TRUE, x), ELSEWHERE)),
    "and, in front": (BOOL, lambda x: And((x, TRUE), ELSEWHERE)),
    "or": (BOOL, lambda x: Or((FALSE, x), ELSEWHERE)),
    "or, in front": (BOOL, lambda x: Or((x, FALSE), ELSEWHERE)),
    "the condition of if": (BOOL, lambda x: If(x, TRUE, TRUE, BOOL, ELSEWHERE)),
    "the branch of if that is taken": (BOOL, lambda x: If(TRUE, x, FALSE, BOOL, ELSEWHERE)),
    "any in": (SetType(INT), lambda x: Quantifier(False, "x#1", x, TRUE, ELSEWHERE)),
    "all in": (SetType(INT), lambda x: Quantifier(True, "x#1", x, TRUE, ELSEWHERE)),
    "any in, a list": (ListType(INT), lambda x: Quantifier(False, "x#1", x, TRUE, ELSEWHERE)),
    "the body of any": (
        BOOL,
        lambda x: Quantifier(False, "x#1", Literal(frozenset({1}), SetType(INT), ELSEWHERE), x, ELSEWHERE),
    ),
    "the body of all": (
        BOOL,
        lambda x: Quantifier(True, "x#1", Literal((1, 2), ListType(INT), ELSEWHERE), x, ELSEWHERE),
    ),
    "a member of a set literal": (INT, lambda x: size(Collect((ONE, x), SetType(INT), ELSEWHERE))),
    "a member of a list literal": (INT, lambda x: size(Collect((ONE, x), ListType(INT), ELSEWHERE))),
    "is": (PERSON, lambda x: Is(x, frozenset({"Clinician"}), ELSEWHERE)),
    "is any of them": (PERSON, lambda x: Is(x, frozenset({"Clinician", "Service"}), ELSEWHERE)),
    "an attribute of it": (
        PERSON,
        lambda x: Operation(
            "less", (length(Select(x, "department", DEPARTMENT, TEXT, ELSEWHERE)), ONE), BOOL, ELSEWHERE
        ),
    ),
    "has, of an entity": (type_of("Clinician"), lambda x: Has(x, "manager", MANAGER, ELSEWHERE)),
    "not has, of an entity": (
        type_of("Clinician"),
        lambda x: Not(Has(x, "manager", MANAGER, ELSEWHERE), ELSEWHERE),
    ),
    "has, of a record": (type_of("{ a: Int? }"), lambda x: Has(x, "a", (("", 0),), ELSEWHERE)),
    "a field of a record": (
        type_of("{ a: Int }"),
        lambda x: Operation("less", (Select(x, "a", (("", 0),), INT, ELSEWHERE), ONE), BOOL, ELSEWHERE),
    ),
}


def length(text: Expr) -> Expr:
    return Operation("length", (text,), INT, ELSEWHERE)


@pytest.mark.parametrize("hole", HOLES, ids=repr)
@pytest.mark.parametrize("node", NODES)
def test_semantics_01_what_stands_on_no_value_is_an_error(node: str, hole: Missing) -> None:
    type, build = NODES[node]
    context = Context((type,))
    expected = (ERROR[hole.name], 0)
    assert errors(build(context.read(0)), context, frame(context_row=(hole,))) == [expected, expected]


def test_semantics_01_has_on_unknown_is_an_error_and_on_absent_is_false() -> None:
    context = Context((TEXT,))
    variable = Variable("context", record(context.declared), ELSEWHERE)
    has = Has(variable, "a0", (("", 0),), at(7))
    assert errors(has, context, frame(context_row=(UNKNOWN,))) == [("unknown-value", 7)] * 2
    assert errors(Not(has, ELSEWHERE), context, frame(context_row=(UNKNOWN,))) == [("unknown-value", 7)] * 2
    assert applies(Not(has, at(8)), context, frame(context_row=(ABSENT,)))
    assert applies(has, context, frame(context_row=("",)))


@pytest.mark.parametrize("names", [{"Clinician"}, {"Clinician", "Patient"}, {"Patient", "Service"}, {"Service"}])
@pytest.mark.parametrize("type", ["Clinician", "Patient", "Service"])
def test_semantics_13_is_asks_whether_the_type_is_of_the_kind(type: str, names: set[str]) -> None:
    context = Context((type_of("Clinician or Patient or Service"),))
    asked = Is(context.read(0), frozenset(names), ELSEWHERE)
    world = frame(context_row=(entity(type, "Patient::x"),))
    assert evaluate(asked, world, CODES) is (type in names)
    assert applies(asked, context, world) is (type in names)
    assert applies(Not(asked, ELSEWHERE), context, world) is (type not in names)


def applies(condition: Expr, context: Context, world: Frame) -> bool:
    """Is the compiled rule satisfied?"""
    policies = PolicySet(schema_with_context(context.declared), (rule(condition=condition),), (), (), ())
    function = compile_program(policies).function("read", "Record")
    assert function is not None
    satisfied, erred = function.evaluate(world)
    assert erred == []
    return bool(satisfied)


def test_semantics_16_a_union_over_the_cap_is_an_error() -> None:
    context = Context((SetType(INT), SetType(INT)))
    union = Operation("union", (context.read(0), context.read(1)), SetType(INT), at(9))
    world = frame(context_row=(frozenset(range(6_000)), frozenset(range(5_000, 10_001))))
    assert errors(size(union), context, world) == [("too-large", 9)] * 2
    within = frame(context_row=(frozenset(range(6_000)), frozenset(range(5_000, 10_000))))
    assert evaluate(size(union), within, CODES) is True


def test_a_record_that_lacks_a_field_is_no_member_of_a_set_literal() -> None:
    period = type_of("{ start: Int, end: Int? }")
    context = Context((period,))
    collected = Collect((context.read(0),), SetType(period), at(9))
    assert errors(size(collected), context, frame(context_row=((1, ABSENT),))) == [("absent-value", 9)] * 2
