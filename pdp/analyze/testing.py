"""Runs the tests of a policy set: each in its own world, by the real engine, and again by the interpreter.

The two must agree on every test, whether it passes or not: a difference is a fault of ours, and fails the test loudly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.analyze.agreement import differences, second_opinion
from pdp.analyze.case import Case, mismatches
from pdp.analyze.coverage import Recorder
from pdp.analyze.explain import Explanation, explain
from pdp.analyze.question import asked
from pdp.analyze.reference import outcome, rules_for
from pdp.analyze.world import BadWorld, World, world
from pdp.decide.engine import Engine
from pdp.language.schema import Schema
from pdp.model.decision import Capabilities, Decision, PdpFault
from pdp.model.request import Request

if TYPE_CHECKING:
    from pdp.compile.program import Program


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test. `failures` are expectations not met; `disagreement` is compiler against interpreter.

    `explanation` is there where an expectation was not met.
    """

    case: Case
    decision: Decision | None
    failures: tuple[str, ...] = ()
    problem: str = ""  # it could not run
    disagreement: tuple[str, ...] = ()
    explanation: Explanation | None = None
    fault: str = ""  # the engine could not decide: a fault of ours

    @property
    def passed(self) -> bool:
        return not (self.failures or self.problem or self.disagreement or self.fault)


def everything(schema: Schema) -> Capabilities:
    """An enforcement point that can carry out whatever the policies ask."""
    return Capabilities(True, frozenset(schema.obligations))


def run(program: Program, cases: Iterable[Case], recorder: Recorder) -> Iterator[Result]:
    """Run them one after the other; `recorder` sees every one that could run."""
    for case in cases:
        yield _one(program, case, recorder)


def _one(program: Program, case: Case, recorder: Recorder) -> Result:
    try:
        built = world(case.givens, case.question, program.schema)
    except BadWorld as error:
        return Result(case, None, problem=str(error))
    try:
        return _decided(program, case, built, recorder)
    except PdpFault as fault:
        return Result(case, None, fault=str(fault))


def _decided(program: Program, case: Case, built: World, recorder: Recorder) -> Result:
    capabilities = everything(program.schema)
    engine = Engine(program, built.entities)
    compiled = engine.decide_uncached(built.request, case.now, capabilities)
    disagreement = _disagreement(engine, built.request, case.now, capabilities, compiled, recorder)
    failures = mismatches(case.expected, compiled)
    why = explain(engine, built.request, case.now, capabilities) if failures or disagreement else None
    return Result(case, compiled, failures, disagreement=disagreement, explanation=why)


def _disagreement(
    engine: Engine, request: Request, now: int, capabilities: Capabilities, compiled: Decision, recorder: Recorder
) -> tuple[str, ...]:
    """The compiled answer against the interpreter's, and the cache's: filled by the first, read by the second."""
    found: tuple[str, ...] = ()
    for _ in range(2):
        cached = engine.decide(request, now, capabilities)
        found += tuple(f"cached: {each}" for each in differences(cached, compiled))
    question = asked(engine, request, now)
    if question is None:  # No rule is asked: there is nothing to interpret, and nothing may be allowed.
        return found if not compiled.allowed else (*found, "allowed, though nothing of the kind is declared")
    recorder.see(question.action, question.resource_type, question.frame)
    schema = engine.program.schema
    rules = rules_for(engine.program.policies, question.action, question.resource_type)
    outcomes = [outcome(rule, question.frame, schema) for rule in rules]
    return found + differences(compiled, second_opinion(outcomes, request, capabilities))
