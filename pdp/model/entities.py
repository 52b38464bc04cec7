"""The entity store: one immutable snapshot of the bundle data that decisions read.

A row is found by the entity's reference; an entity that is not there has `UNKNOWN_ROW`, so nothing is known of it, not
even that it has no parents (SEMANTICS 1). `pdp.bundle.data` loads it; deciding only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pdp.model.value import UNKNOWN_ROW, Entity, Row, entity_type


class Rows(dict[Entity, Row]):
    """Rows by reference. Only ``rows[reference]`` is used to read: a missing entity gives `UNKNOWN_ROW`."""

    __slots__ = ()

    def __missing__(self, _reference: Entity) -> Row:
        return UNKNOWN_ROW


class Entities:
    """A snapshot: rows, and the revision that stands for them in every cache key."""

    __slots__ = ("revision", "rows")

    def __init__(self, rows: Mapping[Entity, Row] | None = None, revision: str = "empty") -> None:
        self.rows = Rows(rows or {})
        self.revision = revision

    def of_type(self, type_name: str) -> Iterator[Entity]:
        """Every entity of a type, in the order loaded."""
        return (reference for reference in self.rows if entity_type(reference) == type_name)

    def __len__(self) -> int:
        return len(self.rows)
