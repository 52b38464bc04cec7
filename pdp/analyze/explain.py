"""Why: each rule that speaks about a request, its condition as a tree of truths, and what every atom read.

A pure function of the same inputs as the decision; nothing is printed here. The decision comes from the real engine,
the trees from the interpreter; that both say the same is checked, and said where they do not.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdp.analyze import words
from pdp.analyze.agreement import differences, second_opinion
from pdp.analyze.flips import Flip, flips
from pdp.analyze.question import Asked, asked, undeclared
from pdp.analyze.reference import Outcome, outcome, rules_for
from pdp.analyze.tree import Truth
from pdp.analyze.why import Why, recorded, why
from pdp.decide.combine import decision as combined
from pdp.decide.engine import Engine
from pdp.language import core
from pdp.language.schema import Schema
from pdp.model.decision import Capabilities, Decision, PolicyResult, RuleError
from pdp.model.frame import Frame
from pdp.model.request import Request


@dataclass(frozen=True, slots=True)
class RuleWhy:
    """One rule that speaks about the request. `says` is what came of it, `condition` None where it has none."""

    id: str
    effect: str
    sentence: str
    citations: tuple[str, ...]
    owner: str
    where: str
    says: str  # "permits", "denies", "masks", "nothing"
    truth: Truth  # of the condition
    errors: tuple[RuleError, ...]
    condition: Why | None
    release: Why | None
    released: tuple[str, ...] | None  # of a permit that applies: what it releases, None for everything
    masked: tuple[str, ...]
    duties: tuple[str, ...]
    because: str
    determining: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`undeclared`: why no rule was asked at all. `disagreement`: a fault of ours, empty but for a bug."""

    asked: str  # who asks for what, when
    now: int
    decision: Decision
    rules: tuple[RuleWhy, ...] = ()
    flips: tuple[Flip, ...] = ()
    undeclared: str = ""
    emergency: tuple[str, ...] = ()  # rules that speak about the request, and grant nothing yet
    disagreement: tuple[str, ...] = ()


def explain(engine: Engine, request: Request, now: int, capabilities: Capabilities) -> Explanation:
    """Why the answer is what it is. `request` has been admitted already (`pdp.decide.admit`)."""
    policies, schema = engine.program.policies, engine.program.schema
    answer = engine.decide_uncached(request, now, capabilities)
    question = asked(engine, request, now)
    if question is None:
        return Explanation(_asked(request, now), now, answer, undeclared=undeclared(schema, request))
    outcomes = [
        outcome(rule, question.frame, schema) for rule in rules_for(policies, question.action, question.resource_type)
    ]

    def decided(result: PolicyResult) -> Decision:
        return combined(result, capabilities, request.searched_fields)

    views = [_rule(each, question.frame, schema, answer) for each in outcomes]
    return Explanation(
        _asked(request, now),
        now,
        answer,
        tuple(sorted(views, key=_interest)),
        flips(outcomes, question.frame, schema, decided),
        emergency=_emergency(policies, question),
        disagreement=differences(answer, second_opinion(outcomes, request, capabilities)),
    )


def _asked(request: Request, now: int) -> str:
    """In wire names, as the request said it: whether it is declared or not."""
    subject, resource = (
        f"{words.quoted(type_name)[1:-1]} {words.quoted(identifier)}"
        for type_name, identifier in (
            (request.subject_type, request.subject_id),
            (request.resource_type, request.resource_id),
        )
    )
    return f"{subject} does {words.quoted(request.action)[1:-1]} on {resource} at {words.instant(now)}"


def _emergency(policies: core.PolicySet, question: Asked) -> tuple[str, ...]:
    pair = (question.action, question.resource_type)
    return tuple(rule.id for rule in policies.rules if rule.effect == "emergency" and pair in rule.pairs)


def _interest(each: RuleWhy) -> tuple[int, str]:
    """What made the answer first, then what could not be evaluated, then what applies, then the rest."""
    order = (each.determining, bool(each.errors), each.says != "nothing")
    return (3 - next((3 - i for i, holds in enumerate(order) if holds), 0), each.id)


def _rule(each: Outcome, frame: Frame, schema: Schema, answer: Decision) -> RuleWhy:
    rule, grant = each.rule, each.grant
    return RuleWhy(
        rule.id,
        rule.effect,
        rule.sentence,
        rule.citations,
        rule.owner,
        rule.header.where,
        _says(each),
        each.truth,
        tuple(recorded(rule.id, error) for error in each.errors),
        why(rule.condition, frame, schema, rule.id),
        why(rule.release.condition if rule.release else None, frame, schema, rule.id),
        None if grant is None or grant.fields is None else tuple(sorted(grant.fields)),
        tuple(sorted(each.masked or ())),
        () if grant is None else tuple(duty.name for duty in grant.obligations),
        rule.because,
        rule.id in answer.rules,
    )


def _says(each: Outcome) -> str:
    if each.grant is not None:
        return "permits"
    if each.refusal is not None or each.void:
        return "denies"
    return "masks" if each.masked else "nothing"
