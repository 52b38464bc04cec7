"""Which subexpressions of a decision function are worth computing once.

An emitted function keeps the value of such an expression in the memo of the request. That costs about as much as a
dictionary look-up and a store, so an expression is shared only where enough rules that can apply together hold it.
Costs are nanoseconds, measured once and rounded; they change speed, never an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from pdp.compile.index import Candidate, Index
from pdp.language.core import Expr, Has, Is, Literal, Operation, Quantifier, Select, Variable, children
from pdp.language.types import EntityType

_MEMO_NS: Final = 45
_STORE_NS: Final = 60
_LEAST_NS: Final = 90
_OPERATION_NS: Final = {
    "like": 500,
    "matches": 500,
    "hour": 500,
    "minute": 500,
    "weekday": 500,
    "date_in": 500,
    "clock_between": 500,
    "overlaps": 250,
    "subset": 250,
    "code_overlaps": 300,
    "code_subset": 300,
    "in_entity": 90,
    "years_between": 600,
}
_CHEAP: Final = frozenset(
    {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "in_collection", "in_code"}
)


def chosen(groups: Iterable[tuple[Sequence[Candidate], Index]]) -> dict[Expr, int]:
    """A place in the memo for each expression that is worth one."""
    shared: dict[Expr, int] = {}
    for candidates, index in groups:
        counts, costs = _together(candidates, index)
        for expr in sorted(counts, key=lambda each: -costs[each]):
            count = counts[expr]
            if count > 1 and (count - 1) * (costs[expr] - _MEMO_NS) > _STORE_NS:
                shared.setdefault(expr, len(shared))
                for inner in _costly(expr)[1:]:  # They are evaluated once, with it.
                    counts[inner[0]] -= count - 1
    return shared


def _together(candidates: Sequence[Candidate], index: Index) -> tuple[dict[Expr, int], dict[Expr, int]]:
    """How often each costly expression stands in rules that one look-up can find; what each costs."""
    costs: dict[Expr, int] = {}
    found: dict[int, list[Expr]] = {}
    for number, candidate in enumerate(candidates):
        settled = index.settled[number]
        costly = [each for place, item in enumerate(candidate.items) if place not in settled for each in _costly(item)]
        costs.update(costly)
        found[number] = [expr for expr, _ in costly]
    total = Counter(expr for number in index.always for expr in found[number])
    for table in index.tables:
        most: Counter[Expr] = Counter()
        for numbers in table.rules.values():
            most |= Counter(expr for number in numbers for expr in found[number])
        total += most
    return dict(total), costs


def _costly(expr: Expr) -> list[tuple[Expr, int]]:
    """The expressions inside (itself first, if it is one) that cost enough and hold no variable of a quantifier."""
    found: list[tuple[Expr, int]] = []
    _cost(expr, found)
    found.reverse()
    return found


def _cost(expr: Expr, found: list[tuple[Expr, int]]) -> tuple[int, frozenset[str]]:
    """(nanoseconds, variables of quantifiers outside that it reads). What is costly and closed is added to `found`."""
    cost = 5
    free: frozenset[str] = frozenset()
    for child in children(expr):
        inner, names = _cost(child, found)
        cost += inner
        free |= names
    match expr:
        case Variable(name) if "#" in name or name not in ("subject", "resource", "context", "action", "now"):
            return cost, frozenset({name})
        case Variable() | Literal():
            return cost, free
        case Select(target) if isinstance(target.type, EntityType) and not isinstance(target, Variable):
            cost += 60
        case Has() | Is():
            cost += 40
        case Quantifier(variable=variable):
            cost, free = cost * 3 + 400, free - {variable}
        case Operation(operator):
            cost += _OPERATION_NS.get(operator, 15 if operator in _CHEAP else 70)
        case _:
            pass
    if cost >= _LEAST_NS and not free and isinstance(expr, Operation | Quantifier | Select):
        found.append((expr, cost))
    return cost, free
