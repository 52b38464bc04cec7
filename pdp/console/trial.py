"""A request tried by hand: what the enforcement point would be told, and why. Nothing opens, so nothing is recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pdp.config import Profile
from pdp.console.source import Active
from pdp.decide.admit import admit
from pdp.doors import authzen
from pdp.language.core import PolicySet
from pdp.model.decision import Decision
from pdp.model.request import RequestError


@dataclass(frozen=True, slots=True)
class Trial:
    """What to show. `problem` where the request could not be read."""

    problem: str = ""
    decision: Decision | None = None
    answer: str = ""
    discarded: tuple[str, ...] = ()
    explanation: str = ""


def trial(text: str, profile: Profile, current: tuple[PolicySet, Active], now: int) -> Trial:
    """Decide as the AuthZEN door does for this profile, and explain."""
    policies, active = current
    try:
        asked = authzen.read_evaluation(b"application/json", text.encode("utf-8", "surrogatepass"))
    except RequestError as error:
        return Trial(problem=str(error))
    admitted, discarded = admit(asked, policies.schema, profile.may_assert)
    admitted.context = {**admitted.context, **profile.context}
    decision = active.engine.decide_uncached(admitted, now, profile.capabilities)
    answer = json.dumps(json.loads(authzen.answer(decision, "a-trial")), indent=2, ensure_ascii=False)
    explanation = _explained(current, admitted, now, profile)
    return Trial(decision=decision, answer=answer, discarded=discarded, explanation=explanation)


def _explained(current: tuple[PolicySet, Active], request: Any, now: int, profile: Profile) -> str:
    raise NotImplementedError


def example(policies: PolicySet | None) -> str:
    """A request to start from: that of the first test of the policy set, where it has one."""
    if policies is None or not policies.tests:
        subject, action, resource = ("user", "alice"), "read", ("record", "record-1")
        context: dict[str, object] = {}
    else:
        test, entities = policies.tests[0], policies.schema.entities
        subject = (entities[test.subject[0]].wire, test.subject[1])
        resource = (entities[test.resource[0]].wire, test.resource[1])
        declared = policies.schema.actions.get((test.action, test.resource[0]))
        action = declared.wire if declared else test.action
        context = test.context
    request = {
        "subject": {"type": subject[0], "id": subject[1]},
        "action": {"name": action},
        "resource": {"type": resource[0], "id": resource[1]},
        "context": context,
    }
    return json.dumps(request, indent=2, ensure_ascii=False, default=str)
