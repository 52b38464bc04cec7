"""Which actions on which resource an HTTP request is, by the `route` declarations of the policy set (SEMANTICS 6, 7).

The path alone chooses the route: a literal segment beats a parameter at the first difference. Method and query then
have to fit the route so chosen; there is no second choice, so `DELETE /Patient/summary` never becomes the deletion of a
patient called `summary`. No route, no access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdp.doors.path import AmbiguousPath, query_names, segments
from pdp.language.core import Route, Target
from pdp.language.schema import Schema


@dataclass(frozen=True, slots=True)
class Match:
    """What a request maps to, in wire names. Every one of `actions` must be permitted."""

    actions: tuple[str, ...]
    resource_type: str
    resource_id: str
    claims: Mapping[str, Any] | None  # None: the path claims nothing about the resource
    searched_fields: frozenset[str]
    route: Route


class NoRoute(Exception):
    """The request maps to nothing. `kind` is a stable word for the record."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: list[Route] = field(default_factory=list)


class Table:
    """The routes of one policy set, made once. Immutable afterwards."""

    __slots__ = ("_root", "_schema")

    def __init__(self, routes: Iterable[Route], schema: Schema) -> None:
        self._root = _Node()
        self._schema = schema
        for route in routes:
            node = self._root
            for segment in route.segments:
                if segment.parameter:
                    node.parameter = node.parameter or _Node()
                    node = node.parameter
                else:
                    node = node.literals.setdefault(segment.text, _Node())
            node.routes.append(route)

    def match(self, method: str, raw_path: bytes, raw_query: bytes = b"") -> Match:
        """What the request is. Raises NoRoute, also for an ambiguous path or query."""
        try:
            parts = segments(raw_path)
            names = query_names(raw_query)
        except AmbiguousPath as error:
            raise NoRoute(error.kind) from None
        candidates = next(_ends(self._root, parts, 0), None)
        if candidates is None:
            raise NoRoute("no-route")
        fitting = [route for route in candidates if method in route.methods]
        if not fitting:
            raise NoRoute("no-route-for-method")
        fitting = [route for route in fitting if _query_fits(route, names)]
        if len(fitting) != 1:  # Two would be a fault of the checker: refuse rather than choose.
            raise NoRoute("no-route-for-query")
        return self._mapped(fitting[0], parts, names)

    def _mapped(self, route: Route, parts: tuple[str, ...], names: frozenset[str]) -> Match:
        values = {segment.text: part for segment, part in zip(route.segments, parts, strict=True) if segment.parameter}
        resource = route.resource
        actions = tuple(self._schema.actions[action, resource.type].wire for action in route.actions)
        searched = [parameter.fields for parameter in route.query if parameter.name in names]
        return Match(
            actions=actions,
            resource_type=self._schema.entities[resource.type].wire,
            resource_id=_identifier(resource, values),
            claims={name: _identifier(target, values) for name, target in route.claims} or None,
            searched_fields=frozenset().union(*searched),
            route=route,
        )


def _ends(node: _Node, parts: tuple[str, ...], at: int) -> Iterator[list[Route]]:
    """The routes at the ends of every way down, best first. Bounded: at most two ways on at each segment."""
    if at == len(parts):
        if node.routes:
            yield node.routes
        return
    literal = node.literals.get(parts[at])
    if literal is not None:
        yield from _ends(literal, parts, at + 1)
    if node.parameter is not None and not parts[at].startswith(("$", "_")):
        yield from _ends(node.parameter, parts, at + 1)


def _query_fits(route: Route, names: frozenset[str]) -> bool:
    declared = {parameter.name for parameter in route.query}
    required = {parameter.name for parameter in route.query if not parameter.optional}
    return required <= names <= declared


def _identifier(target: Target, values: Mapping[str, str]) -> str:
    return values[target.parameter] if target.parameter else target.literal
