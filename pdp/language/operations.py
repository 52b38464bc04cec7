"""What each operator of `operators.TABLE` means, on values: the plain meaning, one line each where it can be.

All are strict: by the time they are asked, every operand has a value. The compiler has its own meaning of each key
(`compile.runtime`); neither uses the other, and the cases of `tests/cases/operators` judge both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pdp.language import calendar, patterns
from pdp.language.vocabulary import Codes
from pdp.model.frame import Frame
from pdp.model.value import (
    INT_MAX,
    INT_MIN,
    UNKNOWN,
    Code,
    Entity,
    Ip,
    Unsettled,
    Value,
    canonical,
    entity_id,
    entity_type,
)

MAX_MEMBERS: Final = 10_000


class Failure(Exception):
    """The operands have values, and the operation has none for them. `code`: see `semantics.EvaluationError`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def apply(operator: str, operands: tuple[Any, ...], frame: Frame, codes: Codes) -> Value:
    """The value of a strict operation. Raises Failure."""
    try:
        return _apply(operator, operands, frame, codes)
    except calendar.OutOfRange as error:
        raise Failure("out-of-range", str(error)) from error
    except patterns.PatternError as error:
        raise Failure("too-large", str(error)) from error


def _apply(operator: str, operands: tuple[Any, ...], frame: Frame, codes: Codes) -> Value:
    match operator, operands:
        # Equality and order.
        case "equal", (a, b):
            return same(a, b)
        case "not_equal", (a, b):
            return not same(a, b)
        case "less", (a, b):
            return bool(a < b)
        case "less_equal", (a, b):
            return bool(a <= b)
        case "greater", (a, b):
            return bool(a > b)
        case "greater_equal", (a, b):
            return bool(a >= b)
        case "between", (x, a, b):
            return bool(a <= x < b)
        case "min", (a, b):
            return min(a, b)  # type: ignore[no-any-return]
        case "max", (a, b):
            return max(a, b)  # type: ignore[no-any-return]
        case "code_less", (a, b):
            return codes.ranks[a] < codes.ranks[b]
        case "code_less_equal", (a, b):
            return codes.ranks[a] <= codes.ranks[b]
        case "code_greater", (a, b):
            return codes.ranks[a] > codes.ranks[b]
        case "code_greater_equal", (a, b):
            return codes.ranks[a] >= codes.ranks[b]
        # Membership, by `==`.
        case "in_collection", (x, members):
            return is_member(x, members)
        case "contains", (members, x):
            return is_member(x, members)
        case "overlaps", (left, right):
            return not canonicals(left).isdisjoint(canonicals(right))
        case "subset", (left, right):
            return canonicals(left) <= canonicals(right)
        # Membership of codes: the right operand stands for itself and all that is a kind of it.
        case "in_code", (c, d):
            return is_below(c, d, codes)
        case "code_in_collection", (c, members):
            return is_below_some(c, members, codes)
        case "code_contains", (members, c):
            return any(is_below(each, c, codes) for each in members)
        case "code_overlaps", (left, right):
            return any(is_below_some(each, set(right), codes) for each in set(left))
        case "code_subset", (left, right):
            return all(is_below_some(each, set(right), codes) for each in set(left))
        # Entities and networks.
        case "in_entity", (e, f):
            return is_inside(e, f, frame)
        case "id", (e,):
            return entity_id(e)
        case "type_name", (e,):
            return entity_type(e)
        case "in_network", (i, n):
            return network_contains(n, i)
        # Numbers.
        case "add", (a, b):
            return in_64_bits(a + b)
        case "subtract", (a, b):
            return in_64_bits(a - b)
        case "multiply", (a, b):
            return in_64_bits(a * b)
        case "negate", (a,):
            return in_64_bits(-a)
        case "div", (a, b):
            return in_64_bits(a // not_zero(b))
        case "mod", (a, b):
            return int(a % not_zero(b))
        # Collections.
        case "size", (members,):
            return len(members)
        case "union", (a, b):
            return within_cap(a | b)
        case "intersection", (a, b):
            return a & b  # type: ignore[no-any-return]
        case "difference", (a, b):
            return a - b  # type: ignore[no-any-return]
        case "to_set", (members,):
            return as_set(members)
        # Text, by code point.
        case "length", (t,):
            return len(t)
        case "starts_with", (t, u):
            return bool(t.startswith(u))
        case "ends_with", (t, u):
            return bool(t.endswith(u))
        case "text", (n,):
            return str(n)
        case "like", (t, pattern):
            return patterns.glob_matches(t, pattern)
        case "matches", (t, pattern):
            return patterns.regex_matches(t, pattern)
        # Time.
        case "within", (t, d):
            return bool(0 <= frame.now - t < d)
        case "date_in", (t, zone):
            return calendar.local_date(t, zone)
        case "hour", (t, zone):
            return calendar.local(t, zone).hour
        case "minute", (t, zone):
            return calendar.local(t, zone).minute
        case "weekday", (t, zone):
            return calendar.local(t, zone).isoweekday()
        case "clock_between", (t, start, end, zone):
            return calendar.clock_between(t, start, end, zone)
        # Dates.
        case "add_days", (d, n):
            return calendar.add_days(d, n)
        case "add_months", (d, n):
            return calendar.add_months(d, n)
        case "add_years", (d, n):
            return calendar.add_months(d, 12 * n)
        case "days_between", (a, b):
            return int(b - a)
        case "years_between", (a, b):
            return calendar.years_between(a, b)
        case "year", (d,):
            return calendar.as_date(d).year
        case "month", (d,):
            return calendar.as_date(d).month
        case "day", (d,):
            return calendar.as_date(d).day
    raise KeyError(f"no meaning is written for {operator!r} of {len(operands)}")


def same(a: Value, b: Value) -> bool:
    """Equal values have equal canonical bytes (SEMANTICS 9); so have two records that lack the same optional fields."""
    return canonical(a) == canonical(b)


def is_member(x: Value, members: frozenset[Value] | tuple[Value, ...]) -> bool:
    """By `==`. Python's own is the same where it answers: it gives up on records of which one lacks a field."""
    try:
        return x in members
    except Unsettled:
        return any(same(x, each) for each in members)


def canonicals(members: Iterable[Value]) -> set[bytes]:
    """Equal members have equal bytes: two collections of 10 000 are compared in 20 000 steps, not in their product."""
    return {canonical(each) for each in members}


def is_below(code: Code, other: Code, codes: Codes) -> bool:
    return code == other or code in codes.closures.get(other, ())


def is_below_some(code: Code, members: Iterable[Code], codes: Codes) -> bool:
    return any(is_below(code, each, codes) for each in members)


def is_inside(entity: Entity, other: Entity, frame: Frame) -> bool:
    """Reflexive and transitive parenthood. A thing lies in itself, whatever else is known of it."""
    if entity == other:
        return True
    ancestors = frame.row(entity)[0]
    if ancestors is UNKNOWN:
        raise Failure("unknown-value", f"what this {entity_type(entity)} lies in is not known")
    return other in ancestors  # type: ignore[operator]


def network_contains(network: Ip, inner: Ip) -> bool:
    """Is every address of `inner` one of `network`? IPv4 and IPv6 never contain one another (SEMANTICS 14)."""
    if network.version != inner.version or network.prefix > inner.prefix:
        return False
    host_bits = (32 if network.version == 4 else 128) - network.prefix
    return network.number >> host_bits == inner.number >> host_bits


def in_64_bits(number: int) -> int:
    if not INT_MIN <= number <= INT_MAX:
        raise Failure("overflow", "the result does not fit in 64 bits")
    return number


def not_zero(number: int) -> int:
    if number == 0:
        raise Failure("division-by-zero", "the divisor is zero")
    return number


def as_set(items: Iterable[Value]) -> frozenset[Value]:
    try:
        return frozenset(items)
    except Unsettled as error:
        raise Failure("absent-value", "a record that lacks a field cannot be a member of a set") from error


def within_cap(members: frozenset[Value]) -> frozenset[Value]:
    if len(members) > MAX_MEMBERS:
        raise Failure("too-large", f"the set has more than {MAX_MEMBERS} members")
    return members
