"""What checks and is probably not meant: findings that do not stop a policy set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import core
from pdp.language.declarations import World
from pdp.language.expand import walk
from pdp.language.schema import Attribute
from pdp.language.types import EntityType
from pdp.model.value import Code

MAX_BESIDE: Final = 50
"""How many permits that release all are looked at for each pair: a hint must not cost the square of the rules."""


class Lint:
    def __init__(self, world: World, every: set[str]) -> None:
        self.world = world
        self.schema = world.schema
        self.findings = world.findings
        self._pins: dict[str, dict[core.Expr | str, frozenset[object]]] = {}
        self.every = every  # ids of the rules that have an `all`

    def check(self, rules: Sequence[core.Rule], *, notes: bool) -> None:
        for rule in rules:
            self._unreachable(rule)
            if rule.effect in ("forbid", "mask"):
                self._dodge(rule)
                if notes:
                    self._rests_on_identity(rule)
            if rule.effect == "permit" and rule.id in self.every:
                self._empty(rule)
            if rule.effect == "emergency":
                hint = "it is parsed and checked, and opens nothing in this version"
                self.findings.warning("emergency-grants-nothing", rule.header, f"`{rule.id}` grants nothing yet", hint)
            if notes and not rule.citations:
                hint = 'write `cites "45 CFR 164..."`'
                self.findings.note("rule-without-citation", rule.header, f"`{rule.id}` cites no source", hint)
        self._kinds(rules)
        self._releases(rules)
        self._unused()

    # Rules that can never apply

    def _unreachable(self, rule: core.Rule) -> None:
        if _never(rule.condition):
            hint = "something in it is false in every request"
            self.findings.warning("unreachable-rule", rule.condition.span, f"`{rule.id}` can never apply", hint)
            return
        clash = _clash(rule.condition)
        if clash is not None:
            hint = "one value cannot be equal to both: write `in {.., ..}`"
            self.findings.warning("unreachable-rule", clash, f"`{rule.id}` can never apply", hint)

    # What the caller decides (SEMANTICS 5)

    def _dodge(self, rule: core.Rule) -> None:
        told: set[str] = set()
        for node in walk(rule.condition):
            attribute = self._read(node, rule)
            if attribute is None or attribute.place != "caller" or attribute.name in told:
                continue
            told.add(attribute.name)
            verb = "leave out or choose" if attribute.optional else "choose"
            message = f"whether `{rule.id}` applies rests on `{attribute.name}`, which the caller may {verb}"
            hint = "take it `from` a place that the caller does not control, if the rule must hold against its will"
            self.findings.warning("caller-can-dodge", node.span, message, hint)

    def _rests_on_identity(self, rule: core.Rule) -> None:
        """Types and identifiers are the caller's to choose too, where nobody has proven them."""
        for node in walk(rule.condition):
            match node:
                case core.Is(target=core.Variable(name="subject" | "resource" as name)):
                    what = f"the type of the {name}"
                case core.Operation("id" | "type_name", (core.Variable(name="subject" | "resource" as name),)):
                    what = f"what the {name} is called"
                case core.Operation("equal" | "not_equal" | "in_entity", (left, right)) if named := _named(left, right):
                    what = f"who the {named} is"
                case _:
                    continue
            message = f"whether `{rule.id}` applies rests on {what}"
            hint = "whoever asks says it: it holds as far as the door proves it"
            self.findings.note("rests-on-identity", node.span, message, hint)

    def _read(self, node: core.Expr, rule: core.Rule) -> Attribute | None:
        """The attribute that a node reads, of the context, the action or an entity."""
        if not isinstance(node, core.Select | core.Has):
            return None
        target = node.target
        if isinstance(target, core.Variable) and target.name == "context":
            return self.schema.context.get(node.name)
        if isinstance(target, core.Variable) and target.name == "action":
            return next((self.schema.actions[pair].attributes.get(node.name) for pair in sorted(rule.pairs)), None)
        if isinstance(target.type, EntityType):
            held = (self.schema.entities[name].attributes[node.name] for name, _ in node.slots)
            return next((each for each in held if each.place == "caller"), None)
        return None

    # `all` over nothing is true (SEMANTICS 16)

    def _empty(self, rule: core.Rule) -> None:
        for node, held in _positive(rule.condition, ()):
            if isinstance(node, core.Quantifier) and node.every and not _asks_for_some(node.collection, held):
                message = f"`all` is true of an empty collection, so `{rule.id}` permits where there is nothing to test"
                hint = "if that is not meant, add `size(..) > 0 and`"
                self.findings.warning("all-over-empty", node.span, message, hint)

    # Rules beside each other

    def _kinds(self, rules: Sequence[core.Rule]) -> None:
        """A forbid on some of the types of a kind may have forgotten the others (SEMANTICS 13)."""
        known: dict[frozenset[tuple[str, str]], tuple[str, str] | None] = {}
        for rule in rules:
            if rule.effect != "forbid":
                continue
            if rule.pairs not in known:
                known[rule.pairs] = self._partly(rule.pairs)
            found = known[rule.pairs]
            if found is not None:
                message = f"`{rule.id}` covers a part of the kind `{found[0]}`: it does not speak about `{found[1]}`"
                hint = f"write `on {found[0]}`, if the others are meant too"
                self.findings.warning("kind-partly-covered", rule.header, message, hint)

    def _partly(self, pairs: frozenset[tuple[str, str]]) -> tuple[str, str] | None:
        actions: dict[str, set[str]] = {}
        for action, type in pairs:
            actions.setdefault(type, set()).add(action)
        for kind, members in sorted(self.schema.kinds.items()):
            spoken = {action for type in members for action in actions.get(type, ())}
            for type in sorted(members):
                if any((action, type) in self.schema.actions and (action, type) not in pairs for action in spoken):
                    return kind, type
        return None

    def _releases(self, rules: Sequence[core.Rule]) -> None:
        """A permit that releases all on the same pair makes `release only` say nothing there (SEMANTICS 18)."""
        whole: dict[tuple[str, str], list[core.Rule]] = {}
        for rule in rules:
            if rule.effect == "permit" and rule.release is None:
                for pair in rule.pairs:
                    if len(beside := whole.setdefault(pair, [])) < MAX_BESIDE:
                        beside.append(rule)
        for rule in rules:
            if rule.effect != "permit" or rule.release is None:
                continue
            found = self._wider(rule, whole)
            if found is not None:
                (action, type), other = found
                message = f"`{other.id}` releases all fields on {action} of {type}, and releases add up"
                hint = "where both apply, `release only` limits nothing; a `mask` would"
                self.findings.warning("release-overlap", rule.release.span, message, hint)

    def _wider(
        self, rule: core.Rule, whole: dict[tuple[str, str], list[core.Rule]]
    ) -> tuple[tuple[str, str], core.Rule] | None:
        """A permit that releases all and may apply together with this one."""
        pins = self._pins_of(rule)
        for pair in sorted(rule.pairs):
            for other in whole.get(pair, ()):
                others = self._pins_of(other)
                if all(pins[each] & others[each] for each in pins.keys() & others.keys()):
                    return pair, other
        return None

    def _pins_of(self, rule: core.Rule) -> dict[core.Expr | str, frozenset[object]]:
        if rule.id not in self._pins:
            self._pins[rule.id] = self._pinned(rule.condition)
        return self._pins[rule.id]

    def _pinned(self, condition: core.Expr) -> dict[core.Expr | str, frozenset[object]]:
        """What the condition, an `and`, holds things to: the values they may have. A type is held by variable name."""
        closures = self.schema.codes.closures
        pins: dict[core.Expr | str, frozenset[object]] = {}
        for item in condition.items if isinstance(condition, core.And) else (condition,):
            match item:
                case core.Is(core.Variable(name), names):
                    key: core.Expr | str = name
                    values: frozenset[object] = names
                case core.Operation("equal", (core.Select() as key, core.Literal(value))):
                    values = frozenset({value})
                case core.Operation("in_code", (core.Select() as key, core.Literal(value))):
                    values = frozenset(closures[Code(str(value))])
                case core.Operation("in_collection", (core.Select() as key, core.Literal(frozenset() as values))):
                    pass
                case core.Operation("code_in_collection", (core.Select() as key, core.Literal(frozenset() as codes))):
                    values = frozenset().union(*(closures[Code(str(code))] for code in codes))
                case _:
                    continue
            pins[key] = pins[key] & values if key in pins else values
        return pins

    def _unused(self) -> None:
        """Names of a module that others `use`, or that stands in a lower layer, are offers and need no taker."""
        offers = frozenset().union(*(home.visible - {home.module} for home in self.world.names.homes))
        for each in self.world.names.of_sort("define", "fixture", "fields"):
            offered = each.home.module in offers or (each.home.module and each.home.layer != "service")
            if each.name.text not in self.world.names.used and not offered:
                message = f"`{each.name.text}` is used nowhere"
                self.findings.warning("unused-name", each.name.span, message, "take it out, or use it")


def _never(condition: core.Expr) -> bool:
    match condition:
        case core.Literal(value):
            return value is False
        case core.And(items):
            return any(map(_never, items))
        case core.Or(items):
            return all(map(_never, items))
        case core.Not(core.Literal(value)):
            return value is True
        case _:
            return False


def _clash(condition: core.Expr) -> Span | None:
    """Where an `and` wants one value to be equal to two different literals."""
    if not isinstance(condition, core.And):
        return None
    wanted: dict[core.Expr, core.Literal] = {}
    for item in condition.items:
        if not isinstance(item, core.Operation) or item.operator != "equal":
            continue
        left, right = item.arguments
        if isinstance(left, core.Literal):
            left, right = right, left
        if isinstance(left, core.Literal) or not isinstance(right, core.Literal):
            continue
        if wanted.setdefault(left, right).value != right.value:
            return item.span
    return None


def _positive(node: core.Expr, held: tuple[core.Expr, ...]) -> Iterator[tuple[core.Expr, tuple[core.Expr, ...]]]:
    """The parts whose truth helps the whole to be true, each with what must be true beside it."""
    yield node, held
    match node:
        case core.And(items):
            for item in items:
                yield from _positive(item, (*held, *items))
        case core.Or(items):
            for item in items:
                yield from _positive(item, held)
        case core.If(condition, then, otherwise):
            yield from _positive(then, (*held, condition))
            yield from _positive(otherwise, held)
        case core.Quantifier(_, _, _, body):
            yield from _positive(body, held)
        case _:
            return


def _asks_for_some(collection: core.Expr, held: Sequence[core.Expr]) -> bool:
    """Does something beside it speak of the collection in a way that an empty one would (probably) not meet?"""
    for each in held:
        match each:
            case core.Quantifier(False, _, other):
                if other == collection:
                    return True
            case core.Operation(_, arguments):
                if any(collection in (part, *_inside(part)) for part in arguments):
                    return True
            case core.Not(core.Operation(_, arguments)):
                if any(collection in (part, *_inside(part)) for part in arguments):
                    return True
            case _:
                pass
    return False


def _inside(node: core.Expr) -> tuple[core.Expr, ...]:
    return node.arguments if isinstance(node, core.Operation) else ()


def _named(left: core.Expr, right: core.Expr) -> str:
    """`subject` or `resource`, where one side of a comparison is that and the other is written down."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, core.Variable) and one.name in ("subject", "resource") and isinstance(other, core.Literal):
            return one.name
    return ""
