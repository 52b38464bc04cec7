"""From a request to what it is about: the declared (action, resource type) pair, and the frame its rules see."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.decide.engine import Engine
from pdp.decide.frame import identifies
from pdp.language.schema import Schema
from pdp.model.frame import Frame
from pdp.model.request import Request


@dataclass(frozen=True, slots=True)
class Asked:
    """In Ward's names."""

    action: str
    resource_type: str
    frame: Frame


def asked(engine: Engine, request: Request, now: int) -> Asked | None:
    """None: the question is not declared, and is denied before any rule; `undeclared` says why."""
    plan = engine.plan(request)
    if plan is None or not (identifies(request.subject_id) and identifies(request.resource_id)):
        return None
    frame = plan.bind(request, engine.entities, now)
    return Asked(plan.function.action, plan.function.resource_type, frame)


def undeclared(schema: Schema, request: Request) -> str:
    """Why nothing like this may be asked, as a sentence for the author; empty where it may."""
    for what, wire_type in (("subject", request.subject_type), ("resource", request.resource_type)):
        if wire_type not in schema.by_wire:
            return f"the {what}'s type {wire_type!r} is not declared; there are {_listed(schema.by_wire)}"
    for what, identifier in (("subject", request.subject_id), ("resource", request.resource_id)):
        if not identifies(identifier):
            return f"the {what}'s identifier is not one: NFC, 1 to 512 characters"
    resource_type = schema.by_wire[request.resource_type]
    on_type = {each.wire: each for (_, type_name), each in schema.actions.items() if type_name == resource_type}
    declared = on_type.get(request.action)
    if declared is None:
        return f"the action {request.action!r} is not declared on {resource_type}; there are {_listed(on_type)}"
    subject_type = schema.by_wire[request.subject_type]
    if subject_type not in declared.subjects:
        return f"{subject_type} may not ask for {declared.name} on {resource_type}; only {_listed(declared.subjects)}"
    return ""


def _listed(names: object) -> str:
    return ", ".join(sorted(names)) or "none"  # type: ignore[call-overload]
