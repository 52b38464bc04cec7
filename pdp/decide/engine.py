"""A request, a program, the data and `now` in; the answer out. One engine is one snapshot (SEMANTICS 26).

Program and data never change under an engine: a new policy or new data is a new engine, with an empty cache. So the
program's digest and the data's revision are in every key by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Final

from pdp.decide import combine
from pdp.decide.cache import Answer, Cache, Entry, Key, Uncacheable, key_function
from pdp.decide.frame import Plan
from pdp.language.semantics import EvaluationError
from pdp.model.decision import (
    FOREVER,
    NO_CAPABILITIES,
    Capabilities,
    Decision,
    Effect,
    PdpFault,
    Reason,
)
from pdp.model.entities import Entities
from pdp.model.frame import Frame
from pdp.model.request import Request, RequestError
from pdp.model.value import Entity, Unsettled

if TYPE_CHECKING:
    from pdp.compile.program import CompiledRule, Program

MAX_ANSWERS: Final = 4_096
"""Answers remembered for each plan by the rules that make them."""


class Engine:
    """Decides. Safe for threads: what it remembers is written in single steps, or under a lock."""

    def __init__(self, program: Program, entities: Entities, cache_size: int = 65_536) -> None:
        self.program = program
        self.entities = entities
        self._cache = Cache(cache_size)
        self._entries = self._cache.entries
        self._plans: dict[tuple[str, str, str], _Prepared] = {}
        self._keys: dict[tuple[str, str, str], Callable[[Request], Key]] = {}
        self._numbers = count()  # Steps at once, also among threads: no two plans share a number.
        self._undeclared = self._finished(Answer(combine.UNDECLARED), NO_CAPABILITIES)
        self._bad_request = self.refused(Reason.BAD_REQUEST)

    def decide(
        self,
        request: Request,
        now: int,
        capabilities: Capabilities = NO_CAPABILITIES,
        evaluated: list[bool] | None = None,
    ) -> Decision:
        """The answer at `now`, from the cache where one holds; where none does, `evaluated` gets a member. Raises
        PdpFault for a fault of ours alone.
        """
        try:
            key = self._keys[request.subject_type, request.action, request.resource_type](request)
            entry = self._entries[key]
        except (KeyError, TypeError, Uncacheable):
            return self._fill(request, now, capabilities, evaluated)
        if entry.evaluated <= now < entry.until and entry.evictions == self._cache.evictions:
            answer = entry.answer
            known, decision = answer.last
            if known is capabilities and decision is not None and not request.searched_fields:
                return decision
            return self._finished(answer, capabilities, request.searched_fields)
        if entry.evaluated <= now < entry.until and self._cache.outlives(entry, self.entities.rows):
            return self._finished(entry.answer, capabilities, request.searched_fields)
        return self._fill(request, now, capabilities, evaluated)

    def decide_uncached(self, request: Request, now: int, capabilities: Capabilities = NO_CAPABILITIES) -> Decision:
        """The same answer, without the cache. `valid_until` speaks of time alone, also where something is unknown."""
        prepared = self._prepared(request)
        if prepared is None:
            return self._undeclared
        try:
            answer, _ = self._evaluated(prepared, request, now)
        except RequestError:
            return self._bad_request
        known, decision = answer.last
        if known is capabilities and decision is not None and not request.searched_fields:
            return decision
        return self._finished(answer, capabilities, request.searched_fields)

    def decide_once(self, request: Request, now: int, capabilities: Capabilities = NO_CAPABILITIES) -> Decision:
        """The same answer, for `now` alone: nobody keeps it (`valid_until` is 0), so its horizon is not worked out."""
        prepared = self._prepared(request)
        if prepared is None:
            return self._undeclared
        try:
            answer, _ = self._evaluated(prepared, request, now, kept=False)
        except RequestError:
            return self._bad_request
        return self._finished(answer, capabilities, request.searched_fields)

    def evict(self, reference: Entity) -> None:
        """Forget every answer that may have read this entity (consent withdrawn, access revoked)."""
        self._cache.evict(reference)

    def plan(self, request: Request) -> Plan | None:
        """How requests of this kind are read; None where nothing of the kind is declared. For explaining."""
        prepared = self._prepared(request)
        return None if prepared is None else prepared.plan

    def refused(self, reason: Reason) -> Decision:
        """The deny for a request that no rule has seen."""
        return Decision(Effect.DENY, reason, program_digest=self.program.digest, data_revision=self.entities.revision)

    def _fill(self, request: Request, now: int, capabilities: Capabilities, evaluated: list[bool] | None) -> Decision:
        if evaluated is not None:
            evaluated.append(True)
        prepared = self._prepared(request)
        if prepared is None:
            return self._undeclared
        evictions = self._cache.evictions
        try:
            answer, frame = self._evaluated(prepared, request, now)
        except RequestError:
            return self._bad_request
        decision = self._finished(answer, capabilities, request.searched_fields)
        if not now < answer.result.valid_until:
            return decision
        if prepared.plan.volatile or not prepared.plan.function.all_known(frame):
            # What is unknown now may be known at any moment, so nobody else may keep this answer either.
            return replace(decision, valid_until=now)
        try:
            key = prepared.key(request)
        except Uncacheable:
            return decision
        self._cache.put(key, Entry(answer, now, evictions, prepared.plan, frame.subject, frame.resource))
        return decision

    def _prepared(self, request: Request) -> _Prepared | None:
        """The plan for a kind of request, made when first asked for; only declared kinds have one."""
        kind = (request.subject_type, request.action, request.resource_type)
        try:
            return self._plans[kind]
        except (KeyError, TypeError):
            return self._prepare(kind)

    def _prepare(self, kind: tuple[str, str, str]) -> _Prepared | None:
        if not all(type(name) is str for name in kind):
            return None
        schema = self.program.schema
        subject, resource = schema.by_wire.get(kind[0]), schema.by_wire.get(kind[2])
        action = schema.action_by_wire.get(kind[1])
        if subject is None or action is None or resource is None:
            return None
        function = self.program.function(action, resource)
        if function is None or subject not in function.subjects:
            return None
        plan = Plan(function, subject, schema)
        prepared = _Prepared(plan, key_function(next(self._numbers), plan))
        # Two threads may both come here: the first stays, so that one kind has one number in the keys.
        prepared = self._plans.setdefault(kind, prepared)
        self._keys[kind] = prepared.key
        return prepared

    def _evaluated(self, prepared: _Prepared, request: Request, now: int, kept: bool = True) -> tuple[Answer, Frame]:
        """What the rules say; the same rules give the same object if nothing of it is computed. Raises RequestError."""
        plan = prepared.plan
        function = plan.function
        try:
            frame = plan.bind(request, self.entities, now)
            satisfied, erred = function.evaluate(frame)
            until = 0 if not kept else function.horizon(frame) if function.timed else FOREVER
            if erred:
                return Answer(combine.policy_result(satisfied, erred, frame, until)), frame
            made_of = (until, *satisfied) if function.timed or not kept else tuple(satisfied)
            answer = prepared.answers.get(made_of)
            if answer is None:
                answer = Answer(combine.policy_result(satisfied, erred, frame, until))
                if all(map(_fixed, satisfied)):
                    prepared.remember(made_of, answer)
            return answer, frame
        except (EvaluationError, Unsettled) as error:
            raise PdpFault(f"an evaluation did not settle: {error}") from error

    def _finished(
        self, answer: Answer, capabilities: Capabilities, searched_fields: frozenset[str] = frozenset()
    ) -> Decision:
        """The decision for this profile, made once. What depends on the fields searched is not kept."""
        decision = None if searched_fields else answer.finished.get(capabilities)
        if decision is not None:
            answer.last = (capabilities, decision)
            return decision
        decision = combine.decision(
            answer.result, capabilities, searched_fields, self.program.digest, self.entities.revision
        )
        if not searched_fields:
            answer.keep(capabilities, decision)
        return decision


class _Prepared:
    """A plan, its key, and the answers that need no computing, by the rules that make them."""

    __slots__ = ("answers", "key", "plan")

    def __init__(self, plan: Plan, key: Callable[[Request], Key]) -> None:
        self.plan = plan
        self.key = key
        self.answers: dict[tuple[object, ...], Answer] = {}

    def remember(self, made_of: tuple[object, ...], answer: Answer) -> None:
        if len(self.answers) >= MAX_ANSWERS:
            self.answers = {}
        self.answers[made_of] = answer


def _fixed(rule: CompiledRule) -> bool:
    """Does this rule, when it applies, always say the same?"""
    return rule.effect == "forbid" or (rule.effect == "permit" and rule.grant is not None)
