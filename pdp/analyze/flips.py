"""Counterfactuals: the single conditions whose flip alone would change the answer.

A condition is an atom, or a whole `any`/`all`, that speaks about the request; equal ones are one condition, wherever
they stand. It is flipped by putting a constant in its place, in every rule at once, and deciding again by the
interpreter. No world may exist in which that one alone is different: it is a hint where to look, not a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pdp.analyze import words
from pdp.analyze.reference import Outcome, outcome, result
from pdp.analyze.tree import Truth, atoms, is_closed, literal, rewrite, truth_of
from pdp.language import core
from pdp.language.schema import Schema
from pdp.model.decision import Decision, Effect, PolicyResult, Reason
from pdp.model.frame import Frame


@dataclass(frozen=True, slots=True)
class Flip:
    """If `text` were `becomes` instead of `now`, the answer would be `effect`. `rules`: those that ask it."""

    text: str
    where: str
    rules: tuple[str, ...]
    now: Truth
    becomes: Truth
    effect: Effect
    reason: Reason


def flips(
    outcomes: Sequence[Outcome], frame: Frame, schema: Schema, decided: Callable[[PolicyResult], Decision]
) -> tuple[Flip, ...]:
    """Every flip that changes the effect, in the order of rules and text."""
    effect = decided(result(outcomes)).effect
    found: list[Flip] = []
    for condition, asking in _conditions(outcomes).items():
        now, _ = truth_of(condition, frame, schema.codes)
        for becomes in (Truth.TRUE, Truth.FALSE):
            if becomes is now:
                continue
            flipped = _flipped(outcomes, asking, condition, becomes is Truth.TRUE, frame, schema)
            answer = decided(result(flipped)) if flipped is not None else None
            if answer is not None and answer.effect is not effect:
                text = words.expression(condition, schema)
                found.append(Flip(text, condition.span.where, asking, now, becomes, answer.effect, answer.reason))
    return tuple(found)


def _conditions(outcomes: Sequence[Outcome]) -> dict[core.Expr, tuple[str, ...]]:
    """Each condition that could be flipped, and the ids of the rules that ask it."""
    asking: dict[core.Expr, dict[str, None]] = {}
    for each in outcomes:
        for condition in _flippable(each.rule.condition):
            asking.setdefault(condition, {})[each.rule.id] = None
    return {condition: tuple(rules) for condition, rules in asking.items()}


def _flippable(condition: core.Expr) -> Iterator[core.Expr]:
    yield from (atom for _, atom in atoms(condition) if is_closed(atom))
    yield from (each for each in _quantifiers(condition) if is_closed(each))


def _quantifiers(expr: core.Expr) -> Iterator[core.Quantifier]:
    if isinstance(expr, core.Quantifier):
        yield expr
    for part in core.children(expr):
        yield from _quantifiers(part)


def _flipped(
    outcomes: Sequence[Outcome],
    asking: tuple[str, ...],
    condition: core.Expr,
    value: bool,
    frame: Frame,
    schema: Schema,
) -> list[Outcome] | None:
    """What the rules would say; None where no rule would say anything else."""

    def flip(expr: core.Expr) -> core.Expr | None:
        return literal(value, expr) if expr == condition else None

    changed: dict[str, Outcome] = {}
    for each in outcomes:
        if each.rule.id in asking:
            other = outcome(each.rule, frame, schema, rewrite(each.rule.condition, flip))
            if other.truth is not each.truth:
                changed[each.rule.id] = other
    return [changed.get(each.rule.id, each) for each in outcomes] if changed else None
