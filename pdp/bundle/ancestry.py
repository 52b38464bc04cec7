"""Parenthood closed transitively: who lies above whom, without cycles (SEMANTICS 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from pdp.diagnostics.source import Source, Span
from pdp.model.value import Entity

MAX_ANCESTRY: Final = 5_000_000
"""Members of all sets of ancestors together: a chain of many thousands is a mistake that would eat the memory."""

NONE: Final[frozenset[Entity]] = frozenset()


class Place(NamedTuple):
    """Where something was given: enough to print it, and small, since there is one for each entity."""

    source: Source
    start: int
    end: int

    @property
    def span(self) -> Span:
        return Span(*self)

    def __str__(self) -> str:
        return f"{self.source.name}:{self.source.line_column(self.start)[0]}"


class Ancestry:
    """Parenthood closed transitively; entities with the same parents share one set."""

    def __init__(self, parents: dict[str, tuple[str, ...]], given: dict[str, Place]) -> None:
        self._parents = parents
        self._given = given
        self._closed: dict[str, frozenset[Entity]] = {}
        self._by_parents: dict[tuple[str, ...], frozenset[Entity]] = {}
        self._members = 0

    def of_all(self, problem: Callable[[str, Place, str, str], None]) -> dict[str, frozenset[Entity]]:
        missing = False
        for child, parents in self._parents.items():
            if not all(parent in self._given for parent in parents):
                missing = True
                message = "a parent of this entity is not given itself"
                problem("data-unknown-parent", self._given[child], message, "give it, or leave the parent out")
        if missing:
            return {}
        for child in self._parents:
            cycle = self._close(child)
            if cycle:
                through = ", ".join(str(self._given[each]) for each in cycle[:5])
                problem("data-cycle", self._given[cycle[0]], "this entity is its own ancestor", f"by way of {through}")
                return {}
            if self._members > MAX_ANCESTRY:
                message = f"the entities have more than {MAX_ANCESTRY} ancestors together"
                problem("data-too-large", self._given[child], message, "")
                return {}
        return self._closed

    def _close(self, child: str) -> list[str]:
        """Closes one entity and all above it, without recursion. A cycle is returned instead, lowest name first."""
        path = [child]
        waiting = [iter(self._parents.get(child, ()))]
        on_path = {child}
        while path:
            above = next(waiting[-1], None)
            if above is None:
                done = path.pop()
                waiting.pop()
                on_path.discard(done)
                self._finish(done)
            elif above in on_path:
                cycle = path[path.index(above) :]
                lowest = cycle.index(min(cycle))
                return cycle[lowest:] + cycle[:lowest]
            elif above not in self._closed:
                path.append(above)
                on_path.add(above)
                waiting.append(iter(self._parents.get(above, ())))
        return []

    def _finish(self, done: str) -> None:
        parents = self._parents.get(done, ())
        if not parents:
            self._closed[done] = NONE
            return
        found = self._by_parents.get(parents)
        if found is None:
            found = frozenset(map(Entity, parents)).union(*(self._closed[parent] for parent in parents))
            self._by_parents[parents] = found
            self._members += len(found)
        self._closed[done] = found
