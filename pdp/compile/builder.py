"""A checked policy set becomes an image: code objects, tables and plain data, ready to be linked or written down.

Three passes. For each decision function and subject type: which rules are left, in which variant, and their index. Then
what is worth computing once. Then the code of every rule, each compiled in the file of its policy.
"""

from __future__ import annotations

import ast
import linecache
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

from pdp.compile import digest, index, sharing
from pdp.compile.concrete import Roots, Signature, Variants, concrete, expressions, is_literal
from pdp.compile.emit import Emitter
from pdp.compile.index import Candidate, Index
from pdp.compile.nodes import Constants, Positions
from pdp.compile.reads import Reader, Reads
from pdp.compile.zones import tzif
from pdp.diagnostics.source import NOWHERE, Source, Span
from pdp.language.core import And, Expr, FieldSet, Literal, PolicySet, Rule
from pdp.language.schema import Schema
from pdp.language.types import BOOL, Type
from pdp.model.decision import Refusal

EFFECTS = ("permit", "forbid", "mask")


class DutyImage(NamedTuple):
    name: str
    binding: bool
    arguments: tuple[tuple[str, Type, int], ...]  # the code's number


class EffectsImage(NamedTuple):
    fields: frozenset[str] | None
    computed: tuple[int, ...]
    limited: int | None
    duties: tuple[DutyImage, ...]


class RuleImage(NamedTuple):
    number: int
    id: str
    effect: str
    timed: bool
    refusal: Refusal | None
    effects: EffectsImage | None


EntryImage = tuple[int, int]
"""(number of the code or -1, number of the rule image)"""


class GroupImage(NamedTuple):
    probe: int
    always: tuple[EntryImage, ...]
    tables: tuple[tuple[str, dict[Any, tuple[EntryImage, ...]], tuple[int, ...]], ...]  # name, entries, key codes
    reflexive: bool
    timed: bool


class FunctionImage(NamedTuple):
    action: str
    resource_type: str
    groups: dict[str, int]  # subject type -> number of the group
    reads: Reads


@dataclass(slots=True)
class Image:
    """Everything that a linked program is made of. No code object refers to anything but its arguments and names."""

    digest: str
    source_digest: str
    schema: Schema
    codes: list[CodeType] = field(default_factory=list)
    constants: list[tuple[str, str, Any]] = field(default_factory=list)  # name, kind, data
    rules: list[RuleImage] = field(default_factory=list)
    groups: list[GroupImage] = field(default_factory=list)
    functions: list[FunctionImage] = field(default_factory=list)


@dataclass(slots=True)
class _Variant:
    """A rule in the settings that mean the same code."""

    number: int
    rule: Rule
    roots: Roots
    condition: Expr
    candidate: Candidate
    timed: bool
    residuals: dict[frozenset[int], int] = field(default_factory=dict)  # conjuncts settled by the index -> code
    image: int | None = None

    def condition_in(self, roots: Roots) -> Expr:
        """Slots can be the same for two types, but whose attributes they are is not: a read set needs to know."""
        return self.condition if roots == self.roots else concrete(self.rule.condition, roots)


@dataclass(slots=True)
class _Group:
    roots: Roots
    variants: list[_Variant]
    index: Index
    reflexive: bool


def build(policies: PolicySet, sources: Iterable[Source], indexed: bool = True) -> Image:
    found = tuple(sources)
    for source in found:
        lines = [f"{line}\n" for line in source.text.split("\n")]  # As `linecache` has them: each line ended.
        linecache.cache[source.name] = (len(source.text), None, lines, source.name)
    image = Image(digest.program(policies, indexed), digest.sources(found), policies.schema)
    _Builder(policies, image, indexed).run()
    return image


class _Builder:
    def __init__(self, policies: PolicySet, image: Image, indexed: bool) -> None:
        self._schema = policies.schema
        self._image = image
        self._indexed = indexed
        self._rules = policies.rules
        self._signatures: list[Variants | None] = [None] * len(policies.rules)
        self._variants: dict[tuple[int, Signature], _Variant] = {}
        self._groups: list[_Group] = []
        self._constants = Constants()
        self._positions = Positions()
        self._pending: dict[str, list[ast.stmt]] = defaultdict(list)  # by file
        self._names: Counter[str] = Counter()
        self._places: dict[str, int] = {}  # function name -> number of its code
        self._shared: dict[Expr, int] = {}

    def run(self) -> None:
        by_pair: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, rule in enumerate(self._rules):
            if rule.effect in EFFECTS:
                for pair in rule.pairs:
                    by_pair[pair].append(number)
        for pair in sorted(self._schema.actions):
            self._function(pair, by_pair.get(pair, []))
        self._shared = sharing.chosen(([v.candidate for v in group.variants], group.index) for group in self._groups)
        self._image.groups = [self._group(number, group) for number, group in enumerate(self._groups)]
        self._compile()
        self._image.constants = [
            (name, kind, (data, tzif(data)) if kind == "zone" else data)
            for (kind, data), name in self._constants.names.items()
        ]

    # The first pass: variants and indices.

    def _function(self, pair: tuple[str, str], numbers: Sequence[int]) -> None:
        action, resource_type = pair
        subjects = self._schema.actions[pair].subjects
        reader = Reader(self._schema, action, resource_type, subjects)
        groups: dict[str, int] = {}
        known: dict[tuple[Any, ...], int] = {}
        for subject in sorted(subjects):
            roots = {"subject": subject, "resource": resource_type}
            variants = [self._variant(number, pair, roots) for number in numbers]
            left = [each for each in variants if not is_literal(each.condition, False)]
            key = (*(id(each) for each in left), subject == resource_type)
            if key not in known:
                known[key] = len(self._groups)
                candidates = [each.candidate for each in left]
                chosen = index.build(candidates) if self._indexed else index.no_index(candidates)
                self._groups.append(_Group(roots, left, chosen, subject == resource_type))
                for each in left:
                    for expr in expressions(each.rule):
                        reader.read(each.condition_in(roots) if expr is each.rule.condition else concrete(expr, roots))
            groups[subject] = known[key]
        self._image.functions.append(FunctionImage(action, resource_type, groups, reader.finish()))

    def _variant(self, number: int, pair: tuple[str, str], roots: Roots) -> _Variant:
        rule = self._rules[number]
        signatures = self._signatures[number]
        if signatures is None:
            signatures = self._signatures[number] = Variants(rule)
        key = (number, signatures.signature(roots))
        variant = self._variants.get(key)
        if variant is None:
            condition = concrete(rule.condition, roots)
            candidate = index.candidate(condition, self._schema, self._schema.actions[pair].attributes)
            variant = self._variants[key] = _Variant(number, rule, roots, condition, candidate, signatures.timed)
        return variant

    # The third pass: code.

    def _emitter(self, roots: Roots) -> Emitter:
        return Emitter(self._schema.codes, self._positions, self._constants, roots, self._shared)

    def _add(self, name: str, span: Span, function: ast.FunctionDef) -> int:
        """Queue a function for its file's module. Returns the number that its code will have."""
        self._pending[span.source.name].append(function)
        self._places[name] = len(self._places)
        return self._places[name]

    def _name(self, wanted: str) -> str:
        self._names[wanted] += 1
        count = self._names[wanted]
        return wanted if count == 1 else f"{wanted}#{count}"

    def _group(self, number: int, group: _Group) -> GroupImage:
        emitter = self._emitter(group.roots)
        entries = [
            (self._code(variant, settled), self._rule(variant))
            for variant, settled in zip(group.variants, group.index.settled, strict=True)
        ]
        tables = []
        probed = [(f"$always{number}", ())] if group.index.always else []
        found: list[tuple[str, Any]] = list(probed)
        for place, table in enumerate(group.index.tables):
            name = f"$table{number}_{place}"
            found.append((name, table.paths))
            keys = tuple(
                self._add(key, NOWHERE, emitter.key_function(key, NOWHERE, path, guarded))
                for path, guarded in table.paths
                for key in [self._name("(key)")]
            )
            rules = {key: tuple(entries[each] for each in numbers) for key, numbers in table.rules.items()}
            tables.append((name, rules, keys))
        name = self._name("(probe)")
        probe = self._add(name, NOWHERE, emitter.probe(name, NOWHERE, found))
        always = tuple(entries[each] for each in group.index.always)
        is_timed = any(self._image.rules[rule].timed for _, rule in entries)
        return GroupImage(probe, always, tuple(tables), group.reflexive, is_timed)

    def _code(self, variant: _Variant, settled: frozenset[int]) -> int:
        """The code of what is left of a condition once the index has settled some conjuncts; -1 if nothing is."""
        known = variant.residuals.get(settled)
        if known is not None:
            return known
        left = tuple(item for place, item in enumerate(variant.candidate.items) if place not in settled)
        number = -1
        if left:
            body = left[0] if len(left) == 1 else And(left, variant.condition.span)
            number = self._expression(variant, body)
        elif not settled and is_literal(variant.condition, False):
            number = self._expression(variant, Literal(False, BOOL, variant.rule.header))
        variant.residuals[settled] = number
        return number

    def _expression(self, variant: _Variant, body: Expr) -> int:
        name = self._name(variant.rule.id)
        function = self._emitter(variant.roots).function(name, variant.rule.header, body)
        return self._add(name, variant.rule.header, function)

    def _rule(self, variant: _Variant) -> int:
        if variant.image is None:
            rule = variant.rule
            image = RuleImage(
                variant.number, rule.id, rule.effect, variant.timed, _refusal(rule), self._effects(variant)
            )
            variant.image = len(self._image.rules)
            self._image.rules.append(image)
        return variant.image

    def _effects(self, variant: _Variant) -> EffectsImage | None:
        rule = variant.rule
        release = rule.release
        fields = rule.fields if release is None else release.fields
        if fields is None and not rule.duties:
            return None
        limited = None
        if release is not None and release.condition is not None:
            limited = self._part(variant, release.condition)
        duties = tuple(
            DutyImage(
                duty.name,
                duty.binding,
                tuple((name, each.type, self._part(variant, each)) for name, each in duty.arguments),
            )
            for duty in rule.duties
        )
        return EffectsImage(
            None if fields is None else fields.pointers, self._computed(variant, fields), limited, duties
        )

    def _computed(self, variant: _Variant, fields: FieldSet | None) -> tuple[int, ...]:
        return () if fields is None else tuple(self._part(variant, each) for each in fields.computed)

    def _part(self, variant: _Variant, expr: Expr) -> int:
        return self._expression(variant, concrete(expr, variant.roots))

    def _compile(self) -> None:
        """One module for each file; its functions are found again by name."""
        codes: list[CodeType | None] = [None] * len(self._places)
        for file, functions in self._pending.items():
            module = compile(ast.Module(functions, []), file, "exec", dont_inherit=True, optimize=0)
            for constant in module.co_consts:
                if isinstance(constant, CodeType):
                    codes[self._places[constant.co_name]] = constant
        self._image.codes = [code for code in codes if code is not None]
        assert len(self._image.codes) == len(codes)


def _refusal(rule: Rule) -> Refusal | None:
    if rule.effect != "forbid":
        return None
    return Refusal(rule.id, False, rule.because, rule.exception, rule.cures, rule.overridable_by)
