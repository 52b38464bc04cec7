"""Strategies of *typed core terms*, frames and whole policy sets over the schema of `world`.

Text drawn from a grammar rarely type-checks; here every term has the type asked for. Optional attributes are read with
and without a guard, so that what `check` would refuse is an error that both engines must agree on. Every node has a
span of its own, also where two subexpressions are equal, so that an error's place can be told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from pdp.diagnostics.source import Source, Span
from pdp.language.core import (
    And,
    Collect,
    Duty,
    Expr,
    FieldSet,
    Has,
    If,
    Is,
    Literal,
    Not,
    Operation,
    Or,
    PolicySet,
    Quantifier,
    Release,
    Rule,
    Select,
    Variable,
)
from pdp.language.operators import TABLE
from pdp.language.schema import Attribute, record
from pdp.language.types import (
    BOOL,
    DATE,
    DECIMAL,
    DURATION,
    INSTANT,
    INT,
    IP,
    TEXT,
    CodeType,
    EntityType,
    ListType,
    RecordType,
    SetType,
    Type,
)
from pdp.model.entities import Rows
from pdp.model.frame import Frame
from pdp.model.value import (
    ABSENT,
    DAY,
    HOUR,
    INT_MAX,
    INT_MIN,
    MINUTE,
    SECOND,
    UNKNOWN,
    UNKNOWN_ROW,
    Entity,
    Ip,
    Row,
    State,
    Value,
    entity,
    entity_type,
)
from tests.world import CODES, NOW, PERIOD, SCHEMA, type_of, types_of

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Values ---------------------------------------------------------------------------------------------------------------

ENTITIES: Final = {
    "Hospital": ("h1", "h2"),
    "Ward": ("icu", "er"),
    "Patient": ("p1", "p2"),
    "Clinician": ("nina", "otto", "zoe"),
    "Service": ("lab", "nina"),
    "Record": ("r1", "r2"),
    "Note": ("n1", "r1"),
}
_ATOMS: Final[dict[Type, tuple[Value, ...]]] = {
    BOOL: (True, False),
    INT: (0, 1, 2, 3, -1, INT_MAX, INT_MIN),
    DECIMAL: (0, 10_000, 15_000, -1, INT_MAX, INT_MIN),
    TEXT: ("icu", "er", "", "nina", "ICU", "ward-3", "a*b", "12\n", "e\u0301", "/name", "/ssn"),
    INSTANT: (
        NOW,
        NOW - 1,
        NOW + 1,
        NOW - HOUR,
        NOW - 30 * DAY,
        0,
        1_772_956_800_000_000,
        1_793_516_400_000_000,
        253_402_300_799_999_999,
    ),
    DATE: (0, 20_513, 20_148, 19_782, -1, 2_932_896, -719_162),
    DURATION: (0, SECOND, 30 * MINUTE, HOUR, DAY, 31 * DAY, -HOUR, INT_MAX),
    IP: (
        Ip(4, 0x0A000007, 32),
        Ip(4, 0x0A000000, 8),
        Ip(4, 0, 0),
        Ip(4, 0xC0A80000, 16),
        Ip(6, 1, 128),
        Ip(6, 0, 0),
        Ip(6, 0x20010DB8 << 96, 32),
    ),
}
ZONES: Final = ("UTC", "America/Chicago", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
_CLOCKS: Final = (("07:00", "19:00"), ("19:00", "07:00"), ("04:00", "04:01"), ("00:00", "10:00"), ("10:00", "00:00"))
_GLOBS: Final = ("*", "ic?", "ward-*", "a\\*b", "", "*i*")
_REGEXES: Final = ("[a-z]+", "[0-9]+", "(?i)icu", ".*", "a|icu", "")


@cache
def below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


@cache
def atoms(type: Type) -> tuple[Value, ...]:
    """Few enough that two of them are often equal."""
    match type:
        case EntityType(names):
            return tuple(entity(name, each) for name in sorted(names) for each in ENTITIES[name])
        case CodeType(vocabularies):
            named = [CODES.vocabularies[name] for name in sorted(vocabularies)]
            return tuple(each.code(symbol) for each in named for symbol in each.symbols)
        case _:
            return _ATOMS[type]


def value(draw: Draw, type: Type, whole: bool = False) -> Value:
    """`whole`: no record lacks a field."""
    match type:
        case SetType(element):
            return frozenset(value(draw, element, whole) for _ in range(draw(below(4))))
        case ListType(element):
            return tuple(value(draw, element, whole) for _ in range(draw(below(4))))
        case RecordType(members):
            return tuple(state(draw, each.type, each.optional and not whole, may_be_unknown=False) for each in members)
        case _:
            choices = atoms(type)
            return choices[draw(below(len(choices)))]


def state(draw: Draw, type: Type, optional: bool, may_be_unknown: bool = True) -> State:
    """A value, mostly; else ABSENT where it may be, or UNKNOWN."""
    chosen = draw(below(12))
    if chosen == 11 and may_be_unknown:
        return UNKNOWN
    if chosen >= 8 and optional:
        return ABSENT
    return value(draw, type)


values = st.composite(value)


# Frames ---------------------------------------------------------------------------------------------------------------


def _row_of(draw: Draw, attributes: Iterable[Attribute]) -> tuple[State, ...]:
    return tuple(state(draw, each.type, each.optional) for each in attributes)


def _entity_row(draw: Draw, type_name: str) -> Row:
    if draw(below(12)) == 11:
        return UNKNOWN_ROW
    places = [entity(name, each) for name in ("Hospital", "Ward", "Patient") for each in ENTITIES[name]]
    chosen = draw(below(8))
    ancestors = UNKNOWN if chosen == 7 else frozenset(places[draw(below(len(places)))] for _ in range(chosen % 4))
    return (ancestors, *_row_of(draw, SCHEMA.entities[type_name].attributes.values()))


PAIRS: Final = tuple(sorted(SCHEMA.actions))
MOMENTS: Final = (NOW, NOW + 1, NOW + 12 * HOUR, NOW + 7 * DAY + 22 * HOUR, 0, -1)


@st.composite
def frames(draw: Draw, pair: tuple[str, str]) -> Frame:
    """A world in which some subject asks for this action on some resource of this type."""
    declared = SCHEMA.actions[pair]
    subject = Entity(str(value(draw, EntityType(declared.subjects))))
    resource = Entity(str(value(draw, EntityType(frozenset({declared.resource})))))
    rows = Rows()
    for type_name, identifiers in ENTITIES.items():
        for each in identifiers:
            if draw(below(12)) < 11:
                rows[entity(type_name, each)] = _entity_row(draw, type_name)
    # What the request's places said differs from what the store holds.
    subject_row = _entity_row(draw, entity_type(subject))
    return Frame(
        subject,
        resource,
        subject_row,
        subject_row if resource == subject else _entity_row(draw, declared.resource),
        _row_of(draw, declared.attributes.values()),
        _row_of(draw, SCHEMA.context.values()),
        rows,
        MOMENTS[draw(below(len(MOMENTS)))],
    )


# Terms ----------------------------------------------------------------------------------------------------------------


class Generated(Source):
    """A text with room for all spans, that hypothesis prints as its name alone."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.name)


SOURCE: Final = Generated("generated.ward", ("." * 79 + "\n") * 500)
CLINICIAN: Final = type_of("Clinician")
RECORD: Final = type_of("Record")
PERIOD_TYPE: Final = type_of(PERIOD)
TYPES: Final = (
    BOOL,
    INT,
    DECIMAL,
    TEXT,
    INSTANT,
    DATE,
    DURATION,
    IP,
    *(
        type_of(each)
        for each in (
            "Role",
            "Purpose",
            "Confidentiality",
            "SecurityLabel",
            "Sensitivity",
            "Tls",
            "Clinician",
            "Patient",
            "Clinician or Service",
            "Set<Text>",
            "Set<Int>",
            "Set<Clinician>",
            "List<Clinician>",
            "Set<SecurityLabel>",
            "Set<Purpose>",
            "Set<Ip>",
            "List<Int>",
            f"List<{PERIOD}>",
        )
    ),
    PERIOD_TYPE,
)
ORDERED: Final = (INT, DECIMAL, INSTANT, DATE, DURATION)
_Operands = tuple[Type, ...]


def _same(count: int, types: Sequence[Type]) -> list[_Operands]:
    return [(each,) * count for each in types]


def _types(*written: str) -> list[_Operands]:
    return [types_of(each) for each in written]


_MEMBERSHIP: Final = _types(
    "Int, Set<Int>", "Text, Set<Text>", "Clinician, List<Clinician>", "Ip, Set<Ip>", "Int, List<Int>"
)
_CODE_MEMBERSHIP: Final = _types(
    "SecurityLabel, Set<SecurityLabel>", "Sensitivity, Set<SecurityLabel>", "Purpose, Set<Purpose>"
)
_TWO_SETS: Final = _types(
    "Set<Text>, Set<Text>", "Set<Int>, Set<Int>", "Set<Clinician>, Set<Clinician>", "Set<Purpose>, Set<Purpose>"
)
_TWO_CODES: Final = _types(
    "Role, Role", "Purpose, Purpose", "SecurityLabel, Sensitivity", "Confidentiality, Confidentiality"
)
_RANKED: Final = _types("Confidentiality, Confidentiality", "Tls, Tls")

SIGNATURES: Final[dict[str, list[_Operands]]] = {
    "equal": [*_same(2, TYPES), *_types("Clinician or Service, Clinician", "SecurityLabel, Sensitivity")],
    "not_equal": _same(2, TYPES),
    **{key: _same(2, ORDERED) for key in ("less", "less_equal", "greater", "greater_equal", "min", "max")},
    **dict.fromkeys(("code_less", "code_less_equal", "code_greater", "code_greater_equal"), _RANKED),
    "in_collection": [*_MEMBERSHIP, *_types(f"{PERIOD}, List<{PERIOD}>")],
    "code_in_collection": _CODE_MEMBERSHIP,
    "in_entity": _types("Record, Patient", "Clinician, Ward", "Patient, Patient", "Clinician or Service, Clinician"),
    "in_code": _TWO_CODES,
    "in_network": _types("Ip, Ip"),
    "contains": [(b, a) for a, b in _MEMBERSHIP],
    "code_contains": [(b, a) for a, b in _CODE_MEMBERSHIP],
    "overlaps": [*_TWO_SETS[:3], *_types("Set<Int>, List<Int>")],
    "code_overlaps": _types("Set<SecurityLabel>, Set<SecurityLabel>", "Set<Purpose>, Set<Purpose>"),
    "subset": [*_TWO_SETS[:3], *_types("List<Clinician>, Set<Clinician>")],
    "code_subset": _types("Set<SecurityLabel>, Set<SecurityLabel>", "Set<Purpose>, Set<Purpose>"),
    "like": [(TEXT, TEXT)],
    "matches": [(TEXT, TEXT)],
    "within": [(INSTANT, DURATION)],
    "between": _same(3, ORDERED),
    "add": [*_same(2, (INT, DECIMAL, DURATION)), (INSTANT, DURATION), (DURATION, INSTANT)],
    "subtract": [*_same(2, (INT, DECIMAL, DURATION)), (INSTANT, DURATION), (INSTANT, INSTANT)],
    "multiply": [(INT, INT), (DECIMAL, INT), (INT, DECIMAL), (DURATION, INT), (INT, DURATION)],
    "negate": _same(1, (INT, DECIMAL, DURATION)),
    "size": _types("Set<Text>", "List<Int>", "Set<SecurityLabel>"),
    **dict.fromkeys(("union", "intersection", "difference"), _TWO_SETS),
    "to_set": _types("List<Int>", "List<Clinician>"),
    "length": [(TEXT,)],
    "starts_with": [(TEXT, TEXT)],
    "ends_with": [(TEXT, TEXT)],
    "id": _types("Clinician", "Clinician or Service", "Patient"),
    "type_name": _types("Clinician or Service", "Record"),
    "text": [(INT,)],
    "div": [(INT, INT)],
    "mod": [(INT, INT)],
    **{key: [(INSTANT, TEXT)] for key in ("date_in", "hour", "minute", "weekday")},
    "clock_between": [(INSTANT, TEXT, TEXT, TEXT)],
    **{key: [(DATE, INT)] for key in ("add_days", "add_months", "add_years")},
    "days_between": [(DATE, DATE)],
    "years_between": [(DATE, DATE)],
    **{key: [(DATE,)] for key in ("year", "month", "day")},
}

PRODUCERS: Final[dict[Type, dict[str, list[_Operands]]]] = {}
"""Result type -> operator -> the operand types that give it."""
for _key, _signatures in SIGNATURES.items():
    for _operands in _signatures:
        _result = TABLE[_key].signature(_operands)
        assert _result is not None, f"{_key} does not take {_operands}"
        PRODUCERS.setdefault(_result, {}).setdefault(_key, []).append(_operands)


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables that may be named, each with the type it has here: a guard has narrowed some."""

    variables: dict[str, Type]
    outer: Scope | None = None

    def binding(self, name: str, type: Type) -> Scope:
        return Scope({**self.variables, name: type}, self)

    def lies_in(self, other: Scope) -> bool:
        return self is other or (self.outer is not None and self.outer.lies_in(other))


def members(type: Type) -> dict[str, tuple[Type, bool, tuple[tuple[str, int], ...]]]:
    """What `.name` reaches: name -> (type, may be absent, slots). Of a kind, what all its types have alike."""
    match type:
        case RecordType(named):
            return {each.name: (each.type, each.optional, (("", place),)) for place, each in enumerate(named)}
        case EntityType(names):
            declared = [SCHEMA.entities[name].attributes for name in sorted(names)]
            return {
                name: (
                    each.type,
                    each.optional,
                    tuple((n, d[name].slot) for n, d in zip(sorted(names), declared, strict=True)),
                )
                for name, each in declared[0].items()
                if all(name in other and other[name].type == each.type for other in declared)
            }
        case _:
            return {}


_Path = tuple[tuple[str, Type, bool, tuple[tuple[str, int], ...]], ...]


@cache
def paths(root: Type, wanted: Type, longest: int = 3) -> tuple[_Path, ...]:
    """The chains of attributes that lead from a value of one type to one of another."""
    found: list[_Path] = [()] if root == wanted else []
    if longest:
        for name, (type, optional, slots) in members(root).items():
            found += [((name, type, optional, slots), *rest) for rest in paths(type, wanted, longest - 1)]
    return tuple(found)


_PINNED: Final = (TEXT, *map(type_of, ("Role", "Purpose", "Confidentiality")))
"""The types of what rules are found by."""


class Terms:
    """Draws the terms of one policy set."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self._places = itertools.count(1)
        self._names = itertools.count(1)
        self._made: dict[Type, list[tuple[Expr, Scope]]] = {}

    def span(self) -> Span:
        place = next(self._places) % 39_000
        return Span(SOURCE, place, place + 1)

    def one_in(self, chances: int) -> bool:
        return bool(self.draw(below(chances)) == chances - 1)

    def pick(self, choices: Sequence[Any]) -> Any:
        return choices[0] if len(choices) == 1 else choices[self.draw(below(len(choices)))]

    # Terms of any type.

    def term(self, type: Type, depth: int, scope: Scope) -> Expr:
        """A term of exactly this type. Sometimes one again that is already there, with spans of its own."""
        earlier = [expr for expr, where in self._made.get(type, ()) if scope.lies_in(where)]
        if earlier and self.one_in(6):
            return self.again(self.pick(earlier))
        made = self._term(type, depth, scope)
        if not isinstance(made, Literal | Variable):
            self._made.setdefault(type, []).append((made, scope))
        return made

    def _term(self, type: Type, depth: int, scope: Scope) -> Expr:
        reachable = self.reachable(type, scope)
        if depth <= 0 or self.one_in(6):
            return self.path(self.pick(reachable)) if reachable and not self.one_in(3) else self.literal(type)
        makers: list[Callable[[Type, int, Scope], Expr]] = []
        if type in PRODUCERS:
            makers += [self.operation] * 4
        if type == BOOL:
            makers += [self.quantifier, self.connective, self.presence, self.connective, self.guarded, self.negation]
            makers += [self.narrowed, self.quantifier, self.identity, self.connective]
        if isinstance(type, SetType | ListType):
            makers += [self.collect] * 2
        makers += [lambda *_: self.literal(type), self.conditional]
        if reachable:
            makers += [lambda *_: self.path(self.pick(reachable))] * 2
        if type in PRODUCERS:
            makers += [self.operation] * 2
        maker: Callable[[Type, int, Scope], Expr] = self.pick(makers)
        return maker(type, depth, scope)

    def literal(self, type: Type) -> Expr:
        """No literal of Ward lacks a field of a record."""
        return Literal(value(self.draw, type, whole=True), type, self.span())

    def reachable(self, type: Type, scope: Scope) -> list[tuple[str, Type, _Path]]:
        return [(name, root, path) for name, root in scope.variables.items() for path in paths(root, type)]

    def path(self, chosen: tuple[str, Type, _Path]) -> Expr:
        name, root, chain = chosen
        found: Expr = Variable(name, root, self.span())
        for attribute, type, _, slots in chain:
            found = Select(found, attribute, slots, type, self.span())
        return found

    def conditional(self, type: Type, depth: int, scope: Scope) -> Expr:
        condition = self.term(BOOL, depth - 1, scope)
        return If(condition, self.term(type, depth - 1, scope), self.term(type, depth - 1, scope), type, self.span())

    def collect(self, type: Type, depth: int, scope: Scope) -> Expr:
        assert isinstance(type, SetType | ListType)
        count = self.draw(st.integers(0, 3))
        return Collect(tuple(self.term(type.element, depth - 1, scope) for _ in range(count)), type, self.span())

    def operation(self, type: Type, depth: int, scope: Scope) -> Expr:
        key = self.pick(sorted(PRODUCERS[type]))
        types = self.pick(PRODUCERS[type][key])
        constants = self.constants(key)
        arguments = tuple(
            constants[place] if place in constants else self.term(each, depth - 1, scope)
            for place, each in enumerate(types)
        )
        return Operation(key, arguments, type, self.span())

    def constants(self, key: str) -> dict[int, Expr]:
        """The operands that must be literals: patterns, zones, clocks."""
        texts: tuple[str, ...] = ()
        if key in ("like", "matches"):
            texts = (self.pick(_GLOBS if key == "like" else _REGEXES),)
        elif key == "clock_between":
            texts = (*self.pick(_CLOCKS), self.pick(ZONES))
        elif TABLE[key].literal:
            texts = (self.pick(ZONES),)
        return {place: Literal(text, TEXT, self.span()) for place, text in enumerate(texts, 1)}

    # Terms of type Bool.

    def connective(self, _: Type, depth: int, scope: Scope) -> Expr:
        kind = self.pick((And, Or))
        count = self.draw(st.integers(2, 4))
        return kind(tuple(self.term(BOOL, depth - 1, scope) for _ in range(count)), self.span())  # type: ignore[no-any-return]

    def negation(self, _: Type, depth: int, scope: Scope) -> Expr:
        return Not(self.term(BOOL, depth - 1, scope), self.span())

    def quantifier(self, _: Type, depth: int, scope: Scope) -> Expr:
        collections = [each for each in TYPES if isinstance(each, SetType | ListType)]
        type = self.pick(collections)
        name = f"x#{next(self._names)}"
        collection = self.term(type, depth - 1, scope)
        body = self.term(BOOL, depth - 1, scope.binding(name, type.element))
        return Quantifier(self.pick((True, False)), name, collection, body, self.span())

    def presence(self, _: Type, __: int, scope: Scope) -> Expr:
        selected = self.optional(scope)
        return Has(selected.target, selected.name, selected.slots, self.span())

    def guarded(self, _: Type, depth: int, scope: Scope) -> Expr:
        """`x has a and x.a == ..`: read behind its guard."""
        selected = self.optional(scope)
        guard = Has(selected.target, selected.name, selected.slots, self.span())
        read = self.again(selected)
        other = self.term(selected.type, depth - 1, scope)
        return And((guard, Operation(self.pick(("equal", "not_equal")), (read, other), BOOL, self.span())), self.span())

    def optional(self, scope: Scope) -> Select:
        found = self.path(self.pick(self.optionals(scope)))
        assert isinstance(found, Select)
        return found

    def optionals(self, scope: Scope) -> list[tuple[str, Type, _Path]]:
        """What may be absent, each as a path."""
        return [
            (name, root, (*path, (attribute, type, optional, slots)))
            for name, root in scope.variables.items()
            for path in _all_paths(root)
            for attribute, (type, optional, slots) in members(path[-1][1] if path else root).items()
            if optional
        ]

    def narrowed(self, _: Type, depth: int, scope: Scope) -> Expr:
        """`x is T and ..`, `if x is T then .. else ..`: the body knows what x is."""
        unions = [
            name for name, type in scope.variables.items() if isinstance(type, EntityType) and len(type.names) > 1
        ]
        if not unions:
            return self.connective(BOOL, depth, scope)
        name = self.pick(unions)
        type = scope.variables[name]
        assert isinstance(type, EntityType)
        narrow = frozenset({self.pick(sorted(type.names))})
        guard = Is(Variable(name, type, self.span()), narrow, self.span())
        body = self.term(BOOL, depth - 1, scope.binding(name, EntityType(narrow)))
        if self.one_in(2):
            return And((guard, body), self.span())
        return If(guard, body, self.term(BOOL, depth - 1, scope), BOOL, self.span())

    def identity(self, _: Type, depth: int, scope: Scope) -> Expr:
        """`x.owner is Clinician`, alone or in front of what only a clinician has."""
        union = type_of(self.pick(("Clinician or Service", "Clinician or Patient or Service")))
        assert isinstance(union, EntityType)
        reachable = [each for each in self.reachable(union, scope) if each[2]]
        owner = self.path(self.pick(reachable)) if reachable else self.literal(union)
        first, second = self.pick(sorted(union.names)), self.pick(sorted(union.names))
        asked = Is(owner, frozenset({first, second}), self.span())
        known = sorted(members(EntityType(asked.names)).items())
        if not known or self.one_in(2):
            return asked
        attribute, (type, _optional, slots) = self.pick(known)
        read = Select(self.again(owner), attribute, slots, type, self.span())
        other = self.term(type, depth - 1, scope)
        return And((asked, Operation("equal", (read, other), BOOL, self.span())), self.span())

    # The same term once more.

    def again(self, expr: Expr) -> Expr:
        """An equal term with spans of its own, and with names of its own for what its quantifiers bind."""
        found: Expr = self._again(expr, {})
        return found

    def _again(self, node: Any, names: dict[str, str]) -> Any:
        if isinstance(node, tuple):
            return tuple(self._again(each, names) for each in node)
        if not isinstance(node, Expr):
            return node
        if isinstance(node, Variable):
            return Variable(names.get(node.name, node.name), node.type, self.span())
        changed: dict[str, Any] = {"span": self.span()}
        if isinstance(node, Quantifier):
            changed["variable"] = f"x#{next(self._names)}"
            names = {**names, node.variable: changed["variable"]}
        for each in fields(node):
            if each.name not in ("span", "variable", "type", "value"):
                changed[each.name] = self._again(getattr(node, each.name), names)
        return replace(node, **changed)

    # Rules.

    def rule(self, number: int, depth: int) -> Rule:
        effect = self.pick(("permit", "permit", "permit", "forbid", "forbid", "mask", "emergency"))
        pairs = self.draw(st.frozensets(st.sampled_from(PAIRS), min_size=1, max_size=3))
        scope = rule_scope(pairs)
        made = Rule(
            id=f"rule-{number}",
            effect=effect,
            pairs=pairs,
            condition=self.condition(depth, scope),
            span=self.span(),
            header=self.span(),
        )
        match effect:
            case "permit":
                release = self.release(depth - 1, scope) if self.one_in(3) else None
                return replace(made, release=release, duties=tuple(self.duties(depth - 1, scope)))
            case "mask":
                return replace(made, fields=self.field_set(depth - 1, scope))
            case _:
                return replace(made, because="no")

    def condition(self, depth: int, scope: Scope) -> Expr:
        """Pins, as real rules have them, and then something more."""
        items = [item for _ in range(self.draw(below(3))) for item in self.pins(scope)]
        rest = self.term(BOOL, depth, scope)
        if not items:
            return Literal(True, BOOL, self.span()) if self.one_in(8) else rest
        if self.one_in(3):
            items.append(rest)
        else:
            items.insert(self.draw(below(len(items) + 1)), rest)
        subject = scope.variables["subject"]
        if isinstance(subject, EntityType) and len(subject.names) > 1 and self.one_in(2):
            guard = Is(Variable("subject", subject, self.span()), frozenset({"Clinician"}), self.span())
            items = [guard, *self.pins(scope.binding("subject", CLINICIAN)), *items]
        return And(tuple(items), self.span())

    def pins(self, scope: Scope) -> list[Expr]:
        """One pin; or a guard, and the pin that it allows."""
        if not self.one_in(3):
            return [self.pin(scope)]
        choices = [each for each in self.optionals(scope) if each[2][-1][1] in _PINNED]
        chosen = self.pick(choices)
        read = self.path(chosen)
        assert isinstance(read, Select)
        guard = Has(self.again(read.target), read.name, read.slots, self.span())
        return [guard, self.pinned(read, scope)]

    def pin(self, scope: Scope) -> Expr:
        """An attribute of subject, resource or context that equals, lies in, or lies below something written down."""
        type = self.pick([each for each in _PINNED if self.reachable(each, scope)])
        return self.pinned(self.path(self.pick(self.reachable(type, scope))), scope)

    def pinned(self, attribute: Expr, scope: Scope) -> Expr:
        type = attribute.type
        shape = self.draw(st.integers(0, 3))
        if shape == 0 and type == TEXT:
            other = self.path(self.pick(self.reachable(TEXT, scope)))
            return Operation("equal", (attribute, other), BOOL, self.span())
        if shape == 1:
            written: Expr = Literal(value(self.draw, SetType(type)), SetType(type), self.span())
            key = "in_collection" if type == TEXT else "code_in_collection"
            return Operation(key, (attribute, written), BOOL, self.span())
        literal = self.literal(type)
        if shape == 2 and type != TEXT:
            return Operation("in_code", (attribute, literal), BOOL, self.span())
        pair = (literal, attribute) if shape == 3 else (attribute, literal)
        return Operation("equal", pair, BOOL, self.span())

    def field_set(self, depth: int, scope: Scope) -> FieldSet:
        written = self.draw(st.frozensets(st.sampled_from(("/ssn", "/name", "/name/given", "/id")), max_size=2))
        texts = SetType(TEXT)
        computed = tuple(self.term(texts, depth, scope) for _ in range(self.draw(st.integers(0, 1)))) if depth else ()
        return FieldSet(written, computed)

    def release(self, depth: int, scope: Scope) -> Release:
        condition = self.term(BOOL, depth, scope) if self.one_in(2) else None
        return Release(self.field_set(depth, scope), condition, self.span())

    def duties(self, depth: int, scope: Scope) -> Iterator[Duty]:
        for name in self.draw(st.lists(st.sampled_from(sorted(SCHEMA.obligations)), max_size=2)):
            parameters = SCHEMA.obligations[name].parameters
            arguments = tuple((each.name, self.term(each.type, depth, scope)) for each in parameters)
            yield Duty(name, arguments, self.pick((True, False)), self.span())


@cache
def _all_paths(root: Type, longest: int = 2) -> tuple[_Path, ...]:
    found: list[_Path] = [()]
    if longest:
        for name, (type, optional, slots) in members(root).items():
            found += [((name, type, optional, slots), *rest) for rest in _all_paths(type, longest - 1)]
    return tuple(found)


def rule_scope(pairs: Iterable[tuple[str, str]]) -> Scope:
    """What a rule about these pairs may name. `action` has attributes where all of its actions have the same."""
    declared = [SCHEMA.actions[pair] for pair in sorted(pairs)]
    variables: dict[str, Type] = {
        "subject": EntityType(frozenset().union(*(each.subjects for each in declared))),
        "resource": EntityType(frozenset(each.resource for each in declared)),
        "context": SCHEMA.context_type(),
        "now": INSTANT,
    }
    if all(each.attributes == declared[0].attributes for each in declared):
        variables["action"] = record(declared[0].attributes)
    return Scope(variables)


@st.composite
def terms(draw: Draw, type: Type, pair: tuple[str, str] = ("read", "Record"), depth: int = 3) -> Expr:
    """One term of a type, as a rule about one pair may hold it."""
    return Terms(draw).term(type, depth, rule_scope((pair,)))


@st.composite
def policy_sets(draw: Draw, most_rules: int = 6, depth: int = 3) -> PolicySet:
    """A policy set: permits with releases and duties, forbids, masks; sorted by id, as all policy sets are."""
    made = Terms(draw)
    rules = tuple(made.rule(number, depth) for number in range(1, 1 + draw(st.integers(1, most_rules))))
    return PolicySet(SCHEMA, rules, (), (), ())
