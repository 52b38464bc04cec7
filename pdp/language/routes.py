"""Routes: paths into segments, what a path names and claims, and that no two routes overlap (LANGUAGE section 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pdp.language import ast, core, wire
from pdp.language.declarations import World, written_fields
from pdp.language.findings import near, place
from pdp.language.names import Home
from pdp.language.types import RECOVERY, TEXT, EntityType, Type

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL: Final = re.compile(r"[^/%?#;\\{}\x00-\x20\x7f]+")
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}")

_Trie = dict[str, Any]  # segment, or "{" for a parameter -> trie; "" -> the routes that end here


class Routes:
    def __init__(self, world: World) -> None:
        self.world = world
        self.schema = world.schema
        self.findings = world.findings

    def check(self) -> list[core.Route]:
        written = [(home, node) for home, node in self.world.names.declarations if isinstance(node, ast.RouteDecl)]
        routes = [(self._route(node, home), home, node) for home, node in written]
        self._overlaps([(route, home, node) for route, home, node in routes if route is not None])
        return [route for route, _, _ in routes if route is not None]

    def _route(self, node: ast.RouteDecl, home: Home) -> core.Route | None:
        segments = self._segments(node.path)
        if segments is None:
            return None
        parameters = [each.text for each in segments if each.parameter]
        resource = self._target(node.resource, parameters, home)
        if resource is not None and not resource.type:
            hint = f"write its type too: `Type {getattr(node.resource.value, 'text', 'name')}`"
            self.findings.error("unknown-type", node.resource.span, "the resource of a route is an entity", hint)
            resource = None
        if resource is None:
            return None
        actions = self._actions(node, resource.type, home)
        claims = self._claims(node, resource.type, parameters, home)
        self._unused(node, parameters, [resource, *(target for _, target in claims)])
        methods = self._methods(node)
        query = self._query(node, home)
        return core.Route(methods, segments, actions, resource, claims, query, node.span, home.module)

    def _segments(self, path: ast.Text) -> tuple[core.Segment, ...] | None:
        if not path.value.startswith("/"):
            self.findings.error("invalid-route", path.span, "a path begins with `/`", "`/fhir/Patient/{patient}`")
            return None
        parts = path.value[1:].split("/") if path.value != "/" else []
        segments = [self._segment(part, path) for part in parts]
        names = [each.text for each in segments if each is not None and each.parameter]
        for name in sorted({name for name in names if names.count(name) > 1}):
            message = f"the parameter `{name}` stands twice in this path"
            self.findings.error("duplicate-name", path.span, message, "give each its own name")
        sound = [each for each in segments if each is not None]
        return tuple(sound) if len(sound) == len(segments) and len(set(names)) == len(names) else None

    def _segment(self, part: str, path: ast.Text) -> core.Segment | None:
        parameter = _PARAMETER.fullmatch(part)
        if parameter:
            return core.Segment(parameter[1], True)
        if part in (".", "..") or _LITERAL.fullmatch(part) is None:
            shown = f"`{part}` cannot be a segment" if part else "an empty segment"
            hint = "a segment is plain text as it is after decoding, or one `{parameter}`; no `/` at the end"
            self.findings.error("invalid-route", path.span, shown, hint)
            return None
        return core.Segment(part, False)

    def _methods(self, node: ast.RouteDecl) -> frozenset[str]:
        for each in node.methods:
            if _METHOD.fullmatch(each.text) is None:
                hint = f"write `{each.text.upper()}`"
                self.findings.error("invalid-route", each.span, f"`{each.text}` is not a method", hint)
        return frozenset(each.text for each in node.methods)

    def _target(self, target: ast.RouteTarget, parameters: list[str], home: Home) -> core.Target | None:
        type = ""
        if target.type is not None:
            names = self.world.types.entities(target.type, home)
            if names != {target.type.text}:
                if names:
                    message = f"`{target.type.text}` is a kind: a route names an entity of one type"
                    self.findings.error("unknown-type", target.type.span, message, f"one of {', '.join(sorted(names))}")
                return None
            type = target.type.text
        if isinstance(target.value, ast.Text):
            return self._written_target(type, target.value)
        if target.value.text not in parameters:
            message = f"the path has no parameter `{target.value.text}`"
            hint = near(target.value.text, parameters) or f"write `{{{target.value.text}}}` in the path"
            self.findings.error("unknown-route-parameter", target.value.span, message, hint)
            return None
        return core.Target(type, parameter=target.value.text)

    def _written_target(self, type: str, value: ast.Text) -> core.Target | None:
        try:
            return core.Target(type, literal=wire.identifier(value.value))
        except wire.IllTyped as error:
            self.findings.error("invalid-literal", value.span, error.message)
            return None

    def _actions(self, node: ast.RouteDecl, type: str, home: Home) -> tuple[str, ...]:
        for name in node.actions:
            if (
                self.world.names.find(name, home, ("action",)) is not None
                and (name.text, type) not in self.schema.actions
            ):
                message = f"`{name.text}` is not declared on `{type}`"
                self.findings.error(
                    "unknown-rule-pair", name.span, message, f"declare it: `action {name.text} on {type}`"
                )
        return tuple(dict.fromkeys(each.text for each in node.actions))

    def _claims(
        self, node: ast.RouteDecl, resource: str, parameters: list[str], home: Home
    ) -> tuple[tuple[str, core.Target], ...]:
        attributes = self.schema.entities[resource].attributes
        claims: dict[str, core.Target] = {}
        for name, written in node.claims:
            attribute = attributes.get(name.text)
            if attribute is None:
                message = f"`{resource}` has no attribute `{name.text}`"
                self.findings.error("unknown-attribute", name.span, message, near(name.text, attributes))
            target = self._target(written, parameters, home)
            if name.text in claims:
                self.findings.error("duplicate-name", name.span, f"`{name.text}` is claimed twice", "once is enough")
            elif target is not None and attribute is not None:
                self._claimable(attribute.type, target, written)
                claims[name.text] = target
        return tuple(claims.items())

    def _claimable(self, type: Type, target: core.Target, written: ast.RouteTarget) -> None:
        if type is RECOVERY or (not target.type and type == TEXT):
            return
        if target.type and isinstance(type, EntityType) and target.type in type.names:
            return
        found = target.type or "Text"
        hint = "a path can claim an entity (`attribute = Type parameter`) or a Text (`attribute = parameter`)"
        self.findings.error("type-mismatch", written.span, f"expected {type}, found {found}", hint)

    def _unused(self, node: ast.RouteDecl, parameters: list[str], targets: list[core.Target]) -> None:
        used = {each.parameter for each in targets}
        for name in parameters:
            if name not in used:
                message = f"the path says `{{{name}}}`, and nothing compares it with the resource"
                hint = "anybody may write anything there: add `with attribute = Type parameter` (LANGUAGE 9)"
                self.findings.warning("unused-route-parameter", node.path.span, message, hint)

    def _query(self, node: ast.RouteDecl, home: Home) -> tuple[core.QueryParameter, ...]:
        found: dict[str, core.QueryParameter] = {}
        for each in node.query:
            if each.name.value in found:
                message = f'the query parameter "{each.name.value}" is there already'
                self.findings.error("duplicate-name", each.name.span, message, "take one of them out")
            if not each.name.value or not each.name.value.isprintable():
                hint = "it is the name as it is after decoding"
                self.findings.error("invalid-route", each.name.span, "this cannot name a query parameter", hint)
            fields = written_fields(each.fields, home, self.world.names, self.findings, self.schema.fields)
            found[each.name.value] = core.QueryParameter(each.name.value, each.optional, fields)
        return tuple(found.values())

    # Overlap

    def _overlaps(self, routes: list[tuple[core.Route, Home, ast.RouteDecl]]) -> None:
        """A literal beats a parameter at the first difference, so within a layer two routes overlap only in one shape.

        Across layers every overlap is refused: else a service could take a path away from the organisation.
        """
        shapes: dict[tuple[str, ...], list[tuple[core.Route, Home, ast.RouteDecl]]] = {}
        tries: dict[int, _Trie] = {}
        for route, home, node in sorted(routes, key=lambda each: each[1].rank):
            shape = _shape(route)
            others = [(other, there) for other, _, there in shapes.get(shape, ()) if other.methods & route.methods]
            lower = [tries[rank] for rank in tries if rank < home.rank]
            others += [each for trie in lower for each in _meets(trie, shape) if each[0].methods & route.methods]
            if others:
                methods = ", ".join(sorted(others[0][0].methods & route.methods))
                hint = f"the other route is at {place(others[0][1].path.span)}"
                message = f"this path overlaps that of another route for {methods}"
                self.findings.error("route-overlap", node.path.span, message, hint)
            shapes.setdefault(shape, []).append((route, home, node))
            _enter(tries.setdefault(home.rank, {}), shape, (route, node))


def _shape(route: core.Route) -> tuple[str, ...]:
    return tuple("{" if each.parameter else each.text for each in route.segments)


def _enter(trie: _Trie, shape: tuple[str, ...], entry: tuple[core.Route, ast.RouteDecl]) -> None:
    for segment in shape:
        trie = trie.setdefault(segment, {})
    trie.setdefault("", []).append(entry)


def _meets(trie: Mapping[str, Any], shape: tuple[str, ...]) -> list[tuple[core.Route, ast.RouteDecl]]:
    """The routes of a trie that share a path with the shape. Parameters never match a leading `$` or `_`."""
    level = [trie]
    for segment in shape:
        ahead: list[Mapping[str, Any]] = []
        for node in level:
            for other, below in node.items():
                pair = {segment, other}
                literal = next(iter(pair - {"{"}), "")
                if other and (segment == other or ("{" in pair and literal[:1] not in ("$", "_"))):
                    ahead.append(below)
        level = ahead
    return [entry for node in level for entry in node.get("", ())]
