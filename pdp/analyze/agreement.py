"""The same question to the compiled engine and to the interpreter. Where they differ, one is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pdp.analyze.reference import Outcome, result
from pdp.decide.combine import decision
from pdp.model.decision import Capabilities, Decision
from pdp.model.request import Request

COMPARED: Final = ("effect", "reason", "rules", "errors", "obligations", "fields", "refusals")


def second_opinion(outcomes: Iterable[Outcome], request: Request, capabilities: Capabilities) -> Decision:
    """The decision by the interpreter's outcomes, through the same table."""
    return decision(result(outcomes), capabilities, request.searched_fields)


def differences(compiled: Decision, interpreted: Decision) -> tuple[str, ...]:
    """What the two answers differ in, for people; empty where they agree. How long they hold is not compared."""
    return tuple(
        f"{name}: compiled {_shown(getattr(compiled, name))}, interpreted {_shown(getattr(interpreted, name))}"
        for name in COMPARED
        if getattr(compiled, name) != getattr(interpreted, name)
    )


def _shown(part: object) -> str:
    if isinstance(part, tuple):
        return "(" + ", ".join(map(_shown, part)) + ")"
    return str(part)
