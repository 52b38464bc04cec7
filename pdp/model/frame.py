"""What one evaluation sees, typed: the only thing that the interpreter and the compiled code read."""

from __future__ import annotations

from collections.abc import Mapping

from pdp.model.value import Entity, Row


class Frame:
    """One snapshot of the world for one question (SEMANTICS 26). Treated as immutable once made.

    `subject_row` and `resource_row` are the two entities' whole rows: what the store holds, with the attributes that
    the request's places say filled in. `rows` gives every other entity (`UNKNOWN_ROW` where it is not found); the
    subject and the resource, reached through a reference, are read with `row`, so that an entity looks the same
    whichever way it is reached. `context_row` and `action_row` hold an attribute in each slot, from 0.
    """

    __slots__ = ("action_row", "context_row", "now", "resource", "resource_row", "rows", "subject", "subject_row")

    def __init__(
        self,
        subject: Entity,
        resource: Entity,
        subject_row: Row,
        resource_row: Row,
        action_row: tuple[object, ...],
        context_row: tuple[object, ...],
        rows: Mapping[Entity, Row],
        now: int,
    ) -> None:
        self.subject = subject
        self.resource = resource
        self.subject_row = subject_row
        self.resource_row = resource_row
        self.action_row = action_row
        self.context_row = context_row
        self.rows = rows
        self.now = now

    def row(self, reference: Entity) -> Row:
        """The row of any entity. If subject and resource are one entity, the subject's row speaks for both."""
        if reference == self.subject:
            return self.subject_row
        if reference == self.resource:
            return self.resource_row
        return self.rows[reference]
