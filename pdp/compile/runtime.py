"""Every function that emitted code may call.

The plain path: operands come as they are, and what has no value raises `Unsettled` of itself (`model.value.Missing`).
A function here gives the right value or raises `Unsettled`; it never gives a wrong value, and never decides what an
error is: the interpreter settles a rule that raises. Where the interpreter would err, these raise. The meaning of each
operator is written here anew, apart from `language.operations`; `tests/cases/operators` judges both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import re2

from pdp.compile.zones import FIRST_DAY, LAST_DAY, Zone, civil, days_from_civil, leap_year
from pdp.language.vocabulary import Codes
from pdp.model.value import ABSENT as ABSENT
from pdp.model.value import DAY, HOUR, INT_MAX, INT_MIN, MINUTE, Code, Ip, Missing, Row, Unsettled
from pdp.model.value import UNKNOWN as UNKNOWN

MAX_MEMBERS: Final = 10_000
MAX_PATTERN_BYTES: Final = 1 << 20

Members = frozenset[Any] | tuple[Any, ...]


def has(state: object) -> bool:
    """Is there a value? Unknown is no answer (SEMANTICS 1)."""
    if state is UNKNOWN:
        raise Unsettled("has")
    return state is not ABSENT


def guarded(state: object) -> object:
    """The key of an index under a guard `has`: what is absent matches nothing, what is unknown raises."""
    if state is UNKNOWN:
        raise Unsettled("key")
    return None if state is ABSENT else state


def value(state: Any) -> Any:
    """A state that must be a value, where nothing else would touch it."""
    if state.__class__ is Missing:
        raise Unsettled(state.name)
    return state


def row_slot(reference: str, row: Row, slots: Mapping[str, int]) -> object:
    """An attribute that lies in another slot for each entity type. A type without it knows nothing of it."""
    slot = slots.get(value(reference)[: reference.index("::")])
    if slot is None:
        raise Unsettled("slot")
    return row[slot]


def is_one_of(reference: str, names: frozenset[str]) -> bool:
    return value(reference)[: reference.index("::")] in names


# Membership.


def listed(x: object, members: tuple[Any, ...]) -> bool:
    """`x in members`, where Python's own `in` would not touch `x` if there are no members."""
    return value(x) in members


def overlaps(left: Members, right: Members) -> bool:
    return not frozenset(left).isdisjoint(right)


def subset(left: Members, right: Members) -> bool:
    return frozenset(left) <= frozenset(right)


def code_overlaps(closures: Mapping[Code, frozenset[Code]], left: Members, right: Members) -> bool:
    below: set[Code] = set().union(*[closures[each] for each in right])
    return not below.isdisjoint(left)


def code_subset(closures: Mapping[Code, frozenset[Code]], left: Members, right: Members) -> bool:
    below: set[Code] = set().union(*[closures[each] for each in right])
    return below.issuperset(left)


def inside(reference: str, row: Row, other: str) -> bool:
    """Reflexive and transitive parenthood; the store keeps ancestors closed."""
    return reference == other or other in row[0]  # type: ignore[operator]


def in_network(inner: Ip, network: Ip) -> bool:
    version, number, prefix = inner
    network_version, network_number, network_prefix = network
    if version != network_version or prefix < network_prefix:
        return False
    width = 32 if version == 4 else 128
    return (number ^ network_number) >> (width - network_prefix) == 0


# Collections.


def as_list(*members: Any) -> tuple[Any, ...]:
    for member in members:
        value(member)
    return members


def union(left: frozenset[Any], right: frozenset[Any]) -> frozenset[Any]:
    both = left | right
    if len(both) > MAX_MEMBERS:
        raise Unsettled("union")
    return both


def intersection(left: frozenset[Any], right: frozenset[Any]) -> frozenset[Any]:
    return left & right


def difference(left: frozenset[Any], right: frozenset[Any]) -> frozenset[Any]:
    return left - right


# Numbers: what leaves 64 bits is settled elsewhere.


def add(left: int, right: int) -> int:
    total = left + right
    if INT_MIN <= total <= INT_MAX:
        return total
    raise Unsettled("add")


def subtract(left: int, right: int) -> int:
    total = left - right
    if INT_MIN <= total <= INT_MAX:
        return total
    raise Unsettled("subtract")


def multiply(left: int, right: int) -> int:
    total = left * right
    if INT_MIN <= total <= INT_MAX:
        return total
    raise Unsettled("multiply")


def negate(number: int) -> int:
    return subtract(0, number)


def div(left: int, right: int) -> int:
    if right == 0 or (right == -1 and left == INT_MIN):
        raise Unsettled("div")
    return int(value(left)) // right


def mod(left: int, right: int) -> int:
    if right == 0:
        raise Unsettled("mod")
    return int(value(left)) % right


def lesser(left: int, right: int) -> int:
    return left if left <= right else right


def greater(left: int, right: int) -> int:
    return left if left >= right else right


def between(x: int, start: int, end: int) -> bool:
    """All three are touched: an unknown end is an error, whatever the start says."""
    return (start <= x) & (x < end)


# Text.


def starts_with(text: str, start: str) -> bool:
    return text[: len(start)] == start


def ends_with(text: str, end: str) -> bool:
    return len(end) <= len(text) and text[len(text) - len(end) :] == end


def identifier(reference: str) -> str:
    return str(value(reference))[reference.index("::") + 2 :]


def type_name(reference: str) -> str:
    return str(value(reference))[: reference.index("::")]


def text(number: int) -> str:
    return f"{value(number):d}"


def pattern(regex: str) -> Callable[[str], bool]:
    """A test of the whole text by RE2's automaton: linear time, ASCII classes, every character is a `.`."""
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = MAX_PATTERN_BYTES
    fullmatch = re2.compile(regex, options).fullmatch

    def matches(text: str) -> bool:
        return fullmatch(value(text)) is not None

    return matches


def glob(pattern: str) -> str:
    """The regular expression of a glob: every piece quoted, `*` and `?` alone have a meaning."""
    pieces: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\" and position + 1 < len(pattern):
            position += 1
            pieces.append(re2.escape(pattern[position]))
        elif character in "*?":
            pieces.append(".*" if character == "*" else ".")
        else:
            pieces.append(re2.escape(character))
        position += 1
    return "".join(pieces)


# Time.


def within(now: int, stamp: int, span: int) -> bool:
    """Both operands are touched. A stamp from the future is not within."""
    age = now - stamp
    return (age >= 0) & (age < span)


def _local(instant: int, zone: Zone) -> int:
    """Local microseconds since the epoch; raises outside the years 1 to 9999, of local time and of UTC."""
    local = instant + zone.offset(value(instant))
    if FIRST_DAY <= local // DAY <= LAST_DAY and FIRST_DAY <= instant // DAY <= LAST_DAY:
        return local
    raise Unsettled("local time")


def date_in(instant: int, zone: Zone) -> int:
    return _local(instant, zone) // DAY


def hour(instant: int, zone: Zone) -> int:
    return _local(instant, zone) % DAY // HOUR


def minute(instant: int, zone: Zone) -> int:
    return _local(instant, zone) % HOUR // MINUTE


def weekday(instant: int, zone: Zone) -> int:
    return (_local(instant, zone) // DAY + 3) % 7 + 1


def clock_between(instant: int, start: int, end: int, zone: Zone) -> bool:
    """`start` and `end` in microseconds since midnight. A range that ends before it starts wraps midnight."""
    time = _local(instant, zone) % DAY
    return start <= time < end if start <= end else time >= start or time < end


# Dates: days since 1970-01-01.


def _date(days: int) -> tuple[int, int, int]:
    if FIRST_DAY <= days <= LAST_DAY:
        return civil(days)
    raise Unsettled("date")


def add_days(date: int, days: int) -> int:
    total = date + days
    if FIRST_DAY <= total <= LAST_DAY and FIRST_DAY <= date <= LAST_DAY:
        return total
    raise Unsettled("add_days")


def add_months(date: int, months: int) -> int:
    year, month, day = _date(date)
    index = year * 12 + month - 1 + months
    year, month = index // 12, index % 12 + 1
    if not 1 <= year <= 9999:
        raise Unsettled("add_months")
    return days_from_civil(year, month, min(day, _month_length(year, month)))


def add_years(date: int, years: int) -> int:
    return add_months(date, value(years) * 12)


def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if leap_year(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_between(first: int, second: int) -> int:
    return second - first


def years_between(first: int, second: int) -> int:
    """Whole years; the 29th of February comes round on the 1st of March of a common year."""
    if second < first:
        return -years_between(second, first)
    year, month, day = _date(first)
    last_year, last_month, last_day = _date(second)
    return last_year - year - (32 * last_month + last_day < 32 * month + day)


def year(date: int) -> int:
    return _date(date)[0]


def month(date: int) -> int:
    return _date(date)[1]


def day(date: int) -> int:
    return _date(date)[2]


def above(codes: Codes) -> dict[Code, frozenset[Code]]:
    """For each code, itself and all that it is a kind of."""
    found: dict[Code, set[Code]] = {}
    for upper, lower in codes.closures.items():
        for each in lower:
            found.setdefault(each, set()).add(upper)
    return {each: frozenset(uppers) for each, uppers in found.items()}


OFFERED: Final[dict[str, Callable[..., Any]]] = {
    "has": has,
    "guarded": guarded,
    "row_slot": row_slot,
    "is_one_of": is_one_of,
    "listed": listed,
    "overlaps": overlaps,
    "subset": subset,
    "code_overlaps": code_overlaps,
    "code_subset": code_subset,
    "inside": inside,
    "in_network": in_network,
    "frozenset": frozenset,
    "as_list": as_list,
    "any": any,
    "all": all,
    "len": len,
    "union": union,
    "intersection": intersection,
    "difference": difference,
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "negate": negate,
    "div": div,
    "mod": mod,
    "lesser": lesser,
    "greater": greater,
    "between": between,
    "starts_with": starts_with,
    "ends_with": ends_with,
    "identifier": identifier,
    "type_name": type_name,
    "text": text,
    "within": within,
    "date_in": date_in,
    "hour": hour,
    "minute": minute,
    "weekday": weekday,
    "clock_between": clock_between,
    "add_days": add_days,
    "add_months": add_months,
    "add_years": add_years,
    "days_between": days_between,
    "years_between": years_between,
    "year": year,
    "month": month,
    "day": day,
}
"""Emitted code sees these, each under its name with a `$` before it: no name of a policy can be one."""
