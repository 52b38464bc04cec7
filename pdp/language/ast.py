"""The surface tree: what the author wrote, every node with a span. Only `check` and `format` read it.

Equality ignores spans, so that ``parse(format(tree)) == tree``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.diagnostics.source import Source, Span


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A text literal; `value` has its escapes resolved."""

    value: str
    span: Span = field(compare=False)


# Expressions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Boolean:
    value: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """`12` or `1.25`, as written (without a sign); check decides Int or Decimal by the point."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class DurationLiteral:
    """`15 minutes`: unit is one of millisecond second minute hour day week, singular."""

    amount: int
    unit: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class EntityLiteral:
    """`Record "r1"`."""

    type: Name
    id: Text
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """A bare name: a variable, a parameter, a constant `define`."""

    name: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`: an attribute, or a code when target is the name of a vocabulary."""

    target: Expr
    name: Name
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`: a builtin or a `define`."""

    name: Name
    arguments: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x` or `-x`."""

    operator: str
    operand: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """operator: or and == != < <= > >= in overlaps contains `subset of` like matches within + - *.

    `symbol` is the span of the operator itself. Chains of `or`, of `and` nest to the left.
    """

    operator: str
    left: Expr
    right: Expr
    span: Span = field(compare=False)
    symbol: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`value between low and high`: half-open."""

    value: Expr
    low: Expr
    high: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class HasMember:
    target: Expr
    name: Name
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class IsType:
    """`target is Clinician`, `target is Document` (a kind)."""

    target: Expr
    type: Name
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    condition: Expr
    then: Expr
    otherwise: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Quantified:
    """`any x in collection: body`, `all x in collection: body`."""

    every: bool
    variable: Name
    collection: Expr
    body: Expr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class SetLiteral:
    items: tuple[Expr, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListLiteral:
    items: tuple[Expr, ...]
    span: Span = field(compare=False)


Expr = (
    Boolean
    | Number
    | Text
    | DurationLiteral
    | EntityLiteral
    | Reference
    | Member
    | Call
    | Unary
    | Binary
    | Between
    | HasMember
    | IsType
    | Conditional
    | Quantified
    | SetLiteral
    | ListLiteral
)


# Types ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType:
    name: Name
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class CollectionType:
    """`Set<T>`, `List<T>`."""

    constructor: str
    element: TypeExpr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class FieldType:
    name: Name
    type: TypeExpr
    optional: bool
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RecordTypeExpr:
    fields: tuple[FieldType, ...]
    span: Span = field(compare=False)


TypeExpr = NamedType | CollectionType | RecordTypeExpr


# Declarations ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttributeDecl:
    """`name: Type? from place`, in a context block with `provisioned by attribute`. `place` "" where none is said."""

    name: Name
    type: TypeExpr
    optional: bool
    place: str  # "", "token", "certificate", "route", "source", "caller"
    source: Name | None
    provisioned_by: Name | None
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class EntityDecl:
    name: Name
    parents: tuple[Name, ...]
    wire: Text | None
    attributes: tuple[AttributeDecl, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class KindDecl:
    name: Name
    members: tuple[Name, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class CodeDecl:
    """One code of a vocabulary: `TREAT = "TREAT" in PurposeOfUse emergency "sentence"`."""

    name: Name
    code: Text | None
    parents: tuple[Name, ...]
    emergency: bool
    title: Text | None
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class VocabularyDecl:
    name: Name
    system: Text
    ordered: bool
    codes: tuple[CodeDecl, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class VocabularyUnion:
    """`vocabulary SecurityLabel = Confidentiality or Sensitivity`."""

    name: Name
    members: tuple[Name, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ActionDecl:
    """`action read, search as "search" on Record, Patient by Clinician { soft: Bool from caller }`."""

    names: tuple[tuple[Name, Text | None], ...]
    types: tuple[Name, ...]
    subjects: tuple[Name, ...]  # empty: any entity type
    attributes: tuple[AttributeDecl, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ActionGroup:
    name: Name
    members: tuple[Name, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ContextDecl:
    attributes: tuple[AttributeDecl, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Pointer:
    """`/name/given`: a JSON pointer (RFC 6901), as written."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class ComputedFields:
    """`fields of (expr)`: an expression of type Set<Text> that gives JSON pointers."""

    expr: Expr
    span: Span = field(compare=False)


FieldItem = Pointer | Name | ComputedFields


@dataclass(frozen=True, slots=True)
class FieldsDecl:
    """`fields ClinicalSummary = /id, /code, OtherFields`."""

    name: Name
    items: tuple[FieldItem, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ObligationDecl:
    name: Name
    parameters: tuple[FieldType, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    name: Name
    type: TypeExpr
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class DefineDecl:
    """`define treats(who: Clinician, whom: Patient) = expr`; without parentheses it is a constant."""

    name: Name
    parameters: tuple[Parameter, ...]
    body: Expr
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """`Record record` (a path parameter), `Record "all"` (a written id), `record` alone (its text; type None)."""

    type: Name | None
    value: Name | Text
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RouteQuery:
    name: Text
    optional: bool
    fields: tuple[FieldItem, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RouteDecl:
    methods: tuple[Name, ...]
    path: Text
    actions: tuple[Name, ...]
    resource: RouteTarget
    claims: tuple[tuple[Name, RouteTarget], ...]
    query: tuple[RouteQuery, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ReleaseClause:
    items: tuple[FieldItem, ...]
    condition: Expr | None
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class DutyClause:
    """`require name(argument: expr, ..)` (binding) or `advise name(..)`."""

    binding: bool
    name: Name
    arguments: tuple[tuple[Name, Expr], ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class RuleDecl:
    """Every rule form. `actions` or `types` None: `any`. Clauses that do not fit the effect are check's to refuse.

    `whens` and `unlesses`: more than one clause of a kind is parsed, and refused by check with a hint to join them.
    """

    effect: str  # "permit", "forbid", "mask", "emergency"
    fields: tuple[FieldItem, ...]  # of a mask
    actions: tuple[Name, ...] | None
    types: tuple[Name, ...] | None
    id: Name | None
    sentence: Text | None
    citations: tuple[Text, ...]
    owner: Text | None
    whens: tuple[Expr, ...]
    unlesses: tuple[Expr, ...]
    releases: tuple[ReleaseClause, ...]
    duties: tuple[DutyClause, ...]
    because: Text | None
    exception: Name | None
    cures: tuple[Name, ...]
    overridable_by: tuple[Name, ...]
    span: Span = field(compare=False)
    header: Span = field(compare=False)  # from the effect's word to the end of the id (or of `on ..`)
    comments: tuple[str, ...] = field(default=(), compare=False)


# Tests ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JsonList:
    items: tuple[Json, ...]
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class JsonObject:
    members: tuple[tuple[Name, Json], ...]
    span: Span = field(compare=False)


Json = Boolean | Number | Text | Reference | EntityLiteral | Member | Unary | JsonList | JsonObject
"""A value in a test: `Reference` is a code's name (`nurse`), `Member` one with its vocabulary, `Unary` a minus."""


@dataclass(frozen=True, slots=True)
class GivenEntity:
    type: Name
    id: Text
    parents: tuple[EntityLiteral, ...]
    attributes: JsonObject
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class GivenObject:
    """`given context { .. }` or `given action { .. }`."""

    what: str
    attributes: JsonObject
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


Given = GivenEntity | GivenObject


@dataclass(frozen=True, slots=True)
class FixtureDecl:
    name: Name
    given: tuple[Given, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One `expect` line. what: allow, deny, release, mask, obligations, errors, reason."""

    what: str
    names: tuple[Name, ...] | None = None  # `by ..` of allow and deny; names of obligations, errors, reason
    items: tuple[FieldItem, ...] | None = None  # of release and mask
    span: Span = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class TestDecl:
    title: Text
    fixtures: tuple[Name, ...]
    given: tuple[Given, ...]
    at: Text | None
    subject: EntityLiteral | None
    action: Name | None
    resource: EntityLiteral | None
    searched: tuple[FieldItem, ...]
    expectations: tuple[Expectation, ...]
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class InvariantDecl:
    """`invariant "title" { never permit view on Record when expr }`."""

    title: Text
    actions: tuple[Name, ...] | None
    types: tuple[Name, ...] | None
    condition: Expr | None
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


Declaration = (
    EntityDecl
    | KindDecl
    | VocabularyDecl
    | VocabularyUnion
    | ActionDecl
    | ActionGroup
    | ContextDecl
    | FieldsDecl
    | ObligationDecl
    | DefineDecl
    | RouteDecl
    | RuleDecl
    | FixtureDecl
    | TestDecl
    | InvariantDecl
)


@dataclass(frozen=True, slots=True)
class Use:
    module: str
    span: Span = field(compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Module:
    """One file. `name` "" and `layer` "" where not written."""

    name: str
    layer: str
    uses: tuple[Use, ...]
    declarations: tuple[Declaration, ...]
    source: Source = field(compare=False)
    span: Span = field(compare=False)  # of the `module` line, or of the first character
    comments: tuple[str, ...] = field(default=(), compare=False)  # before `module`
    trailing: tuple[str, ...] = field(default=(), compare=False)  # at the end of the file
