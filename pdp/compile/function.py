"""What a program runs: one decision function for each action and resource type, and the rules that it finds.

A decision function looks its index up, runs what may apply, and gives what is true and what has erred. Whatever leaves
the plain path is settled by the interpreter, on the rule as it was checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pdp.compile import horizon as horizons
from pdp.compile.reads import Reads
from pdp.language import semantics, wire
from pdp.language.core import Expr, Rule
from pdp.language.schema import Schema
from pdp.language.semantics import EvaluationError
from pdp.language.types import Type
from pdp.model.decision import Grant, Obligation, Refusal, RuleError
from pdp.model.frame import Frame
from pdp.model.value import Missing, Unsettled

Emitted = Callable[..., Any]
"""An emitted function, of (f, s, r, S, R, C, m); see `emit`."""


class DutyCode(NamedTuple):
    name: str
    binding: bool
    arguments: tuple[tuple[str, Type, Emitted], ...]


class Effects(NamedTuple):
    """What a permit or mask gives when it applies, as far as it must be computed."""

    fields: frozenset[str] | None  # written pointers of the release or mask
    computed: tuple[Emitted, ...]
    limited: Emitted | None  # the condition of the release; None: it has none
    duties: tuple[DutyCode, ...]


class CompiledRule:
    """One rule in the settings that share its code. Everything that can be made before is made."""

    __slots__ = (
        "_clock",
        "_effects",
        "_number",
        "_world",
        "effect",
        "grant",
        "id",
        "refusal",
        "refusal_erred",
        "timed",
    )

    def __init__(
        self, number: int, identifier: str, effect: str, refusal: Refusal | None, effects: Effects | None, world: World
    ) -> None:
        self.id = identifier
        self.effect = effect
        self.grant = _made_before(identifier, effects) if effect == "permit" else None
        self.refusal = refusal
        self.refusal_erred = None if refusal is None else erred(refusal)
        self.timed = False
        self._clock: horizons.Clock | None = None
        self._number = number
        self._effects = effects
        self._world = world

    def __repr__(self) -> str:
        return f"<{self.effect} {self.id}>"

    @property
    def rule(self) -> Rule:
        return self._world.rules[self._number]

    @property
    def clock(self) -> horizons.Clock:
        """Where the rule reads the clock, looked up when first asked for."""
        if self._clock is None:
            self._clock = horizons.Clock(self.rule)
        return self._clock

    def settle(self, frame: Frame) -> bool:
        """The condition, by the interpreter. Raises EvaluationError."""
        answer = semantics.evaluate(self.rule.condition, frame, self._world.schema.codes)
        assert answer is True or answer is False
        return answer

    def contribution(self, frame: Frame) -> Grant:
        """What a permit that applies gives. Raises EvaluationError: then it cannot be evaluated."""
        effects = self._effects
        if self.grant is not None or effects is None:
            return self.grant or Grant(self.id)
        given = arguments(frame)
        fields = None
        errors: list[RuleError] = []
        if effects.fields is not None and self._restricts(frame, given, errors):
            fields = self._pointers(frame, given)
        obligations = tuple(
            Obligation(duty.name, self._arguments(place, duty, frame, given), self.id, duty.binding)
            for place, duty in enumerate(effects.duties)
        )
        return Grant(self.id, fields, obligations, tuple(errors))

    def masked(self, frame: Frame) -> frozenset[str]:
        """The fields that a mask covers. Raises EvaluationError."""
        return self._pointers(frame, arguments(frame))

    def _restricts(self, frame: Frame, given: tuple[Any, ...], errors: list[RuleError]) -> bool:
        """A release condition that errs restricts (SEMANTICS 18) and goes on record: only False releases all."""
        assert self._effects is not None
        if self._effects.limited is None:
            return True
        release = self.rule.release
        assert release is not None
        assert release.condition is not None
        try:
            return self._value(self._effects.limited, release.condition, frame, given) is not False
        except EvaluationError as error:
            errors.append(RuleError(self.id, error.code, error.message, error.span.where))
            return True

    def _pointers(self, frame: Frame, given: tuple[Any, ...]) -> frozenset[str]:
        assert self._effects is not None
        written = self._effects.fields or frozenset()
        if not self._effects.computed:
            return written
        try:
            found = written.union(*[emitted(*given) for emitted in self._effects.computed])
            if all(is_pointer(each) for each in found):
                return found
        except Unsettled:
            pass
        rule = self.rule
        fields = rule.fields if rule.release is None else rule.release.fields
        assert fields is not None
        return semantics.pointers(fields, frame, self._world.schema.codes)

    def _arguments(
        self, place: int, duty: DutyCode, frame: Frame, given: tuple[Any, ...]
    ) -> tuple[tuple[str, Any], ...]:
        found = []
        for number, (name, type, emitted) in enumerate(duty.arguments):
            value = self._value(emitted, (place, number), frame, given)
            found.append((name, wire.plain(value, type, self._world.schema)))
        return tuple(found)

    def _value(self, emitted: Emitted, expr: Expr | tuple[int, int], frame: Frame, given: tuple[Any, ...]) -> Any:
        """`expr` tells which expression to interpret: itself, or (duty, argument)."""
        try:
            value = emitted(*given)
            if value.__class__ is not Missing:
                return value
        except Unsettled:
            pass
        if isinstance(expr, tuple):
            expr = self.rule.duties[expr[0]].arguments[expr[1]][1]
        return semantics.evaluate(expr, frame, self._world.schema.codes)


def _made_before(rule: str, effects: Effects | None) -> Grant | None:
    """The grant of a permit that gives the same whatever the frame; None where something must be computed."""
    if effects is None:
        return Grant(rule)
    if effects.computed or effects.limited is not None or any(duty.arguments for duty in effects.duties):
        return None
    return Grant(rule, effects.fields, tuple(Obligation(each.name, (), rule, each.binding) for each in effects.duties))


def erred(refusal: Refusal) -> Refusal:
    return Refusal(refusal.rule, True, refusal.because, refusal.exception, refusal.cures, refusal.overridable_by)


def is_pointer(text: str) -> bool:
    """A JSON pointer to a field: it begins with a slash, and each tilde is `~0` or `~1`."""
    return text.startswith("/") and all(part[:1] in ("0", "1") for part in text.split("~")[1:])


class World:
    """What the rules of one program share. `rules`: by number; after a load they are unpickled when asked for."""

    __slots__ = ("rules", "schema")

    def __init__(self, schema: Schema, rules: Sequence[Rule]) -> None:
        self.schema = schema
        self.rules = rules


Entry = tuple[Emitted | None, CompiledRule]
"""None: nothing is left to test once the index has found the rule."""


class TableCode(NamedTuple):
    entries: dict[Any, tuple[Entry, ...]]
    keys: tuple[Emitted, ...]  # one for each path


class Group:
    """The index of one decision function for the subject types that share it."""

    __slots__ = ("always", "probe", "reflexive", "rules", "tables", "timed")

    def __init__(
        self, probe: Emitted, always: tuple[Entry, ...], tables: tuple[TableCode, ...], reflexive: bool, timed: bool
    ) -> None:
        self.probe = probe
        self.always = always
        self.tables = tables
        self.reflexive = reflexive  # subject and resource can be the one entity
        self.timed = timed

    def unsettled(self, given: tuple[Any, ...]) -> tuple[list[Sequence[Entry]], list[CompiledRule]]:
        """Where some key has no value: (what the whole keys find, all rules that the other keys could find)."""
        found: list[Sequence[Entry]] = [self.always]
        possible: dict[CompiledRule, None] = {}
        for table in self.tables:
            key = [_key(emitted, given) for emitted in table.keys]
            if _NOTHING not in key:
                found.append(table.entries.get(key[0] if len(key) == 1 else tuple(key), ()))
                continue
            for values, entries in table.entries.items():
                parts = (values,) if len(key) == 1 else values
                if all(known is _NOTHING or known == part for known, part in zip(key, parts, strict=True)):
                    possible.update((rule, None) for _, rule in entries)
        return found, list(possible)


class _Nothing:
    pass


_NOTHING: Final = _Nothing()


def _key(emitted: Emitted, given: tuple[Any, ...]) -> Any:
    try:
        key = emitted(*given)
        hash(key)
    except Unsettled:
        return _NOTHING
    return key


def arguments(frame: Frame) -> tuple[Any, ...]:
    """The arguments of an emitted function. If subject and resource are one entity, the subject's row speaks."""
    resource_row = frame.subject_row if frame.resource == frame.subject else frame.resource_row
    return (frame, frame.subject, frame.resource, frame.subject_row, resource_row, frame.context_row, {})


Satisfied = list[CompiledRule]
Erred = list[tuple[CompiledRule, EvaluationError]]


class DecisionFunction:
    """All rules about one action on one resource type."""

    __slots__ = ("_groups", "_world", "action", "reads", "resource_type", "subjects", "timed")

    def __init__(
        self, action: str, resource_type: str, groups: Mapping[str, Group], reads: Reads, world: World
    ) -> None:
        self.action = action
        self.resource_type = resource_type
        self.subjects = frozenset(groups)
        self.reads = reads
        self.timed = any(group.timed for group in groups.values())
        self._groups = dict(groups)
        self._world = world

    def evaluate(self, frame: Frame) -> tuple[Satisfied, Erred]:
        """(satisfied, erred), of all effects but emergency. A subject of no declared type satisfies nothing."""
        s = frame.subject
        group = self._groups.get(s.partition("::")[0])
        satisfied: Satisfied = []
        erred: Erred = []
        if group is None:
            return satisfied, erred
        r = frame.resource
        S = frame.subject_row
        R = S if group.reflexive and r == s else frame.resource_row
        C = frame.context_row
        m: dict[int, Any] = {}
        found: Sequence[Sequence[Entry]]
        try:
            found = group.probe(frame, s, r, S, R, C, m)
        except Unsettled:
            found, possible = group.unsettled((frame, s, r, S, R, C, m))
            for rule in possible:
                _settle(rule, frame, satisfied, erred)
        for entries in found:
            for emitted, rule in entries:
                if emitted is None:
                    satisfied.append(rule)
                    continue
                try:
                    answer = emitted(frame, s, r, S, R, C, m)
                except Unsettled:
                    _settle(rule, frame, satisfied, erred)
                    continue
                if answer is True:
                    satisfied.append(rule)
                elif answer is not False:
                    _settle(rule, frame, satisfied, erred)
        return satisfied, erred

    def candidates(self, frame: Frame) -> list[CompiledRule]:
        """The rules that can apply, whatever the time."""
        group = self._groups.get(frame.subject.partition("::")[0])
        if group is None:
            return []
        given = arguments(frame)
        found, possible = group.unsettled(given)
        return [*(rule for entries in found for _, rule in entries), *possible]

    def horizon(self, frame: Frame) -> int:
        """The first instant after now at which time alone could change the answer; now itself if none is known."""
        if not self.timed:
            return horizons.FOREVER
        clocks = (each.clock for each in self.candidates(frame) if each.timed)
        return horizons.of_rules(clocks, frame, self._world.schema.codes)

    def all_known(self, frame: Frame) -> bool:
        """Is no member of the read set unknown (SEMANTICS 23)?"""
        return self.reads.all_known(frame)


def _settle(rule: CompiledRule, frame: Frame, satisfied: Satisfied, erred: Erred) -> None:
    try:
        if rule.settle(frame):
            satisfied.append(rule)
    except EvaluationError as error:
        # What is kept of an error is its code, message and span: frames of Python would keep the world alive.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        erred.append((rule, error))
