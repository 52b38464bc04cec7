"""The interpreter: the three states, Kleene logic by whole tables, references, limits."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from pdp.diagnostics.source import Source, Span
from pdp.language import calendar, operations, patterns
from pdp.language.core import (
    And,
    Collect,
    Expr,
    FieldSet,
    Has,
    If,
    Is,
    Literal,
    Not,
    Operation,
    Or,
    Quantifier,
    Select,
    Variable,
)
from pdp.language.schema import one, record
from pdp.language.semantics import EvaluationError, evaluate, pointers
from pdp.language.types import BOOL, INSTANT, INT, TEXT, ListType, SetType, Type
from pdp.model.frame import Frame
from pdp.model.value import ABSENT, UNKNOWN, Value, canonical, entity
from tests.world import CODES, NOW, ROWS, SCHEMA, frame, row, type_of

SOURCE = Source("test.ward", "." * 1_000)
NINA, R1 = entity("Clinician", "nina"), entity("Record", "r1")


def at(place: int) -> Span:
    return Span(SOURCE, place, place + 1)


def literal(value: bool, place: int = 0) -> Expr:
    return Literal(value, BOOL, at(place))


def number(value: int, place: int = 0) -> Expr:
    return Literal(value, INT, at(place))


def error(place: int) -> Expr:
    """A Bool that has no value: 1 = 1 / 0, its error at `place`."""
    quotient = Operation("div", (number(1), number(0)), INT, at(place))
    return Operation("equal", (quotient, number(1)), BOOL, at(place + 500))


def variable(name: str) -> Expr:
    types: dict[str, Type] = {"subject": one("Clinician"), "resource": one("Record"), "now": INSTANT}
    return Variable(name, types[name], at(0))


def attribute(type_name: str, name: str, target: Expr, place: int = 1) -> Select:
    declared = SCHEMA.entities[type_name].attributes[name]
    return Select(target, name, ((type_name, declared.slot),), declared.type, at(place))


def has(selected: Select, place: int = 2) -> Has:
    return Has(selected.target, selected.name, selected.slots, at(place))


def outcome(expr: Expr, world: Frame | None = None) -> Value | tuple[str, int]:
    """The value, or the error's code and place."""
    try:
        return evaluate(expr, world or frame(), CODES)
    except EvaluationError as caught:
        return caught.code, caught.span.start


def with_rows(**rows: tuple[object, ...]) -> Frame:
    """Rows of nina, r1, and of any other entity, `Patient__p1`."""
    named = {"nina": NINA, "r1": R1}
    references = {named.get(key) or entity(*key.split("__")): value for key, value in rows.items()}
    return frame(rows=type(ROWS)({**ROWS, **references}))


# Three states ---------------------------------------------------------------------------------------------------------


def test_semantics_01_reading_gives_the_value_or_says_which_state_there_is() -> None:
    shift_ends = attribute("Clinician", "shift_ends", variable("subject"))
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=5))) == 5
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=ABSENT))) == ("absent-value", 1)
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=UNKNOWN))) == ("unknown-value", 1)


def test_semantics_01_has_tells_value_from_absent_and_errs_on_unknown() -> None:
    shift_ends = has(attribute("Clinician", "shift_ends", variable("subject")))
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=5))) is True
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=ABSENT))) is False
    assert outcome(shift_ends, with_rows(nina=row("Clinician", shift_ends=UNKNOWN))) == ("unknown-value", 2)


def test_semantics_01_a_false_value_is_a_value() -> None:
    active = attribute("Clinician", "active", variable("subject"))
    world = with_rows(nina=row("Clinician", active=False))
    assert outcome(active, world) is False
    assert outcome(has(active), world) is True


def test_semantics_01_of_an_entity_that_is_not_found_nothing_is_known() -> None:
    patient = attribute("Record", "patient", variable("resource"))
    world = with_rows(r1=row("Record", patient=entity("Patient", "lost")))
    born = attribute("Patient", "born", patient, place=7)
    assert outcome(born, world) == ("unknown-value", 7)
    assert outcome(has(born), world) == ("unknown-value", 2)
    lies_in = Operation("in_entity", (patient, Literal(entity("Ward", "icu"), one("Ward"), at(0))), BOOL, at(9))
    assert outcome(lies_in, world) == ("unknown-value", 9)


def test_semantics_01_a_strict_operator_errs_where_its_first_erring_operand_does() -> None:
    divided = [Operation("div", (number(1), number(0)), INT, at(place)) for place in (3, 4)]
    assert outcome(Operation("add", (number(1), divided[1]), INT, at(9))) == ("division-by-zero", 4)
    assert outcome(Operation("add", (divided[0], divided[1]), INT, at(9))) == ("division-by-zero", 3)
    assert outcome(Collect((number(1), divided[1]), SetType(INT), at(9))) == ("division-by-zero", 4)


def test_an_error_names_no_value() -> None:
    world = with_rows(r1=row("Record", patient=entity("Patient", "jane-doe")))
    born = attribute("Patient", "born", attribute("Record", "patient", variable("resource")))
    ward = Literal(entity("Ward", "icu"), one("Ward"), at(0))
    for expr in (born, Operation("in_entity", (born.target, ward), BOOL, at(0))):
        with pytest.raises(EvaluationError) as caught:
            evaluate(expr, world, CODES)
        assert "jane-doe" not in str(caught.value)


def test_an_attribute_that_the_entity_s_type_does_not_have_is_unknown() -> None:
    trusted = Select(variable("subject"), "trusted", (("Service", 1),), BOOL, at(3))
    assert outcome(trusted) == ("unknown-value", 3)


# Kleene logic ---------------------------------------------------------------------------------------------------------

STATES = (True, False, None)


def operands(states: tuple[bool | None, ...]) -> tuple[Expr, ...]:
    """Literals, and errors (None) whose place is their position."""
    return tuple(error(place) if state is None else literal(state, place) for place, state in enumerate(states))


def kleene(absorbing: bool, states: tuple[bool | None, ...]) -> bool | tuple[str, int]:
    """The definition: what absorbs wins, else the first error, else the other value."""
    if absorbing in states:
        return absorbing
    return ("division-by-zero", states.index(None)) if None in states else not absorbing


ROWS_OF_STATES = [states for length in range(4) for states in itertools.product(STATES, repeat=length)]


@pytest.mark.parametrize("states", ROWS_OF_STATES, ids=str)
def test_semantics_02_and_or_any_all_by_their_whole_tables(states: tuple[bool | None, ...]) -> None:
    items = operands(states)
    assert outcome(And(items, at(9))) == kleene(False, states)
    assert outcome(Or(items, at(9))) == kleene(True, states)
    assert outcome(over(states, every=True)) == kleene(False, states)
    assert outcome(over(states, every=False)) == kleene(True, states)


def over(states: tuple[bool | None, ...], every: bool) -> Expr:
    """A quantifier over 0, 1, 2, ..: the body is true for some, false for others, and errs for the rest."""
    elements = Literal(tuple(range(len(states))), ListType(INT), at(0))
    element = Variable("x#1", INT, at(0))

    def of(state: bool | None) -> Expr:
        places = frozenset(place for place, each in enumerate(states) if each is state)
        return Operation("in_collection", (element, Literal(places, SetType(INT), at(0))), BOOL, at(0))

    # Each element that errs does so at a place of its own.
    body: Expr = of(True)
    for place, state in enumerate(states):
        if state is None:
            here = Operation("equal", (element, number(place)), BOOL, at(0))
            body = If(here, error(place), body, BOOL, at(0))
    return Quantifier(every, "x#1", elements, body, at(9))


@pytest.mark.parametrize("state", STATES)
def test_semantics_02_not(state: bool | None) -> None:
    expected = ("division-by-zero", 0) if state is None else not state
    (operand,) = operands((state,))
    assert outcome(Not(operand, at(9))) == expected


@pytest.mark.parametrize("states", [each for each in ROWS_OF_STATES if each], ids=str)
def test_semantics_02_de_morgan_in_value_and_error(states: tuple[bool | None, ...]) -> None:
    items = operands(states)
    negated = tuple(Not(item, at(9)) for item in items)
    assert outcome(Not(And(items, at(9)), at(9))) == outcome(Or(negated, at(9)))
    assert outcome(Not(Or(items, at(9)), at(9))) == outcome(And(negated, at(9)))


@pytest.mark.parametrize("states", [each for each in ROWS_OF_STATES if each], ids=str)
def test_semantics_02_order_never_changes_a_value(states: tuple[bool | None, ...]) -> None:
    for connective in (And, Or):
        found = {str(outcome(connective(items, at(9)))) for items in itertools.permutations(operands(states))}
        assert found in ({"True"}, {"False"}) or not found & {"True", "False"}


@pytest.mark.parametrize("absorbing", [True, False])
def test_semantics_02_false_absorbs_an_error_in_either_order(absorbing: bool) -> None:
    connective = Or if absorbing else And
    for items in itertools.permutations((error(1), literal(absorbing), error(2))):
        assert outcome(connective(items, at(9))) is absorbing


def test_semantics_02_the_error_of_a_set_is_that_of_its_first_element_in_canonical_order() -> None:
    members = frozenset({"b", "aa", "c", "", "dd", "e", "f", "ggg", "h", "i", "j", "kk", "l"})
    element = Variable("x#1", TEXT, at(0))
    branches: Expr = literal(False)
    for place, member in enumerate(sorted(members, key=canonical)):
        here = Operation("equal", (element, Literal(member, TEXT, at(0))), BOOL, at(0))
        branches = If(here, error(place), branches, BOOL, at(0))
    for every in (True, False):
        whole = Quantifier(every, "x#1", Literal(members, SetType(TEXT), at(0)), branches, at(9))
        assert outcome(whole) == ("division-by-zero", 0)


def test_semantics_16_all_of_nothing_is_true_and_any_of_nothing_is_false() -> None:
    nothing = Literal(frozenset(), SetType(INT), at(0))
    assert outcome(Quantifier(True, "x#1", nothing, error(1), at(9))) is True
    assert outcome(Quantifier(False, "x#1", nothing, error(1), at(9))) is False


def test_semantics_02_a_quantifier_errs_where_its_collection_does() -> None:
    readers = attribute("Record", "readers", variable("resource"), place=4)
    assert outcome(Quantifier(True, "x#1", readers, literal(True), at(9))) == ("unknown-value", 4)
    assert outcome(Quantifier(False, "x#1", readers, literal(True), at(9))) == ("unknown-value", 4)


@pytest.mark.parametrize(
    ("condition", "expected"), [(literal(True), True), (literal(False), False), (error(3), ("division-by-zero", 3))]
)
def test_semantics_02_if_is_strict_in_its_condition_and_evaluates_one_branch(condition: Expr, expected: object) -> None:
    assert outcome(If(condition, literal(True), literal(False), BOOL, at(9))) == expected
    chosen = If(literal(True), literal(True), error(5), BOOL, at(9))
    assert outcome(chosen) is True
    assert outcome(replace(chosen, condition=literal(False))) == ("division-by-zero", 5)


def test_a_quantifier_s_variable_is_bound_in_its_body_alone() -> None:
    numbers = Literal((1, 2, 3), ListType(INT), at(0))

    def exceeds(outer: Expr) -> Expr:
        inner = Operation("less_equal", (Variable("y#2", INT, at(0)), outer), BOOL, at(0))
        return Quantifier(True, "y#2", numbers, inner, at(0))

    assert outcome(Quantifier(False, "x#1", numbers, exceeds(Variable("x#1", INT, at(0))), at(9))) is True
    assert outcome(Quantifier(True, "x#1", numbers, exceeds(Variable("x#1", INT, at(0))), at(9))) is False


# Variables and references ---------------------------------------------------------------------------------------------


def test_the_variables() -> None:
    assert outcome(variable("subject")) == NINA
    assert outcome(variable("resource")) == R1
    assert outcome(variable("now")) == NOW


def test_attributes_of_context_and_action_are_read_by_slot() -> None:
    world = Frame(NINA, R1, ROWS[NINA], ROWS[R1], (True, ABSENT), ("ignored", UNKNOWN), ROWS, NOW)
    for name, soft, why in (("action", True, ("absent-value", 1)), ("context", "ignored", ("unknown-value", 1))):
        target = Variable(name, record({}), at(0))
        assert outcome(Select(target, "soft", (("", 0),), BOOL, at(1)), world) == soft
        assert outcome(Select(target, "why", (("", 1),), TEXT, at(1)), world) == why


def test_a_field_of_a_record_value() -> None:
    period = attribute("Record", "period", variable("resource"))
    world = with_rows(r1=row("Record", period=(5, ABSENT)))
    assert outcome(Select(period, "start", (("", 0),), INSTANT, at(3)), world) == 5
    assert outcome(Select(period, "end", (("", 1),), INSTANT, at(3)), world) == ("absent-value", 3)
    assert outcome(Has(period, "start", (("", 0),), at(3)), world) is True
    assert outcome(Has(period, "end", (("", 1),), at(3)), world) is False


def test_an_attribute_of_a_kind_is_found_by_the_entity_s_own_type() -> None:
    slots = tuple((name, SCHEMA.entities[name].attributes["department"].slot) for name in ("Clinician", "Service"))
    target = Variable("subject", type_of("Clinician or Service"), at(0))
    department = Select(target, "department", slots, TEXT, at(1))
    assert outcome(department, with_rows(nina=row("Clinician", department="icu"))) == "icu"
    lab = entity("Service", "lab")
    world = Frame(lab, R1, row("Service", department="laboratory"), ROWS[R1], (), (), ROWS, NOW)
    assert outcome(department, world) == "laboratory"


def test_the_subject_looks_the_same_when_reached_through_the_resource() -> None:
    author = attribute("Record", "author", variable("resource"))
    role = attribute("Clinician", "role", author)
    # The store knows nothing of nina's role: the token said it.
    own = row("Clinician", role="https://hospital.example/roles|nurse")
    world = Frame(NINA, R1, own, row("Record", author=NINA), (), (), ROWS, NOW)
    assert outcome(role, world) == "https://hospital.example/roles|nurse"


def test_semantics_12_a_thing_lies_in_itself_though_nothing_is_known_of_it() -> None:
    lost = Literal(entity("Ward", "lost"), one("Ward"), at(0))
    assert outcome(Operation("in_entity", (lost, lost), BOOL, at(9))) is True


def test_is_asks_for_the_type_alone() -> None:
    lost = Literal(entity("Note", "lost"), type_of("Record or Note"), at(0))
    assert outcome(Is(lost, frozenset({"Note"}), at(0))) is True
    assert outcome(Is(lost, frozenset({"Record", "Patient"}), at(0))) is False
    author = attribute("Record", "author", variable("resource"), place=6)
    assert outcome(Is(author, frozenset({"Clinician"}), at(0))) == ("unknown-value", 6)
    assert outcome(Is(author, frozenset({"Clinician"}), at(0)), with_rows(r1=row("Record"))) == ("absent-value", 6)


# Collections and field sets -------------------------------------------------------------------------------------------


def test_a_set_literal_has_each_member_once_and_a_list_literal_each_in_its_place() -> None:
    items = (number(2), number(1), number(2))
    assert outcome(Collect(items, SetType(INT), at(9))) == frozenset({1, 2})
    assert outcome(Collect(items, ListType(INT), at(9))) == (2, 1, 2)
    assert outcome(Collect((), SetType(INT), at(9))) == frozenset()


def test_a_record_that_lacks_a_field_cannot_be_a_member_of_a_set() -> None:
    period = attribute("Record", "period", variable("resource"))
    world = with_rows(r1=row("Record", period=(5, ABSENT)))
    assert outcome(Collect((period,), SetType(period.type), at(9)), world) == ("absent-value", 9)
    assert outcome(Collect((period,), ListType(period.type), at(9)), world) == ((5, ABSENT),)


def test_semantics_16_a_union_over_the_cap_is_an_error() -> None:
    def union(*sets: range) -> Expr:
        return Operation("union", tuple(Literal(frozenset(each), SetType(INT), at(0)) for each in sets), INT, at(9))

    assert outcome(union(range(5_000), range(5_000, 10_000))) == frozenset(range(10_000))
    assert outcome(union(range(5_000), range(5_000, 10_001))) == ("too-large", 9)


def computed(*texts: str) -> FieldSet:
    return FieldSet(frozenset({"/written"}), (Literal(frozenset(texts), SetType(TEXT), at(8)),))


def test_a_field_set_is_what_is_written_and_what_is_computed() -> None:
    assert pointers(FieldSet(frozenset({"/a"})), frame(), CODES) == {"/a"}
    assert pointers(computed("/a/b", "/~0~1", "/"), frame(), CODES) == {"/written", "/a/b", "/~0~1", "/"}


@pytest.mark.parametrize("text", ["", "name", "/~", "/~2", "/a~", "name/", "/a\n~", " /a"])
def test_what_is_no_pointer_is_an_error_and_never_left_out(text: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        pointers(computed("/a", text), frame(), CODES)
    assert (caught.value.code, caught.value.span) == ("not-a-pointer", at(8))


# Patterns and zones ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern", ["(", "a{2000}", r"\C", r"[\C]", r"(?<=a)b", r"(a)\1", r"(\pL{1000}){9}", "a" * 1001]
)
def test_semantics_10_what_an_automaton_cannot_run_is_refused(pattern: str) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.regex_matches("a", pattern)


@pytest.mark.parametrize("pattern", ["\\", "a\\", "\\a", "a\\n", "*" * 1001])
def test_semantics_10_a_glob_escapes_its_own_signs_alone(pattern: str) -> None:
    with pytest.raises(patterns.PatternError):
        patterns.glob_matches("a", pattern)


def test_the_longest_pattern_is_one_of_a_thousand_characters() -> None:
    assert patterns.regex_matches("a" * 1_000, "a" * 1_000)
    assert patterns.glob_matches("a" * 1_000, "a" * 1_000)


def test_a_backslash_and_a_c_are_fine() -> None:
    assert patterns.regex_matches("\\C", r"\\C")
    assert patterns.glob_matches("\\C", r"\\C")


def test_semantics_10_long_globs_over_long_texts_are_linear() -> None:
    assert not patterns.glob_matches("a" * 100_000, "*a" * 400 + "*b")


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "/etc/passwd", "../zones", "America", "America/Chicago/", "utc "])
def test_only_zones_of_the_iana_data_are_zones(name: str) -> None:
    with pytest.raises(KeyError):
        calendar.zone(name)


def test_every_zone_of_the_iana_data_is_found() -> None:
    assert len(calendar.zone_names()) > 400
    assert [name for name in calendar.zone_names() if calendar.zone(name).key != name] == []


@pytest.mark.parametrize("clock", ["24:00", "7:00", "07:60", "07-00", "07:0", "07:000", "", "٠٧:٠٠", "07:00 "])
def test_what_is_no_clock_is_refused(clock: str) -> None:
    with pytest.raises(ValueError, match="clock"):
        calendar.minutes_of_clock(clock)


@pytest.mark.parametrize(("clock", "minutes"), [("00:00", 0), ("07:30", 450), ("23:59", 1_439)])
def test_a_clock_is_a_count_of_minutes(clock: str, minutes: int) -> None:
    assert calendar.minutes_of_clock(clock) == minutes


def test_a_range_of_equal_ends_is_empty_though_no_policy_may_write_it() -> None:
    for hour in range(24):
        assert not calendar.clock_between(hour * 3_600_000_000, "07:00", "07:00", "UTC")


def test_the_deepest_expression_that_is_allowed_leaves_the_stack_room() -> None:
    deep: Expr = literal(True)
    for _ in range(100):
        deep = Not(And((deep, literal(True)), at(0)), at(0))
    assert outcome(deep) is True


@pytest.mark.parametrize("operator", ["overlaps", "subset"])
def test_large_collections_are_compared_in_linear_time(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request whose rule leaves the plain path would else hold a worker for a minute."""
    made = 0

    def counted(value: object) -> bytes:
        nonlocal made
        made += 1
        return str(value).encode()

    monkeypatch.setattr(operations, "canonical", counted)
    left, right = frozenset(map(str, range(2_000))), tuple(map(str, range(2_000, 4_000)))
    assert operations._apply(operator, (left, right), None, None) is False  # type: ignore[arg-type]
    assert made <= 4_000
