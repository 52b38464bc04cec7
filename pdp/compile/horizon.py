"""When time alone can change an answer (SEMANTICS 25): the first instant after now at which some atom changes.

An expression that reads `now` is a *step*: it keeps its value until a next change that can be told. Comparisons of
`now`, shifted by durations, with what does not move; `within` and `between`; local hour, minute, weekday, date and
clock range; and whatever is made of these alone. Anything else that reads `now` has no exact horizon: the answer is
then now itself, and nothing is kept. The least change of all steps in a rule is safe, whatever the rest of it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, NamedTuple

from pdp.compile.concrete import expressions, reads_clock, timed, walk
from pdp.compile.nodes import clock, literal
from pdp.compile.zones import FIRST_DAY, LAST_DAY, Zone, tzif
from pdp.language import semantics
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
    Quantifier,
    Rule,
    Select,
    Variable,
    children,
)
from pdp.language.semantics import EvaluationError
from pdp.language.types import ListType, SetType, Type
from pdp.language.vocabulary import Codes
from pdp.model.decision import FOREVER as FOREVER
from pdp.model.frame import Frame
from pdp.model.value import DAY, HOUR, INT_MAX, INT_MIN, MINUTE, Value

MAX_ELEMENTS: Final = 1_000


class _Inexact(Exception):
    """No exact horizon is known."""


class _Linear(NamedTuple):
    """`slope * now + offset`; `until`: the first instant after now at which a part of it overflows."""

    slope: int
    offset: int
    until: int


class Clock:
    """Which expressions of a rule read the clock, told once for all requests.

    By identity. It holds the rule, so that no other expression can ever have one of these identities.
    """

    __slots__ = ("_reads", "expressions", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.expressions = tuple(expressions(rule))
        self._reads: dict[int, bool] = {}
        for expr in self.expressions:
            for node in reversed(walk(expr)):  # What is inside comes first.
                below = any(self._reads[id(each)] for each in children(node))
                self._reads[id(node)] = below or reads_clock(node)

    def reads(self, expr: Expr) -> bool:
        """Also of an expression that was made for an element, which is in no rule."""
        found = self._reads.get(id(expr))
        return timed(expr) if found is None else found


def of_rules(clocks: Iterable[Clock], frame: Frame, codes: Codes) -> int:
    """The horizon of these rules: the first change of any step in them; `frame.now` where one has none."""
    until = FOREVER
    try:
        for clock in clocks:
            looker = _Looker(clock, frame, codes)
            for expr in clock.expressions:
                until = min(until, looker.change(expr))
    except (_Inexact, EvaluationError):
        return frame.now
    return until


class _Looker:
    def __init__(self, clock: Clock, frame: Frame, codes: Codes) -> None:
        self._timed = clock.reads
        self._frame = frame
        self._codes = codes
        self._now = frame.now

    def change(self, expr: Expr) -> int:
        """The first instant after now at which the value of a step, or whether it errs, can change."""
        if not self._timed(expr):
            return FOREVER
        match expr:
            case Variable():
                raise _Inexact
            case Quantifier():
                return self._quantifier(expr)
            case Operation(operator, arguments):
                return self._operation(operator, arguments)
            case And(items):
                return self._unless_settled(False, items)
            case Or(items):
                return self._unless_settled(True, items)
            case If(condition, then, otherwise) if not self._timed(condition):
                return self.change(then if self._value(condition) is True else otherwise)
            case Not() | If() | Select() | Has() | Is() | Collect():
                return min(self.change(each) for each in children(expr))
            case _:
                raise _Inexact

    def _value(self, expr: Expr) -> Value:
        return semantics.evaluate(expr, self._frame, self._codes)

    def _unless_settled(self, truth: bool, items: tuple[Expr, ...]) -> int:
        """An `and` with an operand that is false at all times never changes; nor an `or` with one that is true."""
        for item in items:
            if not self._timed(item) and self._is(truth, item):
                return FOREVER
        return min(self.change(item) for item in items)

    def _is(self, truth: bool, item: Expr) -> bool:
        try:
            return self._value(item) is truth
        except EvaluationError:
            return False

    def _quantifier(self, expr: Quantifier) -> int:
        """Each element's body is a step of its own."""
        until = self.change(expr.collection)
        collection = self._value(expr.collection)
        element = expr.collection.type
        if not isinstance(element, SetType | ListType) or not isinstance(collection, frozenset | tuple):
            raise _Inexact
        if len(collection) > MAX_ELEMENTS:
            raise _Inexact
        for each in collection:
            value: Any = each
            until = min(until, self.change(_bound(expr.body, expr.variable, value, element.element)))
        return until

    def _operation(self, operator: str, arguments: tuple[Expr, ...]) -> int:
        if operator in _COMPARISONS:
            left, right = arguments
            if _moves(left) or _moves(right):
                return self._comparison(operator, self._linear(left), self._linear(right))
        elif operator == "between" and any(_moves(each) for each in arguments):
            x, start, end = (self._linear(each) for each in arguments)
            return min(self._comparison("less_equal", start, x), self._comparison("less", x, end))
        elif operator == "within":
            stamp, span = (self._linear(each) for each in arguments)
            age = _Linear(1 - stamp.slope, -stamp.offset, stamp.until)
            zero = _Linear(0, 0, FOREVER)
            return min(self._comparison("less_equal", zero, age), self._comparison("less", age, span))
        elif operator in _LOCAL:
            return self._local(operator, arguments)
        return min(self.change(each) for each in arguments)

    def _comparison(self, operator: str, left: _Linear, right: _Linear) -> int:
        """`left OP right` as `slope * now + offset OP 0`: it changes where the left side crosses zero."""
        until = min(left.until, right.until)
        slope, offset = left.slope - right.slope, left.offset - right.offset
        if slope == 0:
            return until
        reached = -(offset // slope) if slope > 0 else offset // -slope
        holds = _COMPARISONS[operator]
        for each in (reached, reached + 1):  # Where the left side becomes zero, and where it leaves it.
            before, after = slope * (each - 1) + offset, slope * each + offset
            if each > self._now and holds(before, 0) != holds(after, 0):
                return min(until, each)
        return until

    def _linear(self, expr: Expr) -> _Linear:
        """An Instant or Duration as a function of now; raises where it is none."""
        match expr:
            case Variable("now"):
                return _Linear(1, 0, FOREVER)
            case Operation("add", (left, right)) if self._timed(expr):
                return self._sum(self._linear(left), self._linear(right), 1)
            case Operation("subtract", (left, right)) if self._timed(expr):
                return self._sum(self._linear(left), self._linear(right), -1)
            case _:
                until = self.change(expr)
                value = self._value(expr)
                if isinstance(value, bool) or not isinstance(value, int):
                    raise _Inexact
                return _Linear(0, value, until)

    def _sum(self, left: _Linear, right: _Linear, sign: int) -> _Linear:
        slope, offset = left.slope + sign * right.slope, left.offset + sign * right.offset
        until = min(left.until, right.until)
        value = slope * self._now + offset
        if not INT_MIN <= value <= INT_MAX:
            raise _Inexact
        if slope > 0:
            until = min(until, (INT_MAX - offset) // slope + 1)
        elif slope < 0:
            until = min(until, (offset - INT_MIN) // -slope + 1)
        return _Linear(slope, offset, until)

    def _local(self, operator: str, arguments: tuple[Expr, ...]) -> int:
        """Local time of an Instant: of one that stands still, or of one that moves with now."""
        instant, *clocks, name = arguments
        moving = self._linear(instant)
        if moving.slope == 0:
            return moving.until
        if moving.slope != 1:
            raise _Inexact
        zone = _zone(str(literal(name)))
        here = self._now + moving.offset
        edges = [clock(str(literal(each))) for each in clocks]
        return min(moving.until, _next_local(here, zone, _LOCAL[operator](edges)) - moving.offset)


_COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "equal": int.__eq__,
    "not_equal": int.__ne__,
    "less": int.__lt__,
    "less_equal": int.__le__,
    "greater": int.__gt__,
    "greater_equal": int.__ge__,
}
_Edge = Callable[[int], int]
"""From a local time, the next local time at which a function of it can change."""
_LOCAL: Final[dict[str, Callable[[list[int]], _Edge]]] = {
    "hour": lambda _: _multiple(HOUR),
    "minute": lambda _: _multiple(MINUTE),
    "weekday": lambda _: _multiple(DAY),
    "date_in": lambda _: _multiple(DAY),
    "clock_between": lambda edges: lambda local: min(local + (edge - local % DAY - 1) % DAY + 1 for edge in edges),
}


def _multiple(unit: int) -> _Edge:
    return lambda local: local - local % unit + unit


def _next_local(instant: int, zone: Zone, edge: _Edge) -> int:
    """The first instant at which a function of local time can change: its next edge, or an earlier transition."""
    offset = zone.offset(instant)
    local = instant + offset
    if not (FIRST_DAY < local // DAY < LAST_DAY and FIRST_DAY < instant // DAY < LAST_DAY):
        raise _Inexact
    change = edge(local) - offset
    transition = zone.next_transition(instant)
    return change if transition is None else min(change, transition)


@cache
def _zone(name: str) -> Zone:
    return Zone(name, tzif(name))


def _moves(expr: Expr) -> bool:
    """Does its value move with now, not in steps?"""
    match expr:
        case Variable("now"):
            return True
        case Operation("add" | "subtract", arguments):
            return any(_moves(each) for each in arguments)
        case _:
            return False


def _bound(expr: Expr, variable: str, value: Value, type: Type) -> Expr:
    """The body of a quantifier for one element."""

    def bind(each: Expr) -> Expr:
        return _bound(each, variable, value, type)

    match expr:
        case Variable(name, _, span):
            return Literal(value, type, span) if name == variable else expr
        case Select(target, name, slots, own, span):
            return Select(bind(target), name, slots, own, span)
        case Has(target, name, slots, span):
            return Has(bind(target), name, slots, span)
        case Is(target, names, span):
            return Is(bind(target), names, span)
        case And(items, span):
            return And(tuple(bind(each) for each in items), span)
        case Or(items, span):
            return Or(tuple(bind(each) for each in items), span)
        case Not(operand, span):
            return Not(bind(operand), span)
        case If(condition, then, otherwise, own, span):
            return If(bind(condition), bind(then), bind(otherwise), own, span)
        case Quantifier(every, inner, collection, body, span):
            return Quantifier(every, inner, bind(collection), bind(body), span)
        case Operation(operator, arguments, own, span):
            return Operation(operator, tuple(bind(each) for each in arguments), own, span)
        case Collect(items, own, span):
            return Collect(tuple(bind(each) for each in items), own, span)
        case _:
            return expr
