"""The hand-written cases of every operator, which judge the interpreter and the compiled code alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pdp.diagnostics.source import Source, Span
from pdp.language.core import Expr, Literal, Operation, PolicySet, Select, Variable
from pdp.language.operators import BY_SYMBOL, TABLE, resolve
from pdp.language.schema import Attribute, record
from pdp.language.semantics import EvaluationError, evaluate
from pdp.language.types import BOOL, Type
from pdp.model.value import ABSENT, Value, canonical
from tests.world import CODES, frame, rule, schema_with_context, type_of, types_of, value_of

FOLDER = Path(__file__).parents[2] / "cases" / "operators"
FEWEST = 4
SOURCE = Source("case.ward", "operation, its operands a, b, c and d, and what is expected of them\n")
WHOLE = Span(SOURCE, 0, 9)
ELSEWHERE = Span(SOURCE, 11, 60)


@dataclass(frozen=True, slots=True)
class Case:
    key: str
    shows: str
    types: tuple[Type, ...]
    operands: tuple[Value, ...]
    result: Type
    value: Value | None  # None: it errs
    error: str

    @property
    def literals(self) -> tuple[Expr, ...]:
        return tuple(Literal(value, type, ELSEWHERE) for value, type in zip(self.operands, self.types, strict=True))

    @property
    def context(self) -> dict[str, Attribute]:
        """The operands as attributes of the context: what is not constant cannot be folded away."""
        names = "abcd"
        return {names[i]: Attribute(names[i], type, slot=i, place="caller") for i, type in enumerate(self.types)}

    @property
    def attributes(self) -> tuple[Expr, ...]:
        """Literals where the operator wants them, attributes of the context elsewhere."""
        context = Variable("context", record(self.context), ELSEWHERE)
        return tuple(
            literal
            if place in TABLE[self.key].literal
            else Select(context, each.name, (("", each.slot),), each.type, ELSEWHERE)
            for place, (literal, each) in enumerate(zip(self.literals, self.context.values(), strict=True))
        )

    def operation(self, arguments: tuple[Expr, ...]) -> Operation:
        return Operation(self.key, arguments, self.result, WHOLE)


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.json")):
        for key, by_types in json.loads(path.read_text("utf-8")).items():
            for types, rows in by_types.items():
                for row in rows:
                    yield case(key, types, row)


def case(key: str, types: str, row: list[Any]) -> Case:
    shows, *written, expected = row
    operand_types = types_of(types)
    result = TABLE[key].signature(operand_types)
    assert result is not None, f"{key} does not take {types}"
    operands = tuple(value_of(each, type) for each, type in zip(written, operand_types, strict=True))
    error = expected.get("error", "") if isinstance(expected, dict) else ""
    return Case(key, shows, operand_types, operands, result, None if error else value_of(expected, result), error)


CASES = list(cases())
KINDS = ("literals", "attributes")
PARAMETERS = [
    pytest.param(each, operands, id=f"{each.key}: {each.shows} ({operands})"[:120])
    for each in CASES
    for operands in KINDS
    # No literal of Ward lacks a field of a record.
    if operands == "attributes" or canonical(ABSENT) not in canonical(each.operands)
]
SINGLE = [pytest.param(each, id=f"{each.key}: {each.shows}"[:100]) for each in CASES]


def test_every_operator_has_cases() -> None:
    counts = {key: sum(each.key == key for each in CASES) for key in TABLE}
    assert {key: count for key, count in counts.items() if count < FEWEST} == {}


def test_every_operator_that_may_fail_has_a_case_that_fails() -> None:
    failing = {each.key for each in CASES if each.error}
    by_hand = {"union"}  # A set of more than 10 000 members is not written by hand: test_semantics.
    assert failing == {key for key, each in TABLE.items() if each.may_fail} - by_hand


@pytest.mark.parametrize("each", SINGLE)
def test_the_operator_is_what_its_symbol_means_for_these_types(each: Case) -> None:
    found = resolve(TABLE[each.key].symbol, each.types)
    assert found is not None
    assert found[0].key == each.key


def test_no_symbol_is_ambiguous_for_the_types_of_a_case() -> None:
    for each in CASES:
        meanings = [one.key for one in BY_SYMBOL[TABLE[each.key].symbol] if one.signature(each.types) is not None]
        assert meanings == [each.key]


@pytest.mark.parametrize(("each", "operands"), PARAMETERS)
def test_interpreter(each: Case, operands: str) -> None:
    operation = each.operation(getattr(each, operands))
    world = frame(context_row=each.operands)
    if each.error:
        with pytest.raises(EvaluationError) as caught:
            evaluate(operation, world, CODES)
        assert (caught.value.code, caught.value.span) == (each.error, WHOLE)
    else:
        found = evaluate(operation, world, CODES)
        assert (type(found), found) == (type(each.value), each.value)


@pytest.mark.parametrize(("each", "operands"), PARAMETERS)
def test_compiled(each: Case, operands: str) -> None:
    satisfied, erred = compiled_outcomes(each, getattr(each, operands))
    if each.error:
        assert erred == [("right", each.error, WHOLE), ("wrong", each.error, WHOLE)]
        assert satisfied == []
    else:
        assert (satisfied, erred) == (["right"], [])


def compiled_outcomes(each: Case, arguments: tuple[Expr, ...]) -> tuple[list[str], list[tuple[str, str, Span]]]:
    """What two compiled rules say: that the operation has its value, and that it has another."""
    from pdp.compile.program import compile_program

    operation = each.operation(arguments)
    expected = Literal(each.value, each.result, ELSEWHERE) if each.value is not None else operation
    rules = tuple(
        rule(id=name, condition=Operation(key, (operation, expected), BOOL, ELSEWHERE))
        for name, key in (("right", "equal"), ("wrong", "not_equal"))
    )
    policies = PolicySet(schema_with_context(each.context), rules, (), (), ())
    function = compile_program(policies).function("read", "Record")
    assert function is not None
    satisfied, erred = function.evaluate(frame(context_row=each.operands))
    return [one.id for one in satisfied], sorted((one.id, error.code, error.span) for one, error in erred)


def test_the_types_of_the_cases_are_written_as_types_print() -> None:
    assert str(type_of("{ start: Instant, end: Instant? }")) == "{ start: Instant, end: Instant? }"
    assert str(type_of("Set<Clinician or Service>")) == "Set<Clinician or Service>"
