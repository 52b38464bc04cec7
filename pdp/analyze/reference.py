"""The answer by the interpreter alone: what each rule says of one frame, without compiler, index or cache.

It is the second opinion of `pdp test` (both must agree on every test) and what `explain` flips conditions on. How
rules combine is not decided here: that table is `pdp.decide.combine`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdp.analyze.tree import Truth, truth_of
from pdp.language import core, wire
from pdp.language.schema import Schema
from pdp.language.semantics import EvaluationError, evaluate, pointers
from pdp.model.decision import Grant, Obligation, PolicyResult, Refusal, RuleError
from pdp.model.frame import Frame


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule says. `truth` is its condition's; one of grant, refusal, masked and void is set where it applies.

    `errors`: of the condition, and of what a permit or mask that applies would contribute.
    """

    rule: core.Rule
    truth: Truth
    errors: tuple[EvaluationError, ...] = ()
    grant: Grant | None = None
    refusal: Refusal | None = None
    masked: frozenset[str] | None = None
    void: bool = False  # a mask that applies, but whose field set could not be evaluated

    @property
    def settled(self) -> bool:
        """Did the rule say what it says without an error?"""
        return not self.errors


def rules_for(policies: core.PolicySet, action: str, resource_type: str) -> list[core.Rule]:
    """The rules that speak about this pair, by id. Emergency rules are left out: they grant nothing yet."""
    pair = (action, resource_type)
    return [rule for rule in policies.rules if pair in rule.pairs and rule.effect != "emergency"]


def outcome(rule: core.Rule, frame: Frame, schema: Schema, condition: core.Expr | None = None) -> Outcome:
    """What the rule says; with `condition`, what it would say if that were its condition."""
    truth, error = truth_of(rule.condition if condition is None else condition, frame, schema.codes)
    errors = () if error is None else (error,)
    match rule.effect, truth:
        case "permit", Truth.TRUE:
            return _permit(rule, frame, schema)
        case "forbid", (Truth.TRUE | Truth.ERROR):
            return Outcome(rule, truth, errors, refusal=_refusal(rule, truth is Truth.ERROR))
        case "mask", (Truth.TRUE | Truth.ERROR):
            return _mask(rule, truth, errors, frame, schema)
        case _:
            return Outcome(rule, truth, errors)


def _permit(rule: core.Rule, frame: Frame, schema: Schema) -> Outcome:
    try:
        return Outcome(rule, Truth.TRUE, grant=_grant(rule, frame, schema))
    except EvaluationError as error:
        return Outcome(rule, Truth.TRUE, (error,))


def _grant(rule: core.Rule, frame: Frame, schema: Schema) -> Grant:
    """What the permit releases, and its duties. An erring release condition restricts, and is recorded."""
    limited, recorded = rule.release is not None, tuple[RuleError, ...]()
    if rule.release is not None and rule.release.condition is not None:
        truth, error = truth_of(rule.release.condition, frame, schema.codes)
        limited = truth is not Truth.FALSE
        recorded = () if error is None else (_recorded(rule.id, error),)
    released = pointers(rule.release.fields, frame, schema.codes) if rule.release is not None and limited else None
    return Grant(rule.id, released, _duties(rule, frame, schema), recorded)


def _duties(rule: core.Rule, frame: Frame, schema: Schema) -> tuple[Obligation, ...]:
    return tuple(Obligation(duty.name, _arguments(duty, frame, schema), rule.id, duty.binding) for duty in rule.duties)


def _arguments(duty: core.Duty, frame: Frame, schema: Schema) -> tuple[tuple[str, object], ...]:
    return tuple(
        (name, wire.plain(evaluate(expr, frame, schema.codes), expr.type, schema)) for name, expr in duty.arguments
    )


def _refusal(rule: core.Rule, erred: bool) -> Refusal:
    return Refusal(rule.id, erred, rule.because, rule.exception, rule.cures, rule.overridable_by)


def _mask(rule: core.Rule, truth: Truth, errors: tuple[EvaluationError, ...], frame: Frame, schema: Schema) -> Outcome:
    assert rule.fields is not None
    try:
        return Outcome(rule, truth, errors, masked=pointers(rule.fields, frame, schema.codes))
    except EvaluationError as error:
        return Outcome(rule, truth, (*errors, error), void=True)


def result(outcomes: Iterable[Outcome]) -> PolicyResult:
    """What the rules say together, before the profile: everything sorted by rule id (SEMANTICS 17)."""
    by_id = sorted(outcomes, key=lambda each: each.rule.id)
    errors = [_recorded(each.rule.id, error) for each in by_id for error in each.errors]
    errors += [error for each in by_id if each.grant is not None for error in each.grant.errors]
    return PolicyResult(
        grants=tuple(each.grant for each in by_id if each.grant is not None),
        refusals=tuple(each.refusal for each in by_id if each.refusal is not None),
        masks=tuple((each.rule.id, each.masked) for each in by_id if each.masked is not None),
        void_masks=tuple(each.rule.id for each in by_id if each.void),
        errors=tuple(sorted(errors, key=lambda error: (error.rule, error.where, error.code))),
        permit_erred=any(each.errors and each.rule.effect == "permit" for each in by_id),
    )


def _recorded(rule: str, error: EvaluationError) -> RuleError:
    return RuleError(rule, error.code, error.message, error.span.where)
