"""Ward's duties as the obligations of AuthZEN's Obligations Profile (draft 1), and what a request says of them.

An obligation's type is the name of its duty in Ward; the arguments are its properties. So a duty declared
`obligation notification(to: Text, body: Text, topic: Text)` is the profile's `notification`, and `session_termination`
its namesake; `step_up` is `step-up`, which Ward cannot spell. Any other name is agreed between the policy set and its
enforcement points: what the draft calls custom. Advice (`advise`) stands apart, since every obligation is mandatory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pdp.model.decision import Capabilities, Decision, Obligation
from pdp.model.request import RequestError

SUPPORTED: Final = "supported_obligations"
CUSTOM: Final = "custom"
REGISTERED: Final = frozenset({"step-up", "notification", "session_termination"})
_SPELLED: Final = {"step_up": "step-up"}


def type_of(name: str) -> str:
    """The obligation type of a duty in Ward."""
    return _SPELLED.get(name, name)


def types(names: Iterable[str]) -> list[str]:
    return sorted({type_of(name) for name in names})


def listed(decision: Decision, decision_id: str) -> list[dict[str, Any]]:
    """Every duty of an answer, binding or not, each with an id of its own."""
    return [_written(duty, f"{decision_id}.{number}") for number, duty in enumerate(decision.obligations)]


def _written(duty: Obligation, identifier: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": type_of(duty.name),
        "properties": dict(duty.arguments),
        "binding": duty.binding,
    }


def checked(context: Mapping[str, Any]) -> None:
    """Raise RequestError where `supported_obligations` is there and is no list of texts."""
    said = context.get(SUPPORTED)
    if said is not None and not (isinstance(said, list) and all(isinstance(each, str) for each in said)):
        raise RequestError("must list texts", f"context.{SUPPORTED}")


def narrowed(capabilities: Capabilities, context: Mapping[str, Any]) -> Capabilities:
    """What is left of a profile's capabilities after a request, which can only narrow them (SEMANTICS 19).

    `custom` stands for every type that the draft does not define. What the profile does not have is ignored.
    """
    said = context.get(SUPPORTED)
    if said is None:
        return capabilities
    kept = frozenset(
        name
        for name in capabilities.obligations
        if (type := type_of(name)) in said or (CUSTOM in said and type not in REGISTERED)
    )
    return capabilities if kept == capabilities.obligations else Capabilities(capabilities.fields, kept)


def understood(type: str, context: Mapping[str, Any]) -> bool:
    """May an obligation of this type come with the answer? Yes, unless the request says that it is not understood."""
    said = context.get(SUPPORTED)
    return said is None or type in said
