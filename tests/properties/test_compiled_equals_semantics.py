"""The law that carries the rest: the compiled rules say what the interpreter says, in value, error and span."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdp.diagnostics.source import NOWHERE
from pdp.language import wire
from pdp.language.core import And, Expr, Literal, Not, Operation, Or, PolicySet, Rule
from pdp.language.operators import TABLE
from pdp.language.semantics import EvaluationError, evaluate, pointers
from pdp.language.types import BOOL, IP, ListType, RecordType, SetType, Type
from pdp.model.decision import Grant, Obligation, RuleError
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, INT_MAX, INT_MIN, Ip, canonical
from tests.generators import PAIRS, SIGNATURES, TYPES, frames, policy_sets, terms
from tests.world import CODES, SCHEMA, rule

CODES_OF_ERRORS = {
    "unknown-value",
    "absent-value",
    "overflow",
    "division-by-zero",
    "out-of-range",
    "too-large",
    "not-a-pointer",
}


def worlds() -> st.SearchStrategy[tuple[tuple[str, str], Frame]]:
    return st.sampled_from(PAIRS).flatmap(lambda pair: st.tuples(st.just(pair), frames(pair)))


# The compiled rules ---------------------------------------------------------------------------------------------------


@given(policy_sets(), st.lists(worlds(), min_size=1, max_size=4))
def test_what_is_compiled_is_what_is_meant(policies: PolicySet, questions: list[tuple[tuple[str, str], Frame]]) -> None:
    from pdp.compile.program import compile_program

    program = compile_program(policies)
    for pair, frame in questions:
        agree(program.function(*pair), policies, pair, frame)


def agree(function: Any, policies: PolicySet, pair: tuple[str, str], frame: Frame) -> None:
    """Rule by rule: satisfied, erred with which error where, and what the satisfied ones contribute."""
    expected = {
        rule.id: outcome(rule.condition, frame)
        for rule in policies.rules
        if pair in rule.pairs and rule.effect != "emergency"
    }
    satisfied, erred = function.evaluate(frame) if function is not None else ([], [])
    assert sorted(each.id for each in satisfied) == sorted(id for id, said in expected.items() if said is True)
    errors = {each.id: (error.code, error.span) for each, error in erred}
    assert len(errors) == len(erred)
    assert errors == {id: said for id, said in expected.items() if isinstance(said, tuple)}
    rules = {rule.id: rule for rule in policies.rules}
    for each in satisfied:
        agree_on_effect(each, rules[each.id], frame)


def agree_on_effect(compiled: Any, rule: Rule, frame: Frame) -> None:
    if rule.effect == "permit":
        assert attempt(compiled.contribution, frame) == attempt(contribution, rule, frame)
    elif rule.effect == "mask":
        assert rule.fields is not None
        assert attempt(compiled.masked, frame) == attempt(pointers, rule.fields, frame, CODES)


def outcome(expr: Expr, frame: Frame) -> object:
    return attempt(evaluate, expr, frame, CODES)


def attempt(function: Any, *arguments: Any) -> object:
    """What a function gives; for an error, its code and span."""
    try:
        return function(*arguments)
    except EvaluationError as error:
        return error.code, error.span


def contribution(rule: Rule, frame: Frame) -> Grant:
    """What a permit that applies contributes (LANGUAGE section 8): an erring release condition restricts, recorded."""
    fields = None
    errors: tuple[RuleError, ...] = ()
    if rule.release is not None:
        try:
            applies = rule.release.condition is None or evaluate(rule.release.condition, frame, CODES)
        except EvaluationError as error:
            applies = True
            errors = (RuleError(rule.id, error.code, error.message, error.span.where),)
        if applies:
            fields = pointers(rule.release.fields, frame, CODES)
    obligations = tuple(
        Obligation(
            duty.name,
            tuple((name, wire.plain(evaluate(each, frame, CODES), each.type, SCHEMA)) for name, each in duty.arguments),
            rule.id,
            duty.binding,
        )
        for duty in rule.duties
    )
    return Grant(rule.id, fields, obligations, errors)


@given(st.sampled_from(TYPES).flatmap(lambda type: terms(type)), frames(("read", "Record")))
def test_a_compiled_term_of_any_type_has_the_value_it_means(term: Expr, frame: Frame) -> None:
    """Told by two rules: that the term is what the interpreter says, and that it is not."""
    from pdp.compile.program import compile_program

    meant = outcome(term, frame)
    erred = isinstance(meant, tuple) and meant[:1] and type(meant[0]) is str and meant[0] in CODES_OF_ERRORS
    if not erred and canonical(ABSENT) in canonical(meant):  # type: ignore[arg-type]
        return  # Ward cannot write it down.
    other = term if erred else Literal(meant, term.type, NOWHERE)  # type: ignore[arg-type]
    rules = tuple(
        rule(id=key, condition=Operation(key, (term, other), BOOL, NOWHERE)) for key in ("equal", "not_equal")
    )
    policies = PolicySet(SCHEMA, rules, (), (), ())
    function = compile_program(policies).function("read", "Record")
    assert function is not None
    agree(function, policies, ("read", "Record"), frame)
    if not erred:
        assert [each.id for each in function.evaluate(frame)[0]] == ["equal"]


@given(policy_sets(most_rules=4), st.lists(worlds(), min_size=1, max_size=3))
def test_a_program_that_was_written_down_says_the_same(
    policies: PolicySet, questions: list[tuple[tuple[str, str], Frame]]
) -> None:
    from pdp.compile.program import Program, compile_program

    program = compile_program(policies)
    again = Program.from_bytes(program.to_bytes())
    assert again.digest == program.digest
    for pair, frame in questions:
        agree(again.function(*pair), policies, pair, frame)


@given(policy_sets(most_rules=4), worlds(), st.randoms(use_true_random=False))
def test_semantics_17_the_order_of_rules_never_matters(
    policies: PolicySet, question: tuple[tuple[str, str], Frame], random: Random
) -> None:
    from pdp.compile.program import compile_program

    pair, frame = question
    shuffled = list(policies.rules)
    random.shuffle(shuffled)
    agree(compile_program(replace(policies, rules=tuple(shuffled))).function(*pair), policies, pair, frame)


@given(policy_sets(most_rules=3), worlds())
def test_where_all_is_known_no_rule_meets_what_is_unknown(
    policies: PolicySet, question: tuple[tuple[str, str], Frame]
) -> None:
    from pdp.compile.program import compile_program

    pair, frame = question
    function = compile_program(policies).function(*pair)
    if function is not None and function.all_known(frame):
        assert [error for _, error in function.evaluate(frame)[1] if error.code == "unknown-value"] == []


# The interpreter ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(TYPES).flatmap(lambda type: st.tuples(st.just(type), terms(type))), frames(("read", "Record")))
def test_what_type_checks_has_a_value_of_its_type_or_an_error_of_the_language(
    typed: tuple[Type, Expr], frame: Frame
) -> None:
    type, expr = typed
    found = outcome(expr, frame)
    if isinstance(found, tuple) and len(found) == 2 and found[0] in CODES_OF_ERRORS:
        return
    assert is_of(found, type), f"{found!r} is no {type}"


def is_of(value: object, type: Type) -> bool:
    match type:
        case SetType(element):
            return isinstance(value, frozenset) and all(is_of(each, element) for each in value)
        case ListType(element):
            return isinstance(value, tuple) and all(is_of(each, element) for each in value)
        case RecordType(members):
            return isinstance(value, tuple) and all(
                (each is ABSENT and member.optional) or is_of(each, member.type)
                for each, member in zip(value, members, strict=True)
            )
        case _ if type == BOOL:
            return value is True or value is False
        case _ if str(type) in ("Int", "Decimal", "Instant", "Date", "Duration"):
            return isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX
        case _ if type == IP:
            return isinstance(value, Ip)
        case _:
            return isinstance(value, str)


BOOLS = terms(BOOL, depth=2)


@given(st.lists(BOOLS, min_size=1, max_size=3), frames(("read", "Record")))
def test_semantics_02_de_morgan(items: list[Expr], frame: Frame) -> None:
    span = items[0].span
    negated = tuple(Not(each, span) for each in items)
    assert outcome(Not(And(tuple(items), span), span), frame) == outcome(Or(negated, span), frame)
    assert outcome(Not(Or(tuple(items), span), span), frame) == outcome(And(negated, span), frame)


@given(BOOLS, frames(("read", "Record")), st.booleans(), st.booleans())
def test_semantics_02_what_absorbs_does_so_on_either_side(
    item: Expr, frame: Frame, absorbing: bool, first: bool
) -> None:
    settled = Literal(absorbing, BOOL, item.span)
    items = (settled, item) if first else (item, settled)
    assert outcome((Or if absorbing else And)(items, item.span), frame) is absorbing


@given(BOOLS, frames(("read", "Record")))
def test_not_not_is_nothing(item: Expr, frame: Frame) -> None:
    assert outcome(Not(Not(item, item.span), item.span), frame) == outcome(item, frame)


@given(BOOLS, frames(("read", "Record")))
def test_a_term_means_the_same_each_time(item: Expr, frame: Frame) -> None:
    assert outcome(item, frame) == outcome(item, frame)


# The generator --------------------------------------------------------------------------------------------------------


def test_the_generator_knows_every_operator() -> None:
    assert set(SIGNATURES) == set(TABLE)
