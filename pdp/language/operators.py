"""The one table of operators and functions: how each is written, what it takes and gives, what it means.

`check` resolves with it, the language page's tables are held against it, and the interpreter, the compiler and (later)
the solver each have one meaning per key; `tests/cases/operators` judges them all by hand-written cases. Every operator
here is strict: and, or, not, if, any, all, has and is are node kinds of their own (`core`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pdp.language.types import (
    BOOL,
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    INT,
    IP,
    ORDERED,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    SetType,
    Type,
    comparable,
    fits,
)

Types = tuple[Type, ...]
Signature = Callable[[Types], Type | None]


@dataclass(frozen=True, slots=True)
class Operator:
    """`symbol`: as written, `in` or `size`. `signature`: operand types -> result type, None where they do not fit.

    `literal`: the positions that must be literals (patterns, zones, clocks). `may_fail`: can err though its operands
    are values.
    """

    key: str
    symbol: str
    signature: Signature
    takes: str  # for people: "Int, Int"
    meaning: str
    literal: frozenset[int] = frozenset()
    may_fail: bool = False
    timed: bool = False  # a function of an Instant whose next change can be told (`compile.horizon`)


def _exactly(result: Type, *operands: Type) -> Signature:
    return lambda given: (
        result
        if len(given) == len(operands) and all(fits(a, b) for a, b in zip(given, operands, strict=True))
        else None
    )


def _first_of(*signatures: Signature) -> Signature:
    def signature(given: Types) -> Type | None:
        return next((result for each in signatures if (result := each(given)) is not None), None)

    return signature


def _element(collection: Type) -> Type | None:
    return collection.element if isinstance(collection, SetType | ListType) else None


def _two_comparable(given: Types) -> Type | None:
    return BOOL if len(given) == 2 and comparable(given[0], given[1]) else None


def _two_ordered(given: Types) -> Type | None:
    return BOOL if len(given) == 2 and given[0] == given[1] and given[0] in ORDERED else None


def _two_codes(given: Types) -> Type | None:
    """Both of the one vocabulary; that it is ordered is checked by `check`, which knows the vocabularies."""
    match given:
        case (CodeType(a), CodeType(b)) if a == b and len(a) == 1:
            return BOOL
        case _:
            return None


def _is_code(each: Type | None) -> bool:
    return isinstance(each, CodeType)


def _member(codes: bool, element_first: bool) -> Signature:
    def signature(given: Types) -> Type | None:
        if len(given) != 2:
            return None
        value, collection = given if element_first else (given[1], given[0])
        element = _element(collection)
        if element is None or _is_code(element) != codes or not comparable(value, element):
            return None
        return BOOL

    return signature


def _collections(codes: bool) -> Signature:
    def signature(given: Types) -> Type | None:
        if len(given) != 2:
            return None
        left, right = _element(given[0]), _element(given[1])
        if left is None or right is None or _is_code(left) != codes or not comparable(left, right):
            return None
        return BOOL

    return signature


def _two_of(kind: type[Type]) -> Signature:
    return lambda given: (
        BOOL
        if len(given) == 2
        and isinstance(given[0], kind)
        and isinstance(given[1], kind)
        and (kind is EntityType or comparable(given[0], given[1]))
        else None
    )


def _same(*allowed: Type) -> Signature:
    return lambda given: given[0] if len(given) == 2 and given[0] == given[1] and given[0] in allowed else None


def _two_sets(given: Types) -> Type | None:
    match given:
        case (SetType(a), SetType(b)) if comparable(a, b):
            if fits(b, a):
                return SetType(a)
            return SetType(b) if fits(a, b) else None
        case _:
            return None


def _size(given: Types) -> Type | None:
    return INT if len(given) == 1 and _element(given[0]) is not None else None


def _to_set(given: Types) -> Type | None:
    match given:
        case (ListType(element),):
            return SetType(element)
        case _:
            return None


def _of_entity(given: Types) -> Type | None:
    return TEXT if len(given) == 1 and isinstance(given[0], EntityType) else None


def _three_ordered(given: Types) -> Type | None:
    return BOOL if len(given) == 3 and given[0] == given[1] == given[2] and given[0] in ORDERED else None


def _negated(given: Types) -> Type | None:
    return given[0] if len(given) == 1 and given[0] in (INT, DECIMAL, DURATION) else None


_ADD = _first_of(
    _same(INT, DECIMAL, DURATION), _exactly(INSTANT, INSTANT, DURATION), _exactly(INSTANT, DURATION, INSTANT)
)
_SUBTRACT = _first_of(
    _same(INT, DECIMAL, DURATION), _exactly(INSTANT, INSTANT, DURATION), _exactly(DURATION, INSTANT, INSTANT)
)
_MULTIPLY = _first_of(
    _exactly(INT, INT, INT),
    _exactly(DECIMAL, DECIMAL, INT),
    _exactly(DECIMAL, INT, DECIMAL),
    _exactly(DURATION, DURATION, INT),
    _exactly(DURATION, INT, DURATION),
)
_SECOND: Final = frozenset({1})

_OPERATORS: Final = (
    Operator("equal", "==", _two_comparable, "two of one type", "equal values"),
    Operator("not_equal", "!=", _two_comparable, "two of one type", "different values"),
    Operator("less", "<", _two_ordered, "two of one ordered type", "order"),
    Operator("less_equal", "<=", _two_ordered, "two of one ordered type", "order"),
    Operator("greater", ">", _two_ordered, "two of one ordered type", "order"),
    Operator("greater_equal", ">=", _two_ordered, "two of one ordered type", "order"),
    Operator("code_less", "<", _two_codes, "codes of one ordered vocabulary", "declared order"),
    Operator("code_less_equal", "<=", _two_codes, "codes of one ordered vocabulary", "declared order"),
    Operator("code_greater", ">", _two_codes, "codes of one ordered vocabulary", "declared order"),
    Operator("code_greater_equal", ">=", _two_codes, "codes of one ordered vocabulary", "declared order"),
    Operator("in_collection", "in", _member(False, True), "element, Set or List", "membership by =="),
    Operator("code_in_collection", "in", _member(True, True), "code, Set or List of codes", "below some member"),
    Operator(
        "in_entity", "in", _two_of(EntityType), "two entities", "reflexive and transitive parenthood", may_fail=True
    ),
    Operator("in_code", "in", _two_of(CodeType), "two codes", "the code itself or a kind of it"),
    Operator("in_network", "in", _exactly(BOOL, IP, IP), "Ip, Ip", "containment; no IPv4 in an IPv6 network"),
    Operator("contains", "contains", _member(False, False), "Set or List, element", "membership by =="),
    Operator("code_contains", "contains", _member(True, False), "Set or List of codes, code", "some member lies below"),
    Operator("overlaps", "overlaps", _collections(False), "two collections", "a member in common"),
    Operator(
        "code_overlaps", "overlaps", _collections(True), "two collections of codes", "a member left below one right"
    ),
    Operator("subset", "subset of", _collections(False), "two collections", "every member of the left is in the right"),
    Operator("code_subset", "subset of", _collections(True), "two collections of codes", "every member lies below one"),
    Operator("like", "like", _exactly(BOOL, TEXT, TEXT), "Text, literal pattern", "glob over the whole text", _SECOND),
    Operator("matches", "matches", _exactly(BOOL, TEXT, TEXT), "Text, literal pattern", "RE2 over the whole", _SECOND),
    Operator(
        "within", "within", _exactly(BOOL, INSTANT, DURATION), "Instant, Duration", "0 <= now - t < d", timed=True
    ),
    Operator("between", "between", _three_ordered, "three of one ordered type", "a <= x < b"),
    Operator("add", "+", _ADD, "numbers, durations, Instant and Duration", "sum", may_fail=True),
    Operator("subtract", "-", _SUBTRACT, "numbers, durations, Instants", "difference", may_fail=True),
    Operator("multiply", "*", _MULTIPLY, "Int with Int, Decimal or Duration", "product", may_fail=True),
    Operator("negate", "-", _negated, "Int, Decimal, Duration", "negation", may_fail=True),
    Operator("size", "size", _size, "Set or List", "number of members"),
    Operator("union", "union", _two_sets, "two sets", "members of either; more than 10 000 err", may_fail=True),
    Operator("intersection", "intersection", _two_sets, "two sets", "members of both, by =="),
    Operator("difference", "difference", _two_sets, "two sets", "members of the first alone, by =="),
    Operator("to_set", "to_set", _to_set, "List", "its members", may_fail=True),
    Operator("length", "length", _exactly(INT, TEXT), "Text", "code points"),
    Operator("starts_with", "starts_with", _exactly(BOOL, TEXT, TEXT), "Text, Text", "by code point"),
    Operator("ends_with", "ends_with", _exactly(BOOL, TEXT, TEXT), "Text, Text", "by code point"),
    Operator("id", "id", _of_entity, "entity", "its identifier"),
    Operator("type_name", "type_name", _of_entity, "entity", "its type's name in Ward"),
    Operator("text", "text", _exactly(TEXT, INT), "Int", "decimal digits, a minus if negative"),
    Operator("min", "min", _same(*ORDERED), "two of one ordered type", "the lesser"),
    Operator("max", "max", _same(*ORDERED), "two of one ordered type", "the greater"),
    Operator("div", "div", _exactly(INT, INT, INT), "Int, Int", "floor division", may_fail=True),
    Operator("mod", "mod", _exactly(INT, INT, INT), "Int, Int", "a - b * div(a, b)", may_fail=True),
    Operator("date_in", "date_in", _exactly(DATE, INSTANT, TEXT), "Instant, zone", "local date", _SECOND, True, True),
    Operator("hour", "hour", _exactly(INT, INSTANT, TEXT), "Instant, zone", "local hour 0-23", _SECOND, True, True),
    Operator("minute", "minute", _exactly(INT, INSTANT, TEXT), "Instant, zone", "local minute", _SECOND, True, True),
    Operator("weekday", "weekday", _exactly(INT, INSTANT, TEXT), "Instant, zone", "1 Monday .. 7", _SECOND, True, True),
    Operator(
        "clock_between",
        "clock_between",
        _exactly(BOOL, INSTANT, TEXT, TEXT, TEXT),
        "Instant, clock, clock, zone",
        "local time of day in the half-open range, which may wrap midnight",
        frozenset({1, 2, 3}),
        True,
        True,
    ),
    Operator("add_days", "add_days", _exactly(DATE, DATE, INT), "Date, Int", "calendar days later", may_fail=True),
    Operator(
        "add_months", "add_months", _exactly(DATE, DATE, INT), "Date, Int", "months later, clipped", may_fail=True
    ),
    Operator("add_years", "add_years", _exactly(DATE, DATE, INT), "Date, Int", "years later, clipped", may_fail=True),
    Operator("days_between", "days_between", _exactly(INT, DATE, DATE), "Date, Date", "b - a in days"),
    Operator("years_between", "years_between", _exactly(INT, DATE, DATE), "Date, Date", "whole years from a to b"),
    Operator("year", "year", _exactly(INT, DATE), "Date", "1-9999"),
    Operator("month", "month", _exactly(INT, DATE), "Date", "1-12"),
    Operator("day", "day", _exactly(INT, DATE), "Date", "1-31"),
)

TABLE: Final[dict[str, Operator]] = {each.key: each for each in _OPERATORS}

BY_SYMBOL: Final[dict[str, tuple[Operator, ...]]] = {
    symbol: tuple(each for each in _OPERATORS if each.symbol == symbol)
    for symbol in dict.fromkeys(each.symbol for each in _OPERATORS)
}

CONSTANTS: Final[dict[str, Type]] = {"instant": INSTANT, "date": DATE, "ip": IP, "duration": DURATION}
"""Functions of one literal text that `check` folds into a literal: written in the JSON form of their type."""


def resolve(symbol: str, operands: Types) -> tuple[Operator, Type] | None:
    """The operator that `symbol` means between these operand types, and its result type."""
    for operator in BY_SYMBOL.get(symbol, ()):
        result = operator.signature(operands)
        if result is not None:
            return operator, result
    return None
