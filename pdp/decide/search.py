"""Search: which of the known entities, or of the declared actions, evaluation permits (SEMANTICS 26).

A candidate is found exactly where the engine, asked about it alone, allows it: there is no second way to decide. What
could not be decided is counted, never found. Everything goes in steps of a size that the caller chooses, so that
whoever owns the clock can let others in between. The decision cache is neither asked nor filled: one search would push
out what everybody else needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from pdp.decide.engine import Engine
from pdp.model.decision import Capabilities, Decision, Effect, Reason
from pdp.model.entities import Entities
from pdp.model.request import Request
from pdp.model.value import Entity, entity_id, entity_type


class Kind(StrEnum):
    """What is searched for. The request names the other two, and of a subject or a resource its type."""

    SUBJECT = "subject"
    RESOURCE = "resource"
    ACTION = "action"


_SEARCHED: Final = {Kind.SUBJECT: "subject_id", Kind.RESOURCE: "resource_id", Kind.ACTION: "action"}
_MEMBERS: Final = tuple(each.name for each in fields(Request))


@dataclass(frozen=True, slots=True)
class Hit:
    """A candidate that evaluation permits. `name`: the entity's identifier, or the (wire) name of the action."""

    name: str
    decision: Decision


class Catalogue:
    """Every entity of one snapshot, by type, in the order of the references: the same in every worker."""

    def __init__(self, entities: Entities) -> None:
        self._rows: Iterator[Entity] | None = iter(entities.rows)
        self._by_type: dict[str, list[Entity]] = {}

    def list_some(self, most: int) -> bool:
        """List up to `most` more entities. Are all of them listed?"""
        if self._rows is None:
            return True
        read = 0
        for reference in islice(self._rows, most):
            self._by_type.setdefault(entity_type(reference), []).append(reference)
            read += 1
        if read < most:
            self._rows = None
            for found in self._by_type.values():
                found.sort()  # Nothing to do where they were loaded in order, as artefacts are.
        return self._rows is None

    def of_type(self, type_name: str) -> Sequence[Entity]:
        """Not before everything is listed."""
        return self._by_type.get(type_name, ())


def candidates(kind: Kind, request: Request, engine: Engine, catalogue: Catalogue) -> Sequence[str]:
    """References or names of whatever could be found; nobody, where nothing of the kind is declared."""
    schema = engine.program.schema
    if kind is not Kind.ACTION:
        wire = request.subject_type if kind is Kind.SUBJECT else request.resource_type
        return () if engine.plan(request) is None else catalogue.of_type(schema.by_wire[wire])
    subject, resource = schema.by_wire.get(request.subject_type), schema.by_wire.get(request.resource_type, "")
    return sorted(
        wire
        for wire, name in schema.action_by_wire.items()
        if (declared := schema.actions.get((name, resource))) is not None and subject in declared.subjects
    )


class Walk:
    """One page: from the candidate at `position` until `limit` are found, or `most` were looked at, or all were.

    It looks for one more than the limit, so that a page is the last one exactly where nothing more is found, but for a
    page that ends with `most`. `request` is what is believed already (`pdp.decide.admit`); what it says of the one
    who is searched for (their properties) is said of every candidate, their identifier is nobody's. `within`: what is
    not even asked about, since the caller's token does not cover it.
    """

    __slots__ = (
        "_candidates",
        "_capabilities",
        "_engine",
        "_kind",
        "_last",
        "_limit",
        "_now",
        "_said",
        "_searched",
        "_within",
        "hits",
        "looked_at",
        "more",
        "position",
        "undecided",
    )

    def __init__(
        self,
        engine: Engine,
        catalogue: Catalogue,
        kind: Kind,
        request: Request,
        now: int,
        capabilities: Capabilities,
        position: int,
        limit: int,
        most: int,
        within: Callable[[Request], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._candidates = candidates(kind, request, engine, catalogue)
        self._kind = kind
        self._said: list[Any] = [getattr(request, each) for each in _MEMBERS]
        self._searched = _MEMBERS.index(_SEARCHED[kind])
        self._now = now
        self._capabilities = capabilities
        self._limit = limit
        self._within = within
        self._last = min(len(self._candidates), position + most)
        self.position = position
        self.hits: list[Hit] = []
        self.undecided = 0
        self.looked_at = 0
        self.more = limit > 0 and position < self._last

    def step(self, most: int) -> bool:
        """Look at up to `most` more candidates. Is there more to look at on this page? Raises PdpFault."""
        start = self.position
        for candidate in self._candidates[start : min(start + most, self._last)]:
            name = candidate if self._kind is Kind.ACTION else entity_id(Entity(candidate))
            asked = self._about(name)
            self.looked_at += 1
            if self._within is not None and not self._within(asked):
                self.position += 1
                continue
            decision = self._engine.decide_once(asked, self._now, self._capabilities)
            if decision.effect is Effect.ALLOW:
                if len(self.hits) == self._limit:
                    self.more = False
                    return False
                self.hits.append(Hit(name, decision))
            elif undecided(decision):
                self.undecided += 1
            self.position += 1
        self.more = self.position < self._last
        return self.more

    @property
    def next_position(self) -> int:
        """Where the next page begins; -1 where there is nothing left to look at."""
        return self.position if self.position < len(self._candidates) else -1

    def _about(self, name: str) -> Request:
        """The question about one candidate: what `replace` gives, at a seventh of its cost."""
        self._said[self._searched] = name
        return Request(*self._said)


def undecided(decision: Decision) -> bool:
    """Is this a deny only because something could not be evaluated? Nobody knows what the answer would be."""
    if decision.effect is Effect.ALLOW:
        return False
    if decision.reason is Reason.FORBIDDEN:
        return bool(decision.refusals) and all(each.erred for each in decision.refusals)
    if decision.reason is Reason.MASKED:
        return any(error.rule in decision.rules for error in decision.errors)
    return decision.reason is Reason.INDETERMINATE
