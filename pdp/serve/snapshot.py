"""What a worker decides with: one immutable snapshot, loaded from the artefact that the builder made (SEMANTICS 26)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.doors.route import Table
from pdp.language.schema import Schema
from pdp.serve.runtime import POINTER, Runtime

if TYPE_CHECKING:
    from pdp.decide.engine import Engine


@dataclass(frozen=True, slots=True)
class Snapshot:
    engine: Engine
    schema: Schema
    table: Table
    digest: str
    revision: str
    source_digest: str
    built_at: float  # seconds since the epoch


def load(runtime: Runtime, cache_size: int, pause: Callable[[], None] | None = None) -> Snapshot | None:
    """The snapshot that the pointer names; None when nothing was built yet. Imports neither parser nor checker.

    `pause` is called every few milliseconds. Raises BadArtefact and OSError.
    """
    from pdp.bundle import artefact
    from pdp.decide.engine import Engine

    pointer = runtime.read(POINTER)
    if not pointer:
        return None
    loaded = artefact.read(runtime.directory / pointer["artefact"], pause)
    schema = loaded.program.schema
    return Snapshot(
        Engine(loaded.program, loaded.entities, cache_size),
        schema,
        Table(loaded.routes, schema),
        loaded.program.digest,
        loaded.revision,
        loaded.source_digest,
        pointer["built_at"],
    )
