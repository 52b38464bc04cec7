"""Rules and invariants: which pairs they speak about, their conditions, and the clauses that fit their effect."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from pdp.diagnostics.source import Span
from pdp.language import ast, core
from pdp.language.declarations import World, written_fields
from pdp.language.expected import CURES, EXCEPTIONS
from pdp.language.expressions import Expressions
from pdp.language.findings import near, place
from pdp.language.literals import pointer_problem
from pdp.language.names import ACTIONS, Home
from pdp.language.narrowing import both
from pdp.language.schema import Attribute, record
from pdp.language.scope import Binding, Scope, Work
from pdp.language.types import BOOL, INSTANT, RECOVERY, TEXT, EntityType, RecordField, SetType

Pairs = frozenset[tuple[str, str]]

_GRANTING: Final = frozenset({"permit", "emergency"})
# Which effects a clause fits; the others fit all.
_CLAUSES: Final[Mapping[str, frozenset[str]]] = {
    "release only": _GRANTING,
    "require": _GRANTING,
    "advise": _GRANTING,
    "because": frozenset({"forbid"}),
    "exception": frozenset({"forbid"}),
    "cure": frozenset({"forbid"}),
    "overridable by": frozenset({"forbid"}),
}


class Rules:
    def __init__(self, world: World, expressions: Expressions) -> None:
        self.world = world
        self.schema = world.schema
        self.findings = world.findings
        self.expressions = expressions
        self.ids: dict[str, tuple[str, Span]] = {}  # of every written id: effect and span
        self.every: set[str] = set()  # ids of rules with an `all` in their condition
        self._taken: set[str] = set()
        self._pairs: dict[tuple[object, ...], Pairs] = {}
        self._variables: dict[Pairs, Mapping[str, Binding]] = {}
        self._by_action: dict[str, set[tuple[str, str]]] = {}
        self._by_type: dict[str, set[tuple[str, str]]] = {}
        for action, type in self.schema.actions:
            self._by_action.setdefault(action, set()).add((action, type))
            self._by_type.setdefault(type, set()).add((action, type))

    def check(self) -> list[core.Rule]:
        written = [(home, node) for home, node in self.world.names.declarations if isinstance(node, ast.RuleDecl)]
        for _, node in written:
            if node.id is not None:
                self._claim(node.id, node.effect)
        return [self._rule(node, home) for home, node in written]

    def _claim(self, id: ast.Name, effect: str) -> None:
        there = self.ids.setdefault(id.text, (effect, id.span))
        if there[1] is not id.span:
            hint = f"the other rule is at {place(there[1])}"
            self.findings.error("duplicate-rule-id", id.span, f"there is a rule `{id.text}` already", hint)

    # What a rule speaks about

    def pairs(
        self, actions: Sequence[ast.Name] | None, types: Sequence[ast.Name] | None, home: Home, span: Span
    ) -> Pairs:
        """The declared pairs of the named actions and types; none, and reported, if there are none."""
        key = (
            home,
            None if actions is None else tuple([each.text for each in actions]),
            None if types is None else tuple([each.text for each in types]),
        )
        found = self._pairs.get(key)
        if found is None:
            found = self._paired(actions, types, home, span)
            if found:
                self._pairs[key] = found
        return found

    def _paired(
        self, actions: Sequence[ast.Name] | None, types: Sequence[ast.Name] | None, home: Home, span: Span
    ) -> Pairs:
        named = None if actions is None else [self.actions(each, home) for each in actions]
        on = None if types is None else [self.world.types.entities(each, home) for each in types]
        if not all(each for group in (named, on) if group is not None for each in group):
            return frozenset()  # Reported already.
        pairs = set(self.schema.actions)
        if named is not None:
            pairs = set().union(*(self._by_action.get(each, ()) for group in named for each in group))
        if on is not None:
            pairs &= set().union(*(self._by_type.get(each, ()) for group in on for each in group))
        if not pairs:
            hint = "declare it: `action name on Type`" if self.schema.actions else "no action is declared at all"
            message = "this rule speaks about no declared pair of action and type"
            self.findings.error("unknown-rule-pair", span, message, hint)
        return frozenset(pairs)

    def actions(self, name: ast.Name, home: Home) -> frozenset[str]:
        found = self.world.names.find(name, home, ACTIONS)
        if found is None:
            return frozenset()
        return self.schema.groups[name.text] if found.sort == "action group" else frozenset({name.text})

    def scope(self, pairs: Pairs, home: Home) -> Scope:
        variables = self._variables.get(pairs)
        if variables is None:
            variables = self._variables[pairs] = self._bound(pairs)
        return Scope(home, variables, Work())

    def _bound(self, pairs: Pairs) -> Mapping[str, Binding]:
        declared = [self.schema.actions[pair] for pair in pairs]
        subjects = EntityType(frozenset().union(*(each.subjects for each in declared)))
        shared, partly = _shared([each.attributes for each in declared])
        return {
            "subject": Binding("subject", subjects if subjects.names else RECOVERY),
            "resource": Binding("resource", EntityType(frozenset(type for _, type in pairs))),
            "action": Binding("action", record(dict(shared)), shared, partly),
            "context": Binding("context", self.schema.context_type(), self.schema.context),
            "now": Binding("now", INSTANT),
        }

    # Rules

    def _rule(self, node: ast.RuleDecl, home: Home) -> core.Rule:
        self._clauses(node)
        pairs = self.pairs(node.actions, node.types, home, node.header)
        id = node.id.text if node.id is not None else self._derived(node)
        condition, scope = self._condition(node, pairs, home)
        release = self._release(node.releases[0], scope) if node.releases else None
        if scope.work.every:
            self.every.add(id)
        return core.Rule(
            id,
            node.effect,
            pairs,
            condition,
            node.span,
            node.header,
            node.sentence.value if node.sentence else "",
            tuple([each.value for each in node.citations]),
            node.owner.value if node.owner else "",
            home.module,
            release,
            tuple([self._duty(each, scope) for each in node.duties]),
            self._fields(node.fields, scope) if node.effect == "mask" else None,
            node.because.value if node.because else "",
            self._word(node.exception, EXCEPTIONS, "information-blocking exception") if node.exception else "",
            tuple([self._word(each, CURES, "cure") for each in node.cures]),
            tuple(sorted({self._overrider(each) for each in node.overridable_by})),
        )

    def _clauses(self, node: ast.RuleDecl) -> None:
        """Refuse clauses that do not fit the effect, and second ones of a kind."""
        written: list[tuple[str, Span]] = []
        if node.releases:
            written.append(("release only", node.releases[0].span))
        written.extend(("require" if duty.binding else "advise", duty.span) for duty in node.duties)
        if node.because:
            written.append(("because", node.because.span))
        if node.exception:
            written.append(("exception", node.exception.span))
        if node.cures:
            written.append(("cure", node.cures[0].span))
        if node.overridable_by:
            written.append(("overridable by", node.overridable_by[0].span))
        for clause, span in written:
            if node.effect not in _CLAUSES[clause]:
                message = f"`{clause}` does not fit a {node.effect}"
                hint = f"it stands on {' and '.join(sorted(_CLAUSES[clause]))} rules"
                self.findings.error("clause-not-allowed", span, message, hint)
        self._once("when", [each.span for each in node.whens], "join the conditions with `and`")
        self._once("unless", [each.span for each in node.unlesses], "join the conditions with `or`")
        self._once("release only", [each.span for each in node.releases], "write the fields in one list")

    def _once(self, clause: str, spans: list[Span], hint: str) -> None:
        for span in spans[1:]:
            self.findings.error("duplicate-clause", span, f"a second `{clause}`", hint)

    def _condition(self, node: ast.RuleDecl, pairs: Pairs, home: Home) -> tuple[core.Expr, Scope]:
        """`when` and not `unless`, and the scope in which it holds, for the clauses after it."""
        if not pairs:
            return core.Literal(True, BOOL, node.header), Scope(home, _LOST, Work())
        scope = self.scope(pairs, home)
        if not node.whens and not node.unlesses:
            return core.Literal(True, BOOL, node.header), scope
        conditions: list[core.Expr] = []
        true = scope.facts
        if node.whens:
            found, true, _ = self.expressions.condition(node.whens[0], scope)
            conditions.append(found)
        if node.unlesses:
            found, _, false = self.expressions.condition(node.unlesses[0], scope.where(true))
            conditions.append(core.Not(found, node.unlesses[0].span) if found.type is not RECOVERY else found)
            true = both(true, false)
        return self._joined(conditions, node.header), scope.where(true)

    def _joined(self, conditions: list[core.Expr], header: Span) -> core.Expr:
        whole = conditions[0]
        if len(conditions) == 2:
            first, second = sorted((each.span for each in conditions), key=lambda span: span.start)
            items = whole.items if isinstance(whole, core.And) else (whole,)
            lost = next((each for each in conditions if each.type is RECOVERY), None)
            whole = lost or core.And((*items, conditions[1]), first.to(second))
        return self.expressions.bounded(whole, header)

    def _derived(self, node: ast.RuleDecl) -> str:
        """An id that stays while the rule says the same, wherever it stands and however it is laid out."""
        message = f"this {node.effect} has no id"
        hint = "write `as some-name` after the types; logs and tests speak of it"
        self.findings.warning("rule-without-id", node.header, message, hint)
        stem = f"{node.effect}-{hashlib.sha256(_shape(node).encode()).hexdigest()[:8]}"
        id, number = stem, 2
        while id in self.ids or id in self._taken:
            id, number = f"{stem}-{number}", number + 1
        self._taken.add(id)
        return id

    # Clauses

    def _release(self, clause: ast.ReleaseClause, scope: Scope) -> core.Release:
        condition = None
        if clause.condition is not None:
            found = self.expressions.condition(clause.condition, scope)[0]
            condition = self.expressions.bounded(found, clause.condition.span)
        return core.Release(self._fields(clause.items, scope), condition, clause.span)

    def _fields(self, items: Sequence[ast.FieldItem], scope: Scope) -> core.FieldSet:
        written = [each for each in items if not isinstance(each, ast.ComputedFields)]
        pointers = written_fields(written, scope.home, self.world.names, self.findings, self.schema.fields)
        computed = [self._computed(each, scope) for each in items if isinstance(each, ast.ComputedFields)]
        return core.FieldSet(pointers, tuple(computed))

    def _computed(self, item: ast.ComputedFields, scope: Scope) -> core.Expr:
        found = self.expressions.argument(item.expr, scope, SetType(TEXT))
        if isinstance(found, core.Literal) and isinstance(found.value, frozenset):
            for wrong in filter(None, map(pointer_problem, sorted(map(str, found.value)))):
                self.findings.error("invalid-pointer", item.span, *wrong)
        return self.expressions.bounded(found, item.span)

    def _duty(self, clause: ast.DutyClause, scope: Scope) -> core.Duty:
        found = self.world.names.find(clause.name, scope.home, ("obligation",))
        declared = self.schema.obligations.get(clause.name.text) if found else None
        parameters = {each.name: each for each in declared.parameters} if declared else {}
        arguments: dict[str, core.Expr] = {}
        for name, written in clause.arguments:
            if declared is not None and name.text not in parameters:
                message = f"`{clause.name.text}` has no parameter `{name.text}`"
                self.findings.error("wrong-arguments", name.span, message, near(name.text, parameters))
            elif name.text in arguments:
                message = f"`{name.text}` is given twice"
                self.findings.error("wrong-arguments", name.span, message, "take one of them out")
            else:
                parameter = parameters.get(name.text)
                value = self._argument(written, parameter, scope)
                arguments[name.text] = self.expressions.bounded(value, written.span)
        self._complete(clause, parameters, arguments)
        return core.Duty(clause.name.text, tuple(arguments.items()), clause.binding, clause.span)

    def _argument(self, written: ast.Expr, parameter: RecordField | None, scope: Scope) -> core.Expr:
        if parameter is None:
            return self.expressions.value(written, scope)
        return self.expressions.argument(written, scope, parameter.type)

    def _complete(
        self, clause: ast.DutyClause, parameters: Mapping[str, RecordField], given: Mapping[str, core.Expr]
    ) -> None:
        lacking = [name for name, each in parameters.items() if not each.optional and name not in given]
        if lacking:
            message = f"`{clause.name.text}` lacks {', '.join(f'`{name}`' for name in lacking)}"
            hint = ", ".join(map(str, parameters.values()))
            self.findings.error("wrong-arguments", clause.span, message, f"`{clause.name.text}({hint})`")

    def _word(self, name: ast.Name, words: tuple[str, ...], noun: str) -> str:
        if name.text not in words:
            hint = near(name.text, words) or f"there are {', '.join(words)}"
            self.findings.error("unknown-name", name.span, f"there is no {noun} `{name.text}`", hint)
        return name.text

    def _overrider(self, id: ast.Name) -> str:
        effect, span = self.ids.get(id.text, ("", id.span))
        if not effect:
            choices = [name for name, (other, _) in self.ids.items() if other == "emergency"]
            self.findings.error("unknown-rule", id.span, f"there is no rule `{id.text}`", near(id.text, choices))
        elif effect != "emergency":
            message = f"`{id.text}` is a {effect}, not an emergency rule"
            hint = f"it stands at {place(span)}; only emergency rules override a forbid"
            self.findings.error("unknown-rule", id.span, message, hint)
        return id.text

    # Invariants

    def invariants(self) -> list[core.Invariant]:
        found = []
        for home, node in self.world.names.declarations:
            if isinstance(node, ast.InvariantDecl):
                pairs = self.pairs(node.actions, node.types, home, node.title.span)
                condition: core.Expr = core.Literal(True, BOOL, node.title.span)
                if node.condition is not None and pairs:
                    condition = self.expressions.condition(node.condition, self.scope(pairs, home))[0]
                    condition = self.expressions.bounded(condition, node.condition.span)
                found.append(core.Invariant(node.title.value, pairs, condition, node.span))
        return found


# Where the pairs of a rule are not known: nothing said of a request is reported.
_LOST: Final = {
    **{name: Binding(name, RECOVERY) for name in ("subject", "resource", "action", "context")},
    "now": Binding("now", INSTANT),
}


def _shared(declared: Sequence[Mapping[str, Attribute]]) -> tuple[Mapping[str, Attribute], frozenset[str]]:
    """The attributes that all have in one slot with one type, and the names of the others.

    One is optional if any is. A rule reads the action's attributes by slot, so another place would be another value.
    """
    if not declared:
        return {}, frozenset()
    first = declared[0]
    if all(each is first for each in declared):
        return first, frozenset()
    shared: dict[str, Attribute] = {}
    for name, attribute in first.items():
        same = [each[name] for each in declared if name in each]
        if len(same) == len(declared) and len({(each.slot, each.type) for each in same}) == 1:
            shared[name] = next((each for each in same if each.optional), attribute)
    return shared, frozenset(name for each in declared for name in each if name not in shared)


def _shape(tree: object) -> str:
    """What a tree says, without where it says it. Without recursion: a chain of `and` may be long."""
    said: list[str] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            said.append(node.__class__.__name__)
            todo.extend(getattr(node, each.name) for each in reversed(dataclasses.fields(node)) if each.compare)
        elif isinstance(node, tuple):
            said.append(f"({len(node)}")
            todo.extend(reversed(node))
        else:
            said.append(repr(node))
    return " ".join(said)
