"""What a caller may say: the enforcement point's profile lists what it may assert, the schema who owns what.

What is refused is taken out and named; since somebody tried to say it, it is unknown afterwards and not absent
(SEMANTICS 5), which `Request.refused` tells the frame. Undeclared properties are ignored: no rule can read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pdp.language.schema import Attribute, Schema
from pdp.model.request import Request


def admit(request: Request, schema: Schema, may_assert: frozenset[str]) -> tuple[Request, tuple[str, ...]]:
    """The request without what its enforcement point may not assert, and the names ("subject.role") of what that was.

    `may_assert` holds "subject.role", "resource.*" or "*". An attribute that another place owns (a token, the data) is
    refused whatever the profile says: nobody may assert it.
    """
    refused = frozenset(
        [
            f"{part}.{name}"
            for part, offered in _offered(request)
            if offered
            for name in _refused(part, offered, _declared(part, request, schema), may_assert)
        ]
    )
    if not refused:
        return request, ()

    def kept(part: str, offered: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in offered.items() if f"{part}.{name}" not in refused}

    admitted = replace(
        request,
        subject_properties=kept("subject", request.subject_properties),
        action_properties=kept("action", request.action_properties),
        resource_properties=kept("resource", request.resource_properties),
        context=kept("context", request.context),
        refused=request.refused | refused,
    )
    return admitted, tuple(sorted(refused))


def _offered(request: Request) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return (
        ("subject", request.subject_properties),
        ("action", request.action_properties),
        ("resource", request.resource_properties),
        ("context", request.context),
    )


def _refused(
    part: str, offered: Mapping[str, Any], declared: Mapping[str, Attribute], may_assert: frozenset[str]
) -> Iterator[str]:
    for name, value in offered.items():
        attribute = declared.get(name)
        if attribute is None or value is None:
            continue
        if attribute.place != "caller" or may_assert.isdisjoint((f"{part}.{name}", f"{part}.*", "*")):
            yield name


def _declared(part: str, request: Request, schema: Schema) -> Mapping[str, Attribute]:
    """What is declared of this part. Nothing, where the request names a type or an action that is not declared."""
    if part == "context":
        return schema.context
    resource = schema.by_wire.get(request.resource_type, "")
    if part == "action":
        action = schema.actions.get((schema.action_by_wire.get(request.action, ""), resource))
        return {} if action is None else action.attributes
    entity = schema.entities.get(schema.by_wire.get(request.subject_type, "") if part == "subject" else resource)
    return {} if entity is None else entity.attributes
