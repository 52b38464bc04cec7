"""A request tried by hand: what the enforcement point would be told, and why. Nothing opens, so nothing is recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from pdp.analyze.explain import explain
from pdp.analyze.report import explanation_text
from pdp.config import Profile
from pdp.decide.engine import Engine
from pdp.doors import authzen
from pdp.doors.admission import admitted
from pdp.language.core import PolicySet
from pdp.model.decision import Decision
from pdp.model.request import RequestError

MOST_RULES: Final = 50


@dataclass(frozen=True, slots=True)
class Trial:
    """What to show. `problem` where the request could not be read."""

    problem: str = ""
    decision: Decision | None = None
    answer: str = ""
    discarded: tuple[str, ...] = ()
    explanation: str = ""


def trial(text: str, profile: Profile, engine: Engine, now: int) -> Trial:
    """Decide as the AuthZEN door does for this profile, and explain."""
    try:
        asked = authzen.read_evaluation(b"application/json", text.encode("utf-8", "surrogatepass"))
    except RequestError as error:
        return Trial(problem=str(error))
    believed, discarded = admitted(asked, engine.program.schema, profile.may_assert, profile.context)
    explanation = explain(engine, believed, now, profile.capabilities)
    answer = json.dumps(json.loads(authzen.answer(explanation.decision, "a-trial")), indent=2, ensure_ascii=False)
    return Trial("", explanation.decision, answer, discarded, explanation_text(explanation, most_rules=MOST_RULES))


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
