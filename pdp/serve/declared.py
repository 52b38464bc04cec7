"""Which words of a request the policy set knows. Only those stand in the clear part of a record: whatever else somebody
put where a name belongs may be a patient's.
"""

from __future__ import annotations

from typing import Final

from pdp.language.schema import Schema
from pdp.language.types import CodeType
from pdp.model.request import Request

PURPOSE: Final = "purpose"
"""The attribute of the context that says what a request is for."""


def purpose_of(believed: Request) -> str:
    """What the request is for, as it says itself and may say; "" where it says nothing."""
    purpose = believed.context.get(PURPOSE)
    return purpose if isinstance(purpose, str) else ""


class Declared:
    """Those of one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._types = schema.by_wire
        self._actions = schema.action_by_wire
        purpose = schema.context.get(PURPOSE)
        names = purpose.type.vocabularies if purpose is not None and isinstance(purpose.type, CodeType) else ()
        self.purposes = frozenset(code for name in names for code in schema.codes.vocabularies[name].symbols.values())

    def strange(self, request: Request, purpose: str) -> tuple[str, ...]:
        """Which members of a record (`sub`, `act`, `res`, `pou`) would hold a name that nobody declared."""
        found = []
        if request.subject_type not in self._types:
            found.append("sub")
        if request.action and request.action not in self._actions:
            found.append("act")
        if request.resource_type not in self._types:
            found.append("res")
        if purpose and purpose not in self.purposes:
            found.append("pou")
        return tuple(found)
