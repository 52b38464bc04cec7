"""What of a request is believed: what its enforcement point may assert, and the context that the operator has fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pdp.decide.admit import admit
from pdp.language.schema import Schema
from pdp.model.request import Request


def admitted(
    request: Request, schema: Schema, may_assert: frozenset[str], fixed: Mapping[str, Any]
) -> tuple[Request, tuple[str, ...]]:
    """The request that is decided about, and what was discarded. `fixed` context stands, whatever the caller said."""
    believed, discarded = admit(request, schema, may_assert)
    if not fixed:
        return believed, discarded
    refused = believed.refused - {f"context.{name}" for name in fixed}
    return replace(believed, context={**believed.context, **fixed}, refused=refused), discarded
