"""The typed core: what every later stage reads. A dozen node kinds, each with its type and its span.

Invariants. Every node has a span of policy text. No node's type is `Unknowable`. Names are resolved, defines expanded,
`unless` has become `not`. Equality and hash ignore spans: equal nodes always have equal values (shared subexpressions).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pdp.diagnostics.source import Span
from pdp.language.schema import Schema
from pdp.language.types import BOOL, Type
from pdp.model.value import Value


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant, already a `pdp.model.value` value of its type."""

    value: Value
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """`subject`, `resource`, `action`, `context`, `now`, or a quantifier's variable (unique in its rule: `x#3`)."""

    name: str
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Select:
    """`target.name`. `slots`: entity type -> slot in its Row; for a record (also `context`, `action`): {"": index}.

    Evaluates to the attribute's value; absent or unknown is an error.
    """

    target: Expr
    name: str
    slots: tuple[tuple[str, int], ...]
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Has:
    """`target has name`: true for a value, false for absent, an error for unknown (SEMANTICS 1)."""

    target: Expr
    name: str
    slots: tuple[tuple[str, int], ...]
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Is:
    """`target is Type`: the entity type of a reference. `names` are entity type names."""

    target: Expr
    names: frozenset[str]
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class And:
    items: tuple[Expr, ...]
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Or:
    items: tuple[Expr, ...]
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expr
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: Expr
    otherwise: Expr
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Quantifier:
    """`any x in collection: body` (Kleene or over the elements) or `all` (Kleene and)."""

    every: bool  # True for `all`
    variable: str
    collection: Expr
    body: Expr
    span: Span = field(compare=False)
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Operation:
    """A strict operator or builtin: `operator` is a key of `operators.TABLE`, already resolved by its operand types."""

    operator: str
    arguments: tuple[Expr, ...]
    type: Type
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Collect:
    """`{a, b}` (type SetType) or `[a, b]` (type ListType)."""

    items: tuple[Expr, ...]
    type: Type
    span: Span = field(compare=False)


Expr = Literal | Variable | Select | Has | Is | And | Or | Not | If | Quantifier | Operation | Collect

_CHILDREN: Final[dict[type, Callable[[Any], tuple[Expr, ...]]]] = {
    Literal: lambda _: (),
    Variable: lambda _: (),
    Select: lambda expr: (expr.target,),
    Has: lambda expr: (expr.target,),
    Is: lambda expr: (expr.target,),
    And: lambda expr: expr.items,
    Or: lambda expr: expr.items,
    Not: lambda expr: (expr.operand,),
    If: lambda expr: (expr.condition, expr.then, expr.otherwise),
    Quantifier: lambda expr: (expr.collection, expr.body),
    Operation: lambda expr: expr.arguments,
    Collect: lambda expr: expr.items,
}


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside, in source order."""
    return _CHILDREN[expr.__class__](expr)


@dataclass(frozen=True, slots=True)
class FieldSet:
    """JSON pointers: those written down, and those that `Set<Text>` expressions give when evaluated."""

    pointers: frozenset[str]
    computed: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """`release only fields [when condition]`. An erring condition restricts (SEMANTICS 18)."""

    fields: FieldSet
    condition: Expr | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Duty:
    """`require name(argument: expr)` or `advise ...` on a permit."""

    name: str
    arguments: tuple[tuple[str, Expr], ...]
    binding: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of any effect. `pairs`: the (action, resource type) pairs it speaks about, all of them declared."""

    id: str
    effect: str  # "permit", "forbid", "mask", "emergency"
    pairs: frozenset[tuple[str, str]]
    condition: Expr  # `when` and not `unless`; Literal(True) where neither is written
    span: Span = field(compare=False)  # of the whole rule
    header: Span = field(compare=False)  # of its first line, for messages
    sentence: str = ""
    citations: tuple[str, ...] = ()
    owner: str = ""
    module: str = ""
    release: Release | None = None
    duties: tuple[Duty, ...] = ()
    fields: FieldSet | None = None  # of a mask
    because: str = ""
    exception: str = ""
    cures: tuple[str, ...] = ()
    overridable_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a route's path: a literal text (decoded), or a parameter."""

    text: str
    parameter: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where a route takes an identifier from: a path parameter, or a text written in the route."""

    type: str  # entity type name; "" for a claim whose value is the text itself
    parameter: str = ""
    literal: str = ""


@dataclass(frozen=True, slots=True)
class QueryParameter:
    name: str
    optional: bool
    fields: frozenset[str]  # the fields that it searches or sorts by


@dataclass(frozen=True, slots=True)
class Route:
    methods: frozenset[str]
    segments: tuple[Segment, ...]
    actions: tuple[str, ...]  # Ward names; all of them must be permitted
    resource: Target
    claims: tuple[tuple[str, Target], ...]  # attribute of the resource -> what the path says it is (SEMANTICS 6)
    query: tuple[QueryParameter, ...]
    span: Span = field(compare=False)
    module: str = ""


@dataclass(frozen=True, slots=True)
class GivenEntity:
    """An entity of a test's world, values still as JSON (typed when the test runs, as data are)."""

    type: str
    id: str
    parents: tuple[tuple[str, str], ...]  # (type, id)
    attributes: dict[str, object]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Test:
    """`test "title" { .. }` with its fixtures already merged in; later givens replace earlier ones."""

    title: str
    given: tuple[GivenEntity, ...]
    context: dict[str, object]
    action_attributes: dict[str, object]
    now: int
    subject: tuple[str, str]
    action: str
    resource: tuple[str, str]
    expect: str  # "allow" or "deny"
    span: Span = field(compare=False)
    rules: tuple[str, ...] | None = None  # `by a, b`: exactly the determining rules
    reason: str | None = None
    released: frozenset[str] | None = None
    masked: frozenset[str] | None = None
    obligations: tuple[str, ...] | None = None
    errors: tuple[str, ...] | None = None  # rule ids
    searched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Invariant:
    """`never permit ACTIONS on TYPES when ..`: parsed and checked here, proved elsewhere."""

    title: str
    pairs: frozenset[tuple[str, str]]
    condition: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A whole checked policy set. Rules are sorted by id."""

    schema: Schema
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    tests: tuple[Test, ...]
    invariants: tuple[Invariant, ...]
