"""Which actions on which resource an HTTP request is, by the `route` declarations of the policy set (SEMANTICS 6, 7).

The path alone chooses the route: a literal segment beats a parameter at the first difference. Method and query then
have to fit the route so chosen; there is no second choice, so `DELETE /Patient/summary` never becomes the deletion of a
patient called `summary`. No route, no access.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pdp.doors.path import AmbiguousPath, query_names, segments
from pdp.language.core import Route, Target
from pdp.language.schema import Schema

NO_FIELDS: Final[frozenset[str]] = frozenset()


class Match(NamedTuple):
    """What a request maps to, in wire names. Every one of `actions` must be permitted."""

    actions: tuple[str, ...]
    resource_type: str
    resource_id: str
    claims: Mapping[str, Any] | None  # None: the path claims nothing about the resource
    searched_fields: frozenset[str]
    route: Route
    pattern: str = ""  # of the path, as it is declared


class NoRoute(Exception):
    """The request maps to nothing. `kind` is a stable word for the record."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class _Ready:
    """A route with all that is the same for every request worked out."""

    __slots__ = (
        "actions",
        "claims",
        "declared",
        "fields",
        "methods",
        "pattern",
        "required",
        "resource",
        "resource_type",
        "route",
    )

    def __init__(self, route: Route, schema: Schema) -> None:
        self.route = route
        self.methods = route.methods
        self.pattern = pattern(route)
        self.declared = frozenset(parameter.name for parameter in route.query)
        self.required = frozenset(parameter.name for parameter in route.query if not parameter.optional)
        self.fields = tuple((parameter.name, parameter.fields) for parameter in route.query)
        self.actions = tuple(schema.actions[action, route.resource.type].wire for action in route.actions)
        self.resource_type = schema.entities[route.resource.type].wire
        places = {segment.text: place for place, segment in enumerate(route.segments) if segment.parameter}
        self.resource = _Identifier(route.resource, places)
        self.claims = tuple((name, _Identifier(target, places)) for name, target in route.claims)

    def match(self, parts: tuple[str, ...], names: frozenset[str]) -> Match:
        claims = {name: identifier.of(parts) for name, identifier in self.claims} if self.claims else None
        searched = [fields for name, fields in self.fields if name in names] if names else ()
        return Match(
            self.actions,
            self.resource_type,
            self.resource.of(parts),
            claims,
            NO_FIELDS.union(*searched),
            self.route,
            self.pattern,
        )


def pattern(route: Route) -> str:
    """The path as it is declared: nothing of a request."""
    return "".join(f"/{{{each.text}}}" if each.parameter else f"/{each.text}" for each in route.segments) or "/"


class _Identifier:
    """Where an identifier stands in the path; else what it is."""

    __slots__ = ("_literal", "_place")

    def __init__(self, target: Target, places: Mapping[str, int]) -> None:
        self._place = places[target.parameter] if target.parameter else -1
        self._literal = target.literal

    def of(self, parts: tuple[str, ...]) -> str:
        return self._literal if self._place < 0 else parts[self._place]


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: list[_Ready] = field(default_factory=list)


class Table:
    """The routes of one policy set, made once. Immutable afterwards."""

    __slots__ = ("_root",)

    def __init__(self, routes: Iterable[Route], schema: Schema) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.segments:
                if segment.parameter:
                    node.parameter = node.parameter or _Node()
                    node = node.parameter
                else:
                    node = node.literals.setdefault(segment.text, _Node())
            node.routes.append(_Ready(route, schema))

    def match(self, method: str, raw_path: bytes, raw_query: bytes = b"") -> Match:
        """What the request is. Raises NoRoute, also for an ambiguous path or query."""
        try:
            parts = segments(raw_path)
            names = query_names(raw_query)
        except AmbiguousPath as error:
            raise NoRoute(error.kind) from None
        candidates = _end(self._root, parts, 0)
        if candidates is None:
            raise NoRoute("no-route")
        fitting = [each for each in candidates if method in each.methods]
        if not fitting:
            raise NoRoute("no-route-for-method")
        fitting = [each for each in fitting if each.required <= names <= each.declared]
        if len(fitting) != 1:  # Two would be a fault of the checker: refuse rather than choose.
            raise NoRoute("no-route-for-query")
        return fitting[0].match(parts, names)


def _end(node: _Node, parts: tuple[str, ...], at: int) -> list[_Ready] | None:
    """The routes at the end of the best way down; None where no way ends. At most two ways on at each segment."""
    if at == len(parts):
        return node.routes or None
    found, part = None, parts[at]
    literal = node.literals.get(part)
    if literal is not None:
        found = _end(literal, parts, at + 1)
    if found is None and node.parameter is not None and not part.startswith(("$", "_")):
        found = _end(node.parameter, parts, at + 1)
    return found
