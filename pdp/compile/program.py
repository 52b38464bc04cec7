"""A compiled policy set: immutable, with one digest over everything that can change a decision.

`compile_program` makes one from the checked core. `to_bytes` and `from_bytes` carry it from the process that builds to
those that decide: the same image is linked in both, so both answer alike. What only explanations and errors need, the
rules themselves, is unpickled when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from pdp.compile import runtime
from pdp.compile.builder import EffectsImage, GroupImage, Image, RuleImage, build
from pdp.compile.function import (
    CompiledRule,
    DecisionFunction,
    DutyCode,
    Effects,
    Emitted,
    Entry,
    Group,
    TableCode,
    World,
)
from pdp.compile.pickling import Pickled, packed, unpacked
from pdp.compile.reads import Reads
from pdp.compile.zones import Zone
from pdp.diagnostics.source import Source
from pdp.language.core import PolicySet, Route
from pdp.language.schema import Schema

__all__ = ["CompiledRule", "DecisionFunction", "Program", "Reads", "compile_program"]


class Program:
    """Decision functions by action and resource type. Safe for any number of threads."""

    __slots__ = ("_functions", "_image", "_pickled", "_policies", "digest", "routes", "schema", "source_digest")

    def __init__(self, image: Image, routes: tuple[Route, ...], policies: PolicySet | Pickled) -> None:
        self.schema: Schema = image.schema
        self.routes = routes
        self.digest = image.digest
        self.source_digest = image.source_digest
        self._image = image
        self._policies = policies
        self._functions = _link(image, World(image.schema, policies.rules))

    @property
    def policies(self) -> PolicySet:
        """The checked core; after `from_bytes` it is unpickled here."""
        if isinstance(self._policies, Pickled):
            return PolicySet(
                self.schema, tuple(self._policies.rules), self.routes, self._policies.tests, self._policies.invariants
            )
        return self._policies

    @property
    def rule_count(self) -> int:
        return len(self._policies.rules)

    def function(self, action: str, resource_type: str) -> DecisionFunction | None:
        """By the names in Ward; None for a pair that is not declared."""
        return self._functions.get((action, resource_type))

    def functions(self) -> Iterator[DecisionFunction]:
        return iter(self._functions.values())

    def to_bytes(self) -> bytes:
        """For `from_bytes` of the same Python and the same Chaperone, in a file that is ours alone."""
        return packed(self._image, self.policies)

    @classmethod
    def from_bytes(cls, data: bytes) -> Program:
        """Load what `to_bytes` wrote. Never for bytes that anybody else could have touched: they become code."""
        image, pickled = unpacked(data)
        return cls(image, pickled.routes, pickled)


def compile_program(policies: PolicySet, *, indexed: bool = True) -> Program:
    """Compile a checked policy set. Without an index every rule is tried: the same answers, for tests."""
    image = build(policies, _sources(policies), indexed)
    return Program(image, policies.routes, policies)


def _sources(policies: PolicySet) -> Iterable[Source]:
    """Every text that something was declared in."""
    found: dict[int, Source] = {}
    schema = policies.schema
    declared: list[Any] = [*policies.rules, *policies.routes, *policies.tests, *policies.invariants]
    declared += [*schema.entities.values(), *schema.actions.values(), *schema.obligations.values()]
    declared += [*schema.context.values(), *schema.codes.vocabularies.values()]
    for each in declared:
        found[id(each.span.source)] = each.span.source
    return {(each.name, each.text): each for each in found.values() if each.text}.values()


def _link(image: Image, world: World) -> dict[tuple[str, str], DecisionFunction]:
    """Code objects become functions over one small name space: what `runtime` offers, constants, tables."""
    names: dict[str, Any] = {"__builtins__": {}}
    names |= {f"${name}": function for name, function in runtime.OFFERED.items()}
    codes = image.schema.codes
    names |= {"$ABSENT": runtime.ABSENT, "$closures": codes.closures, "$ranks": codes.ranks}
    names["$above"] = runtime.above(codes)
    names |= {name: _constant(kind, data) for name, kind, data in image.constants}
    emitted: list[Emitted] = [FunctionType(code, names) for code in image.codes]
    rules = [_rule(each, emitted, world) for each in image.rules]
    groups = [_group(number, each, emitted, rules, names) for number, each in enumerate(image.groups)]
    return {
        (each.action, each.resource_type): DecisionFunction(
            each.action,
            each.resource_type,
            {subject: groups[number] for subject, number in each.groups.items()},
            each.reads,
            world,
        )
        for each in image.functions
    }


def _constant(kind: str, data: Any) -> Any:
    if kind == "regex":
        return runtime.pattern(data)
    if kind == "zone":
        return Zone(*data)
    assert kind == "slots"
    return dict(data)


def _rule(image: RuleImage, emitted: list[Emitted], world: World) -> CompiledRule:
    effects = None if image.effects is None else _effects(image.effects, emitted)
    rule = CompiledRule(image.number, image.id, image.effect, image.refusal, effects, world)
    rule.timed = image.timed
    return rule


def _effects(image: EffectsImage, emitted: list[Emitted]) -> Effects:
    duties = tuple(
        DutyCode(name, binding, tuple((argument, type, emitted[code]) for argument, type, code in arguments))
        for name, binding, arguments in image.duties
    )
    limited = None if image.limited is None else emitted[image.limited]
    return Effects(image.fields, tuple(emitted[code] for code in image.computed), limited, duties)


def _group(
    number: int, image: GroupImage, emitted: list[Emitted], rules: list[CompiledRule], names: dict[str, Any]
) -> Group:
    def entries(found: Iterable[tuple[int, int]]) -> tuple[Entry, ...]:
        return tuple((None if code < 0 else emitted[code], rules[rule]) for code, rule in found)

    always = names[f"$always{number}"] = entries(image.always)
    tables = []
    for name, found, keys in image.tables:
        table = {key: entries(each) for key, each in found.items()}
        names[name] = table.get
        tables.append(TableCode(table, tuple(emitted[code] for code in keys)))
    return Group(emitted[image.probe], always, tuple(tables), image.reflexive, image.timed)
